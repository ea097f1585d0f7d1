import { assert, describe, it } from "@effect/vitest"
import type { BulkSource } from "../../../src/core/protocol/Bulk.ts"
import { Bulk, bulkPauseMs, bulkStepSlotsMax } from "../../../src/core/protocol/Bulk.ts"
import { Entity } from "../../../src/core/protocol/SyncProtocol.ts"

/** A table of slots 0 to `length` - 1. */
const source = (entity: Entity, length: number): BulkSource => ({
  entity,
  walk: (cursor, max, visit) => {
    const end = Math.min(cursor + max, length)
    for (let slot = cursor; slot < end; slot++) visit(slot)
    return end === length ? -1 : end
  }
})

const run = (bulk: Bulk, resendLength = 0): Array<string> => {
  const told: Array<string> = []
  let nowMs = 0
  while (bulk.isRunning) {
    nowMs = Math.max(nowMs, bulk.nextStepMs(resendLength))
    const tell = (entity: Entity, slot: number) => told.push(`${entity}/${slot}`)
    assert.isTrue(bulk.step(nowMs, resendLength, true, tell))
  }
  return told
}

const all = (entity: Entity, length: number) => Array.from({ length }, (_, i) => `${entity}/${i}`)

describe("Bulk", () => {
  it("tells everything once, flows before expectations", () => {
    const sources = [source(Entity.flow, 5_000), source(Entity.expectation, 3)]
    const bulk = new Bulk(sources, 131_072)
    assert.strictEqual(bulk.nextStepMs(0), Infinity)
    bulk.start(0)
    assert.deepStrictEqual(run(bulk), [...all(Entity.flow, 5_000), ...all(Entity.expectation, 3)])
    assert.strictEqual(bulk.nextStepMs(0), Infinity)
    assert.deepStrictEqual(bulk.pollNotice(), { _tag: "BulkSendStarted" })
    assert.isUndefined(bulk.pollNotice())
  })

  it("walks a bounded step, and no more than half the resend queue", () => {
    for (const [resendQueueSize, expected] of [[131_072, bulkStepSlotsMax], [100, 50], [1, 1]]) {
      const bulk = new Bulk([source(Entity.flow, 5_000)], resendQueueSize!)
      bulk.start(0)
      let told = 0
      bulk.step(0, 0, false, () => told++)
      assert.strictEqual(told, expected)
    }
  })

  it("goes on at once while little is unacknowledged, else after a pause", () => {
    const bulk = new Bulk([source(Entity.flow, 5_000)], 4_000)
    const step = (nowMs: number, resendLength: number) =>
      bulk.step(nowMs, resendLength, false, () => {})
    bulk.start(100)
    assert.isTrue(step(100, 4_000), "the first step does not wait")
    assert.isTrue(step(100, 1_999))
    assert.isFalse(step(100, 2_000))
    assert.strictEqual(bulk.nextStepMs(2_000), 100 + bulkPauseMs)
    assert.isFalse(step(99 + bulkPauseMs, 2_000))
    assert.isTrue(step(100 + bulkPauseMs, 1_000_000), "a peer that answers nothing stops nobody")
  })

  it.each([1, 2, 3, 4, 10, 100, 1_000])(
    "waits for a peer that acknowledges: a resend queue of %i never overflows",
    (resendQueueSize) => {
      const bulk = new Bulk([source(Entity.flow, 300)], resendQueueSize)
      let told = 0
      let resendLength = 0
      let longest = 0
      const tell = () => {
        told++
        longest = Math.max(longest, ++resendLength)
      }
      bulk.start(0)
      for (let nowMs = 0; bulk.isRunning; nowMs += 10) {
        // Acknowledged once a second, all at once.
        if (nowMs % 1_000 === 990) resendLength = 0
        bulk.step(nowMs, resendLength, true, tell)
      }
      assert.strictEqual(told, 300)
      assert.isAtMost(longest, resendQueueSize)
    }
  )

  it("stops while nothing is acknowledged, and goes on when it is", () => {
    const bulk = new Bulk([source(Entity.flow, 5_000)], 100)
    let told = 0
    const step = (nowMs: number, resendLength: number) =>
      bulk.step(nowMs, resendLength, true, () => told++)
    bulk.start(0)
    step(0, 0)
    for (let nowMs = 1; nowMs < 10_000; nowMs += 5) step(nowMs, told)
    assert.strictEqual(told, 75)
    step(10_000, 0)
    assert.isAbove(told, 75)
  })

  it("sends everything once more when it is asked again on the way, however often", () => {
    const bulk = new Bulk([source(Entity.flow, 3_000)], 131_072)
    bulk.start(0)
    const told: Array<number> = []
    bulk.step(0, 0, true, (_, slot) => told.push(slot))
    for (let i = 0; i < 5; i++) bulk.start(0)
    const rest = run(bulk)
    assert.strictEqual(told.length + rest.length, 6_000)
    assert.deepStrictEqual(rest.slice(-3_000), all(Entity.flow, 3_000))
  })

  it("has nothing to do without tables", () => {
    const bulk = new Bulk([], 10)
    bulk.start(0)
    assert.isFalse(bulk.isRunning)
    assert.isFalse(bulk.step(0, 0, true, () => {}))
  })
})
