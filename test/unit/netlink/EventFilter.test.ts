import { assert, describe, it } from "@effect/vitest"
import { ownEventsFilter } from "../../../src/core/netlink/EventFilter.ts"
import { bpfAccepts } from "../../sim/kernel/ClassicBpf.ts"

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
      ids.forEach((id, i) => assert.strictEqual(bpfAccepts(program, messageFrom(id)), i >= count))
      for (const other of [0, 2, 0x0403_0201, 0xffff_ffff]) {
        assert.isTrue(bpfAccepts(program, messageFrom(other)))
      }
    }
  })

  it("reaches its end from the first of the most port ids", () => {
    const ids = Array.from({ length: 200 }, (_, i) => i + 1)
    const program = ownEventsFilter(ids)
    for (const id of ids) assert.isFalse(bpfAccepts(program, messageFrom(id)))
    assert.isTrue(bpfAccepts(program, messageFrom(201)))
  })
})
