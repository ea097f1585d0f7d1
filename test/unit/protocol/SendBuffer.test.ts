import { assert, describe, it } from "@effect/vitest"
import { datagramsMax, HeaderAllowance, SendBuffer } from "../../../src/core/protocol/SendBuffer.ts"

/** Appends a message of `bytes`; false when the batch is full. */
const append = (buffer: SendBuffer, bytes: number): boolean => {
  const at = buffer.reserve(4096)
  if (at < 0) return false
  assert.strictEqual(at & 3, 0)
  buffer.commit(at + bytes)
  return true
}

const sizes = (buffer: SendBuffer): Array<number> => {
  const { count, ends } = buffer.take()
  return Array.from({ length: count }, (_, i) => ends[i]! - (i === 0 ? 0 : ends[i - 1]!))
}

describe("SendBuffer", () => {
  it("packs 17 messages of 84 bytes into an Ethernet frame, as recorded in ftfw-bulk", () => {
    const buffer = new SendBuffer(1500, HeaderAllowance.udpIpv4)
    for (let i = 0; i < 60; i++) assert.isTrue(append(buffer, 84))
    assert.deepStrictEqual(sizes(buffer), [1428, 1428, 1428, 756])
  })

  it("packs 6 messages of 84 bytes at MTU 576", () => {
    const buffer = new SendBuffer(576, HeaderAllowance.udpIpv4)
    for (let i = 0; i < 13; i++) append(buffer, 84)
    assert.deepStrictEqual(sizes(buffer), [504, 504, 84])
  })

  it("fills a datagram to one byte less than the room", () => {
    const cases: Array<[second: number, expected: Array<number>]> = [[64, [164]], [68, [100, 68]]]
    for (const [second, expected] of cases) {
      const buffer = new SendBuffer(168 + 28, HeaderAllowance.udpIpv4)
      append(buffer, 100)
      append(buffer, second)
      assert.deepStrictEqual(sizes(buffer), expected)
    }
  })

  it("leaves room for the header of IPv6", () => {
    const buffer = new SendBuffer(1500, HeaderAllowance.udpIpv6)
    for (let i = 0; i < 40; i++) append(buffer, 92)
    for (const size of sizes(buffer)) assert.isBelow(size, 1453)
  })

  it("sends a message that fits no datagram in one of its own", () => {
    const buffer = new SendBuffer(100, HeaderAllowance.udpIpv4)
    append(buffer, 16)
    append(buffer, 308)
    append(buffer, 16)
    append(buffer, 16)
    assert.deepStrictEqual(sizes(buffer), [16, 308, 32])
  })

  it("refuses and counts what no datagram can carry", () => {
    const buffer = new SendBuffer(1500, HeaderAllowance.udpIpv4)
    append(buffer, 16)
    const at = buffer.reserve(65_536)
    assert.isFalse(buffer.commit(at + 65_508))
    assert.strictEqual(buffer.refused, 1)
    assert.isTrue(buffer.commit(buffer.reserve(65_536) + 65_504))
    assert.deepStrictEqual(sizes(buffer), [16, 65_504])
  })

  it("says when the batch is full and never exceeds 64 datagrams", () => {
    for (const mtu of [100, 576, 1500, 9000, 65_536]) {
      const buffer = new SendBuffer(mtu, HeaderAllowance.udpIpv4)
      let appended = 0
      while (append(buffer, 84)) appended++
      const batch = sizes(buffer)
      assert.isAtMost(batch.length, datagramsMax)
      assert.strictEqual(batch.reduce((sum, bytes) => sum + bytes, 0), appended * 84)
      assert.isTrue(append(buffer, 84))
      assert.deepStrictEqual(sizes(buffer), [84])
    }
  })

  it("is empty at first and after take", () => {
    const buffer = new SendBuffer(1500, HeaderAllowance.udpIpv4)
    assert.isTrue(buffer.isEmpty)
    assert.strictEqual(buffer.take().count, 0)
    append(buffer, 8)
    assert.isFalse(buffer.isEmpty)
    assert.strictEqual(buffer.take().count, 1)
    assert.isTrue(buffer.isEmpty)
    assert.strictEqual(buffer.take().count, 0)
  })

  it("gives the same place again when nothing was committed", () => {
    const buffer = new SendBuffer(1500, HeaderAllowance.udpIpv4)
    append(buffer, 84)
    assert.strictEqual(buffer.reserve(4096), 84)
    assert.strictEqual(buffer.reserve(4096), 84)
  })
})
