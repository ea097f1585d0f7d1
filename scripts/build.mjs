/**
 * Bundles the programs into `dist/`: what gets installed, and what starts fast.
 *
 *     dist/conntrackd             one file, runnable: what every invocation needs
 *     dist/conntrackd-<part>.cjs  what `await import("…/Part.ts")` asks for, loaded only then
 *     dist/conntrackd_native.node the addon
 *     dist/meta.json              esbuild's account of which module went into which file
 *
 * `--out DIRECTORY` puts them elsewhere; whatever was there is removed first.
 *
 * Programs are the files of `src/programs` with a lower-case name. Each dynamic import becomes a
 * file of its own, so that a client command never even reads the daemon's code; a module used on
 * both sides is in both files, and has its own state in each.
 */
import { build } from "esbuild"
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { basename, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { addonPath } from "./build-native.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const out = process.argv.indexOf("--out")
const dist = out < 0 ? join(root, "dist") : resolve(process.argv[out + 1])
const nodeMajor = 24

/**
 * First lines of a program: a shell script to the kernel, one string and a comment to Node. That
 * way the process is called `node /path/conntrackd -d …`, without a trace of the launcher, and no
 * `#!/usr/bin/env node` picks a Node that is too old. The pinned Node of the source tree comes
 * first, then one beside the program, then the one in PATH.
 */
const launcher = (name) => {
  const shell = [
    `self=$0`,
    `[ -h "$0" ] && self=$(readlink -f "$0")`,
    `here=\${self%/*}`,
    `for node in "$here/../node_modules/.bin/node" "$here/node"; do` +
    ` [ -x "$node" ] && exec "$node" "$0" "$@"; done`,
    `command -v node >/dev/null && exec node "$0" "$@"`,
    `echo "${name}: Node ${nodeMajor} or newer is needed and no node was found" >&2`,
    `exit 127`
  ].join("; ")
  const complaint = `"${name}: Node ${nodeMajor} or newer is needed, this is " + process.version`
  return `#!/bin/sh
":" //; ${shell}
if (parseInt(process.versions.node) < ${nodeMajor}) {
  process.stderr.write(${complaint} + "\\n"); process.exit(127)
}
`
}

const moduleUrl = `const __moduleUrl = require("node:url").pathToFileURL(__filename).href;\n`

/** `FtfwDaemon.ts` → `ftfw-daemon`. */
const partName = (path) =>
  basename(path).replace(/\.[cm]?[jt]s$/, "").replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase()

/** Turns dynamic imports into requires of files that are built later; notes which. */
const separateParts = (program, parts) => ({
  name: "separate-parts",
  setup(esbuild) {
    esbuild.onResolve({ filter: /.*/ }, async (args) => {
      if (args.kind !== "dynamic-import" || args.pluginData === "resolving") return undefined
      if (isBuiltin(args.path)) return undefined
      const { importer, kind, resolveDir } = args
      const options = { importer, kind, resolveDir, pluginData: "resolving" }
      const found = await esbuild.resolve(args.path, options)
      if (found.errors.length > 0) return { errors: found.errors }
      const name = partName(found.path)
      const file = `${name.startsWith(`${program}-`) ? name : `${program}-${name}`}.cjs`
      const taken = parts.get(file)
      if (taken !== undefined && taken !== found.path) {
        return { errors: [{ text: `both ${taken} and ${found.path} would become ${file}` }] }
      }
      parts.set(file, found.path)
      return { path: `./${file}`, external: true }
    })
  }
})

const meta = { inputs: {}, outputs: {} }

const bundle = async (program, source, file, head, parts) => {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile: join(dist, file),
    bundle: true,
    platform: "node",
    format: "cjs",
    target: `node${nodeMajor}`,
    minify: true,
    charset: "utf8",
    legalComments: "none",
    metafile: true,
    write: false,
    logLevel: "warning",
    supported: { "dynamic-import": false }, // Makes them requires.
    define: {
      "import.meta.url": "__moduleUrl",
      "import.meta.filename": "__filename",
      "import.meta.dirname": "__dirname",
      "import.meta.main": file.endsWith(".cjs") ? "false" : "true"
    },
    plugins: [separateParts(program, parts)]
  })
  const { text } = result.outputFiles[0]
  writeFileSync(join(dist, file), head + (text.includes("__moduleUrl") ? moduleUrl : "") + text)
  Object.assign(meta.inputs, result.metafile.inputs)
  Object.assign(meta.outputs, result.metafile.outputs)
  return text.length
}

const report = (file, bytes) =>
  process.stdout.write(`${file.padEnd(40)} ${(bytes / 1024).toFixed(0).padStart(6)} KiB\n`)

const programs = readdirSync(join(root, "src", "programs"))
  .filter((name) => /^[a-z][a-z-]*\.ts$/.test(name))
  .map((name) => basename(name, ".ts"))
  .sort() // So that `conntrackd` comes before a `conntrackd-…` that may be a part of it.
const built = new Set()
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })
// The project is made of ES modules, these files are not.
writeFileSync(join(dist, "package.json"), `{ "type": "commonjs" }\n`)
for (const program of programs) {
  const path = join(root, "src", "programs", `${program}.ts`)
  // What another program imports is a part of that, and not run by itself.
  if (built.has(path)) continue
  const parts = new Map()
  report(program, await bundle(program, path, program, launcher(program), parts))
  chmodSync(join(dist, program), 0o755)
  // A part may have parts of its own: a Map may grow while it is walked.
  for (const [file, partPath] of parts) {
    report(file, await bundle(program, partPath, file, "", parts))
    built.add(partPath)
  }
}
// Built by the pre hook.
copyFileSync(addonPath(), join(dist, basename(addonPath())))
writeFileSync(join(dist, "meta.json"), `${JSON.stringify(meta, undefined, 1)}\n`)
process.stdout.write(`and the addon and meta.json, in ${relative(process.cwd(), dist) || dist}\n`)
