/** What a peer's message does to the external cache. */
import { assert, describe, it } from "@effect/vitest"
import { ExternalCache } from "../../../src/core/cache/ExternalCache.ts"
import { Change } from "../../../src/core/model/Change.ts"
import { Base } from "../../../src/core/model/FlowLayout.ts"
import { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { FlowView, numberOf, scratchView } from "../../../src/core/model/FlowView.ts"
import { fillIpv4, withMark } from "../../model/Flows.ts"

const make = (flowsMax = 1000) => {
  const table = new FlowTable({ flowsMax, bucketsHint: 16, seed: [1, 2] })
  const cache = new ExternalCache({ table })
  const scratch = scratchView()
  const message = (kind: Change, n: number, mark = 0, now = 10) => {
    fillIpv4(scratch, n)
    if (mark !== 0) withMark(scratch, mark)
    return cache.apply(kind, scratch, now)
  }
  const mark = (slot: number) => numberOf(table.view(slot, new FlowView()), Base.mark)
  return { cache, mark, message, stats: cache.stats, table }
}

describe("the external cache", () => {
  it("adds what is new to it, also by an update", () => {
    const { message, stats, table } = make()

    assert.isTrue(message(Change.created, 1) >= 0)
    assert.isTrue(message(Change.updated, 2) >= 0)

    assert.strictEqual(table.size, 2)
    assert.deepStrictEqual({ ...stats }, {
      active: 2,
      created: 2,
      destroyed: 0,
      noSpace: 0,
      updated: 0
    })
  })

  it("merges an update: what the message does not say stays", () => {
    const { mark, message, stats, table } = make()
    const slot = message(Change.created, 1, 7, 10)

    assert.strictEqual(message(Change.updated, 1, 0, 30), slot)

    assert.strictEqual(mark(slot), 7)
    assert.deepStrictEqual([table.createdSeconds(slot), table.updatedSeconds(slot)], [10, 30])
    assert.strictEqual(stats.updated, 1)
  })

  it("replaces a known flow by a new one: what it knew is gone", () => {
    const { mark, message, stats, table } = make()
    const slot = message(Change.created, 1, 7, 10)

    assert.strictEqual(message(Change.created, 1, 0, 30), slot)

    assert.strictEqual(mark(slot), 0)
    assert.strictEqual(table.createdSeconds(slot), 30)
    assert.deepStrictEqual({ ...stats }, {
      active: 1,
      created: 2,
      destroyed: 1,
      noSpace: 0,
      updated: 0
    })
  })

  it("removes a destroyed flow at once and ignores one it does not know", () => {
    const { message, stats, table } = make()
    message(Change.created, 1)

    assert.strictEqual(message(Change.destroyed, 1), -1)
    assert.strictEqual(message(Change.destroyed, 1), -1)

    assert.strictEqual(table.size, 0)
    assert.deepStrictEqual([stats.active, stats.destroyed], [0, 1])
  })

  it("counts what does not fit", () => {
    const { message, stats } = make(1)
    message(Change.created, 1)

    assert.strictEqual(message(Change.created, 2), -1)
    assert.strictEqual(message(Change.updated, 3), -1)

    assert.deepStrictEqual([stats.active, stats.noSpace], [1, 2])
    assert.isTrue(message(Change.created, 1) >= 0)
  })

  it("is flushed in steps and keeps what comes meanwhile", () => {
    const { cache, message, stats, table } = make()
    for (let n = 0; n < 5; n++) message(Change.created, n, 7)

    let at = cache.flushStep(0, 2)
    const slot = message(Change.updated, 4)
    const held = [0, 1, 2, 3, 4, 5].filter((one) => cache.holds(one))
    assert.deepStrictEqual(held, [slot])
    while (at >= 0) at = cache.flushStep(at, 2)

    assert.strictEqual(table.size, 1)
    assert.strictEqual(table.nextUsed(0), slot)
    assert.deepStrictEqual([stats.active, stats.created, stats.destroyed], [1, 6, 5])
  })
})
