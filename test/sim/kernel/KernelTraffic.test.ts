/** What a kernel lets pass of a connection whose entry was committed, and what packets change. */
import { assert, describe, it } from "@effect/vitest"
import { FakeKernel } from "./FakeKernel.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { StatusBit, tcpStates } from "./KernelFlow.ts"
import { KernelTraffic, tupleOf } from "./KernelTraffic.ts"

const addresses = { src: "10.1.0.2", dst: "10.2.0.2" }
const tcp = { ...addresses, sport: 40_000, dport: 80 }
const forth = tupleOf(6, tcp)
const back = tupleOf(6, { src: tcp.dst, dst: tcp.src, sport: 80, dport: 40_000 })

/** A kernel with the entry, as a commit leaves it, and what it tells about it from then on. */
const committed = (entry: Partial<KernelFlow>) => {
  const kernel = new FakeKernel()
  const flow = kernel.add({
    family: 2,
    original: forth,
    reply: back,
    timeoutSeconds: 100,
    status: entry.status ?? 0xe,
    ...(entry.tcp === undefined ? {} : { tcp: entry.tcp })
  })!
  let updates = 0
  kernel.observe({ updated: () => updates++ })
  return { kernel, flow, traffic: new KernelTraffic(kernel), updates: () => updates }
}

describe("data of a committed connection", () => {
  // The specification's table of what attributes a commit should send.
  const rows: ReadonlyArray<
    readonly [string, number, readonly [number, number], boolean]
  > = [
    ["nothing", 0, [0, 0], false],
    ["the window scales and their flags", 0x03, [10, 10], true],
    ["the flags without the scales", 0x03, [0, 0], false],
    ["BE_LIBERAL", 0x0a, [0, 0], true],
    ["all of it", 0x0b, [10, 10], true]
  ]
  it.each(rows)("far ahead, when the commit sent %s", (_, flags, scales, passes) => {
    const { traffic } = committed({
      tcp: { state: 3, flags: [flags, flags], scales: [...scales] }
    })
    for (const tuple of [forth, back]) {
      assert.strictEqual(traffic.packet(tuple).state, "established")
      const { state } = traffic.packet(tuple, 0, { isFarAhead: true })
      assert.strictEqual(state, passes ? "established" : "invalid")
    }
  })

  it("is not liberal by one direction", () => {
    const { traffic } = committed({ tcp: { state: 3, flags: [0x0a, 0x02], scales: [0, 0] } })
    assert.strictEqual(traffic.packet(forth, 0, { isFarAhead: true }).state, "invalid")
  })

  const states: ReadonlyArray<readonly [number, string, string, number]> = [
    [0, "established", "ESTABLISHED", 1],
    [1, "invalid", "SYN_SENT", 0],
    [2, "established", "ESTABLISHED", 1],
    [3, "established", "ESTABLISHED", 0],
    [7, "established", "TIME_WAIT", 0]
  ]
  it.each(states)("in state %i is %s, and leaves it in %s", (state, fate, then, events) => {
    const { flow, traffic, updates } = committed({
      tcp: { state, flags: [0x0a, 0x0a], scales: [0, 0] }
    })
    assert.strictEqual(traffic.packet(forth).state, fate)
    assert.strictEqual(tcpStates[flow.tcp!.state], then)
    assert.strictEqual(updates(), events)
  })

  it("of an entry without SEEN_REPLY is new, until the kernel sees an answer and says so", () => {
    const { flow, traffic, updates } = committed({
      status: 0x8,
      tcp: { state: 3, flags: [0x0a, 0x0a], scales: [0, 0] }
    })
    assert.strictEqual(traffic.packet(forth).state, "new")
    assert.strictEqual(updates(), 0)
    assert.strictEqual(traffic.packet(back).state, "established")
    assert.strictEqual(updates(), 1)
    assert.notStrictEqual(flow.status & StatusBit.seenReply, 0)
    assert.strictEqual(traffic.packet(forth).state, "established")
  })

  it("of SCTP needs the tag of its direction", () => {
    const kernel = new FakeKernel()
    const traffic = new KernelTraffic(kernel)
    const flow = traffic.openOther(132, tcp)!
    traffic.establishSctp(flow, [7, 9])
    const state = (tuple: typeof forth, tag: number) => traffic.packet(tuple, 0, { tag }).state
    assert.strictEqual(state(flow.original, 7), "established")
    assert.strictEqual(state(flow.original, 9), "invalid")
    assert.strictEqual(state(flow.reply, 9), "established")
    assert.strictEqual(state(flow.reply, 7), "invalid")
    assert.strictEqual(flow.expiresAtMs, 210_000)
  })

  it("without any entry is invalid for TCP and SCTP, and new for others", () => {
    const traffic = new KernelTraffic(new FakeKernel())
    const fates = [6, 132, 17, 47, 50].map((l4) => traffic.packet(tupleOf(l4, tcp)).state)
    assert.deepStrictEqual(fates, ["invalid", "invalid", "new", "new", "new"])
  })
})

describe("the goodbye of a committed connection", () => {
  it("leaves it liberal, and invents no window scale", () => {
    const { flow, traffic } = committed({ tcp: { state: 3, flags: [0x08, 0x08], scales: [0, 0] } })
    traffic.closeTcp(flow)
    assert.deepStrictEqual(flow.tcp, { state: 7, flags: [0x2c, 0x28], scales: [0, 0] })
  })

  it("is that of the recordings for a connection of packets", () => {
    const traffic = new KernelTraffic(new FakeKernel())
    const flow = traffic.establishTcp(tcp)!
    assert.deepStrictEqual(flow.tcp, { state: 3, flags: [0x23, 0x23], scales: [10, 10] })
    traffic.closeTcp(flow)
    assert.deepStrictEqual(flow.tcp, { state: 7, flags: [0x27, 0x23], scales: [10, 10] })
  })
})
