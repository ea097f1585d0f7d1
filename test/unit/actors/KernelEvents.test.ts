/** What follows when the kernel drops events, or the event socket fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import { MessageType } from "../../../src/core/wire/MessageHeader.ts"
import { eventBufferBytes } from "../../fakes/FaultyKernel.ts"
import type { RunningNode } from "../../fakes/NodeFake.ts"
import { linesIn, messagesTold, pass, startPair, udp } from "../../fakes/NodeFake.ts"

const delay = 30_000
const line = (number: number, mark: number) => `udp 10.0.0.${number}:5000>10.1.0.1:53 mark=${mark}`

/** Three flows that both nodes know. */
const pairWithFlows = Effect.gen(function*() {
  const pair = yield* startPair()
  for (const number of [1, 2, 3]) pair.a.node.kernel.open(udp(number))
  yield* pass(2_000)
  return pair
})

/** One flow changes, one ends, one begins, and the node hears of none. */
const changeUnheard = ({ node }: RunningNode): void =>
  node.kernel.loseEventsOf(() => {
    node.kernel.mark(udp(1), 8)
    node.kernel.close(udp(2))
    node.kernel.open(udp(4))
  })

describe("after an overrun", () => {
  it.effect("the buffer grows until its limit, which is warned of once", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair({ bufferMaxBytes: 4 * eventBufferBytes })

      for (let i = 0; i < 5; i++) {
        a.node.kernel.overrun()
        yield* pass(10)
      }

      assert.deepStrictEqual(a.node.log.find("has been doubled"), [
        `netlink event socket buffer size has been doubled to ${2 * eventBufferBytes} bytes`,
        `netlink event socket buffer size has been doubled to ${4 * eventBufferBytes} bytes`
      ])
      assert.deepStrictEqual(a.node.log.ofLevel("Warn").length, 1)
      assert.include(a.node.log.ofLevel("Warn")[0], "cannot be doubled further")
      assert.strictEqual(a.replica.runtime.overruns, 5)
      assert.strictEqual(a.replica.runtime.catchEventFailed, 5)
    }))

  it.effect("the table is read after NetlinkOverrunResync seconds and the peer agrees again", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      changeUnheard(a)
      yield* pass(delay - 100)
      const before = linesIn(b.replica.external)
      assert.strictEqual(a.replica.runtime.kernelResyncs, 0)

      yield* pass(3_000)

      assert.deepStrictEqual(before, [line(1, 0), line(2, 0), line(3, 0)])
      assert.deepStrictEqual(a.node.kernel.lines(), [line(1, 8), line(3, 0), line(4, 0)])
      assert.deepStrictEqual(linesIn(a.replica.internal), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.strictEqual(a.replica.runtime.kernelResyncs, 1)
    }))

  it.effect("further overruns do not postpone the resync (difference K3)", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      changeUnheard(a)

      for (let second = 0; second < 31; second++) {
        yield* pass(1_000)
        a.node.kernel.overrun()
      }
      yield* pass(1_000)

      assert.strictEqual(a.replica.runtime.kernelResyncs, 1)
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      yield* pass(delay)
      assert.strictEqual(a.replica.runtime.kernelResyncs, 2)
      yield* pass(10 * delay)
      assert.strictEqual(a.replica.runtime.kernelResyncs, 2)
    }))

  it.effect("nothing is read when NetlinkOverrunResync is off", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair({ general: { netlinkOverrunResyncSeconds: undefined } })

      a.node.kernel.overrun()
      yield* pass(10 * delay)

      assert.strictEqual(a.replica.runtime.kernelResyncs, 0)
      assert.strictEqual(a.node.kernel.dumps, 1)
    }))

  it.effect("a resync that fails is tried again, and said to have failed once", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      a.node.kernel.dumpFailures = 4
      changeUnheard(a)

      yield* pass(delay + 20_000)

      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.deepStrictEqual(a.node.log.find("resync failed"), [
        "the kernel resync failed and is tried again: " +
        "cannot read the kernel's conntrack table: ENOBUFS"
      ])
    }))

  it.effect("what happens while the table is read is not lost", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      const { kernel } = a.node
      for (let number = 10; number < 60; number++) kernel.open(udp(number))
      yield* pass(2_000)
      changeUnheard(a)
      let part = 0
      kernel.beforeDumpPart = () => {
        part++
        if (part === 1) kernel.close(udp(50))
        if (part === 2) kernel.close(udp(1))
        if (part === 3) kernel.open(udp(100))
        if (part === 4) kernel.mark(udp(10), 5)
      }

      yield* pass(delay + 5_000)

      assert.isAbove(part, 4)
      assert.deepStrictEqual(linesIn(a.replica.internal), kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.external), kernel.lines())
    }))
})

