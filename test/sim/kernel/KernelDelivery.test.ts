/** Reliable delivery of the simulated kernel's events, as a real kernel (6.18) does it. */
import { assert, describe, it } from "@effect/vitest"
import { FakeKernel } from "./FakeKernel.ts"
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { KernelTraffic } from "./KernelTraffic.ts"
import { nfmsg } from "./NetlinkWriter.ts"

const [broadcastError, noEnobufs] = [4, 5]
/** Room for three events. */
const narrowBytes = 2_000
const REQUEST = 0x1
const DUMP = 0x300
const ACK = 0x4

const setUp = (options: ReadonlyArray<number>, groups = [3]) => {
  const kernel = new FakeKernel({ events: 1 })
  const traffic = new KernelTraffic(kernel)
  const requester = kernel.openSocket()
  const listen = (bytes: number) => {
    const socket = kernel.openSocket()
    socket.setReceiveBuffer(bytes)
    for (const group of groups) socket.join(group)
    return socket
  }
  const slow = listen(narrowBytes)
  for (const option of options) slow.setOption(270, option, 1)
  const fast = listen(1 << 20)
  return { kernel, traffic, requester, slow, fast }
}

const openFlows = (traffic: KernelTraffic, count: number, from = 1_001) =>
  Array.from(
    { length: count },
    (_, i) => traffic.openUdp({ src: "10.1.0.2", dst: "10.2.0.2", sport: from + i, dport: 53 })!
  )

interface Event {
  readonly sport: number
  readonly flags: number
  readonly portId: number
}

/** Everything that waits; ENOBUFS as -105. */
const drain = (socket: FakeNetlinkSocket): ReadonlyArray<Event | number> => {
  const out: Array<Event | number> = []
  const buffer = new Uint8Array(32_768)
  const lengths = new Int32Array(1)
  for (let i = 0; i < 10_000; i++) {
    const result = socket.receive(buffer, buffer.length, lengths, 1)
    if (result === -11) break
    const view = new DataView(buffer.buffer)
    out.push(
      result < 0 ? result : {
        sport: view.getUint16(60),
        flags: view.getUint16(6, true),
        portId: view.getUint32(12, true)
      }
    )
  }
  return out
}
const sportsOf = (events: ReadonlyArray<Event | number>) =>
  events.map((event) => typeof event === "number" ? event : event.sport)

const flush = (socket: FakeNetlinkSocket) => {
  const bytes = nfmsg({ type: 0x0102, flags: REQUEST | ACK, seq: 9, pid: 0 }, 0, [])
  socket.send(bytes, bytes.length)
}

describe("without the option", () => {
  it("what finds no room is lost", () => {
    const { kernel, slow, traffic } = setUp([])
    for (const flow of openFlows(traffic, 5)) kernel.remove(flow)
    assert.deepStrictEqual(sportsOf(drain(slow)), [-105, 1_001, 1_002, 1_003])
    kernel.advanceTo(10_000)
    assert.lengthOf(drain(slow), 0)
    assert.lengthOf(kernel.dying, 0)
  })
})

