/**
 * Two daemons with the live netlink layers, each over a simulated kernel: what connections do is
 * replicated, and a failover finds it again.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import * as KernelNetlink from "../../../src/layers/live/KernelNetlink.ts"
import type { NativeAddon } from "../../../src/layers/live/NativeAddon.ts"
import { keptPorts, orders } from "../../fakes/KeptPorts.ts"
import type { RunningNode } from "../../fakes/NodeFake.ts"
import { pass, startPair } from "../../fakes/NodeFake.ts"
import { FakeKernel } from "../../sim/kernel/FakeKernel.ts"
import type { KernelFlow } from "../../sim/kernel/KernelFlow.ts"
import type { Connection } from "../../sim/kernel/KernelTraffic.ts"
import { KernelTraffic } from "../../sim/kernel/KernelTraffic.ts"

const bufferBytes = 400_000

const kernelLayer = (kernel: FakeKernel) =>
  KernelNetlink.layer(
    { openNetlink: kernel.openNetlink } as Partial<NativeAddon> as NativeAddon,
    { bufferBytes, bufferMaxBytes: bufferBytes }
  )

/** A pair over simulated kernels. */
const simulatedPair = Effect.gen(function*() {
  const kernels = [new FakeKernel(), new FakeKernel()] as const
  const { a, b } = yield* startPair(
    { kernel: kernelLayer(kernels[0]) },
    { kernel: kernelLayer(kernels[1]) }
  )
  return { a, b, kernelA: kernels[0], kernelB: kernels[1], traffic: new KernelTraffic(kernels[0]) }
})

const ask = (node: RunningNode, request: number) =>
  Effect.gen(function*() {
    const client = node.node.control.connect(request)
    yield* pass(100)
    assert.isTrue(client.isClosed)
    return client.reply.replaceAll(/ \[active since \d+s\]/g, "").split("\n").sort()
  })

/** What must survive a failover. */
const essenceOf = ({ mark, original, reply, status, tcp }: KernelFlow): string =>
  JSON.stringify({ mark, original, reply, tcpState: tcp?.state, assured: status & 4 })

const essences = (kernel: FakeKernel): ReadonlyArray<string> => kernel.flows.map(essenceOf).sort()

const web = (number: number): Connection => ({
  src: `192.168.${number >> 8}.${number & 255}`,
  dst: "203.0.113.80",
  sport: 40_000,
  dport: 443
})

/** The connection hidden behind the firewall's own address. */
const hidden = (number: number): Connection => ({
  ...web(number),
  snat: { address: "198.51.100.1", port: 20_000 + number }
})

