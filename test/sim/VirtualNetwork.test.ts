/** The simulated dedicated links: every fault, its keying, the daemon's link layer over them. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Datagrams } from "../../src/layers/Links.ts"
import { Links } from "../../src/layers/Links.ts"
import { layer } from "../../src/layers/live/LinkUdp.ts"
import type {
  DatagramHandle,
  DatagramOptions,
  NativeAddon
} from "../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "./Machine.ts"
import { linkAddress, linkInterface, linkPort } from "./Machine.ts"
import type { LinkFaults, NetworkOptions } from "./VirtualNetwork.ts"
import { VirtualNetwork } from "./VirtualNetwork.ts"
import type { Process } from "./World.ts"
import { World } from "./World.ts"

const [EBADF, EAGAIN, ENODEV, EINVAL, EMSGSIZE] = [9, 11, 19, 22, 90]
const [EADDRNOTAVAIL, ENETDOWN] = [99, 100]

const optionsOf = (
  machine: MachineName,
  link: number,
  more: Partial<DatagramOptions> = {}
): DatagramOptions => {
  const family = more.family ?? 4
  return {
    family,
    bindAddress: linkAddress(machine, link, family),
    port: linkPort(link),
    peerAddress: linkAddress(machine === "A" ? "B" : "A", link, family),
    interfaceName: linkInterface(link),
    multicast: false,
    checksum: true,
    ...more
  }
}

/** A socket of a process that reads whatever comes and keeps it with its time. */
interface Talker {
  readonly handle: DatagramHandle
  readonly process: Process
  readonly got: Array<Uint8Array>
  readonly gotMs: Array<number>
  /** First bytes, for datagrams made by `numbered`. */
  numbers(): ReadonlyArray<number>
  /** Number accepted. */
  send(...datagrams: ReadonlyArray<Uint8Array>): number
}

const packed = (datagrams: ReadonlyArray<Uint8Array>): Datagrams => {
  const bytes = new Uint8Array(datagrams.reduce((sum, one) => sum + one.length, 0))
  const ends = new Int32Array(datagrams.length)
  let end = 0
  for (const [i, one] of datagrams.entries()) {
    bytes.set(one, end)
    ends[i] = end += one.length
  }
  return { bytes, ends, count: datagrams.length }
}

const unpacked = ({ bytes, count, ends }: Datagrams): Array<Uint8Array> =>
  Array.from({ length: count }, (_, i) => bytes.slice(i === 0 ? 0 : ends[i - 1]!, ends[i]))

/** Number `n` in the first two bytes. */
const numbered = (n: number, length = 100): Uint8Array => {
  const bytes = new Uint8Array(length).fill(0x5a)
  bytes[0] = n >> 8
  bytes[1] = n
  return bytes
}

const range = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)

class Bench {
  readonly world: World
  readonly network: VirtualNetwork
  readonly story: Array<string> = []

  constructor(options: Partial<NetworkOptions> & { readonly seed?: string } = {}) {
    this.world = new World({ seed: options.seed ?? "network" })
    this.network = new VirtualNetwork(this.world, { links: 2, ...options })
    const tell = (what: string, link: number, ...more: ReadonlyArray<string | number>) =>
      this.story.push(`${this.world.nowMs} link ${link} ${what} ${more.join(" ")}`)
    this.network.observe({
      sent: ({ bytes, from, link, to }) => tell("sent", link, from, to, bytes.join()),
      delivered: ({ link, to }, copy, bytes) => tell("delivered", link, to, copy, bytes.join()),
      lost: ({ bytes, link }, why, copy) => tell(why, link, bytes.join(), copy),
      read: ({ link, to }, copy, bytes) => tell("read", link, to, copy, bytes.length)
    })
  }

  /** What happened on one link, with the virtual time of it. */
  storyOf(link: number): ReadonlyArray<string> {
    return this.story.filter((line) => line.includes(` link ${link} `))
  }

  open(machine: MachineName, link = 0, more: Partial<DatagramOptions> = {}): Talker {
    const process = this.world.process(machine)
    const handle = this.network.open(machine, process, optionsOf(machine, link, more))
    if (typeof handle === "number") throw new Error(`open says ${handle}`)
    const got: Array<Uint8Array> = []
    const gotMs: Array<number> = []
    const received = { bytes: new Uint8Array(65_536), ends: new Int32Array(64), count: 0 }
    const read = (): void => {
      for (;;) {
        received.count = handle.receive(received.bytes, received.ends, 64)
        if (received.count < 0) break
        got.push(...unpacked(received))
        for (let i = 0; i < received.count; i++) gotMs.push(this.world.nowMs)
      }
      handle.whenReadable(read)
    }
    handle.whenReadable(read)
    return {
      handle,
      process,
      got,
      gotMs,
      numbers: () => got.map((bytes) => (bytes[0]! << 8) | bytes[1]!),
      send: (...datagrams) => {
        const { bytes, count, ends } = packed(datagrams)
        return handle.send(bytes, ends, count)
      }
    }
  }

