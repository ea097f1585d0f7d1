/** The rules of the simulated kernel that no recording shows. */
import { assert, describe, it } from "@effect/vitest"
import { scratchView } from "../../../src/core/model/FlowView.ts"
import { deriveCommitted } from "../../../src/core/netlink/Committed.ts"
import { decodeFlow } from "../../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeDelete,
  encodeDump,
  encodeFlush,
  encodeGet,
  encodeUpdate,
  requestOptions
} from "../../../src/core/netlink/CtnetlinkEncode.ts"
import { ownEventsFilter } from "../../../src/core/netlink/EventFilter.ts"
import { NlmsgCursor } from "../../../src/core/netlink/Nlmsg.ts"
import type { FlowDescription } from "../../fakes/FlowDescription.ts"
import { describeFlow, flowOf } from "../../fakes/FlowDescription.ts"
import { commitCases, entryOf, numberIn } from "../../golden/WireRequests.ts"
import type { FakeKernelOptions } from "./FakeKernel.ts"
import { FakeKernel } from "./FakeKernel.ts"
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { KernelTraffic, tupleOf } from "./KernelTraffic.ts"

const words = new Int32Array(1024)
const bytes = new Uint8Array(words.buffer)
const addresses = { src: "10.1.0.2", dst: "10.2.0.2" }
const udp = (sport: number): FlowDescription => ({
  orig: { ...addresses, proto: 17, sport, dport: 53 }
})
const base = { ...requestOptions(), ack: true, timeoutSeconds: 60 }

const setUp = (options: FakeKernelOptions = {}) => {
  const kernel = new FakeKernel(options)
  const socket = kernel.openSocket()
  const listener = kernel.openSocket()
  for (const group of [1, 2, 3]) listener.join(group)
  return { kernel, socket, listener, traffic: new KernelTraffic(kernel) }
}

/** Sends what an encoder wrote; the errno of the answer. */
const ask = (socket: FakeNetlinkSocket, end: number): number => {
  socket.send(bytes, end)
  let errno = -1
  for (const { cursor } of read(socket)) errno = cursor.errno
  return errno
}

/** Every message that is queued, decoded when it is about a flow. */
const read = (socket: FakeNetlinkSocket) => {
  const out: Array<{ cursor: NlmsgCursor; flow: FlowDescription | undefined }> = []
  for (let datagram = socket.take(); datagram !== undefined; datagram = socket.take()) {
    const copy = Uint8Array.from(datagram)
    const its = new Int32Array(copy.buffer)
    const walker = new NlmsgCursor()
    walker.reset(its, 0, copy.length)
    while (walker.next()) {
      const cursor = new NlmsgCursor()
      cursor.reset(its, walker.at, walker.end)
      cursor.next()
      const view = scratchView()
      const isFlow = cursor.type >> 8 === 1 && cursor.type !== 0x0105
      if (isFlow) assert.strictEqual(decodeFlow(its, copy, cursor.bodyAt, cursor.end, view), 0)
      out.push({ cursor, flow: isFlow ? describeFlow(view) : undefined })
    }
  }
  return out
}

describe("a commit into the simulated kernel", () => {
  it("is answered as by the real one, and leaves what we say", () => {
    for (const recorded of commitCases) {
      const { kernel, socket } = setUp({ labels: true })
      const { errno, request } = recorded.netlink[0]!
      if (recorded.id.endsWith("+master-in-kernel")) {
        const zone = numberIn(request.attrs, "ZONE")
        const master = flowOf({
          orig: { ...addresses, proto: 6, sport: 33333, dport: 21 },
          ...(zone === undefined ? {} : { zone })
        })
        assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, master, base)), 0)
      }
      const options = {
        ...base,
        timeoutSeconds: numberIn(request.attrs, "TIMEOUT") ?? -1,
        windowTracking: recorded.config.options.includes("TCPWindowTracking On")
      }
      const view = entryOf(recorded)
      const answer = ask(socket, encodeCreate(words, 0, 1, view, options))
      // A clash was recorded against a flow that is not here; DYING we do not send.
      const isElse = recorded.id.endsWith("+clash") || recorded.id === "ct-status-high-bits"
      assert.strictEqual(answer, isElse ? 0 : errno, recorded.id)
      if (answer !== 0) continue
      assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, view, options)), 17)
      socket.send(bytes, encodeGet(words, 0, 2, view))
      const [got] = read(socket)
      const derived = scratchView()
      deriveCommitted(view, options, derived)
      const { id: _, use: __, ...kept } = got!.flow!
      const { dccp: ___, ...expected } = describeFlow(derived)
      if (kept.orig!.proto === 33) {
        for (const tuple of [expected.orig!, expected.reply!]) {
          delete tuple.sport
          delete tuple.dport
        }
      }
      assert.deepStrictEqual(kept, expected, recorded.id)
      assert.strictEqual(ask(socket, encodeUpdate(words, 0, 3, view, options)), 0, recorded.id)
      assert.isAtLeast(kernel.size, 1)
    }
  })
})

