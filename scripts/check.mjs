/**
 * `npm run check`: everything that can be said about the code without running it. All checks run,
 * whatever the first ones say, so that one run names everything.
 */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const bin = (name) => join(root, "node_modules", ".bin", name)

/** Platform packages that exist for x64 only: their checks are left out, loudly, elsewhere. */
const dprint = join(root, "node_modules", "@dprint", `linux-${process.arch}-glibc`, "dprint")
const tsgo = join(root, "node_modules", "@effect", `tsgo-linux-${process.arch}`)

const run = (command, args) =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    const collect = (data) => {
      output += data
    }
    child.stdout.on("data", collect)
    child.stderr.on("data", collect)
    child.on("error", (error) => resolve({ ok: false, output: error.message }))
    child.on("close", (code) => resolve({ ok: code === 0, output }))
  })

/** Without the plugin entry in tsconfig.json it checks no file and is content. */
const effectDiagnostics = async (project) => {
  const args = ["diagnostics", "--strict", "--project", project, "--format", "text"]
  const { ok, output } = await run(bin("effect-tsgo"), args)
  const files = /Checked (\d+) files/.exec(output)?.[1]
  if (ok && Number(files) > 0) return { ok, output }
  if (ok) {
    return { ok: false, output: `${output}\nno file was checked: ${project} lacks the plugin` }
  }
  return { ok, output }
}

const checks = {
  types: () => run(bin("tsc"), ["-p", "."]),
  ...(existsSync(tsgo)
    ? {
      "effect (src)": () => effectDiagnostics("tsconfig.src.json"),
      "effect (all)": () => effectDiagnostics("tsconfig.json")
    }
    : {}),
  lint: () => run(bin("oxlint"), ["--deny-warnings"]),
  ...(existsSync(dprint) ? { format: () => run(dprint, ["check", "--list-different"]) } : {}),
  tidy: () => run(bin("vitest"), ["run", "test/tidy", "--reporter=dot"])
}

if (process.argv.includes("--format")) {
  const { ok, output } = existsSync(dprint)
    ? await run(dprint, ["fmt"])
    : { ok: false, output: `there is no dprint for ${process.arch}\n` }
  process.stdout.write(output)
  process.exit(ok ? 0 : 1)
}

for (const [what, path] of [["effect", tsgo], ["format", dprint]]) {
  if (!existsSync(path)) {
    process.stdout.write(`SKIPPED ${what}: not available for ${process.arch}\n`)
  }
}
let failed = 0
// One after the other: together they would only compete for the same two cores.
for (const [name, check] of Object.entries(checks)) {
  const started = performance.now()
  const { ok, output } = await check()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name} (${seconds} s)\n`)
  if (ok) continue
  failed++
  process.stdout.write(`${output.trimEnd()}\n\n`)
}
process.exitCode = failed === 0 ? 0 : 1