  pair(faults: Partial<LinkFaults> = {}, more: Partial<DatagramOptions> = {}) {
    Object.assign(this.network.faults(0), faults)
    return { a: this.open("A", 0, more), b: this.open("B", 0, more) }
  }

  /** Sends `count` numbered datagrams, one each millisecond, and waits until all is over. */
  stream(talker: Talker, count: number): void {
    for (const n of range(count)) this.world.after(n, () => talker.send(numbered(n)))
    this.world.runUntil(this.world.nowMs + count + 1_000)
  }

  get(name: string): number {
    return this.network.counters[name] ?? 0
  }

  /** Nothing appears or disappears: the equation the judge relies on. */
  assertBalanced(): void {
    const sources = this.get("sent") + this.get("duplicated") + this.get("injected")
    const sinks = this.get("delivered") + this.get("lost") + this.network.inFlight()
    assert.strictEqual(sources, sinks)
  }
}

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
    a.send(bytes)
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

describe("faults of a link", () => {
  const observed = (bench: Bench, what: string) =>
    bench.story.filter((line) => line.includes(` ${what} `)).length

  it("lose the share of datagrams they say", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ lossPercent: 20 })
    bench.stream(a, 5_000)
    const lost = 5_000 - b.got.length
    assert.isTrue(lost > 850 && lost < 1_150, `${lost} lost`)
    assert.strictEqual(bench.get("lost: loss"), lost)
    assert.strictEqual(observed(bench, "loss"), lost)
    bench.assertBalanced()
  })

  it("duplicate; the second copy comes later", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ duplicatePercent: 10, delayMeanMs: 1 })
    bench.stream(a, 2_000)
    const twice = b.got.length - 2_000
    assert.isTrue(twice > 140 && twice < 260, `${twice} twice`)
    assert.strictEqual(bench.get("duplicated"), twice)
    assert.strictEqual(new Set(b.numbers()).size, 2_000)
    bench.assertBalanced()
  })

  it("reorder some; delay alone keeps the order", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 3, delayJitterMs: 3 })
    bench.stream(a, 1_000)
    assert.deepStrictEqual(b.numbers(), range(1_000))
    b.got.length = 0
    bench.network.faults(0).reorderPercent = 5
    bench.stream(a, 1_000)
    const numbers = b.numbers()
    const overtaken = numbers.filter((n, i) => i > 0 && n < numbers[i - 1]!).length
    assert.isTrue(overtaken > 20 && overtaken < 80, `${overtaken} overtaken`)
    assert.deepStrictEqual(numbers.toSorted((x, y) => x - y), range(1_000))
    assert.isTrue(bench.get("reordered") >= overtaken)
  })

  it("corrupt: the receiver's kernel notices, unless there is no checksum", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ corruptPercent: 10 })
    bench.stream(a, 1_000)
    const corrupted = bench.get("lost: corrupted")
    assert.isTrue(corrupted > 60 && corrupted < 150, `${corrupted} corrupted`)
    assert.strictEqual(b.handle.dropped(), corrupted)
    assert.isTrue(b.got.every((bytes, i) => bytes.length === 100 && b.numbers()[i]! < 1_000))

    const open = new Bench()
    const { a: c, b: d } = open.pair({ corruptPercent: 10 }, { checksum: false })
    open.stream(c, 1_000)
    assert.strictEqual(d.got.length, 1_000)
    const flips = d.got.map((bytes, n) => {
      const sent = numbered(n)
      return bytes.reduce((sum, byte, i) => sum + bitCount(byte ^ sent[i]!), 0)
    })
    const damaged = flips.filter((count) => count > 0)
    assert.isTrue(damaged.every((count) => count <= 4))
    assert.strictEqual(open.get("lost"), 0)
    // Two flips of the same bit undo each other.
    const unharmed = open.get("corrupted") - damaged.length
    assert.isTrue(unharmed >= 0 && unharmed < 4 && damaged.length > 60)
  })

  it("always have a checksum over IPv6", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ corruptPercent: 100 }, { family: 6, checksum: false })
    bench.stream(a, 50)
    assert.strictEqual(b.got.length, 0)
    assert.strictEqual(bench.get("lost: corrupted"), 50)
  })

  it("limit the bandwidth: datagrams queue, then the sender is refused", () => {
    const bench = new Bench()
    // 128 bytes on the wire each: one a millisecond.
    const { a, b } = bench.pair({ bytesPerMs: 128, delayMeanMs: 0 }, { sendBufferBytes: 5_120 })
    const accepted = a.send(...range(100).map((n) => numbered(n)))
    assert.strictEqual(accepted, 80)
    assert.strictEqual(a.handle.lastSendError(), EAGAIN)
    bench.world.runUntil(40.5)
    assert.deepStrictEqual(b.numbers(), range(40))
    assert.strictEqual(bench.network.inFlight(), 40)
    bench.assertBalanced()
    bench.world.runUntil(200)
    assert.deepStrictEqual(b.gotMs, range(80).map((n) => n + 1))
    assert.strictEqual(bench.network.direction(0, "A", "B").refused, 20)
    assert.strictEqual(observed(bench, "clogged"), 20)
  })

  it("clog: everything is held back, then comes in a burst, in order", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 2 })
    a.send(numbered(0))
    bench.world.runUntil(1)
    bench.network.clog(0, "A", 50)
    for (const n of range(20)) bench.world.after(n, () => a.send(numbered(n + 1)))
    b.send(numbered(99))
    bench.world.runUntil(49)
    // What was under way before, and the other direction, are not held.
    assert.deepStrictEqual([b.numbers(), a.numbers()], [[0], [99]])
    assert.strictEqual(bench.network.inFlight(), 20)
    bench.world.runUntil(100)
    assert.deepStrictEqual(b.numbers(), range(21))
    assert.isTrue(b.gotMs.slice(1).every((at) => at === 50))
    bench.assertBalanced()
  })

  it("let nothing overtake what was held", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    // Set before the release, due in the same moment.
    bench.world.after(50, () => a.send(numbered(2)))
    bench.network.clog(0, "A", 50)
    a.send(numbered(1))
    bench.world.runUntil(100)
    assert.deepStrictEqual(b.numbers(), [1, 2])
  })

  it("clog for longer when told again", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.network.clog(0, "A", 50)
    bench.network.clog(0, "A", 80)
    a.send(numbered(1))
    bench.world.runUntil(79)
    assert.strictEqual(b.got.length, 0)
    bench.world.runUntil(81)
    assert.deepStrictEqual(b.gotMs, [80])
  })

  it("partition one direction of all links", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    const [a1, b1] = [bench.open("A", 1), bench.open("B", 1)]
    bench.network.partition("A", "B", true)
    a.send(numbered(1))
    b.send(numbered(2))
    a1.send(numbered(3))
    bench.world.runUntil(10)
    assert.deepStrictEqual([a, b, b1].map((one) => one.numbers()), [[2], [], []])
    assert.strictEqual(bench.get("lost: partition"), 2)
    bench.network.partition("A", "B", false)
    a.send(numbered(4))
    bench.world.runUntil(20)
    assert.deepStrictEqual(b.numbers(), [4])
  })

  it("cut a cable: also what is under way is lost, and the sender is not told", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 5 })
    a.send(numbered(1))
    bench.world.runUntil(2)
    bench.network.linkDown(0, true)
    assert.strictEqual(a.send(numbered(2)), 1)
    bench.world.runUntil(20)
    bench.network.linkDown(0, false)
    a.send(numbered(3))
    bench.world.runUntil(40)
    assert.deepStrictEqual(b.numbers(), [3])
    assert.strictEqual(bench.get("lost: link down"), 2)
    bench.assertBalanced()
  })

  it("take an interface down: the sender is refused, the receiver hears nothing", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.network.setInterface("A", 0, false)
    assert.strictEqual(a.send(numbered(1)), 0)
    assert.strictEqual(a.handle.lastSendError(), ENETDOWN)
    assert.strictEqual(b.send(numbered(2)), 1)
    bench.world.runUntil(10)
    assert.deepStrictEqual([a.numbers(), b.numbers()], [[], []])
    // The judge hears of both; only one of them was ever on the wire.
    assert.strictEqual(observed(bench, "link down"), 2)
    assert.strictEqual(bench.get("lost: link down"), 1)
    assert.strictEqual(bench.get("refused"), 1)
    assert.strictEqual(bench.network.end(0, "A").refused, 1)
    bench.network.setInterface("A", 0, true)
    a.send(numbered(3))
    bench.world.runUntil(20)
    assert.strictEqual(a.handle.lastSendError(), 0)
    assert.deepStrictEqual(b.numbers(), [3])
  })

  it("fragment what exceeds the MTU: one lost fragment loses it all", () => {
    const bench = new Bench({ mtuBytes: 300 })
    const { a, b } = bench.pair()
    a.send(numbered(1, 1_472))
    bench.world.runUntil(10)
    assert.deepStrictEqual(b.got, [numbered(1, 1_472)])
    bench.network.faults(0).lossPercent = 10
    for (const n of range(2_000)) {
      bench.world.after(n, () => a.send(numbered(n, n % 2 === 0 ? 272 : 1_472)))
    }
    b.got.length = 0
    bench.world.runUntil(4_000)
    const arrived = [272, 1_472].map((size) => b.got.filter(({ length }) => length === size).length)
    // 0.9 and 0.9 to the sixth (1480 bytes in fragments of 280).
    assert.isTrue(Math.abs(arrived[0]! - 900) < 40, `${arrived[0]} small ones`)
    assert.isTrue(Math.abs(arrived[1]! - 531) < 60, `${arrived[1]} big ones`)
  })

  it("lose frames larger than the switch forwards, and refuse what UDP cannot carry", () => {
    const bench = new Bench({ mtuBytes: 9_000 })
    const { a, b } = bench.pair({ pathMtuBytes: 1_500 })
    assert.strictEqual(a.send(numbered(1, 1_472), numbered(2, 1_473)), 2)
    assert.strictEqual(a.send(numbered(3, 65_508)), 0)
    assert.strictEqual(a.handle.lastSendError(), EMSGSIZE)
    bench.world.runUntil(10)
    assert.deepStrictEqual(b.numbers(), [1])
    assert.strictEqual(bench.get("lost: too big"), 1)
    bench.network.faults(0).pathMtuBytes = Infinity
    assert.strictEqual(a.send(numbered(4, 65_507)), 1)
    bench.world.runUntil(20)
    assert.deepStrictEqual(b.numbers(), [1, 4])
  })

  it("heal, all at once", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ lossPercent: 100, delayMeanMs: 30, bytesPerMs: 1 })
    bench.network.partition("A", "B", true)
    bench.network.linkDown(0, true)
    bench.network.linkDown(1, true)
    bench.network.healAll()
    bench.network.clog(0, "A", 1_000)
    a.send(numbered(1))
    bench.world.runUntil(10)
    assert.strictEqual(b.got.length, 0)
    bench.network.healAll()
    bench.world.runUntil(11)
    assert.deepStrictEqual(b.numbers(), [1])
    assert.deepStrictEqual(bench.network.faults(0), bench.network.faults(1))
  })
})

