import { assert, describe, it } from "@effect/vitest"
import { Fault } from "../../../src/core/model/Fault.ts"
import { NlattrCursor, putByte, putHalf, putWord } from "../../../src/core/netlink/Nlattr.ts"
import {
  beginMessage,
  CtType,
  finishMessage,
  Flag,
  NlmsgCursor
} from "../../../src/core/netlink/Nlmsg.ts"
import { ctnetlinkRecordings, memoryOf } from "../../golden/CtnetlinkMessages.ts"

const words = new Int32Array(64)

/** A message of `bytes` bytes at `at`; its padded end. */
const put = (at: number, bytes: number, type: number = CtType.new): number => {
  beginMessage(words, at, type, Flag.multi, 7, 2)
  finishMessage(words, at, at + bytes)
  return at + ((bytes + 3) & ~3)
}

const walk = (end: number, from = 0) => {
  const cursor = new NlmsgCursor()
  cursor.reset(words, from, end)
  const seen: Array<[at: number, end: number]> = []
  while (cursor.next()) seen.push([cursor.at, cursor.end])
  return { seen, fault: cursor.fault }
}

describe("NlmsgCursor", () => {
  it("walks messages whose length is not a multiple of four", () => {
    const end = put(put(put(8, 21), 20), 23)
    assert.deepStrictEqual(walk(end, 8), {
      seen: [[8, 29], [32, 52], [52, 75]],
      fault: Fault.none
    })
  })

  it("takes a last message whose padding is missing", () => {
    put(0, 21)
    assert.deepStrictEqual(walk(21), { seen: [[0, 21]], fault: Fault.none })
  })

  it("ends at a length that is too small or too large, and keeps what came before", () => {
    for (const length of [0, 4, 15, 41, 0x7fff_ffff, -1]) {
      const second = put(0, 20)
      put(second, 40)
      words[second >> 2] = length
      assert.deepStrictEqual(walk(second + 40), { seen: [[0, 20]], fault: Fault.badSize })
    }
  })

  it("says that a header is not complete", () => {
    const end = put(0, 20)
    for (let extra = 1; extra < 16; extra++) {
      words[end >> 2] = 16
      assert.deepStrictEqual(walk(end + extra), { seen: [[0, 20]], fault: Fault.truncated })
    }
  })

  it("refuses an error message without the header of its request", () => {
    const end = put(0, 35, 2)
    assert.deepStrictEqual(walk(end - 1), { seen: [], fault: Fault.truncated })
  })

  it("reads errors, acknowledgements and ends as recorded", () => {
    const cursor = new NlmsgCursor()
    const errnos = new Map([["EEXIST", 17], ["ENOENT", 2], ["EINVAL", 22], ["EBUSY", 16]])
    let errors = 0
    for (const { messages } of ctnetlinkRecordings) {
      for (const message of messages) {
        if (message.source !== "answer" || typeof message.result !== "string") continue
        const memory = memoryOf(message.hex)
        cursor.reset(memory.words, 0, memory.length)
        assert.isTrue(cursor.next())
        const { result } = message
        if (result === "ACK") assert.deepStrictEqual([cursor.type, cursor.errno], [2, 0])
        else if (result === "DONE(0)") assert.deepStrictEqual([cursor.type, cursor.errno], [3, 0])
        else if (errnos.has(result)) {
          errors++
          assert.deepStrictEqual([cursor.type, cursor.errno], [2, errnos.get(result)])
        }
        if (cursor.type === 2) assert.strictEqual(cursor.requestSeq, cursor.seq)
      }
    }
    assert.isAbove(errors, 5)
  })

  it("shows sequence numbers and port ids without sign", () => {
    put(0, 20)
    words[2] = -1
    words[3] = -2
    const cursor = new NlmsgCursor()
    cursor.reset(words, 0, 20)
    assert.isTrue(cursor.next())
    assert.deepStrictEqual([cursor.seq, cursor.pid], [0xffff_ffff, 0xffff_fffe])
  })
})

describe("NlattrCursor", () => {
  const cursor = new NlattrCursor()
  const types = (end: number) => {
    cursor.reset(words, 0, end)
    const seen: Array<[type: number, bytes: number]> = []
    while (cursor.next()) seen.push([cursor.type, cursor.valueBytes])
    return { seen, fault: cursor.fault }
  }

  it("walks attributes and removes the flags of their types", () => {
    let to = putByte(words, 0, 1, 9)
    to = putHalf(words, to, 2 | 0x4000, 9)
    to = putWord(words, to, 3 | 0x8000, 9)
    assert.deepStrictEqual(types(to * 4), { seen: [[1, 1], [2, 2], [3, 4]], fault: Fault.none })
    assert.deepStrictEqual(types(5), { seen: [[1, 1]], fault: Fault.none })
  })

  it("never goes on after a length that contradicts its surroundings", () => {
    for (const length of [0, 3, 9, 0xffff]) {
      putWord(words, 0, 3, 9)
      words[0] = length | (3 << 16)
      assert.deepStrictEqual(types(8), { seen: [], fault: Fault.badSize })
    }
    assert.deepStrictEqual(types(3), { seen: [], fault: Fault.truncated })
  })
})
