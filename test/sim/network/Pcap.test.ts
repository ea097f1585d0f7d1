/**
 * The capture file of the simulated network, read by a parser of its own and, where it is
 * installed, by tcpdump.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import type { DatagramOptions } from "../../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "../machine/Machine.ts"
import { linkAddress, linkInterface, linkPort } from "../machine/Machine.ts"
import { World } from "../World.ts"
import type { DatagramPath } from "./Datagram.ts"
import { Capture } from "./Pcap.ts"
import { VirtualNetwork } from "./VirtualNetwork.ts"

const hasTcpdump = spawnSync("tcpdump", ["--version"]).error === undefined

interface Packet {
  readonly seconds: number
  readonly nanos: number
  readonly bytes: Uint8Array
}

const packetsOf = (file: Uint8Array): ReadonlyArray<Packet> => {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const header = [0, 4, 8, 12, 16, 20].map((at) => view.getUint32(at, true))
  // Version 2.4; no time zone, no accuracy; raw IP.
  assert.deepStrictEqual(header, [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 101])
  const packets: Array<Packet> = []
  let at = 24
  while (at < file.length) {
    const [seconds, nanos, captured, length] = [0, 4, 8, 12].map((offset) =>
      view.getUint32(at + offset, true)
    ) as [number, number, number, number]
    assert.strictEqual(captured, length)
    assert.isBelow(nanos, 1e9)
    packets.push({ seconds, nanos, bytes: file.subarray(at + 16, at + 16 + length) })
    at += 16 + length
  }
  assert.strictEqual(at, file.length)
  return packets
}

/** With the checksum included, the sum of everything is all ones. */
const onesSum = (...parts: ReadonlyArray<Uint8Array>): number => {
  let sum = 0
  for (const part of parts) {
    for (const [i, byte] of part.entries()) sum += i % 2 === 0 ? byte * 256 : byte
  }
  while (sum >= 65_536) sum = sum % 65_536 + Math.floor(sum / 65_536)
  return sum
}

const word = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!

interface Parsed {
  readonly source: string
  readonly destination: string
  /** The UDP part of this packet: header and payload, or a piece of them. */
  readonly data: Uint8Array
  readonly addresses: Uint8Array
  readonly id: number
  readonly offset: number
  readonly hasMore: boolean
  readonly hopLimit: number
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const parsedOf = ({ bytes }: Packet): Parsed => {
  if (bytes[0]! >> 4 === 4) {
    assert.strictEqual(bytes[0], 0x45)
    assert.strictEqual(word(bytes, 2), bytes.length)
    assert.strictEqual(bytes[9], 17)
    assert.strictEqual(onesSum(bytes.subarray(0, 20)), 0xffff)
    const flags = word(bytes, 6)
    return {
      source: bytes.subarray(12, 16).join("."),
      destination: bytes.subarray(16, 20).join("."),
      data: bytes.subarray(20),
      addresses: bytes.subarray(12, 20),
      id: word(bytes, 4),
      offset: (flags & 0x1fff) * 8,
      hasMore: (flags & 0x2000) !== 0,
      hopLimit: bytes[8]!
    }
  }
  assert.strictEqual(bytes[0], 0x60)
  assert.strictEqual(word(bytes, 4), bytes.length - 40)
  const isFragment = bytes[6] === 44
  assert.strictEqual(isFragment ? bytes[40] : bytes[6], 17)
  return {
    source: hex(bytes.subarray(8, 24)),
    destination: hex(bytes.subarray(24, 40)),
    data: bytes.subarray(isFragment ? 48 : 40),
    addresses: bytes.subarray(8, 40),
    id: isFragment ? word(bytes, 46) : 0,
    offset: isFragment ? word(bytes, 42) & 0xfff8 : 0,
    hasMore: isFragment && (word(bytes, 42) & 1) === 1,
    hopLimit: bytes[7]!
  }
}

/** Ports and payload of a whole datagram; its length and checksum are right. */
const udpOf = (data: Uint8Array, addresses: Uint8Array, hasChecksum = true) => {
  assert.strictEqual(word(data, 4), data.length)
  if (hasChecksum) {
    const pseudo = Uint8Array.of(0, 17, data.length >> 8, data.length & 0xff)
    assert.strictEqual(onesSum(addresses, pseudo, data), 0xffff)
    assert.notStrictEqual(word(data, 6), 0)
  } else {
    assert.strictEqual(word(data, 6), 0)
  }
  return { port: word(data, 2), payload: data.slice(8) }
}

const payloadOf = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff)