const bitCount = (byte: number): number => byte.toString(2).replaceAll("0", "").length

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

describe("randomness", () => {
  const faults: Partial<LinkFaults> = {
    lossPercent: 10,
    duplicatePercent: 10,
    reorderPercent: 10,
    corruptPercent: 10,
    delayMeanMs: 4,
    delayJitterMs: 3
  }

  /** `extra` datagrams on the other link, and from the other side. */
  const run = (seed: string, extra: boolean) => {
    const bench = new Bench({ seed })
    const { a } = bench.pair(faults, { checksum: false })
    const [a1] = [bench.open("A", 1), bench.open("B", 1)]
    if (extra) bench.world.after(20, () => a1.send(numbered(7), numbered(8)))
    bench.stream(a, 300)
    return { hash: bench.world.traceHash, story: bench.storyOf(0) }
  }

  it("is the same for a seed, and another for another", () => {
    const once = run("one", false)
    assert.deepStrictEqual(run("one", false), once)
    const other = run("other", false)
    assert.notStrictEqual(other.hash, once.hash)
    assert.notDeepEqual(other.story, once.story)
  })

  it("does not change a link when something else happens on another", () => {
    const [without, with_] = [run("one", false), run("one", true)]
    assert.deepStrictEqual(with_.story, without.story)
    assert.notStrictEqual(with_.hash, without.hash)
  })

  it("is keyed by fault: adding loss leaves the delay of the others alone", () => {
    const arrivals = (lossPercent: number) => {
      const bench = new Bench()
      const { a, b } = bench.pair({ lossPercent, delayMeanMs: 0.5, delayJitterMs: 0.4 })
      bench.stream(a, 300)
      return new Map(b.numbers().map((n, i) => [n, b.gotMs[i]!]))
    }
    const [all, some] = [arrivals(0), arrivals(30)]
    assert.isBelow(some.size, 260)
    for (const [n, at] of some) assert.strictEqual(all.get(n), at)
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
