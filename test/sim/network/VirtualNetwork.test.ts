/** The simulated dedicated links on good days, and the daemon's link layer over them. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Links } from "../../../src/layers/Links.ts"
import { layer } from "../../../src/layers/live/LinkUdp.ts"
import type {
  DatagramHandle,
  DatagramOptions,
  NativeAddon
} from "../../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "../machine/Machine.ts"
import { linkPort } from "../machine/Machine.ts"
import type { Process } from "../World.ts"
import { Bench, numbered, optionsOf, packed, range, unpacked } from "./NetworkBench.ts"

const [EBADF, EAGAIN, ENODEV, EINVAL, EADDRNOTAVAIL] = [9, 11, 19, 22, 99]

describe("a link in good order", () => {
  it("delivers everything, in order, after its delay", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 2, delayJitterMs: 1.5 })
    bench.stream(a, 500)
    assert.deepStrictEqual(b.numbers(), range(500))
    const delays = b.gotMs.map((at, n) => at - n)
    assert.isTrue(delays.every((ms) => ms >= 0.5 - 1e-9 && ms <= 3.5))
    assert.isBelow(Math.min(...delays), 0.7)
    assert.isAbove(Math.max(...delays), 3.3)
    assert.strictEqual(bench.get("link 0 A to B: delivered"), 500)
    assert.strictEqual(bench.get("link 0 A to B: bytesDelivered"), 50_000)
    const { bytesRead, read } = bench.network.end(0, "B")
    assert.deepStrictEqual({ read, bytesRead }, { read: 500, bytesRead: 50_000 })
    assert.strictEqual(bench.network.inFlight(), 0)
    bench.assertBalanced()
  })

  it("keeps links and directions apart", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    const [a1, b1] = [bench.open("A", 1), bench.open("B", 1)]
    a.send(numbered(1), numbered(2))
    b.send(numbered(3))
    a1.send(numbered(4))
    bench.world.runUntil(10)
    assert.deepStrictEqual([a, b, a1, b1].map((one) => one.numbers()), [[3], [1, 2], [], [4]])
  })

  it("works over IPv6, whatever the spelling of the address", () => {
    const bench = new Bench()
    const a = bench.open("A", 0, { family: 6, peerAddress: "fd00:255::2" })
    const b = bench.open("B", 0, { family: 6, bindAddress: "::" })
    a.send(numbered(7))
    b.send(numbered(8))
    bench.world.runUntil(10)
    assert.deepStrictEqual([a.numbers(), b.numbers()], [[8], [7]])
  })

  it("gives the observer a copy of its own, and the same bytes to the receiver", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    const bytes = numbered(1)
    const kept: Array<Uint8Array> = []
    bench.network.observe({ sent: (datagram) => kept.push(datagram.bytes) })
    a.handle.send(bytes, Int32Array.of(bytes.length), 1)
    bytes.fill(0)
    bench.world.runUntil(10)
    assert.deepStrictEqual(kept, [numbered(1)])
    assert.deepStrictEqual(b.got, [numbered(1)])
  })

  it("delivers multicast to every other member of the group, once", () => {
    const bench = new Bench({ machines: ["A", "B", "C"] })
    const group = { multicast: true, peerAddress: "225.0.0.50" }
    const a = bench.open("A", 0, group)
    const b = bench.open("B", 0, group)
    const c = bench.open("C", 0, { ...group, peerAddress: "225.0.0.51" })
    const elsewhere = bench.open("B", 1, { ...group, port: linkPort(0) })
    a.send(numbered(1))
    bench.world.runUntil(10)
    const all = [a, b, c, elsewhere].map((one) => one.numbers())
    assert.deepStrictEqual(all, [[], [1], [], []])
    assert.strictEqual(bench.get("lost: no receiver"), 1)
    assert.strictEqual(bench.network.end(0, "A").sent, 1)
  })
})

describe("a machine's sockets", () => {
  it("are refused as the addon does", () => {
    const { network, world } = new Bench()
    const open = (more: Partial<DatagramOptions>) =>
      network.open("A", world.process("A"), optionsOf("A", 0, more))
    assert.strictEqual(open({ interfaceName: "eth9" }), -ENODEV)
    assert.strictEqual(open({ bindAddress: "10.255.0.2" }), -EADDRNOTAVAIL)
    assert.strictEqual(open({ bindAddress: "10.255.0" }), -EINVAL)
    assert.strictEqual(open({ peerAddress: "" }), -EINVAL)
    assert.strictEqual(open({ family: 6, peerAddress: "10.255.0.2" }), -EINVAL)
    assert.strictEqual(typeof open({ bindAddress: "" }), "object")
  })

  it("overflow while their process is paused, as the kernel accounts it", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({}, { receiveBufferBytes: 23_040 })
    b.process.pause()
    // 2304 bytes each.
    for (const n of range(30)) a.send(numbered(n, 1_400))
    bench.world.runUntil(100)
    assert.strictEqual(b.got.length, 0)
    assert.strictEqual(b.handle.dropped(), 10)
    assert.strictEqual(bench.get("lost: buffer full"), 10)
    b.process.resume()
    bench.world.runUntil(200)
    assert.deepStrictEqual(b.numbers(), range(20))
    a.send(numbered(99))
    bench.world.runUntil(300)
    assert.deepStrictEqual(b.numbers(), [...range(20), 99])
    bench.assertBalanced()
  })

  it("hold as much as measured on a kernel, and one in any case", () => {
    // Payload, and how many of them a buffer of 400000 bytes holds.
    const measured = {
      4: [[0, 480], [84, 480], [196, 480], [200, 312], [644, 312], [648, 173], [1_400, 173]],
      6: [[84, 480], [184, 480], [188, 312], [632, 312], [636, 173], [1_660, 91], [3_708, 47]]
    } as const
    for (const family of [4, 6] as const) {
      for (const [length, holds] of measured[family]) {
        const bench = new Bench({ mtuBytes: 9_000 })
        const { a, b } = bench.pair({}, { family, receiveBufferBytes: 200_000 })
        b.process.pause()
        for (const _ of range(500)) a.send(new Uint8Array(length))
        bench.world.runUntil(10)
        assert.strictEqual(bench.network.queued(0, "B"), holds, `IPv${family}, ${length} bytes`)
        assert.strictEqual(b.handle.dropped(), 500 - holds)
      }
    }
    const bench = new Bench()
    const { a, b } = bench.pair({}, { receiveBufferBytes: 1 })
    b.process.pause()
    a.send(numbered(1, 60_000), numbered(2, 1))
    bench.world.runUntil(10)
    assert.strictEqual(bench.network.queued(0, "B"), 1)
  })

  it("die with their process", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.open("B", 1)
    assert.strictEqual(bench.network.openSockets(b.process), 1)
    b.process.pause()
    a.send(numbered(0))
    bench.world.runUntil(5)
    a.send(numbered(1))
    b.process.kill()
    bench.world.runUntil(10)
    assert.strictEqual(bench.get("lost: no receiver"), 1)
    bench.network.closeAll(b.process)
    const { bytesUnread, unread } = bench.network.end(0, "B")
    assert.deepStrictEqual({ unread, bytesUnread }, { unread: 1, bytesUnread: 100 })
    assert.strictEqual(bench.network.openSockets(b.process), 0)
    const again = bench.open("B")
    a.send(numbered(2))
    bench.world.runUntil(20)
    assert.deepStrictEqual([again.numbers(), b.numbers()], [[2], []])
  })

  it("are readable as long as there is something to read, and then no more", () => {
    const bench = new Bench()
    const { a } = bench.pair()
    const process = bench.world.process("B")
    const handle = bench.network.open("B", process, optionsOf("B", 0)) as DatagramHandle
    const buffer = new Uint8Array(65_536)
    const ends = new Int32Array(8)
    const calls: Array<string> = []
    const wait = (name: string) => handle.whenReadable(() => calls.push(name))
    a.send(numbered(1))
    bench.world.runUntil(1)
    wait("there already")
    bench.world.runUntil(2)
    wait("still there")
    bench.world.runUntil(3)
    wait("replaced")
    wait("replacing")
    bench.world.runUntil(4)
    assert.deepStrictEqual(calls, ["there already", "still there", "replacing"])
    // Read after the kernel woke the process, before its turn.
    wait("read meanwhile")
    assert.strictEqual(handle.receive(buffer, ends, 8), 1)
    bench.world.runUntil(5)
    assert.strictEqual(calls.length, 3)
    a.send(numbered(2))
    bench.world.runUntil(6)
    assert.deepStrictEqual(calls.slice(3), ["read meanwhile"])
  })

  it("say EBADF once closed, and forget who waits", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    a.send(numbered(1))
    bench.world.runUntil(0.05)
    b.handle.close()
    b.handle.close()
    bench.world.runUntil(10)
    assert.deepStrictEqual(b.numbers(), [])
    const buffer = new Uint8Array(65_536)
    const ends = new Int32Array(1)
    assert.strictEqual(b.handle.receive(buffer, ends, 1), -EBADF)
    assert.strictEqual(b.handle.send(buffer, ends, 1), -EBADF)
    assert.strictEqual(b.handle.whenReadable(() => {}), -EBADF)
    assert.strictEqual(b.handle.dropped(), -EBADF)
  })

  it("keep what the caller's buffer cannot hold for the next call", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({}, { receiveBufferBytes: 1_000_000 })
    b.process.pause()
    a.send(...range(5).map((n) => numbered(n, 20_000)))
    bench.world.runUntil(10)
    const buffer = new Uint8Array(65_536)
    const ends = new Int32Array(8)
    assert.strictEqual(b.handle.receive(new Uint8Array(100), ends, 8), -EINVAL)
    assert.strictEqual(b.handle.receive(buffer, ends, 8), 3)
    assert.strictEqual(b.handle.receive(buffer, ends, 1), 1)
    assert.strictEqual(b.handle.receive(buffer, ends, 8), 1)
    assert.deepStrictEqual(buffer.slice(0, ends[0]), numbered(4, 20_000))
    assert.strictEqual(b.handle.receive(buffer, ends, 8), -EAGAIN)
    bench.assertBalanced()
  })

  it("receive what somebody injects, from the peer's address", () => {
    const bench = new Bench()
    const { b } = bench.pair({ lossPercent: 100 })
    bench.network.inject(0, "B", Uint8Array.of(1, 2, 3))
    bench.network.inject(1, "B", Uint8Array.of(4))
    bench.world.runUntil(1)
    assert.deepStrictEqual(b.got, [Uint8Array.of(1, 2, 3)])
    assert.deepStrictEqual([bench.get("injected"), bench.get("lost: no receiver")], [2, 1])
    bench.assertBalanced()
  })
})

describe("the daemon's link layer over it", () => {
  const linkOf = (bench: Bench, machine: MachineName, process: Process) =>
    Effect.map(
      Layer.build(
        layer(
          {
            openDatagram: (options: DatagramOptions) =>
              bench.network.open(machine, process, options),
            interfaceMtu: () => bench.network.mtuBytes
          } as unknown as NativeAddon,
          [optionsOf(machine, 0)]
        )
      ),
      (built) => Context.get(built, Links)[0]!
    )

  it("sends, receives, counts, opens again and closes", () => {
    const bench = new Bench({ mtuBytes: 1_400 })
    const process = bench.world.process("A")
    const b = bench.open("B")
    const got: Array<number> = []
    let counted: unknown
    let openWhileRunning = 0
    process.fork(Effect.scoped(Effect.gen(function*() {
      const link = yield* linkOf(bench, "A", process)
      assert.strictEqual(link.mtuBytes, 1_400)
      openWhileRunning = bench.network.openSockets(process)
      yield* link.send(packed([numbered(1), numbered(2)]))
      while (got.length < 2) {
        for (const bytes of unpacked(yield* link.pull)) got.push(bytes[1]!)
      }
      yield* link.reopen
      bench.network.setInterface("A", 0, false)
      yield* link.send(packed([numbered(3)]))
      bench.network.setInterface("A", 0, true)
      yield* link.send(packed([numbered(4)]))
      for (const bytes of unpacked(yield* link.pull)) got.push(bytes[1]!)
      counted = { ...link.counters }
    })))
    bench.world.after(5, () => b.send(numbered(11), numbered(12)))
    bench.world.after(50, () => b.send(numbered(13)))
    bench.world.runUntil(1_000)
    assert.deepStrictEqual(got, [11, 12, 13])
    assert.deepStrictEqual(b.numbers(), [1, 2, 4])
    assert.deepStrictEqual(counted, {
      bytesSent: 300,
      bytesReceived: 300,
      packetsSent: 3,
      packetsReceived: 3,
      sendErrors: 1,
      receiveErrors: 0
    })
    const { sent, bytesSent, read, bytesRead, refused } = bench.network.end(0, "A")
    assert.deepStrictEqual([sent, bytesSent, read, bytesRead, refused], [3, 300, 3, 300, 1])
    assert.deepStrictEqual([openWhileRunning, bench.network.openSockets(process)], [1, 0])
    assert.strictEqual(process.timersPending, 0)
  })

  it("wakes a paused process once it goes on", () => {
    const bench = new Bench()
    const process = bench.world.process("A")
    const b = bench.open("B")
    let at = 0
    process.fork(Effect.scoped(Effect.gen(function*() {
      const link = yield* linkOf(bench, "A", process)
      yield* link.pull
      at = bench.world.nowMs
    })))
    bench.world.runUntil(1)
    process.pause()
    b.send(numbered(1))
    bench.world.after(40, () => process.resume())
    bench.world.runUntil(100)
    assert.strictEqual(at, 41)
  })
})
