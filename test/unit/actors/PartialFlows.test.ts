/** What becomes of a flow of which the first thing heard is an update. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import { FlowView } from "../../../src/core/model/FlowView.ts"
import { MessageType } from "../../../src/core/wire/MessageHeader.ts"
import type { FlowDescription } from "../../fakes/FlowDescription.ts"
import { describeFlow } from "../../fakes/FlowDescription.ts"
import type { RunningNode } from "../../fakes/NodeFake.ts"
import { linesIn, messagesTold, pass, startPair, udp } from "../../fakes/NodeFake.ts"
import { tupleOf } from "../../sim/kernel/KernelTraffic.ts"

const established = 3
const timeWait = 7

/** A TCP flow of traffic, established; `number` makes it another one. */
const tcp = (number: number) => ({ ...udp(number), protocol: "tcp" as const })
const keyOf = (number: number) => `tcp 10.0.${number >> 8}.${number & 255}:5000>10.1.0.1:53`

/** The kernel has the flows, and the node has not heard of them. */
const openUnheard = ({ node }: RunningNode, ...numbers: ReadonlyArray<number>): void =>
  node.kernel.silently(() => {
    for (const number of numbers) node.kernel.open(tcp(number))
  })

const flowIn = ({ node }: RunningNode, number: number) =>
  node.kernel.kernel.find(tupleOf(6, tcp(number).original))!

/** Changes the flow's TCP state, with an event. */
const advance = (running: RunningNode, number: number, state: number): void => {
  const flow = flowIn(running, number)
  flow.tcp!.state = state
  running.node.kernel.kernel.changed(flow, { protoInfo: true })
}

/** The living flows of a cache. */
const flowsOf = (cache: RunningNode["replica"]["internal" | "external"]) => {
  const flows: Array<FlowDescription> = []
  for (let slot = 0; slot < cache.table.slotsHigh; slot++) {
    if (cache.table.lifeOf(slot) === 0) continue
    if ("isDead" in cache && cache.isDead(slot)) continue
    flows.push(describeFlow(cache.table.view(slot, new FlowView())))
  }
  return flows
}

type Known = Array<[state: number | undefined, mark: number]>

/** State and mark of the flows that a node's internal and its peer's external cache have. */
const known = (a: RunningNode, b: RunningNode): Array<Known> =>
  [a.replica.internal, b.replica.external].map((cache) =>
    flowsOf(cache).map(({ mark = 0, tcp: info }) => [info?.state, mark])
  )

const both = (...flows: Known) => [flows, flows]

describe("a flow that is known by an update alone", () => {
  it.effect("is read from the kernel, and the peer is told the whole of it, once", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1)
      yield* pass(2_000)
      const told = messagesTold(a)

      a.node.kernel.mark(tcp(1), 5)
      yield* pass(2_000)

      assert.deepStrictEqual(known(a, b), both([established, 5]))
      assert.deepStrictEqual(told, [MessageType.flowNew])
      assert.deepStrictEqual(a.node.kernel.requests, [`get ${keyOf(1)}`])
    }))

  it.effect("gets what no update has: its labels and its master", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      a.node.kernel.open(tcp(1))
      const master = flowIn(a, 1)
      a.node.kernel.silently(() => {
        const labels = new Uint8Array(16)
        labels[2] = 8
        a.node.kernel.kernel.add({
          family: 2,
          original: tupleOf(17, udp(2).original),
          reply: tupleOf(17, { ...udp(2).original, src: "10.1.0.1", dst: "10.0.0.2" }),
          timeoutSeconds: 30,
          labels,
          master
        })
      })
      yield* pass(100)

      a.node.kernel.mark(udp(2), 5)
      yield* pass(2_000)

      for (const cache of [a.replica.internal, b.replica.external]) {
        const flow = flowsOf(cache).find(({ mark }) => mark === 5)!
        assert.deepStrictEqual(flow.master?.src, "10.0.0.1")
        assert.match(flow.labels!, /^00000800/)
      }
    }))

  it.effect("is asked for once, and no other flow is", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1, 2)
      a.node.kernel.open(tcp(3))
      yield* pass(100)

      for (let mark = 1; mark <= 20; mark++) {
        a.node.kernel.mark(tcp(1), mark)
        a.node.kernel.mark(tcp(3), mark)
        if (mark % 5 === 0) yield* pass(100)
      }

      assert.deepStrictEqual(known(a, b), both([established, 20], [established, 20]))
      assert.deepStrictEqual(a.node.kernel.requests, [`get ${keyOf(1)}`])
    }))

  it.effect("is read after the internal cache was flushed, like many others", () =>
    Effect.gen(function*() {
      const count = 1_500
      const { a, b } = yield* startPair()
      for (let i = 0; i < count; i++) a.node.kernel.open(tcp(i))
      yield* pass(2_000)
      a.node.control.connect(Request.flushInternal)
      yield* pass(100)
      const flushed = flowsOf(a.replica.internal).length

      for (let i = 0; i < count; i++) a.node.kernel.mark(tcp(i), 9)
      yield* pass(5_000)

      assert.strictEqual(flushed, 0)
      assert.deepStrictEqual(linesIn(a.replica.internal), a.node.kernel.lines())
      const all: Known = Array.from({ length: count }, () => [established, 9])
      assert.deepStrictEqual(known(a, b), both(...all))
      assert.strictEqual(a.node.kernel.requests.length, count)
    }))

  it.effect("is asked for only when it has found room", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({ general: { hashLimitEntries: 1 } })
      for (const number of [1, 2]) a.node.kernel.open(tcp(number))
      yield* pass(2_000)

      a.node.kernel.mark(tcp(2), 4)
      yield* pass(2_000)
      const asked = a.node.kernel.requests.length
      a.node.kernel.close(tcp(1))
      yield* pass(3_000)
      a.node.kernel.mark(tcp(2), 5)
      yield* pass(2_000)

      assert.strictEqual(asked, 0)
      assert.deepStrictEqual(known(a, b), both([established, 5]))
    }))
})

