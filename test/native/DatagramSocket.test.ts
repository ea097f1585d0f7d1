import { assert, describe, it } from "@effect/vitest"
import type { DatagramHandle, DatagramOptions } from "../../src/layers/live/NativeAddon.ts"
import {
  addon,
  EAGAIN,
  EBADF,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  EPERM,
  mayUse,
  opened,
  readable
} from "./Machine.ts"

/** A port that was free a moment ago, on the loopback interface. */
const freePort = (family: 4 | 6): number => {
  const bindAddress = family === 4 ? "127.0.0.1" : "::1"
  const probe = opened(
    addon.openDatagram({ ...base, family, bindAddress, peerAddress: bindAddress, port: 0 })
  )
  const port = probe.localPort()
  probe.close()
  return port
}

const mayForceBuffers = mayUse("forced buffer sizes", "CAP_NET_ADMIN")

const base: DatagramOptions = {
  family: 4,
  bindAddress: "127.0.0.1",
  port: 0,
  peerAddress: "127.0.0.1",
  interfaceName: "lo",
  multicast: false,
  checksum: true
}

/** A link to itself: what it sends it receives. */
const loopback = (family: 4 | 6, more: Partial<DatagramOptions> = {}): DatagramHandle => {
  const address = family === 4 ? "127.0.0.1" : "::1"
  const port = freePort(family)
  return opened(
    addon.openDatagram({
      ...base,
      family,
      bindAddress: address,
      peerAddress: address,
      port,
      ...more
    })
  )
}

const packed = (datagrams: ReadonlyArray<Uint8Array>) => {
  const bytes = new Uint8Array(datagrams.reduce((sum, one) => sum + one.length, 0))
  const ends = new Int32Array(datagrams.length)
  let end = 0
  for (const [i, one] of datagrams.entries()) {
    bytes.set(one, end)
    end += one.length
    ends[i] = end
  }
  return { bytes, ends }
}

const send = (link: DatagramHandle, datagrams: ReadonlyArray<Uint8Array>): number => {
  const { bytes, ends } = packed(datagrams)
  return link.send(bytes, ends, datagrams.length)
}

/** Receives until `count` datagrams are there, `atOnce` at most per call. */
const receive = async (
  link: DatagramHandle,
  count: number,
  bufferBytes = 1 << 20,
  atOnce = 256
): Promise<ReadonlyArray<Uint8Array>> => {
  const buffer = new Uint8Array(bufferBytes)
  const ends = new Int32Array(atOnce)
  const all: Array<Uint8Array> = []
  while (all.length < count) {
    await readable(link)
    const received = link.receive(buffer, ends, atOnce)
    assert.isAbove(received, 0, `receive said ${received}`)
    for (let i = 0; i < received; i++) {
      all.push(buffer.slice(i === 0 ? 0 : ends[i - 1]!, ends[i]!))
    }
  }
  assert.strictEqual(link.receive(buffer, ends, atOnce), -EAGAIN)
  return all
}

const numbered = (count: number, bytes: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: count }, (_, i) => {
    const one = new Uint8Array(bytes).fill(i & 0xff)
    new DataView(one.buffer).setUint32(0, i)
    return one
  })

