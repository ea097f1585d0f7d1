import { assert, describe, it } from "@effect/vitest"
import { FakeKernel } from "../sim/kernel/FakeKernel.ts"
import type { KernelFlow } from "../sim/kernel/KernelFlow.ts"
import { StatusBit } from "../sim/kernel/KernelFlow.ts"
import { World } from "../sim/World.ts"
import { kinds } from "./Kinds.ts"
import { PacketFilter } from "./SimulatedRules.ts"
import { SimulatedTraffic } from "./SimulatedTraffic.ts"

const perKind = 2
const all = perKind * kinds.length

/** Connections through one firewall, which another one has replaced. */
const afterFailover = () => {
  const world = new World({ seed: "1" })
  const kernel = () =>
    new FakeKernel({
      now: () => world.nowMs,
      defer: (task) => world.schedule(undefined, task)
    })
  const before = kernel()
  const after = kernel()
  const filter = new PacketFilter(after)
  let active = new PacketFilter(before)
  const traffic = new SimulatedTraffic(world, () => active)
  traffic.open(kinds.map(() => perKind))
  world.runUntil(3_000)
  const { opened } = traffic
  active = filter
  traffic.watch()
  traffic.probe()
  return { world, before, after, filter, traffic, opened }
}

/** Puts the entry into the other kernel, as a commit does. */
const copy = (flow: KernelFlow, kernel: FakeKernel, changes: Partial<KernelFlow> = {}): void => {
  const { family, original, reply, status, tcp } = { ...flow, ...changes }
  kernel.add({
    family,
    original,
    reply,
    status,
    timeoutSeconds: 100,
    ...(tcp === undefined ? {} : { tcp: { ...tcp } })
  })
}

describe("the demo's simulated connections", () => {
  it("open with a handshake that the kernel follows", () => {
    const { before, opened, traffic } = afterFailover()
    const { assured, seenReply } = StatusBit

    assert.strictEqual(opened, all)
    assert.strictEqual(before.size, all)
    assert.isTrue(
      before.flows.every(({ status, tcp }) =>
        tcp?.state === 3 && (status & assured) !== 0 && (status & seenReply) !== 0
      )
    )
    assert.strictEqual(traffic.alive, 0)
  })

  it("do not live on in a kernel without their entries", () => {
    const { after, filter, traffic, world } = afterFailover()
    world.runUntil(30_000)

    assert.strictEqual(traffic.alive, 0)
    assert.strictEqual(after.size, 0)
    assert.isAtLeast(filter.unknown, 2 * all * 5)
    assert.deepStrictEqual(traffic.reasons()[0], "2 × IPv4 plain: no answer")
  })

  it("live on as soon as the entries are there, and know how long they heard nothing", () => {
    const { after, before, traffic, world } = afterFailover()
    world.runUntil(3_900)
    for (const flow of before.flows) copy(flow, after)
    world.runUntil(6_000)

    assert.strictEqual(traffic.alive, all)
    assert.deepStrictEqual(traffic.reasons(), [])
    assert.isAtLeast(traffic.silenceMs, 900)
    assert.isAtMost(traffic.silenceMs, 2_000)
  })

  it.each([
    ["translation", { status: 0x0e }, [2, 0, 0, 2, 0, 0]],
    ["translation of the source", { status: 0x0e | StatusBit.dstNat }, [2, 0, 2, 2, 0, 2]],
    ["translation of the destination", { status: 0x0e | StatusBit.srcNat }, [2, 2, 0, 2, 2, 0]]
  ])("do not live on with entries that lost their %s", (_, changes, survivors) => {
    const { after, before, traffic, world } = afterFailover()
    for (const flow of before.flows) copy(flow, after, changes)
    world.runUntil(10_000)

    assert.deepStrictEqual(traffic.aliveByKind(), survivors)
  })

  it("do not live on when their answers are translated to another port", () => {
    const { after, before, traffic, world } = afterFailover()
    for (const flow of before.flows) {
      copy(flow, after, { reply: { ...flow.reply, b: flow.reply.b + 1_000 } })
    }
    world.runUntil(10_000)

    assert.strictEqual(traffic.alive, 0)
  })

  it("do not take the packets of each other", () => {
    const { after, before, traffic, world } = afterFailover()
    const snat = before.flows.filter(({ status }) => (status & StatusBit.srcNat) !== 0)
    // Each leaves with the port of its neighbour; the first of both kinds were opened before.
    for (const [i, flow] of snat.entries()) {
      copy(flow, after, { reply: { ...flow.reply, b: flow.reply.b + (i < 2 ? 1 : -1) } })
    }
    world.runUntil(10_000)

    assert.strictEqual(after.size, 4)
    assert.strictEqual(traffic.alive, 0)
  })

  it("can be opened anew", () => {
    const { after, traffic, world } = afterFailover()
    traffic.open(kinds.map(() => 1))
    world.runUntil(10_000)

    assert.strictEqual(traffic.opened, all + kinds.length)
    assert.deepStrictEqual(traffic.aliveByKind(), [0, 0, 0, 0, 0, 0])
    assert.strictEqual(after.size, kinds.length)
  })
})