describe("who wants every event", () => {
  it("hears of every end: after a second, the latest first", () => {
    const { kernel, slow, traffic } = setUp([broadcastError, noEnobufs])
    for (const flow of openFlows(traffic, 8)) kernel.remove(flow)
    assert.deepStrictEqual(sportsOf(drain(slow)), [1_001, 1_002, 1_003])
    assert.deepStrictEqual(kernel.dying.map(({ original }) => original.a), [
      1_008,
      1_007,
      1_006,
      1_005,
      1_004
    ])
    kernel.advanceTo(999)
    assert.lengthOf(drain(slow), 0)
    assert.strictEqual(kernel.nextExpiryMs(), 1_000)
    kernel.advanceTo(1_000)
    assert.deepStrictEqual(sportsOf(drain(slow)), [1_008, 1_007, 1_006])
    kernel.advanceTo(kernel.nextExpiryMs())
    assert.deepStrictEqual(sportsOf(drain(slow)), [1_005, 1_004])
    assert.lengthOf(kernel.dying, 0)
    assert.strictEqual(kernel.nextExpiryMs(), Infinity)
  })

  it("makes the others hear of the same end again and again", () => {
    const { fast, kernel, slow, traffic } = setUp([broadcastError, noEnobufs])
    for (const flow of openFlows(traffic, 5)) kernel.remove(flow)
    assert.lengthOf(drain(fast), 5)
    for (let i = 0; i < 4; i++) kernel.advanceTo(kernel.nextExpiryMs())
    assert.deepStrictEqual(sportsOf(drain(fast)), [1_005, 1_005, 1_005, 1_005])
    assert.strictEqual(slow.dropped(), 6)
    assert.strictEqual(kernel.nowMs, 1_048)
  })

  it("need not wait when another end was told", () => {
    const { kernel, slow, traffic } = setUp([broadcastError, noEnobufs])
    const flows = openFlows(traffic, 6)
    for (const flow of flows.slice(0, 5)) kernel.remove(flow)
    drain(slow)
    kernel.advanceTo(20)
    kernel.remove(flows[5]!)
    kernel.advanceTo(20)
    assert.deepStrictEqual(sportsOf(drain(slow)), [1_006, 1_005, 1_004])
  })

  it("is told of an overrun at every try, unless it does not want to know", () => {
    const { kernel, slow, traffic } = setUp([broadcastError])
    for (const flow of openFlows(traffic, 8)) kernel.remove(flow)
    assert.deepStrictEqual(sportsOf(drain(slow)), [-105, 1_001, 1_002, 1_003])
    kernel.advanceTo(1_000)
    assert.deepStrictEqual(sportsOf(drain(slow)), [-105, 1_008, 1_007, 1_006])
    kernel.advanceTo(kernel.nextExpiryMs())
    assert.deepStrictEqual(sportsOf(drain(slow)), [1_005, 1_004])
  })

  it("hears whose doing it was, however late", () => {
    const { kernel, requester, slow, traffic } = setUp([broadcastError, noEnobufs])
    openFlows(traffic, 5)
    flush(requester)
    const first = drain(slow)
    kernel.advanceTo(1_000)
    const events = [...first, ...drain(slow)] as ReadonlyArray<Event>
    assert.deepStrictEqual([...new Set(events.map(({ portId }) => portId))], [requester.portId])
    assert.lengthOf(events, 5)
  })

  it("lets the ends count until they are told, and others take their place", () => {
    const { kernel, requester, slow, traffic } = setUp([broadcastError, noEnobufs])
    openFlows(traffic, 5)
    flush(requester)
    requester.take()
    const ask = (type: number, flags: number) => {
      const bytes = nfmsg({ type, flags: REQUEST | flags, seq: 1, pid: 0 }, 0, [])
      requester.send(bytes, bytes.length)
      return requester.take()!
    }
    assert.strictEqual(new DataView(ask(0x0105, 0).buffer).getUint32(24), 2)
    assert.strictEqual(kernel.size, 0)
    const entries = ask(0x0106, DUMP)
    assert.strictEqual(entries.length, 2 * new DataView(entries.buffer).getUint32(0, true))
    assert.strictEqual(new DataView(entries.buffer).getUint16(60), 1_005)
    requester.take()
    assert.lengthOf(openFlows(traffic, 5).filter((flow) => flow !== undefined), 5)
    drain(slow)
    kernel.advanceTo(1_000)
    assert.strictEqual(new DataView(ask(0x0105, 0).buffer).getUint32(24), 5)
    const end = ask(0x0106, DUMP)
    assert.strictEqual(end[4], 3)
  })

  it("holds nobody up when it is gone", () => {
    const { kernel, slow, traffic } = setUp([broadcastError, noEnobufs])
    for (const flow of openFlows(traffic, 5)) kernel.remove(flow)
    slow.close()
    assert.lengthOf(kernel.dying, 2)
    kernel.advanceTo(1_000)
    assert.lengthOf(kernel.dying, 0)
  })

  it("hears with the next event of what found no room before", () => {
    const { kernel, slow, traffic } = setUp([broadcastError, noEnobufs], [1, 2])
    const flows = openFlows(traffic, 4)
    drain(slow)
    kernel.changed(flows[0]!)
    kernel.changed(flows[3]!)
    kernel.changed(flows[3]!)
    const events = drain(slow) as ReadonlyArray<Event>
    assert.deepStrictEqual(events.map(({ flags, sport }) => [sport, flags]), [
      [1_001, 0],
      [1_004, 0x600],
      [1_004, 0]
    ])
  })
})
