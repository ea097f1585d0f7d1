import { assert, describe, it } from "@effect/vitest"
import type { Source } from "./Sources.ts"
import { matches, sourceOf, sourcesIn } from "./Sources.ts"

/**
 * A simulation is repeatable if nothing it runs can reach a promise, a clock, dice or a timer that
 * the world does not own. What it runs is what can be reached from these files.
 */
const roots = ["src/programs/Boot.ts", "src/actors/Daemon.ts", "test/sim/Simulate.ts"]

/** Words at the start of a member access or call. */
const words = "Promise|async|await|Date|performance|crypto|" +
  "setTimeout|setInterval|setImmediate|queueMicrotask"
const forbidden = new RegExp(`(?<![\\w$.])(?:${words})\\b(?!\\s*\\??:)`, "g")
/** Effect's own doors to them. */
const doors =
  /\bEffect\s*\.\s*(?:promise|tryPromise|run(?:Promise|Sync|Fork|Callback)\w*|fromPromise)\b/g
const dice = /\bMath\s*\.\s*random\b/g

/** The world itself starts fibers, in its own scheduler. */
const mayFork = new Set(["test/sim/World.ts"])
/** Names of errors: a table. */
const pureModules = new Set(["node:util"])
/** Its default for tests without a world; simulations say how a socket is made ready. */
const mayDefer = new Set(["test/sim/kernel/FakeNetlinkSocket.ts", "test/sim/kernel/FakeKernel.ts"])

const complaintsAbout = (source: Source): ReadonlyArray<string> => [
  ...matches(source, forbidden, (found) => `${found} is outside the world`).filter((complaint) =>
    !(mayDefer.has(source.path) && complaint.includes("queueMicrotask"))
  ),
  ...matches(source, doors, (found) => `${found} leaves the world`).filter(
    () => !mayFork.has(source.path)
  ),
  ...matches(source, dice, () => "Math.random is not repeatable"),
  ...source.imports
    .filter(({ isType, specifier }) =>
      !isType && specifier.startsWith("node:") && !pureModules.has(specifier)
    )
    .map(({ line, specifier }) => `${source.path}:${line}: ${specifier} is outside the world`)
]

/** Files that are loaded when the first ones are. */
const reachable = (sources: ReadonlyArray<Source>, from: ReadonlyArray<string>) => {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const seen = new Set<string>()
  const visit = (path: string): void => {
    const source = byPath.get(path)
    if (seen.has(path) || source === undefined) return
    seen.add(path)
    for (const { isType, target } of source.imports) {
      if (!isType && target !== undefined) visit(target)
    }
  }
  from.forEach(visit)
  return [...seen].map((path) => byPath.get(path)!)
}

describe("what a simulation runs", () => {
  const sources = [...sourcesIn("src"), ...sourcesIn("test/sim"), ...sourcesIn("test/fakes")]
  const loaded = reachable(sources, roots)

  it("is the whole daemon", () => {
    const paths = loaded.map(({ path }) => path)
    assert.isAbove(paths.length, 80)
    assert.includeMembers(paths, [
      "src/actors/Ingest.ts",
      "src/core/protocol/Ftfw.ts",
      "src/layers/live/KernelTableNetlink.ts"
    ])
  })

  it("reaches no promise, clock, dice, timer or Node module", () => {
    assert.deepStrictEqual(loaded.flatMap(complaintsAbout), [])
  })

  it.each([
    "const a = async () => 1",
    "const a = Date.now()",
    "const a = Effect.tryPromise(f)",
    "Effect.runFork(b)",
    "queueMicrotask(f)",
    "const a = Math.random()",
    "import { readFileSync } from \"node:fs\""
  ])("would notice: %s", (line) => {
    assert.strictEqual(complaintsAbout(sourceOf("src/actors/A.ts", line)).length, 1)
  })
})
