import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { matches, root, sourcesIn } from "./Sources.ts"

const read = (path: string): string => readFileSync(join(root, path), "utf8")

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

describe("the project", () => {
  const manifest = JSON.parse(read("package.json")) as Manifest

  it("pins exact versions", () => {
    const { dependencies, devDependencies, optionalDependencies } = manifest
    const all = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    assert.deepStrictEqual(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)), [])
  })

  it("says nothing about package hosts in its lock file", () => {
    assert.notMatch(read("package-lock.json"), /"resolved"/)
  })

  it("has a lock file that npm ci accepts", () => {
    // npm leaves optional packages out that it cannot get, but not their names; then `npm ci` fails
    // with "Missing: … from lock file". Take the names out of the lock file as well.
    const { packages } = JSON.parse(read("package-lock.json")) as {
      readonly packages: Readonly<Record<string, Partial<Manifest>>>
    }
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) =>
        packages[`node_modules/${name}`] === undefined &&
        packages[`${path}/node_modules/${name}`] === undefined
      )
    )
    assert.deepStrictEqual(missing, [])
  })

  it("sets itself up before every command that needs it", () => {
    const free = new Set(["build:native"])
    const commands = Object.keys(manifest.scripts).filter((name) => !name.startsWith("pre"))
    const lacking = commands.filter((name) =>
      !free.has(name) && !manifest.scripts[`pre${name}`]?.startsWith("node scripts/setup.mjs")
    )
    assert.deepStrictEqual(lacking, [])
  })

  it("runs programs by npm's pinned Node, never after the machine's in one shell", () => {
    const chained = Object.entries(manifest.scripts).filter(([, line]) => /&&|;|\|/.test(line))
    assert.deepStrictEqual(chained, [])
  })

  it("has four folders in src", () => {
    const folders = readdirSync(join(root, "src")).sort()
    assert.deepStrictEqual(
      folders.filter((name) => !["actors", "core", "layers", "programs"].includes(name)),
      []
    )
  })

  it("has a CI entry that can be run", () => {
    assert.notStrictEqual(statSync(join(root, ".ci", "run")).mode & 0o111, 0)
  })
})

describe("the native code", () => {
  const build = read("scripts/build-native.mjs")
  const sources = sourcesIn("native", /\.(cc|h)$/)

  it.each([
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-fno-exceptions",
    "-DNAPI_DISABLE_CPP_EXCEPTIONS",
    "-DNAPI_VERSION=9"
  ])("is compiled with %s", (flag) => {
    const list = /export const flags = \[([^\]]*)\]/.exec(build)?.[1] ?? ""
    assert.include(list, `"${flag}"`)
  })

  it("throws nothing, starts no thread and silences no warning", () => {
    assert.isAbove(sources.length, 5)
    const found = sources.flatMap((source) => [
      ...matches(source, /\b(throw|try|catch)\b/g, (word) => `${word}: return an errno`),
      ...matches(source, /\bstd::(thread|async)\b/g, (word) => `${word}: everything is one thread`),
      ...matches(source, /^#pragma (?!once).*$/gm, (line) => line)
    ])
    assert.deepStrictEqual(found, [])
  })

  it("keeps no state of the process", () => {
    // Functions and constants may be static; variables may not.
    const variable = /^\s*(?:static|thread_local)\s+(?!const|constexpr)[^()]*[;=]/gm
    const found = sources.flatMap((source) => matches(source, variable, (line) => line))
    assert.deepStrictEqual(found, [])
  })

  it("fits its lines", () => {
    const long = sources.flatMap(({ lines, path }) =>
      lines.flatMap((line, i) => line.length > 100 ? [`${path}:${i + 1}`] : [])
    )
    assert.deepStrictEqual(long, [])
  })
})