describe("FakeKernel", () => {
  it("names the requester in the events that it causes, and 0 for packets", () => {
    const { kernel, listener, socket, traffic } = setUp()
    ask(socket, encodeCreate(words, 0, 1, flowOf(udp(1)), base))
    traffic.openUdp({ ...addresses, sport: 2, dport: 53 })
    ask(socket, encodeFlush(words, 0, 2, 0, true))
    assert.deepStrictEqual(
      read(listener).map(({ cursor }) => [cursor.type, cursor.flags, cursor.pid]),
      [
        [0x100, 0x600, socket.portId],
        [0x100, 0x600, 0],
        [0x102, 0, socket.portId],
        [0x102, 0, socket.portId]
      ]
    )
    assert.strictEqual(kernel.size, 0)
  })

  it("runs the filter that drops our own events", () => {
    const { listener, socket, traffic } = setUp()
    listener.attachFilter(ownEventsFilter([socket.portId]))
    ask(socket, encodeCreate(words, 0, 1, flowOf(udp(1)), base))
    traffic.openUdp({ ...addresses, sport: 2, dport: 53 })
    assert.deepStrictEqual(read(listener).map(({ flow }) => flow!.orig!.sport), [2])
    assert.strictEqual(listener.dropped(), 0)
  })

  it("reports an overrun once, and queues nothing until the queue is empty", () => {
    const { listener, traffic } = setUp()
    const buffer = new Uint8Array(64 * 1024)
    const lengths = new Int32Array(64)
    // Room for three datagrams.
    listener.setReceiveBuffer(2_000)
    for (let sport = 1; sport <= 5; sport++) traffic.openUdp({ ...addresses, sport, dport: 53 })
    assert.strictEqual(listener.receive(buffer, 1024, lengths, 64), -105)
    assert.strictEqual(listener.receive(buffer, 1024, lengths, 1), 1)
    traffic.openUdp({ ...addresses, sport: 6, dport: 53 })
    assert.strictEqual(listener.receive(buffer, 1024, lengths, 64), 2)
    assert.strictEqual(listener.receive(buffer, 1024, lengths, 64), -11)
    assert.strictEqual(listener.dropped(), 3)
    traffic.openUdp({ ...addresses, sport: 7, dport: 53 })
    assert.deepStrictEqual(read(listener).map(({ flow }) => flow!.orig!.sport), [7])
  })

  it("has no events of flows that were made while nobody listened", () => {
    const kernel = new FakeKernel()
    const traffic = new KernelTraffic(kernel)
    const flow = traffic.openUdp({ ...addresses, sport: 1, dport: 53 })!
    const listener = kernel.openSocket()
    for (const group of [1, 2, 3]) listener.join(group)
    traffic.answer(flow)
    kernel.remove(flow)
    assert.deepStrictEqual(read(listener), [])
  })

  it("expires flows in their order, at their time", () => {
    let now = 0
    const { kernel, listener, traffic } = setUp({ now: () => now })
    const late = traffic.openUdp({ ...addresses, sport: 1, dport: 53 })!
    kernel.expireIn(late, 20)
    kernel.expireIn(traffic.openUdp({ ...addresses, sport: 2, dport: 53 })!, 10)
    kernel.expireIn(traffic.openUdp({ ...addresses, sport: 3, dport: 53 })!, 15)
    read(listener)
    assert.strictEqual(kernel.nextExpiryMs(), 10_000)
    now = 9_999
    assert.strictEqual(kernel.flows.length, 3)
    now = 15_000
    assert.deepStrictEqual(kernel.flows, [late])
    traffic.keepAlive(late)
    now = 44_999
    assert.strictEqual(kernel.flows.length, 1)
    now = 45_000
    assert.strictEqual(kernel.flows.length, 0)
    assert.deepStrictEqual(read(listener).map(({ flow }) => flow!.orig!.sport), [2, 3, 1])
  })

  it("dumps in parts, skips what went meanwhile, and runs one dump at a time", () => {
    const { kernel, socket, traffic } = setUp()
    const flows = Array.from(
      { length: 500 },
      (_, sport) => traffic.openUdp({ ...addresses, sport, dport: 53 })!
    )
    socket.send(bytes, encodeDump(words, 0, 9, 0))
    socket.send(bytes, encodeDump(words, 0, 10, 0))
    // The first is small, as nobody knows yet how large the reader's buffer is.
    const first = socket.take()!
    assert.isAtMost(first.length, 3_776)
    assert.isAbove(first.length, 3_500)
    kernel.remove(flows[499]!)
    const rest = read(socket)
    const busy = rest.filter(({ cursor }) => cursor.type === 2)
    assert.deepStrictEqual(busy.map(({ cursor }) => [cursor.errno, cursor.requestSeq]), [[16, 10]])
    assert.deepStrictEqual(
      rest.filter(({ cursor }) => cursor.type === 3).map(({ cursor }) => cursor.seq),
      [9]
    )
    const sports = new Set(rest.flatMap(({ flow }) => flow === undefined ? [] : [flow.orig!.sport]))
    assert.isFalse(sports.has(499))
    assert.isTrue(sports.has(498))
    socket.send(bytes, encodeDump(words, 0, 11, 10))
    assert.deepStrictEqual(read(socket).map(({ cursor }) => cursor.type), [3])
  })

  it("deletes only the flow with the id that is named", () => {
    const { kernel, socket } = setUp()
    const flow = udp(1)
    ask(socket, encodeCreate(words, 0, 1, flowOf(flow), base))
    const { id } = kernel.flows[0]!
    const named = (id: number) => encodeDelete(words, 0, 2, flowOf({ ...flow, id }), true, true)
    assert.strictEqual(ask(socket, named(id + 1)), 2)
    assert.strictEqual(ask(socket, named(id)), 0)
    assert.strictEqual(ask(socket, named(id)), 2)
  })

  it("refuses a reply tuple in use, a full table, and silently ignores a malformed rest", () => {
    const { kernel, socket } = setUp({ flowsMax: 3 })
    const translated = (sport: number): FlowDescription => ({
      ...udp(sport),
      translation: { snat: "203.0.113.7", snatPort: 1025 }
    })
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, flowOf(translated(1)), base)), 0)
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, flowOf(translated(2)), base)), 17)
    // Without a wanted port the kernel chooses one that is free.
    const kept = (host: number) =>
      flowOf({
        orig: { ...udp(3).orig!, src: `10.1.0.${host}` },
        translation: { snat: "203.0.113.9" }
      })
    const anyPort = { ...base, withoutKeptPort: true }
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, kept(3), base)), 0)
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, kept(4), base)), 17)
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, kept(4), anyPort)), 0)
    const replies = kernel.flows.map(({ reply }) => reply.b)
    // A port below 512 stays there.
    assert.deepStrictEqual(replies, [1025, 3, 1])
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, flowOf(udp(5)), base)), 12)
    const end = encodeFlush(words, encodeGet(words, 0, 1, flowOf(udp(9))), 2, 0, true)
    const getEnd = words[0]!
    words[getEnd >> 2] = 4_000
    assert.strictEqual(ask(socket, end), 2)
    assert.strictEqual(kernel.size, 3)
  })

  it("tells of an answer, as a microtask, and not after close", async () => {
    const { listener, traffic } = setUp()
    let told = 0
    listener.whenReadable(() => told++)
    traffic.openUdp({ ...addresses, sport: 1, dport: 53 })
    traffic.openUdp({ ...addresses, sport: 2, dport: 53 })
    assert.strictEqual(told, 0)
    await Promise.resolve()
    assert.strictEqual(told, 1)
    listener.whenReadable(() => told++)
    listener.close()
    await Promise.resolve()
    assert.strictEqual(told, 1)
    assert.strictEqual(listener.join(1), -9)
  })
})

