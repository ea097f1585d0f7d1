import { assert, describe, it } from "@effect/vitest"
import { Fault } from "../../../src/core/model/Fault.ts"
import { NlmsgCursor } from "../../../src/core/netlink/Nlmsg.ts"
import {
  decodeLink,
  encodeLinkDump,
  isLinkMessage,
  LinkMessage
} from "../../../src/core/netlink/Rtnetlink.ts"

/** A message as the kernel makes it: name, operational state, MTU, and one that we do not know. */
const linkMessage = (type: number, flags: number, name: string, attributes = true) => {
  const bytes = new Uint8Array(256)
  const view = new DataView(bytes.buffer)
  view.setUint16(4, type, true)
  view.setInt32(20, 7, true)
  view.setUint32(24, flags, true)
  let at = 32
  const put = (type: number, value: ReadonlyArray<number>) => {
    view.setUint16(at, value.length + 4, true)
    view.setUint16(at + 2, type, true)
    bytes.set(value, at + 4)
    at += (value.length + 7) & ~3
  }
  if (attributes) {
    put(3, [...new TextEncoder().encode(name), 0])
    put(13, [0xe8, 3, 0, 0])
    put(16, [6])
    put(4, [0xdc, 5, 0, 0])
  }
  view.setUint32(0, at, true)
  const words = new Int32Array(bytes.buffer)
  const cursor = new NlmsgCursor()
  cursor.reset(words, 0, at)
  cursor.next()
  return { bytes, words, cursor, end: at }
}

describe("rtnetlink", () => {
  it("asks for all interfaces", () => {
    const words = new Int32Array(16).fill(-1)
    assert.strictEqual(encodeLinkDump(words, 4, 0x1234), 36)
    // Length, type and flags (REQUEST, DUMP), sequence, port id, then `struct ifinfomsg`.
    assert.deepStrictEqual(
      Array.from(words.slice(0, 9)),
      [-1, 32, 18 | (0x301 << 16), 0x1234, 0, 0, 0, 0, 0]
    )
    assert.strictEqual(words[9], -1)
    assert.strictEqual(encodeLinkDump(words, 36, 1), -1)
  })

  it("reads an interface", () => {
    const link = new LinkMessage()
    const { bytes, cursor, words } = linkMessage(16, 0x1_1043, "eth0.100")
    assert.isTrue(isLinkMessage(cursor))
    assert.strictEqual(decodeLink(words, bytes, cursor, link), Fault.none)
    assert.deepStrictEqual(
      [link.name, link.index, link.mtuBytes, link.operstate, link.isUp, link.isRunning],
      ["eth0.100", 7, 1500, 6, true, true]
    )
    assert.isFalse(link.isDeleted)
  })

  it("tells up from running, and that an interface is gone", () => {
    const link = new LinkMessage()
    for (
      const [type, flags, up, running] of [[16, 0x1003, 1, 0], [16, 0x1_1003, 1, 0], [
        17,
        0x1002,
        0,
        0
      ]]
    ) {
      const { bytes, cursor, words } = linkMessage(type!, flags!, "eth0")
      assert.strictEqual(decodeLink(words, bytes, cursor, link), Fault.none)
      assert.deepStrictEqual([link.isUp, link.isRunning], [up === 1, running === 1])
      assert.strictEqual(link.isDeleted, type === 17)
    }
  })

  it("forgets what an earlier message said", () => {
    const link = new LinkMessage()
    const first = linkMessage(16, 0x1043, "eth0")
    decodeLink(first.words, first.bytes, first.cursor, link)
    const second = linkMessage(16, 0, "", false)
    assert.strictEqual(decodeLink(second.words, second.bytes, second.cursor, link), Fault.none)
    assert.deepStrictEqual([link.name, link.mtuBytes, link.operstate, link.flags], ["", 0, 0, 0])
  })

  it("refuses other messages, and attributes that are cut off", () => {
    const link = new LinkMessage()
    const other = linkMessage(20, 0, "eth0")
    assert.strictEqual(decodeLink(other.words, other.bytes, other.cursor, link), Fault.badType)
    const cut = linkMessage(16, 0, "eth0")
    for (const end of [20, 31, 33, 37, cut.end - 1]) {
      cut.cursor.end = end
      assert.notStrictEqual(
        decodeLink(cut.words, cut.bytes, cut.cursor, link),
        Fault.none,
        `${end}`
      )
    }
  })
})