describe("a dump, whose parts are made ahead of their reading", () => {
  for (const [option, request] of [["-R", Request.resyncKernel], ["an overrun", -1]] as const) {
    it.effect(`does not bring back a flow whose end was reported (${option})`, () =>
      Effect.gen(function*() {
        const { a, b } = yield* startPair()
        const { kernel } = a.node
        for (let number = 1; number <= 60; number++) kernel.open(udp(number))
        yield* pass(2_000)
        let part = 0
        kernel.beforeDumpPart = () => {
          part++
          if (part === 3) kernel.close(udp(25))
          if (part === 4) {
            kernel.close(udp(35))
            kernel.open(udp(35))
            kernel.mark(udp(35), 6)
          }
        }

        if (request < 0) kernel.overrun()
        else a.node.control.connect(request)
        yield* pass(delay + 5_000)

        assert.isAbove(part, 4)
        assert.isFalse(kernel.has(udp(25)))
        assert.deepStrictEqual(linesIn(a.replica.internal), kernel.lines())
        assert.deepStrictEqual(linesIn(b.replica.external), kernel.lines())
      }))
  }
})

describe("a dump of flows that the cache does not have", () => {
  it.effect("does not bring in a flow whose end was reported (-R)", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      const { kernel } = a.node
      for (let number = 1; number <= 60; number++) kernel.open(udp(number))
      yield* pass(2_000)
      a.node.control.connect(Request.flushInternal)
      yield* pass(100)
      kernel.dumping.closeUnsafe()
      a.node.control.connect(Request.resyncKernel)
      yield* pass(100)
      // They are in the part that is ready. Nobody knows them: their ends name no slot.
      for (let number = 1; number <= 20; number++) kernel.close(udp(number))
      yield* pass(100)
      kernel.dumping.openUnsafe()
      yield* pass(5_000)

      assert.strictEqual(kernel.lines().length, 40)
      assert.deepStrictEqual(linesIn(a.replica.internal), kernel.lines())
    }))
})

describe("a lost event socket", () => {
  it.effect("is opened again and the table read at once, while events go on", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      const { kernel } = a.node
      kernel.beforeDumpPart = () => {
        if (!kernel.has(udp(9))) kernel.open(udp(9))
      }
      kernel.silently(() => kernel.close(udp(2)))
      kernel.failEvents("EBADF")

      yield* pass(1_000)

      assert.strictEqual(kernel.reopened, 1)
      assert.isTrue(kernel.has(udp(9)))
      assert.deepStrictEqual(linesIn(b.replica.external), [line(1, 0), line(3, 0), line(9, 0)])
      assert.deepStrictEqual(a.node.log.ofLevel("Warn"), [
        "the conntrack event socket failed: EBADF; it is reopened and the internal cache is " +
        "compared with the kernel's table again"
      ])
    }))

  it.effect("that is open again is read while the table is, however long that takes", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      a.node.kernel.dumping.closeUnsafe()
      a.node.kernel.failEvents("EBADF")
      yield* pass(100)

      a.node.kernel.open(udp(9))
      yield* pass(100)

      assert.strictEqual(a.node.kernel.dumps, 2)
      assert.include(linesIn(b.replica.external), line(9, 0))
      a.node.kernel.dumping.openUnsafe()
      yield* pass(100)
      assert.deepStrictEqual(linesIn(a.replica.internal), a.node.kernel.lines())
    }))

  it.effect("is opened ever more slowly while that fails", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      a.node.kernel.silently(() => a.node.kernel.close(udp(2)))
      a.node.kernel.failEvents("EBADF", 8)

      yield* pass(5_000)
      const early = a.node.kernel.reopened
      yield* pass(30_000)

      assert.deepStrictEqual([early, a.node.kernel.reopened], [0, 1])
      assert.deepStrictEqual(linesIn(b.replica.external), [line(1, 0), line(3, 0)])
    }))

  it.effect("that fails as soon as it is open is not opened without a pause", () =>
    Effect.gen(function*() {
      const { a } = yield* pairWithFlows
      a.node.kernel.failAgainAfterReopening = "ENOMEM"
      a.node.kernel.failEvents("ENOMEM")

      yield* pass(60_000)

      assert.isAbove(a.node.kernel.reopened, 10)
      assert.isBelow(a.node.kernel.reopened, 30)
      assert.strictEqual(a.node.log.find("event socket failed").length, 1)
      a.node.kernel.failAgainAfterReopening = undefined
      yield* pass(10_000)
      a.node.kernel.open(udp(9))
      yield* pass(10)
      assert.include(linesIn(a.replica.internal), line(9, 0))
    }))
})