describe("while the kernel is asked for a flow", () => {
  it.effect("the flow may change: the events that follow the answer know better", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1)
      a.node.kernel.answering.closeUnsafe()
      a.node.kernel.mark(tcp(1), 5)
      yield* pass(100)
      const asked = a.node.kernel.requests.length

      advance(a, 1, timeWait)
      a.node.kernel.mark(tcp(1), 6)
      yield* pass(100)
      const meanwhile = known(a, b)[0]
      a.node.kernel.answering.openUnsafe()
      yield* pass(2_000)

      assert.strictEqual(asked, 1)
      assert.deepStrictEqual(meanwhile, [[undefined, 5]])
      assert.deepStrictEqual(known(a, b), both([timeWait, 6]))
    }))

  it.effect("the flow may end, and another of its tuple begin", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1, 2)
      a.node.kernel.answering.closeUnsafe()
      for (const number of [1, 2]) a.node.kernel.mark(tcp(number), 5)
      yield* pass(100)

      for (const number of [1, 2]) a.node.kernel.close(tcp(number))
      a.node.kernel.open(tcp(2))
      a.node.kernel.answering.openUnsafe()
      yield* pass(2_000)

      assert.deepStrictEqual(known(a, b), both([established, 0]))
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
    }))

  it.effect("the cache may be flushed: the answer does not bring the flow back", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      openUnheard(a, 1)
      a.node.kernel.answering.closeUnsafe()
      a.node.kernel.mark(tcp(1), 5)
      yield* pass(100)

      a.node.control.connect(Request.flushInternal)
      yield* pass(100)
      a.node.kernel.answering.openUnsafe()
      yield* pass(2_000)

      assert.deepStrictEqual(flowsOf(a.replica.internal), [])
    }))
})

describe("the question for a flow", () => {
  it.effect("is not asked when the flow has ended before it could be", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1, 2)
      yield* pass(100)

      a.node.kernel.mark(tcp(1), 5)
      a.node.kernel.mark(tcp(2), 6)
      a.node.kernel.close(tcp(1))
      yield* pass(2_000)

      assert.deepStrictEqual(a.node.kernel.requests, [`get ${keyOf(2)}`])
      assert.deepStrictEqual(known(a, b), both([established, 6]))
    }))

  it.effect("comes to nothing when the flow has ended, whose end is then reported", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1)
      a.node.kernel.lately(() => a.node.kernel.mark(tcp(1), 3))
      a.node.kernel.silently(() => a.node.kernel.close(tcp(1)))
      a.node.kernel.deliverLate()
      yield* pass(100)
      const meanwhile = known(a, b)
      openUnheard(a, 1)
      a.node.kernel.close(tcp(1))
      yield* pass(2_000)

      assert.deepStrictEqual(meanwhile.map((flows) => flows.map(([, mark]) => mark)), [[3], [3]])
      assert.deepStrictEqual(a.node.kernel.requests, [`get ${keyOf(1)}`])
      assert.deepStrictEqual(known(a, b), both())
    }))

  it.effect("that fails is said to once, and asked again, events or none", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      openUnheard(a, 1, 2, 3)
      a.node.kernel.applyFailures = 3

      for (const number of [1, 2]) {
        a.node.kernel.mark(tcp(number), 5)
        yield* pass(100)
      }
      const meanwhile = known(a, b)
      yield* pass(3_000)
      const asked = known(a, b)
      a.node.kernel.mark(tcp(3), 5)
      yield* pass(2_000)

      const partial: Known = [[undefined, 5], [undefined, 5]]
      assert.deepStrictEqual(meanwhile, [partial, partial])
      assert.deepStrictEqual(asked, both([established, 5], [established, 5]))
      assert.deepStrictEqual(
        known(a, b),
        both([established, 5], [established, 5], [established, 5])
      )
      assert.deepStrictEqual(a.node.log.ofLevel("Warn"), [
        "flows that are known by an update alone could not be read: cannot change the kernel's " +
        "conntrack table: ENOBUFS; they are asked for again in a second"
      ])
    }))
})
