/** Two daemons over fake kernels, joined by a cable: what one kernel has, the other node knows. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import { Entity } from "../../../src/core/protocol/SyncProtocol.ts"
import { linesIn, pass, start, startPair, udp } from "../../fakes/NodeFake.ts"

const many = (count: number): ReadonlyArray<ReturnType<typeof udp>> =>
  Array.from({ length: count }, (_, i) => udp(i))

describe("a pair of nodes", () => {
  it.effect("has a new flow in the peer's external cache, follows its change and its end", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      const seen: Array<ReadonlyArray<string>> = []

      a.node.kernel.open(udp(1))
      yield* pass(10)
      seen.push(linesIn(b.replica.external))
      a.node.kernel.mark(udp(1), 7)
      yield* pass(10)
      seen.push(linesIn(b.replica.external))
      a.node.kernel.close(udp(1))
      yield* pass(10)
      seen.push(linesIn(b.replica.external))

      const line = "udp 10.0.0.1:5000>10.1.0.1:53"
      assert.deepStrictEqual(seen, [[`${line} mark=0`], [`${line} mark=7`], []])
      assert.deepStrictEqual(linesIn(b.replica.internal), [])
      assert.deepStrictEqual(b.node.kernel.lines(), [])
    }))

  it.effect("agrees when the link loses a third of the datagrams and swaps a seventh", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({ sync: { ackWindowMessages: 5 } })
      // Scattered: what comes every few datagrams would for ever meet the same ones of a pattern.
      const fate = (number: number) => {
        const chance = (Math.imul(number + 1, 0x9e37_79b1) >>> 24) % 21
        return chance < 7 ? "lose" : chance < 10 ? "hold" : "pass"
      }
      a.node.links[0]!.fateOf = fate
      b.node.links[0]!.fateOf = fate

      for (const flow of many(200)) {
        a.node.kernel.open(flow)
        yield* pass(1)
      }
      for (const flow of many(100)) a.node.kernel.mark(flow, 9)
      yield* pass(20)
      for (const flow of many(50)) a.node.kernel.close(flow)
      yield* pass(60_000)

      assert.strictEqual(a.node.kernel.lines().length, 150)
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.isAbove(b.replica.protocol.counters.lost, 0)
      const unacknowledged = Array.from(a.replica.protocol.resendEntries())
      assert.deepStrictEqual(unacknowledged.filter(({ kind }) => kind === Entity.flow), [])
    }))

  it.effect("sends a whole cache through a small resend queue, and gives nothing up", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({
        sync: { resendQueueObjects: 20, ackWindowMessages: 300 }
      }, { sync: { ackWindowMessages: 300 } })
      for (const flow of many(200)) {
        a.node.kernel.open(flow)
        yield* pass(0)
      }
      yield* pass(3_000)
      b.node.control.connect(Request.flushExternal)
      yield* pass(3_000)
      const before = a.replica.protocol.counters.resendQueueFull

      a.node.control.connect(Request.sendBulk)
      yield* pass(500)
      // Held up: no acknowledgement yet.
      const early = linesIn(b.replica.external).length
      for (let second = 0; second < 30; second++) yield* pass(1_000)

      assert.isBelow(early, 30)
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.strictEqual(a.replica.protocol.counters.resendQueueFull, before)
    }))

  it.effect("logs once a second what a full resend queue gives up, and all of it", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair({ sync: { resendQueueObjects: 4 } })
      yield* pass(3_000)
      a.node.links[0]!.fateOf = () => "lose"
      for (const flow of many(300)) {
        a.node.kernel.open(flow)
        yield* pass(10)
      }
      yield* pass(3_000)

      const told = a.node.log.find("the resend queue is full").map((text) =>
        Number(/full: (\d+) /.exec(text)![1])
      )
      assert.isAtLeast(told.length, 3)
      assert.isAtMost(told.length, 7)
      const { counters } = a.replica.protocol
      // Acknowledgements and the like are given up as well, and no states.
      assert.isAtLeast(told.reduce((sum, count) => sum + count, 0), 296)
      assert.isAtMost(told.reduce((sum, count) => sum + count, 0), counters.resendQueueFull)
    }))

  it.effect("tells a node that starts again with StartupResync everything", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({}, { sync: { startupResync: true } })
      for (const flow of many(300)) a.node.kernel.open(flow)
      yield* pass(100)
      yield* b.stop
      a.node.kernel.close(udp(0))
      a.node.kernel.mark(udp(1), 3)
      yield* pass(2_000)

      const again = yield* start(b.node)
      yield* pass(10_000)

      assert.strictEqual(a.node.kernel.lines().length, 299)
      assert.deepStrictEqual(linesIn(again.replica.external), a.node.kernel.lines())
      assert.isAbove(a.node.log.find("resync requested by other node").length, 1)
      assert.deepStrictEqual(b.node.log.find("resync requested").length, 2)
    }))

  it.effect("reads the kernel's table at its start and tells it when the peer asks", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      a.node.kernel.loseEventsOf(() => many(5).forEach((flow) => a.node.kernel.open(flow)))
      yield* a.stop
      const again = yield* start(a.node)
      yield* pass(100)
      const before = linesIn(b.replica.external)

      const client = b.node.control.connect(Request.requestResync)
      yield* pass(5_000)

      assert.isTrue(client.isClosed)
      assert.deepStrictEqual(before, [])
      assert.deepStrictEqual(linesIn(again.replica.internal), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.deepStrictEqual(b.node.log.find("resync requested"), ["resync requested"])
      assert.isAbove(a.node.log.find("resync requested by other node").length, 0)
    }))

  it.effect("sends everything on request, with the recorded words", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      for (const flow of many(3)) a.node.kernel.open(flow)
      yield* pass(2_000)
      b.replica.external.flushStep(0, 100_000)

      const client = a.node.control.connect(Request.sendBulk)
      yield* pass(2_000)

      assert.isTrue(client.isClosed)
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.deepStrictEqual(a.node.log.find("bulk"), ["sending bulk update"])
    }))

  it.effect("sends no flow that a flush has begun to remove", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      for (const flow of many(50)) a.node.kernel.open(flow)
      yield* pass(2_000)
      b.replica.external.flushStep(0, 100_000)
      a.replica.internal.flushStep(0, 10)
      a.node.kernel.mark(udp(49), 1)

      a.node.control.connect(Request.sendBulk)
      yield* pass(2_000)

      assert.strictEqual(linesIn(b.replica.external).length, 1)
    }))
})