describe("a flush of the kernel's table", () => {
  it.effect("empties it and the internal cache, and the peer keeps what it has", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      const told = messagesTold(a)

      const client = a.node.control.connect(Request.flushKernel)
      yield* pass(5_000)

      assert.isTrue(client.isClosed)
      assert.deepStrictEqual(a.node.kernel.lines(), [])
      assert.strictEqual(a.replica.internal.table.size, 0)
      assert.deepStrictEqual(linesIn(b.replica.external), [line(1, 0), line(2, 0), line(3, 0)])
      assert.deepStrictEqual(told, [])
      assert.strictEqual(a.replica.runtime.flushes, 1)
      assert.deepStrictEqual(a.node.log.find("flushing"), ["flushing kernel conntrack table"])
    }))

  it.effect("leaves no flow in the internal cache that traffic used meanwhile", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      const { kernel } = a.node
      for (let number = 0; number < 200; number++) kernel.open(udp(number))
      yield* pass(2_000)
      let part = 0
      kernel.beforeDumpPart = () => {
        part++
        if (part > 1 && kernel.has(udp(150))) kernel.mark(udp(150), part)
      }

      a.node.control.connect(Request.flushKernel)
      yield* pass(1_000)

      assert.deepStrictEqual(kernel.lines(), [])
      assert.deepStrictEqual(linesIn(a.replica.internal), [])
    }))
})

describe("an event that was on its way when its flow was flushed", () => {
  it.effect("does not leave the flow in the internal cache for good", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      const { kernel } = a.node
      kernel.lately(() => {
        kernel.mark(udp(1), 9)
        kernel.open(udp(4))
      })

      a.node.control.connect(Request.flushKernel)
      yield* pass(100)
      kernel.deliverLate()
      yield* pass(100)
      const meanwhile = linesIn(a.replica.internal)
      kernel.open(udp(5))
      yield* pass(5_000)

      assert.deepStrictEqual(meanwhile, [line(1, 9), line(4, 0)])
      assert.deepStrictEqual(kernel.lines(), [line(5, 0)])
      assert.deepStrictEqual(linesIn(a.replica.internal), [line(5, 0)])
      assert.deepStrictEqual(linesIn(b.replica.external), [line(2, 0), line(3, 0), line(5, 0)])
    }))
})

describe("-R", () => {
  it.effect("reads the table into the internal cache, keeps what is gone and tells nothing", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({ general: { netlinkOverrunResyncSeconds: undefined } })
      for (const number of [1, 2, 3]) a.node.kernel.open(udp(number))
      yield* pass(2_000)
      changeUnheard(a)
      const told = messagesTold(a)

      const client = a.node.control.connect(Request.resyncKernel)
      yield* pass(5_000)

      assert.isTrue(client.isClosed)
      assert.deepStrictEqual(
        linesIn(a.replica.internal),
        [line(1, 8), line(2, 0), line(3, 0), line(4, 0)]
      )
      assert.deepStrictEqual(linesIn(b.replica.external), [line(1, 0), line(2, 0), line(3, 0)])
      assert.deepStrictEqual(told, [])
      assert.deepStrictEqual(a.node.log.find("resync"), ["resync with master conntrack table"])
      assert.strictEqual(a.replica.runtime.kernelResyncs, 1)
      a.node.kernel.mark(udp(3), 1)
      yield* pass(10)
      assert.deepStrictEqual(told, [MessageType.flowUpdate])
    }))
})