describe("packets after a failover", () => {
  const orig = { ...addresses, proto: 6, sport: 40_000, dport: 80 }
  const first = tupleOf(6, { ...addresses, sport: 40_000, dport: 80 })

  it("belong to the committed connection, translated as before", () => {
    const { kernel, socket, traffic } = setUp()
    const entry = flowOf({
      orig,
      status: 0x1be,
      tcp: { state: 3 },
      translation: { snat: "203.0.113.7", snatPort: 1025, dnat: "10.2.0.99", dnatPort: 8080 }
    })
    assert.deepStrictEqual(traffic.packet(first), { state: "invalid" })
    assert.strictEqual(ask(socket, encodeCreate(words, 0, 1, entry, base)), 0)
    const sent = tupleOf(6, { src: "203.0.113.7", dst: "10.2.0.99", sport: 1025, dport: 8080 })
    assert.deepStrictEqual(traffic.packet(first), { state: "established", sent })
    const { reply } = kernel.flows[0]!
    assert.deepStrictEqual(traffic.packet(reply), {
      state: "established",
      sent: tupleOf(6, { src: "10.2.0.2", dst: "10.1.0.2", sport: 80, dport: 40_000 })
    })
  })

  it("are new without SEEN_REPLY and invalid in SYN_SENT", () => {
    for (const [status, state, fate] of [[8, 3, "new"], [0xe, 1, "invalid"]] as const) {
      const { socket, traffic } = setUp()
      ask(socket, encodeCreate(words, 0, 1, flowOf({ orig, status, tcp: { state } }), base))
      assert.strictEqual(traffic.packet(first).state, fate)
    }
  })
})

