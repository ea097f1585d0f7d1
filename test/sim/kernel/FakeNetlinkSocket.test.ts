/** The queue of a simulated netlink socket, against what a real kernel's was seen to do. */
import { assert, describe, it } from "@effect/vitest"
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { FakeNetlinkSocket as Socket } from "./FakeNetlinkSocket.ts"

const eventBytes = new Uint8Array(184)
const buffer = new Uint8Array(32_768)
const lengths = new Int32Array(64)

const open = (roomBytes?: number, options: ReadonlyArray<number> = []) => {
  const socket = new Socket(1, {
    execute: () => undefined,
    closed: () => undefined,
    defer: (task) => task()
  })
  if (roomBytes !== undefined) socket.setReceiveBuffer(roomBytes / 2)
  for (const option of options) socket.setOption(270, option, 1)
  return socket
}

const queue = (socket: FakeNetlinkSocket, count: number) => {
  let queued = 0
  for (let i = 0; i < count; i++) if (socket.queueEvent(eventBytes)) queued++
  return queued
}

/** Results of receive calls, one datagram each, until nothing is left. */
const drain = (socket: FakeNetlinkSocket): ReadonlyArray<number> => {
  const out: Array<number> = []
  for (let i = 0; i < 1_000; i++) {
    const result = socket.receive(buffer, buffer.length, lengths, 1)
    if (result === -11) return out
    out.push(result < 0 ? result : lengths[0]!)
  }
  return out
}

/** A dump of datagrams this long, then DONE; takes down how many bytes each might have had. */
const dumpOf = (sizes: ReadonlyArray<number>, limits: Array<number> = []) => {
  let at = 0
  return (bytesMax: number) => {
    limits.push(bytesMax)
    if (at < sizes.length) return new Uint8Array(sizes[at++]!)
    return Uint8Array.of(20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  }
}

describe("the queue of a simulated netlink socket", () => {
  it("holds what its room is for: 1, 3, 6 and 12 events", () => {
    for (const [room, held] of [[0, 1], [4_000, 3], [8_192, 6], [16_384, 12]] as const) {
      const socket = open(room)
      assert.strictEqual(queue(socket, 20), held, `${room} bytes`)
      assert.strictEqual(socket.dropped(), 20 - held)
      assert.deepStrictEqual(drain(socket), [-105, ...Array.from({ length: held }, () => 184)])
      assert.strictEqual(queue(socket, 3), Math.min(3, held))
    }
    assert.strictEqual(queue(open(), 200), Math.floor(212_992 / 1_280))
  })

  it("takes nothing after an overrun until it has been emptied, and says so once", () => {
    const socket = open(16_384)
    queue(socket, 20)
    assert.strictEqual(socket.receive(buffer, 1_024, lengths, 4), -105)
    assert.strictEqual(socket.receive(buffer, 1_024, lengths, 4), 4)
    assert.strictEqual(queue(socket, 3), 0)
    assert.strictEqual(socket.dropped(), 11)
    assert.lengthOf(drain(socket), 8)
    assert.strictEqual(queue(socket, 1), 1)
    assert.deepStrictEqual(drain(socket), [184])
  })

  it("is told of no overrun that it does not want to know of, and takes what fits again", () => {
    const socket = open(16_384, [5])
    assert.strictEqual(queue(socket, 20), 12)
    assert.strictEqual(socket.receive(buffer, 1_024, lengths, 2), 2)
    assert.strictEqual(queue(socket, 4), 2)
    assert.strictEqual(socket.dropped(), 10)
    assert.deepStrictEqual(drain(socket), Array.from({ length: 12 }, () => 184))
  })

  it("drops answers for which there is no room", () => {
    const socket = open(8_192)
    for (let i = 0; i < 20; i++) socket.queueAnswer(new Uint8Array(36))
    assert.strictEqual(socket.dropped(), 11)
    assert.deepStrictEqual(drain(socket), [-105, ...Array.from({ length: 9 }, () => 36)])
  })

  it("gets a dump as long as the buffers that it reads into", () => {
    const limits: Array<number> = []
    const socket = open()
    assert.isTrue(socket.startDump(dumpOf([3_648, 32_448, 20_736], limits)))
    assert.isFalse(socket.startDump(dumpOf([])))
    assert.deepStrictEqual(drain(socket), [3_648, 32_448, 20_736, 20])
    assert.deepStrictEqual(limits, [3_776, 32_448, 32_448, 32_448])
    assert.isTrue(socket.startDump(dumpOf([])))
  })

  it("gets a dump that found no room as soon as it has been emptied", () => {
    const socket = open(16_384)
    queue(socket, 1)
    drain(socket)
    queue(socket, 20)
    let errno = 0
    try {
      socket.startDump(dumpOf([32_448]))
    } catch (reason) {
      errno = (reason as { errno: number }).errno
    }
    assert.strictEqual(errno, 105)
    // From half of the room on each receive tries again, and each failure is told.
    const event = 184
    assert.deepStrictEqual(
      drain(socket),
      [
        [-105, event, event, event, event, event, event],
        [-105, event, -105, event, -105, event, -105, event, -105, event],
        [-105, event, 32_448, 20]
      ].flat()
    )
  })

  it("marks what is longer than a slot, and forgets nothing of the rest", () => {
    const socket = open()
    socket.queueAnswer(new Uint8Array(100).fill(7))
    socket.queueAnswer(new Uint8Array(20).fill(8))
    assert.strictEqual(socket.receive(buffer, 64, lengths, 8), 2)
    assert.deepStrictEqual([...lengths.subarray(0, 2)], [-100, 20])
    assert.deepStrictEqual([buffer[63], buffer[64]], [7, 8])
  })

  it("keeps the order of ten thousand events, read in pieces", () => {
    const socket = open(64 << 20)
    const number = (i: number) => Uint8Array.of(i & 0xff, i >> 8)
    let written = 0
    let read = 0
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 700; i++) assert.isTrue(socket.queueEvent(number(written++)))
      for (let i = 0; i < 500; i++) assert.deepStrictEqual(socket.take(), number(read++))
    }
    for (let bytes = socket.take(); bytes !== undefined; bytes = socket.take()) {
      assert.deepStrictEqual(bytes, number(read++))
    }
    assert.strictEqual(read, written)
    assert.strictEqual(socket.dropped(), 0)
  })

  it("tells who waits once, of data and of errors", () => {
    const socket = open(0)
    let told = 0
    socket.whenReadable(() => told++)
    assert.strictEqual(told, 0)
    queue(socket, 2)
    assert.strictEqual(told, 1)
    socket.receive(buffer, 1_024, lengths, 8)
    drain(socket)
    socket.whenReadable(() => told++)
    assert.strictEqual(told, 1)
    socket.loseEvent()
    assert.strictEqual(told, 2)
    socket.close()
    assert.strictEqual(socket.receive(buffer, 1_024, lengths, 8), -9)
  })
})
