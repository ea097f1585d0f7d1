/** The simulated network interfaces, as the live layer sees them. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { InterfaceFlag } from "../../../src/core/netlink/Rtnetlink.ts"
import { Interfaces } from "../../../src/layers/Interfaces.ts"
import { layer } from "../../../src/layers/live/InterfacesNetlink.ts"
import type { NativeAddon } from "../../../src/layers/live/NativeAddon.ts"
import { FakeRouting } from "./FakeRouting.ts"

/** The live layer over `routing`; whatever else of the addon it called would be a mistake. */
const watching = (routing: FakeRouting) =>
  Effect.map(
    Layer.build(layer({ openNetlink: routing.openNetlink } as unknown as NativeAddon)),
    (built) => Context.get(built, Interfaces)
  )

interface Told {
  readonly type: number
  readonly flags: number
  readonly change: number
  readonly operstate: number
}

/** Everything queued, read byte by byte. */
const toldBy = (socket: { take(): Uint8Array | undefined }): ReadonlyArray<Told> => {
  const out: Array<Told> = []
  for (let bytes = socket.take(); bytes !== undefined; bytes = socket.take()) {
    const view = new DataView(bytes.buffer)
    assert.strictEqual(view.getUint32(0, true), bytes.length)
    let operstate = -1
    for (let at = 32; at < bytes.length; at += (view.getUint16(at, true) + 3) & ~3) {
      if (view.getUint16(at + 2, true) === 16) operstate = bytes[at + 4]!
    }
    out.push({
      type: view.getUint16(4, true),
      flags: view.getUint32(24, true),
      change: view.getUint32(28, true),
      operstate
    })
  }
  return out
}

