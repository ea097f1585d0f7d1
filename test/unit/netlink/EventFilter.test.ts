import { assert, describe, it } from "@effect/vitest"
import { ownEventsFilter } from "../../../src/core/netlink/EventFilter.ts"

/** The part of classic BPF that matters, after bpf(4): true when the message is accepted. */
const accepts = (program: Uint8Array, message: Uint8Array): boolean => {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const data = new DataView(message.buffer)
  let accumulator = 0
  for (let pc = 0;; pc++) {
    const at = pc * 8
    const k = code.getUint32(at + 4, true)
    switch (code.getUint16(at, true)) {
      case 0x20:
        accumulator = data.getUint32(k)
        break
      case 0x15:
        pc += code.getUint8(accumulator === k ? at + 2 : at + 3)
        break
      case 0x06:
        return k !== 0
      default:
        throw new Error(`instruction ${code.getUint16(at, true)}`)
    }
  }
}

const messageFrom = (portId: number): Uint8Array => {
  const message = new Uint8Array(196)
  new DataView(message.buffer).setUint32(12, portId, true)
  return message
}

describe("ownEventsFilter", () => {
  it("drops exactly the events of the given port ids", () => {
    const ids = [1, 0x0102_0304, 0x8000_0000, 0xffff_fffe, 3_061_318_727]
    for (let count = 0; count <= ids.length; count++) {
      const program = ownEventsFilter(ids.slice(0, count))
      ids.forEach((id, i) => assert.strictEqual(accepts(program, messageFrom(id)), i >= count))
      for (const other of [0, 2, 0x0403_0201, 0xffff_ffff]) {
        assert.isTrue(accepts(program, messageFrom(other)))
      }
    }
  })

  it("reaches its end from the first of the most port ids", () => {
    const ids = Array.from({ length: 200 }, (_, i) => i + 1)
    const program = ownEventsFilter(ids)
    for (const id of ids) assert.isFalse(accepts(program, messageFrom(id)))
    assert.isTrue(accepts(program, messageFrom(201)))
  })
})
