import { assert, describe, it } from "@effect/vitest"
import { isBuiltin } from "node:module"
import type { Import, Source } from "./Sources.ts"
import { sourceOf, sourcesIn } from "./Sources.ts"

/**
 * Which folder may import which; its own files are always allowed. The folder of a file is the
 * longest key that its path begins with.
 */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  "src/core/assert.ts": [],
  "src/core/model": ["src/core/assert.ts"],
  "src/core/netlink": ["src/core/assert.ts", "src/core/model"],
  "src/core/wire": ["src/core/assert.ts", "src/core/model"],
  "src/core/protocol": ["src/core/assert.ts", "src/core/model", "src/core/wire"],
  "src/core/cache": ["src/core/assert.ts", "src/core/model"],
  "src/core/config": ["src/core/assert.ts", "src/core/model"],
  "src/core/text": ["src/core/assert.ts", "src/core/model"],
  "src/core/control": ["src/core/assert.ts", "src/core/model"],
  "src/core/helper": ["src/core/assert.ts", "src/core/model"],
  "src/layers": ["src/core"],
  "src/layers/live": ["src/core", "src/layers"],
  "src/actors": ["src/core", "src/layers"],
  "src/programs": ["src/core", "src/layers", "src/layers/live", "src/actors"]
}

const folders = Object.keys(mayImport).sort((a, b) => b.length - a.length)
const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`)
const folderOf = (path: string): string | undefined =>
  folders.find((folder) => isBelow(path, folder))

/** `src/core` as a whole stands for each of its folders; `src/layers` does not for `live`. */
const isAllowed = (from: string, to: string): boolean =>
  from === to ||
  mayImport[from]!.some((folder) =>
    folder === to || (folder === "src/core" && isBelow(to, "src/core"))
  )

const mayUseNode = new Set(["src/layers/live", "src/programs"])
const dataOfEffect = new Set(["effect/Result", "effect/Option", "effect/Data", "effect/Function"])

const complaintAbout = (source: Source, { specifier, target }: Import): string | undefined => {
  const from = folderOf(source.path)
  if (from === undefined) return "is in no folder of the layering table"
  if (target !== undefined) {
    const to = folderOf(target)
    if (to === undefined) return `imports ${target}, which is in no folder of the layering table`
    return isAllowed(from, to) ? undefined : `${from} may not import ${to} (${specifier})`
  }
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith("node:")) return `writes ${specifier} without "node:"`
    return mayUseNode.has(from) ? undefined : `${from} may not import ${specifier}`
  }
  if (isBelow(from, "src/core")) {
    return dataOfEffect.has(specifier) ? undefined : `core may not import ${specifier}`
  }
  if (specifier.startsWith("effect/")) return undefined
  if (specifier.startsWith("@effect/platform-node/")) {
    return mayUseNode.has(from) ? undefined : `${from} may not import ${specifier}`
  }
  return `imports ${specifier}, which is none of the project's packages`
}

const layering = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) =>
    source.imports.flatMap((one) => {
      const complaint = complaintAbout(source, one)
      return complaint === undefined ? [] : [`${source.path}:${one.line}: ${complaint}`]
    })
  )

/** Every cycle once, from its first file in alphabetical order. Types count: they are a design. */
const cycles = (sources: ReadonlyArray<Source>): ReadonlyArray<string> => {
  const next = new Map(
    sources.map(({ imports, path }) => [path, imports.flatMap((i) => i.target ?? [])])
  )
  const finished = new Set<string>()
  const found: Array<string> = []
  const visit = (path: string, trail: ReadonlyArray<string>): void => {
    const at = trail.indexOf(path)
    if (at >= 0) found.push([...trail.slice(at), path].join(" → "))
    if (at >= 0 || finished.has(path)) return
    for (const target of next.get(path) ?? []) visit(target, [...trail, path])
    finished.add(path)
  }
  for (const path of [...next.keys()].sort()) visit(path, [])
  return found
}

describe("the folders of src", () => {
  const sources = sourcesIn("src")

  it("import only what the layering table allows", () => {
    assert.isAbove(sources.length, 10)
    assert.deepStrictEqual(layering(sources), [])
  })

  it("have no import cycles", () => {
    assert.deepStrictEqual(cycles(sources), [])
  })
})

describe("the layering rules", () => {
  const complaints = (path: string, ...lines: ReadonlyArray<string>): ReadonlyArray<string> =>
    layering([sourceOf(path, lines.join("\n"))])

  it("see every way to import", () => {
    const lines = [
      "import * as Effect from \"effect/Effect\"",
      "import type { A } from \"../../actors/A.ts\"",
      "export { B } from \"../netlink/B.ts\"",
      "import {",
      "  C",
      "} from \"node:fs\"",
      "const d = await import(\"../../layers/live/D.ts\")",
      "import \"../config/E.ts\"",
      "import { readFileSync } from \"fs\""
    ]
    const found = complaints("src/core/wire/X.ts", ...lines)
    const at = found.map((complaint) => Number(complaint.split(":")[1]))
    assert.deepStrictEqual(at.sort(), [1, 2, 3, 4, 7, 8, 9])
  })

  it("let through what is allowed, commented out or quoted", () => {
    const lines = [
      "import * as Result from \"effect/Result\"",
      "import { F } from \"../model/F.ts\"",
      "// import { readFileSync } from \"node:fs\"",
      "const text = `",
      "import { readFileSync } from 'node:fs'`"
    ]
    assert.deepStrictEqual(complaints("src/core/wire/X.ts", ...lines), [])
    const live = ["import { A } from \"../A.ts\"", "import * as fs from \"node:fs\""]
    assert.deepStrictEqual(complaints("src/layers/live/X.ts", ...live), [])
    assert.strictEqual(complaints("src/layers/X.ts", "import { A } from \"./live/A.ts\"").length, 1)
  })

  it("find a cycle", () => {
    const sources = [["a", "b"], ["b", "c"], ["c", "a"], ["d", "a"]].map(([from, to]) =>
      sourceOf(`src/core/model/${from}.ts`, `import { x } from "./${to}.ts"`)
    )
    assert.strictEqual(cycles(sources).length, 1)
  })
})