describe("over simulated kernels", () => {
  it.effect("the peer's view follows a connection through its life", () =>
    Effect.gen(function*() {
      const { b, kernelA, traffic } = yield* simulatedPair
      const views: Array<string> = []
      const look = Effect.gen(function*() {
        const lines = yield* ask(b, Request.dumpExternal)
        views.push(lines.join("").trim())
      })
      const flow = traffic.openTcp(hidden(1))!
      yield* look
      traffic.advanceTcp(flow, "SYN_RECV")
      traffic.advanceTcp(flow, "ESTABLISHED")
      traffic.setMark(flow, 5)
      yield* look
      traffic.closeTcp(flow)
      yield* look
      kernelA.advanceTo(kernelA.nextExpiryMs())
      yield* look

      const states = views.map((view) =>
        view.split(" ").filter((word) => /^[A-Z_]{5,}$/.test(word))
      )
      assert.deepStrictEqual(states, [["SYN_SENT"], ["ESTABLISHED"], ["TIME_WAIT"], []])
      assert.include(views[1], "[ASSURED] mark=5")
      assert.strictEqual(views[3], "")
    }))

  it.effect("a failover restores plain and hidden connections, and the cache is right", () =>
    Effect.gen(function*() {
      const { b, kernelA, kernelB, traffic } = yield* simulatedPair
      for (let i = 0; i < 200; i++) {
        const flow = traffic.establishTcp(i % 3 === 0 ? hidden(i) : web(i))!
        if (i % 5 === 0) traffic.setMark(flow, i)
        if (i % 50 === 0) yield* pass(1)
      }
      traffic.openUdp({ ...web(300), dport: 53 })
      yield* pass(5_000)

      yield* ask(b, Request.commit)
      const committed = yield* ask(b, Request.dumpInternal)
      yield* ask(b, Request.resyncKernel)
      const read = yield* ask(b, Request.dumpInternal)

      assert.deepStrictEqual(b.node.log.ofLevel("Error"), [])
      assert.include(b.node.log.ofLevel("Info"), "Committed 201 new entries")
      assert.deepStrictEqual(essences(kernelB), essences(kernelA))
      assert.strictEqual(committed.length, 202)
      assert.deepStrictEqual(committed, read)
    }))

  it.effect("hidden connections keep their ports, in whatever order they are restored", () =>
    Effect.gen(function*() {
      const flows = keptPorts(17)
      for (const order of orders) {
        const { b, kernelA, kernelB, traffic } = yield* simulatedPair
        for (const name of order) {
          const { dport, dst, sport, src } = flows[name].orig!
          const { snat, snatPort } = flows[name].translation!
          const behind = { address: snat!, ...(snatPort === undefined ? {} : { port: snatPort }) }
          const tuple = { src: src!, dst: dst!, sport: sport!, dport: dport! }
          assert.isDefined(traffic.openUdp({ ...tuple, snat: behind }))
          yield* pass(1_000)
        }

        yield* ask(b, Request.commit)
        const committed = yield* ask(b, Request.dumpInternal)
        yield* ask(b, Request.resyncKernel)
        const read = yield* ask(b, Request.dumpInternal)

        assert.include(b.node.log.ofLevel("Info"), "Committed 3 new entries")
        assert.deepStrictEqual(essences(kernelB), essences(kernelA), order.join(""))
        assert.deepStrictEqual(committed, read)
      }
    }))

  it.effect("a hidden connection whose port is taken gets another, and the cache knows it", () =>
    Effect.gen(function*() {
      const { b, kernelB, traffic } = yield* simulatedPair
      const own = new KernelTraffic(kernelB)
      const samePort = { ...web(1), snat: { address: "198.51.100.1" } }
      own.establishTcp({ ...samePort, src: "192.168.77.77" })
      traffic.establishTcp(samePort)
      yield* pass(5_000)

      yield* ask(b, Request.commit)
      const committed = yield* ask(b, Request.dumpInternal)
      yield* ask(b, Request.resyncKernel)
      const read = yield* ask(b, Request.dumpInternal)

      const ports = kernelB.flows.map(({ reply }) => reply.b)
      assert.strictEqual(new Set(ports).size, 2)
      const restored = committed.filter((line) => line.includes("src=192.168.0.1 "))
      assert.strictEqual(restored.length, 1)
      assert.includeMembers(read, restored)
    }))

  it.effect("events that the socket had no room for are made good by the resync", () =>
    Effect.gen(function*() {
      const { a, b, kernelA, traffic } = yield* simulatedPair
      for (let i = 0; i < 2_000; i++) traffic.establishTcp(web(i))
      yield* pass(5_000)
      const early = b.replica.external.stats.active
      for (const flow of kernelA.flows.slice(0, 100)) kernelA.remove(flow)
      yield* pass(40_000)
      yield* pass(5_000)

      assert.isBelow(early, 2_000)
      assert.isAbove(a.replica.runtime.overruns, 0)
      assert.strictEqual(a.replica.runtime.kernelResyncs, 1)
      assert.strictEqual(b.replica.external.stats.active, 1_900)
      const inside = yield* ask(a, Request.dumpInternal)
      assert.strictEqual(inside.length, 1_901)
    }))

  it.effect("a commit into a full table counts what does not fit", () =>
    Effect.gen(function*() {
      const small = new FakeKernel({ flowsMax: 60 })
      const big = new FakeKernel()
      const { b } = yield* startPair({ kernel: kernelLayer(big) }, { kernel: kernelLayer(small) })
      const traffic = new KernelTraffic(big)
      for (let i = 0; i < 100; i++) traffic.establishTcp(web(i))
      yield* pass(5_000)

      yield* ask(b, Request.commit)
      const inside = yield* ask(b, Request.dumpInternal)

      assert.strictEqual(small.size, 60)
      assert.strictEqual(inside.length, 61)
      assert.includeMembers([...b.node.log.ofLevel("Info")], [
        "Committed 60 new entries",
        "40 entries can't be committed"
      ])
      assert.strictEqual(b.node.log.find("commit-create: Cannot allocate memory").length, 40)
    }))

  it.effect("a flush of the kernel's table leaves both sides of the node empty", () =>
    Effect.gen(function*() {
      const { a, kernelA, traffic } = yield* simulatedPair
      for (let i = 0; i < 300; i++) {
        traffic.establishTcp(web(i))
        if (i % 50 === 0) yield* pass(1)
      }
      yield* pass(1_000)

      yield* ask(a, Request.flushKernel)
      yield* pass(5_000)

      assert.strictEqual(kernelA.size, 0)
      assert.deepStrictEqual(yield* ask(a, Request.dumpInternal), [""])
    }))
})
