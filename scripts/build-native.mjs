/**
 * Compiles the addon in `native/` against the headers of the pinned Node.
 *
 * The compiler is called directly: an addon that uses only Node-API needs no generator, no
 * library and no more than one command per file. Plain JavaScript for the machine's own Node,
 * because it runs before the pinned one is there.
 *
 * `--sanitize` builds a second copy with the address and undefined-behaviour sanitizers.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

/** A test in `test/tidy` holds these: no warning may pass, and nothing may throw. */
export const flags = [
  "-std=c++20",
  "-O2",
  "-fPIC",
  "-fno-exceptions",
  "-fvisibility=hidden",
  "-Wall",
  "-Wextra",
  "-Wpedantic",
  "-Werror",
  "-DNAPI_VERSION=9",
  "-DNAPI_DISABLE_CPP_EXCEPTIONS",
  "-DNODE_GYP_MODULE_NAME=conntrackd_native",
  "-DBUILDING_NODE_EXTENSION"
]

export const sanitizerFlags = [
  "-g",
  "-O1",
  "-fno-omit-frame-pointer",
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=undefined"
]

export const compiler = () => process.env.CXX || "g++"

/** Directory of the C headers that came with the pinned Node. */
export const nodeHeaders = () =>
  join(root, "node_modules", `node-linux-${process.arch}`, "include", "node")

const run = (command, args) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] })
    child.on("error", reject)
    child.on("exit", (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${command} ended with status ${code}`))
    })
  })

const directoryOf = (sanitize) => join(root, "native", "build", sanitize ? "Sanitize" : "Release")

/** Where the addon is after it was built. */
export const addonPath = (sanitize = false) => join(directoryOf(sanitize), "conntrackd_native.node")

/** Builds the addon and returns its path. Rejects when the compiler is missing or complains. */
export const buildNative = async ({ sanitize = false } = {}) => {
  const directory = directoryOf(sanitize)
  mkdirSync(directory, { recursive: true })
  const extra = sanitize ? sanitizerFlags : []
  const include = [
    "-isystem",
    nodeHeaders(),
    "-isystem",
    join(root, "node_modules", "node-addon-api")
  ]
  const sources = readdirSync(join(root, "native")).filter((name) => name.endsWith(".cc")).sort()
  // Each process has object files of its own: two builds at once must not mix theirs.
  const objects = sources.map((name) => join(directory, `${name}.${process.pid}.o`))
  const partial = join(directory, `conntrackd_native.${process.pid}.tmp`)
  const target = addonPath(sanitize)
  try {
    const waiting = sources.map((name, i) => [name, objects[i]])
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [name, object] = next
        const source = join(root, "native", name)
        await run(compiler(), [...flags, ...extra, ...include, "-c", source, "-o", object])
      }
    }
    await Promise.all([worker(), worker(), worker(), worker()])
    await run(compiler(), ["-shared", ...extra, "-o", partial, ...objects])
    // A process that has the old file loaded keeps it; nobody ever sees half a file.
    renameSync(partial, target)
  } finally {
    for (const leftover of [...objects, partial]) rmSync(leftover, { force: true })
  }
  return target
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    await buildNative({ sanitize: process.argv.includes("--sanitize") })
  } catch (error) {
    process.stderr.write(`the native addon could not be built: ${error.message}\n`)
    process.exitCode = 1
  }
}