describe("the simulated interfaces", () => {
  it.effect("are there from the start for the live layer, with what changes later", () =>
    Effect.gen(function*() {
      const routing = new FakeRouting()
      routing.add("eth2", { mtu: 1_400 })
      routing.add("eth3", { running: false })
      routing.add("eth4", { up: false })
      const interfaces = yield* watching(routing)
      const eth2 = { name: "eth2", up: true, running: true }
      assert.deepStrictEqual(interfaces.current("eth2"), eth2)
      assert.deepStrictEqual(interfaces.current("eth3"), { name: "eth3", up: true, running: false })
      assert.deepStrictEqual(interfaces.current("eth4"), {
        name: "eth4",
        up: false,
        running: false
      })
      assert.isTrue(interfaces.current("lo")?.running)
      assert.isUndefined(interfaces.current("eth5"))

      routing.set("eth3", { running: true })
      yield* interfaces.changed
      assert.isTrue(interfaces.current("eth3")?.running)
      routing.set("eth4", { up: true })
      yield* interfaces.changed
      assert.isTrue(interfaces.current("eth4")?.running)
      routing.remove("eth2")
      yield* interfaces.changed
      assert.isUndefined(interfaces.current("eth2"))
      routing.add("eth2")
      yield* interfaces.changed
      assert.deepStrictEqual(interfaces.current("eth2"), eth2)
    }).pipe(Effect.scoped))

  it.effect("wake the live layer that waits, and not before something happens", () =>
    Effect.gen(function*() {
      const routing = new FakeRouting()
      routing.add("eth2")
      const interfaces = yield* watching(routing)
      const waiting = yield* Effect.forkChild(interfaces.changed)
      for (let i = 0; i < 10; i++) yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      routing.set("eth2", { up: false })
      yield* Fiber.join(waiting)
      assert.isFalse(interfaces.current("eth2")?.up)
    }).pipe(Effect.scoped))

  it.effect("are asked for again after an overrun: what changed unheard is noticed", () =>
    Effect.gen(function*() {
      const routing = new FakeRouting()
      for (const name of ["eth2", "eth3", "eth4"]) routing.add(name)
      const interfaces = yield* watching(routing)
      const waiting = yield* Effect.forkChild(interfaces.changed)
      // More changes than the socket has room for, before anybody reads.
      for (let i = 0; i < 200; i++) routing.set("eth4", { running: i % 2 === 1 })
      routing.set("eth2", { running: false })
      routing.remove("eth3")
      yield* Fiber.join(waiting)
      while (interfaces.current("eth3") !== undefined) yield* interfaces.changed
      assert.isFalse(interfaces.current("eth2")?.running)
      assert.isTrue(interfaces.current("eth4")?.running)

      // Nothing is left over of it: the next change is seen as ever.
      routing.add("eth3")
      yield* interfaces.changed
      assert.isTrue(interfaces.current("eth3")?.running)
    }).pipe(Effect.scoped))

  it.effect("are dumped in parts when there are many", () =>
    Effect.gen(function*() {
      const routing = new FakeRouting()
      for (let i = 0; i < 300; i++) routing.add(`eth${i}`)
      const interfaces = yield* watching(routing)
      for (let i = 0; i < 300; i++) assert.isTrue(interfaces.current(`eth${i}`)?.running)
    }).pipe(Effect.scoped))

  it("tell each change as a kernel does", () => {
    const routing = new FakeRouting()
    routing.add("eth2", { running: false })
    const socket = routing.openSocket()
    socket.join(1)
    const { up, running, lowerUp } = InterfaceFlag
    const ether = 0x1002
    const runs = { flags: ether | up | running | lowerUp, operstate: 6 }
    const waits = { flags: ether | up, operstate: 2 }

    routing.set("eth2", { running: true })
    assert.deepStrictEqual(toldBy(socket), [{ type: 16, ...runs, change: 0 }])
    routing.set("eth2", { running: false })
    assert.deepStrictEqual(toldBy(socket), [{ type: 16, ...waits, change: 0 }])
    routing.set("eth2", { running: true })
    routing.set("eth2", { running: true })
    assert.lengthOf(toldBy(socket), 1)
    routing.set("eth2", { up: false })
    assert.deepStrictEqual(toldBy(socket), [
      { type: 16, flags: ether, operstate: 2, change: up | running }
    ])
    routing.set("eth2", { up: true })
    assert.deepStrictEqual(toldBy(socket), [
      { type: 16, flags: ether | up | lowerUp, operstate: 2, change: up },
      { type: 16, ...runs, change: 0 }
    ])
    routing.remove("eth2")
    assert.deepStrictEqual(toldBy(socket), [
      { type: 16, flags: ether, operstate: 2, change: up | running },
      { type: 17, flags: ether, operstate: 2, change: 0xffff_ffff }
    ])
    socket.leave(1)
    routing.add("eth2")
    assert.isUndefined(socket.take())
  })

  it("get another index when made again, and errors where there is nothing", () => {
    const routing = new FakeRouting()
    routing.add("eth2", { index: 7, mtu: 9_000 })
    assert.deepStrictEqual([routing.indexOf("lo"), routing.indexOf("eth2")], [1, 7])
    assert.strictEqual(routing.mtuOf("eth2"), 9_000)
    assert.isTrue(routing.isRunning("eth2"))
    routing.remove("eth2")
    assert.deepStrictEqual([routing.indexOf("eth2"), routing.mtuOf("eth2")], [-19, -19])
    routing.add("eth2")
    assert.strictEqual(routing.indexOf("eth2"), 8)
    assert.throws(() => routing.add("eth3", { index: 8 }))
    assert.throws(() => routing.set("eth9", { up: true }))
  })

  it("answer the question for one interface, and refuse what they do not know", () => {
    const routing = new FakeRouting()
    const socket = routing.openSocket()
    const ask = (type: number, flags: number, index: number) => {
      const bytes = new Uint8Array(32)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, 32, true)
      view.setUint16(4, type, true)
      view.setUint16(6, flags, true)
      view.setUint32(8, 5, true)
      view.setInt32(20, index, true)
      assert.strictEqual(socket.send(bytes, 32), 32)
      const answer = new DataView(socket.take()!.buffer)
      return [
        answer.getUint16(4, true),
        answer.getInt32(answer.getUint16(4, true) === 2 ? 16 : 20, true)
      ]
    }
    assert.deepStrictEqual(ask(18, 1, 1), [16, 1])
    assert.deepStrictEqual(ask(18, 1, 9), [2, -19])
    assert.deepStrictEqual(ask(20, 1, 1), [2, -95])
    assert.strictEqual(routing.openNetlink(12), -93)
  })
})