describe.each([4, 6] as const)("a UDP link over IPv%i", (family) => {
  it("delivers a batch in order", async () => {
    const link = loopback(family)
    const batch = numbered(10, 400)
    assert.strictEqual(send(link, batch), 10)
    assert.deepStrictEqual(await receive(link, 10), batch)
    link.close()
  })

  it("delivers more than one system call holds", async () => {
    const link = loopback(family)
    const batch = numbered(150, 200)
    assert.strictEqual(send(link, batch), 150)
    assert.deepStrictEqual(await receive(link, 150), batch)
    link.close()
  })

  it("delivers empty and very large datagrams among small ones", async () => {
    const link = loopback(family)
    const small = Uint8Array.of(1, 2, 3)
    const batch = [small, new Uint8Array(0), new Uint8Array(60_000).fill(7), small]
    assert.strictEqual(send(link, batch), 4)
    assert.deepStrictEqual(await receive(link, 4), batch)
    link.close()
  })

  it("delivers the largest datagram there is", async () => {
    const link = loopback(family)
    const largest = new Uint8Array(family === 4 ? 65_507 : 65_527).fill(9)
    assert.strictEqual(send(link, [largest]), 1)
    assert.deepStrictEqual(await receive(link, 1, 65_536), [largest])
    link.close()
  })

  it("keeps what does not fit the buffer, and is readable while it does", async () => {
    const link = loopback(family)
    const batch = Array.from({ length: 3 }, (_, i) => new Uint8Array(40_000).fill(i))
    assert.strictEqual(send(link, batch), 3)
    // All three are taken from the kernel at once; only one fits at a time.
    assert.deepStrictEqual(await receive(link, 3, 65_536), batch)
    link.close()
  })

  it("goes on behind a datagram that is refused", async () => {
    const link = loopback(family)
    const small = Uint8Array.of(1)
    const tooLarge = new Uint8Array(66_000)
    assert.strictEqual(send(link, [small, tooLarge, small]), 2)
    assert.strictEqual(link.lastSendError(), EMSGSIZE)
    assert.strictEqual((await receive(link, 2)).length, 2)
    assert.strictEqual(send(link, [small]), 1)
    assert.strictEqual(link.lastSendError(), 0)
    link.close()
  })

  it("sends from a port of its own", async () => {
    const { createSocket } = await import("node:dgram")
    const address = family === 4 ? "127.0.0.1" : "::1"
    const peer = createSocket({ type: family === 4 ? "udp4" : "udp6", reuseAddr: true })
    await new Promise<void>((resolve) => peer.bind(0, address, resolve))
    const { port } = peer.address()
    // Not the peer's address: the two would compete for what is sent to it.
    const bindAddress = family === 4 ? "127.0.0.2" : ""
    const options = { ...base, family, bindAddress, peerAddress: address, port }
    const link = opened(addon.openDatagram(options))
    const from = new Promise<number>((resolve) => peer.on("message", (_, r) => resolve(r.port)))
    assert.strictEqual(send(link, [Uint8Array.of(5)]), 1)
    assert.notStrictEqual(await from, port)
    link.close()
    await new Promise<void>((resolve) => peer.close(() => resolve()))
  })

  it.skipIf(!mayForceBuffers)("counts what the socket had no room for", () => {
    const link = loopback(family, { receiveBufferBytes: 4096 })
    assert.strictEqual(link.dropped(), 0)
    const accepted = send(link, numbered(100, 1000))
    assert.strictEqual(accepted, 100)
    const buffer = new Uint8Array(1 << 20)
    const received = link.receive(buffer, new Int32Array(256), 256)
    assert.isAbove(received, 0)
    assert.isBelow(received, 100)
    assert.strictEqual(link.dropped(), 100 - received)
    link.close()
  })

  it("asks again only when told to", async () => {
    const link = loopback(family)
    let calls = 0
    assert.strictEqual(link.whenReadable(() => void calls++), 0)
    send(link, numbered(1, 8))
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.strictEqual(calls, 1, "once, although the datagram is still there")
    await readable(link)
    link.close()
  })
})

describe("bad input", () => {
  it("is a negative errno when opening", () => {
    const open = (more: object) => addon.openDatagram({ ...base, ...more } as DatagramOptions)
    assert.strictEqual(open({ family: 5 }), -EINVAL)
    assert.strictEqual(open({ bindAddress: "nonsense" }), -EINVAL)
    assert.strictEqual(open({ bindAddress: "::1" }), -EINVAL)
    assert.strictEqual(open({ peerAddress: "" }), -EINVAL)
    assert.strictEqual(open({ port: 65_536 }), -EINVAL)
    assert.strictEqual(open({ port: 1.5 }), -EINVAL)
    assert.strictEqual(open({ port: Number.NaN }), -EINVAL)
    assert.strictEqual(open({ multicast: "yes" }), -EINVAL)
    assert.strictEqual(open({ receiveBufferBytes: -1 }), -EINVAL)
    assert.strictEqual(open({ interfaceName: "no-such-if0" }), -ENODEV)
    assert.strictEqual(addon.openDatagram(undefined as never), -EINVAL)
    assert.isBelow(open({ bindAddress: "192.0.2.77" }) as number, 0)
    if (!mayForceBuffers) assert.strictEqual(open({ receiveBufferBytes: 4096 }), -EPERM)
  })

  it("is a negative errno when receiving and sending", () => {
    const link = loopback(4)
    const buffer = new Uint8Array(65_536)
    const ends = new Int32Array(4)
    assert.strictEqual(link.receive(new Uint8Array(1000), ends, 4), -EINVAL)
    assert.strictEqual(link.receive(buffer, new Int32Array(0), 4), -EINVAL)
    assert.strictEqual(link.receive(buffer, [1] as never, 4), -EINVAL)
    assert.strictEqual(link.receive(new DataView(buffer.buffer) as never, ends, 4), -EINVAL)
    assert.strictEqual(link.receive(buffer, ends, 0), -EINVAL)
    assert.strictEqual(link.receive(buffer, ends, 4), -EAGAIN)
    assert.strictEqual(link.send(buffer, Int32Array.of(4, 2), 2), -EINVAL)
    assert.strictEqual(link.send(buffer, Int32Array.of(-1), 1), -EINVAL)
    assert.strictEqual(link.send(buffer, Int32Array.of(65_537), 1), -EINVAL)
    assert.strictEqual(link.send(buffer, Int32Array.of(1), 2), -EINVAL)
    assert.strictEqual(link.send(buffer, Int32Array.of(1), 0), 0)
    assert.strictEqual(link.whenReadable(undefined as never), -EINVAL)
    link.close()
    link.close()
    assert.strictEqual(link.receive(buffer, ends, 4), -EBADF)
    assert.strictEqual(link.send(buffer, Int32Array.of(1), 1), -EBADF)
    assert.strictEqual(link.whenReadable(() => {}), -EBADF)
    assert.strictEqual(link.dropped(), -EBADF)
    assert.strictEqual(link.localPort(), -EBADF)
  })
})