const talkers = (network: VirtualNetwork, world: World, more: Partial<DatagramOptions> = {}) => {
  const family = more.family ?? 4
  return (machine: MachineName, peer: MachineName, link: number) => {
    const handle = network.open(machine, world.process(machine), {
      family,
      bindAddress: linkAddress(machine, link, family),
      port: linkPort(link),
      peerAddress: linkAddress(peer, link, family),
      interfaceName: linkInterface(link),
      multicast: false,
      checksum: true,
      ...more
    })
    if (typeof handle === "number") throw new Error(`open says ${handle}`)
    return (bytes: Uint8Array) => handle.send(bytes, Int32Array.of(bytes.length), 1)
  }
}

const recording = (mtuBytes = 1_500) => {
  const world = new World({ seed: "pcap", epochMs: 1_700_000_000_987 })
  return { world, network: new VirtualNetwork(world, { links: 2, mtuBytes, record: true }) }
}

describe("the capture file", () => {
  it("is a header alone when nothing was sent", () => {
    assert.deepStrictEqual(packetsOf(recording().network.pcap()), [])
  })

  it("writes a header that is known from elsewhere", () => {
    const path: DatagramPath = {
      family: 4,
      source: Uint8Array.of(192, 168, 0, 1),
      destination: Uint8Array.of(192, 168, 0, 199),
      sourcePort: 1,
      destinationPort: 2,
      hasChecksum: true,
      isMulticast: false
    }
    const capture = new Capture(0)
    capture.add({ atMs: 0, path, bytes: payloadOf(0x73 - 28), mtuBytes: 1_500 })
    const [packet] = packetsOf(capture.encode())
    const header = "45000073000040004011b861c0a80001c0a800c7"
    assert.strictEqual(hex(packet!.bytes.subarray(0, 20)), header)
  })

  it("has everything sent, also what is lost, with its time to the microsecond", () => {
    const { network, world } = recording()
    const talker = talkers(network, world)
    const [a, b, a1] = [talker("A", "B", 0), talker("B", "A", 0), talker("A", "B", 1)]
    network.faults(0).lossPercent = 100
    const sent: Array<readonly [number, Uint8Array]> = []
    const send = (ms: number, by: (bytes: Uint8Array) => number, length: number) => {
      const bytes = payloadOf(length)
      sent.push([ms, bytes])
      world.after(ms, () => assert.strictEqual(by(bytes), 1))
    }
    send(0, a, 84)
    send(12.5, b, 0)
    send(13.001, a1, 1_471)
    send(100_000.25, a, 3)
    world.runUntil(200_000)
    const packets = packetsOf(network.pcap())
    const parsed = packets.map(parsedOf)
    assert.deepStrictEqual(
      parsed.map(({ destination, source }) => `${source} > ${destination}`),
      [
        "10.255.0.1 > 10.255.0.2",
        "10.255.0.2 > 10.255.0.1",
        "10.255.1.1 > 10.255.1.2",
        "10.255.0.1 > 10.255.0.2"
      ]
    )
    const datagrams = parsed.map(({ addresses, data }) => udpOf(data, addresses))
    assert.deepStrictEqual(datagrams.map(({ port }) => port), [3_780, 3_780, 3_781, 3_780])
    assert.deepStrictEqual(datagrams.map(({ payload }) => payload), sent.map(([, bytes]) => bytes))
    assert.deepStrictEqual(packets.map(({ nanos, seconds }) => [seconds, nanos]), [
      [1_700_000_000, 987_000_000],
      [1_700_000_000, 999_500_000],
      [1_700_000_001, 1_000],
      [1_700_000_100, 987_250_000]
    ])
  })

  it("leaves out what the kernel refused, and what came before recording", () => {
    const { network, world } = recording()
    const send = talkers(network, world)("A", "B", 0)
    network.isRecording = false
    send(payloadOf(1))
    network.isRecording = true
    network.setInterface("A", 0, false)
    send(payloadOf(2))
    network.setInterface("A", 0, true)
    send(payloadOf(3))
    network.inject(0, "B", payloadOf(4))
    const lengths = packetsOf(network.pcap()).map(({ bytes }) => bytes.length - 28)
    assert.deepStrictEqual(lengths, [3, 4])
  })

  it("writes IPv6, which has a checksum in any case", () => {
    const { network, world } = recording()
    const send = talkers(network, world, { family: 6, checksum: false })("B", "A", 1)
    send(payloadOf(84))
    const parsed = parsedOf(packetsOf(network.pcap())[0]!)
    assert.strictEqual(parsed.source, "fd000255000100000000000000000002")
    assert.strictEqual(parsed.destination, "fd000255000100000000000000000001")
    assert.deepStrictEqual(udpOf(parsed.data, parsed.addresses).payload, payloadOf(84))
  })

  it("writes a checksum of 0 as all ones, since 0 says that there is none", () => {
    const { network, world } = recording()
    const send = talkers(network, world)("A", "B", 0)
    send(Uint8Array.of(0, 0))
    const checksum = parsedOf(packetsOf(network.pcap())[0]!).data.slice(6, 8)
    // Adding the complement of a sum makes all ones of it.
    send(checksum)
    const second = parsedOf(packetsOf(network.pcap())[1]!)
    assert.strictEqual(word(second.data, 6), 0xffff)
    udpOf(second.data, second.addresses)
  })

  it("writes no checksum where there is none, and a group once, for one hop", () => {
    const { network, world } = recording()
    const group = { multicast: true, peerAddress: "225.0.0.50", checksum: false }
    talkers(network, world, group)("A", "B", 0)(payloadOf(84))
    const packets = packetsOf(network.pcap())
    assert.strictEqual(packets.length, 1)
    const { addresses, data, destination, hopLimit } = parsedOf(packets[0]!)
    assert.deepStrictEqual([destination, hopLimit], ["225.0.0.50", 1])
    assert.deepStrictEqual(udpOf(data, addresses, false).payload, payloadOf(84))
  })

  for (const family of [4, 6] as const) {
    it(`writes fragments that fit the MTU and can be put together (IPv${family})`, () => {
      const { network, world } = recording(1_280)
      const send = talkers(network, world, { family })("A", "B", 0)
      send(payloadOf(5_100))
      send(payloadOf(1_280 - (family === 4 ? 28 : 48)))
      send(payloadOf(1_280 - (family === 4 ? 28 : 48) + 1))
      const packets = packetsOf(network.pcap())
      assert.isTrue(packets.every(({ bytes }) => bytes.length <= 1_280))
      const parsed = packets.map(parsedOf)
      assert.strictEqual(parsed.length, 5 + 1 + 2)
      const whole: Array<Uint8Array> = []
      for (const { data, hasMore, offset } of parsed) {
        if (offset === 0) whole.push(new Uint8Array())
        assert.strictEqual(whole.at(-1)!.length, offset)
        assert.isTrue(!hasMore || data.length % 8 === 0)
        whole.push(Uint8Array.from([...whole.pop()!, ...data]))
      }
      const payloads = whole.map((udp) => udpOf(udp, parsed[0]!.addresses).payload.length)
      assert.deepStrictEqual(payloads, [
        5_100,
        family === 4 ? 1_252 : 1_232,
        family === 4 ? 1_253 : 1_233
      ])
      const ids = parsed.map(({ id }) => id)
      assert.deepStrictEqual(ids, [1, 1, 1, 1, 1, 0, 3, 3])
    })
  }

  // The tests above prove the format; this one says that tcpdump agrees.
  it.skipIf(!hasTcpdump)("is read by tcpdump, where it is installed", () => {
    const { network, world } = recording()
    talkers(network, world)("A", "B", 0)(payloadOf(84))
    talkers(network, world, { family: 6 })("A", "B", 1)(payloadOf(85))
    talkers(network, world)("B", "A", 0)(payloadOf(4_000))
    // Root stays root: an installation may lack the user that tcpdump would become.
    const user = process.getuid?.() === 0 ? ["-Z", "root"] : []
    const input = network.pcap()
    const tool = spawnSync("tcpdump", ["-nvvr", "-", ...user], { input, encoding: "utf8" })
    assert.strictEqual(tool.status, 0, tool.stderr)
    assert.strictEqual(tool.stdout.match(/udp sum ok/g)?.length, 2)
    assert.match(tool.stdout, /10\.255\.0\.1\.\d+ > 10\.255\.0\.2\.3780: .*UDP, length 84/)
    assert.match(tool.stdout, /fd00:255:1::1\.\d+ > fd00:255:1::2\.3781: .*UDP, length 85/)
    assert.strictEqual(tool.stdout.match(/offset (0|1480|2960),/g)?.length, 4)
    assert.notMatch(tool.stdout, /bad/)
  })
})
