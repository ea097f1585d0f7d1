/** What an event does to the internal cache and to the peers, case by case of the specification. */
import { assert, describe, it } from "@effect/vitest"
import { InternalCache } from "../../../src/core/cache/InternalCache.ts"
import { Origin, Origins } from "../../../src/core/cache/Origin.ts"
import { Change } from "../../../src/core/model/Change.ts"
import { Base } from "../../../src/core/model/FlowLayout.ts"
import { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { FlowView, numberOf, scratchView } from "../../../src/core/model/FlowView.ts"
import { fillIpv4, fillIpv6, withCounters, withMark } from "../../model/Flows.ts"

const make = (flowsMax = 1000) => {
  const forgotten: Array<number> = []
  const renewed: Array<number> = []
  const table = new FlowTable({ flowsMax, bucketsHint: 16, seed: [1, 2] })
  const cache = new InternalCache({
    table,
    forget: (slot) => void forgotten.push(slot),
    renew: (slot) => void renewed.push(slot)
  })
  const scratch = scratchView()
  const mark = (slot: number) => numberOf(table.view(slot, new FlowView()), Base.mark)
  const event = (kind: Change, n: number, origin: Origin = Origin.other, markOf = 0) => {
    fillIpv4(scratch, n)
    if (markOf !== 0) withMark(scratch, markOf)
    const slot = cache.apply(kind, scratch, origin, 10)
    return { slot, change: cache.change }
  }
  const { stats } = cache
  return { cache, event, forgotten, mark, renewed, scratch, stats, table }
}

describe("the internal cache", () => {
  it("adds a new flow and tells it", () => {
    const { event, stats, table } = make()

    const { change, slot } = event(Change.created, 1)

    assert.isTrue(slot >= 0)
    assert.strictEqual(change, Change.created)
    assert.strictEqual(table.size, 1)
    assert.strictEqual(table.createdSeconds(slot), 10)
    assert.deepStrictEqual({ ...stats }, {
      active: 1,
      created: 1,
      destroyed: 0,
      noSpace: 0,
      updated: 0
    })
  })

  it("takes an update of an unknown flow as a new flow", () => {
    const { cache, event } = make()

    const { change, slot } = event(Change.updated, 1)

    assert.strictEqual(change, Change.created)
    assert.strictEqual(cache.changeOf(slot), Change.created)
  })

  it("merges an update into what it knows", () => {
    const { cache, event, mark, stats } = make()
    const { slot } = event(Change.created, 1, Origin.other, 7)

    const updated = event(Change.updated, 1)

    assert.deepStrictEqual(updated, { slot, change: Change.updated })
    assert.strictEqual(mark(slot), 7)
    assert.strictEqual(cache.changeOf(slot), Change.updated)
    assert.deepStrictEqual({ ...stats }, {
      active: 1,
      created: 1,
      destroyed: 0,
      noSpace: 0,
      updated: 1
    })
  })

  it("replaces a known flow by a new one of the same tuple", () => {
    const { cache, event, mark, renewed, stats } = make()
    const { slot } = event(Change.created, 1, Origin.other, 7)
    event(Change.updated, 1)

    const replaced = event(Change.created, 1)

    assert.deepStrictEqual(replaced, { slot, change: Change.created })
    assert.strictEqual(mark(slot), 0)
    assert.strictEqual(cache.changeOf(slot), Change.created)
    assert.deepStrictEqual(renewed, [slot])
    assert.deepStrictEqual({ ...stats }, {
      active: 1,
      created: 2,
      destroyed: 1,
      noSpace: 0,
      updated: 1
    })
  })

  it("keeps a destroyed flow until no peer needs it", () => {
    const { cache, event, stats, table } = make()
    const { slot } = event(Change.created, 1)

    const destroyed = event(Change.destroyed, 1)

    assert.deepStrictEqual(destroyed, { slot, change: Change.destroyed })
    assert.strictEqual(cache.changeOf(slot), Change.destroyed)
    assert.strictEqual(stats.active, 0)
    assert.strictEqual(table.size, 1)
    cache.release(slot)
    assert.strictEqual(table.size, 0)
    assert.deepStrictEqual({ ...stats }, {
      active: 0,
      created: 1,
      destroyed: 1,
      noSpace: 0,
      updated: 0
    })
  })

  it("tells nothing of a destroyed flow that is unknown or already dead", () => {
    const { event, stats } = make()
    assert.strictEqual(event(Change.destroyed, 1).slot, -1)
    event(Change.created, 1)
    event(Change.destroyed, 1)

    assert.strictEqual(event(Change.destroyed, 1).slot, -1)
    assert.strictEqual(stats.destroyed, 1)
  })

  for (const kind of [Change.created, Change.updated]) {
    it(`brings a dead flow back as a fresh one (event ${kind})`, () => {
      const { cache, event, mark, renewed, stats } = make()
      const { slot } = event(Change.created, 1, Origin.other, 7)
      event(Change.destroyed, 1)

      const back = event(kind, 1)

      assert.deepStrictEqual(back, { slot, change: Change.created })
      assert.strictEqual(mark(slot), 0)
      assert.isFalse(cache.isDead(slot))
      assert.deepStrictEqual(renewed, [slot])
      assert.deepStrictEqual({ ...stats }, {
        active: 1,
        created: 2,
        destroyed: 1,
        noSpace: 0,
        updated: 0
      })
    })
  }

  it("caches what our own commit did without telling it", () => {
    const { cache, event, forgotten, stats, table } = make()

    assert.strictEqual(event(Change.created, 1, Origin.commit).slot, -1)
    assert.strictEqual(event(Change.updated, 1, Origin.commit).slot, -1)

    assert.deepStrictEqual([stats.active, stats.created, stats.updated], [1, 1, 1])
    assert.strictEqual(cache.changeOf(table.nextUsed(0)), Change.updated)
    assert.deepStrictEqual(forgotten, [])
  })

  it("forgets a flow that our own flush destroyed at once", () => {
    const { event, forgotten, stats, table } = make()
    const { slot } = event(Change.created, 1)

    assert.strictEqual(event(Change.destroyed, 1, Origin.flush).slot, -1)

    assert.deepStrictEqual(forgotten, [slot])
    assert.strictEqual(table.size, 0)
    assert.deepStrictEqual([stats.active, stats.destroyed], [0, 1])
  })

  it("forgets the end of a flow that our own commit brings back", () => {
    const { event, renewed } = make()
    const { slot } = event(Change.created, 1)
    event(Change.destroyed, 1)

    assert.strictEqual(event(Change.updated, 1, Origin.commit).slot, -1)

    assert.deepStrictEqual(renewed, [slot])
  })

  it("leaves alone what we injected for a peer", () => {
    const { event, stats, table } = make()

    event(Change.created, 1, Origin.inject)

    assert.strictEqual(table.size, 0)
    assert.strictEqual(stats.created, 0)
  })

  it("counts what does not fit, and dead flows take space", () => {
    const { event, stats } = make(2)
    event(Change.created, 1)
    event(Change.created, 2)
    event(Change.destroyed, 2)

    assert.strictEqual(event(Change.created, 3).slot, -1)
    assert.strictEqual(stats.noSpace, 1)
    assert.strictEqual(stats.active, 1)
    assert.isTrue(event(Change.created, 2).slot >= 0)
  })

  it("sums the traffic of known flows in 64 bits", () => {
    const { cache, scratch } = make()
    const end = (n: number, packets: bigint, bytes: bigint) => {
      cache.apply(Change.created, fillIpv4(scratch, n), Origin.other, 10)
      withCounters(fillIpv4(scratch, n), packets, bytes)
      cache.apply(Change.destroyed, scratch, Origin.other, 10)
      cache.apply(Change.destroyed, scratch, Origin.other, 10)
    }

    end(1, 5n, 0xffff_ffffn)
    end(2, 0xffff_ffffn, 0x1_0000_0002n)
    end(3, 1n << 40n, 1n << 62n)

    assert.strictEqual(cache.traffic.packets, 5n + 0xffff_ffffn + (1n << 40n))
    assert.strictEqual(cache.traffic.bytes, 0xffff_ffffn + 0x1_0000_0002n + (1n << 62n))
  })

  describe("during a resync with the kernel", () => {
    it("suspects only living flows that nothing named since", () => {
      const { cache, event, scratch, stats } = make()
      const slots = [0, 1, 2, 3, 4].map((n) => event(Change.created, n).slot)
      event(Change.destroyed, 4)

      cache.beginResync()
      event(Change.updated, 0)
      event(Change.created, 1)
      assert.strictEqual(cache.refresh(fillIpv4(scratch, 2), 20), slots[2])
      assert.strictEqual(cache.change, Change.updated)
      const added = cache.refresh(fillIpv4(scratch, 9), 20)
      assert.strictEqual(cache.change, Change.created)

      assert.isTrue(added >= 0)
      assert.strictEqual(cache.nextStale(0), slots[3])
      assert.strictEqual(cache.destroyStale(slots[3]!), slots[3])
      assert.strictEqual(cache.change, Change.destroyed)
      assert.strictEqual(cache.nextStale(0), -1)
      assert.strictEqual(stats.active, 4)
    })

    it("looks at as many slots as it is told to", () => {
      const { cache, event } = make()
      for (let n = 0; n < 10; n++) event(Change.created, n)
      cache.beginResync()
      for (let n = 0; n < 6; n++) event(Change.updated, n)

      assert.strictEqual(cache.nextStale(0, 6), -1)
      assert.strictEqual(cache.nextStale(6, 10), 6)
    })
  })

  describe("that is flushed in steps", () => {
    it("tells nobody and makes the protocol forget", () => {
      const { cache, event, forgotten, stats, table } = make()
      for (let n = 0; n < 5; n++) event(Change.created, n)
      event(Change.destroyed, 3)

      const steps = []
      for (let at = 0; at >= 0;) steps.push(at = cache.flushStep(at, 2))

      assert.deepStrictEqual(steps, [2, 4, -1])
      assert.deepStrictEqual(forgotten, [0, 1, 2, 3, 4])
      assert.strictEqual(table.size, 0)
      assert.deepStrictEqual([stats.active, stats.destroyed], [0, 5])
    })

    it("is empty for events from the first step on, and keeps what they add", () => {
      const { cache, event, mark, table } = make()
      for (let n = 0; n < 6; n++) event(Change.created, n, Origin.other, 7)

      const next = cache.flushStep(0, 2)
      const added = event(Change.updated, 5, Origin.other, 0)
      assert.strictEqual(added.change, Change.created)
      assert.strictEqual(event(Change.destroyed, 4).slot, -1)
      assert.strictEqual(cache.nextStale(0), -1)
      assert.deepStrictEqual([0, 1, 2, 3, 4, 5].filter((slot) => cache.holds(slot)), [added.slot])
      for (let at = next; at >= 0;) at = cache.flushStep(at, 2)

      assert.strictEqual(table.size, 1)
      assert.strictEqual(mark(added.slot), 0)
    })

    it("loses the rest too when a second flush begins", () => {
      const { cache, event, table } = make()
      for (let n = 0; n < 6; n++) event(Change.created, n)
      cache.flushStep(0, 2)
      event(Change.created, 7)

      for (let at = 0; at >= 0;) at = cache.flushStep(at, 2)

      assert.strictEqual(table.size, 0)
    })
  })

  it("tells IPv6 flows apart that differ in the last word", () => {
    const { cache, scratch } = make()
    const first = cache.apply(Change.created, fillIpv6(scratch, 1), Origin.other, 0)
    const second = cache.apply(Change.created, fillIpv6(scratch, 1 << 14), Origin.other, 0)

    assert.notStrictEqual(first, second)
    assert.strictEqual(cache.apply(Change.updated, fillIpv6(scratch, 1), Origin.other, 0), first)
  })
})

describe("origins", () => {
  it("are other unless the port is one of ours", () => {
    const origins = new Origins()
    origins.register(4711, Origin.commit)

    assert.strictEqual(origins.of(0), Origin.other)
    assert.strictEqual(origins.of(4711), Origin.commit)
    origins.unregister(4711)
    assert.strictEqual(origins.of(4711), Origin.other)
  })
})