describe("an observer", () => {
  it("is told of flows that nobody listens to, and who caused it", () => {
    const kernel = new FakeKernel()
    const socket = kernel.openSocket()
    const traffic = new KernelTraffic(kernel)
    const told: Array<string> = []
    const say = (what: string) => (flow: KernelFlow, causer: number) =>
      told.push(`${what} ${flow.original.a} by ${causer === socket.portId ? "us" : causer}`)
    const end = kernel.observe({
      created: say("created"),
      updated: say("updated"),
      destroyed: say("destroyed")
    })
    const flow = traffic.openUdp({ ...addresses, sport: 7, dport: 53 })!
    traffic.setMark(flow, 3)
    kernel.advanceTo(kernel.nextExpiryMs())
    ask(socket, encodeCreate(words, 0, 1, flowOf(udp(8)), base))
    ask(socket, encodeUpdate(words, 0, 2, flowOf(udp(8)), base))
    ask(socket, encodeFlush(words, 0, 3, 0, true))
    end()
    traffic.openUdp({ ...addresses, sport: 9, dport: 53 })
    assert.deepStrictEqual(told, [
      "created 7 by 0",
      "updated 7 by 0",
      "destroyed 7 by 0",
      "created 8 by us",
      "updated 8 by us",
      "destroyed 8 by us"
    ])
  })
})

describe("faults on demand", () => {
  it("refuse the next creations, and no update", () => {
    const { kernel, socket } = setUp()
    const create = (sport: number) =>
      ask(socket, encodeCreate(words, 0, 1, flowOf(udp(sport)), base))
    assert.strictEqual(create(1), 0)
    kernel.refuseNext(2, 12)
    assert.strictEqual(ask(socket, encodeUpdate(words, 0, 2, flowOf(udp(1)), base)), 0)
    assert.deepStrictEqual([create(2), create(3), create(4)], [12, 12, 0])
    assert.strictEqual(kernel.size, 2)
  })

  it("lose the next events, which is told once to those who listen", () => {
    const { kernel, listener, socket, traffic } = setUp()
    const buffer = new Uint8Array(8 * 1024)
    const lengths = new Int32Array(8)
    const receive = () => listener.receive(buffer, 1024, lengths, 8)
    const open = (sport: number) => traffic.openUdp({ ...addresses, sport, dport: 53 })
    kernel.overrun(2)
    open(1)
    open(2)
    open(3)
    assert.deepStrictEqual([receive(), receive(), receive()], [-105, 1, -11])
    assert.strictEqual(listener.dropped(), 2)
    // A queue that is not empty takes nothing more until it has been read.
    open(4)
    kernel.overrun(1)
    open(5)
    open(6)
    assert.deepStrictEqual([receive(), receive(), receive()], [-105, 1, -11])
    open(7)
    assert.deepStrictEqual([receive(), listener.dropped(), socket.dropped()], [1, 4, 0])
  })
})
