import { assert, describe, it } from "@effect/vitest"
import { commitOf, noCommit } from "./Commit.ts"
import { planOfSeed, seedOf } from "./plan/Swarm.ts"
import { simulate } from "./Simulate.ts"

const seedsMax = 50
/** One in so many runs twice. */
const repeatEvery = 20

const source = commitOf() ?? noCommit

describe(`whole daemons in one process, seeds of ${source}`, () => {
  const seeds = Array.from({ length: seedsMax }, (_, i) => [i, seedOf(source, i)] as const)

  it.each(seeds)("seed %i, %s", (index, seed) => {
    const plan = planOfSeed(seed)
    const { traceHash, verdict } = simulate(plan)
    const replay = `npm run sim -- --seed ${seed}`
    assert.isUndefined(
      verdict,
      `${verdict?.invariant} ${verdict?.sentence}; see it with: ${replay}`
    )
    if (index % repeatEvery !== 0) return
    assert.strictEqual(simulate(plan).traceHash, traceHash, `not repeatable: ${replay}`)
  })
})
