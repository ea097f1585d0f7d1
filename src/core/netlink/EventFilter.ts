/**
 * The classic BPF program of the event socket: drops the events that our own requests cause.
 *
 * The program sees a message from its header on, and loads are big-endian whatever the machine. A
 * dropped message does not count as an overrun. It would drop answers as well: for a socket that
 * only listens.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 7.6; bpf(4).
 */
import { assert } from "../assert.ts"
import { swap32 } from "../model/FlowLayout.ts"

const loadWord = 0x20
const jumpEqual = 0x15
const returnValue = 0x06

const portIdOffset = 12
const filterBytes = 8

/** Jumps reach 255 instructions. */
export const portIdsMax = 200

/**
 * An array of `struct sock_filter` that drops every message whose port id is one of `portIds` and
 * accepts all others.
 */
export const ownEventsFilter = (portIds: ReadonlyArray<number>): Uint8Array => {
  assert(portIds.length <= portIdsMax, "a filter names at most 200 port ids")
  const program = new Uint8Array((portIds.length + 3) * filterBytes)
  const view = new DataView(program.buffer)
  let at = 0
  const put = (code: number, jumpTrue: number, value: number) => {
    view.setUint16(at, code, true)
    view.setUint8(at + 2, jumpTrue)
    view.setUint8(at + 3, 0)
    view.setUint32(at + 4, value, true)
    at += filterBytes
  }
  put(loadWord, 0, portIdOffset)
  portIds.forEach((portId, i) => {
    // The last instruction drops; between here and there are the other ids and the acceptance.
    put(jumpEqual, portIds.length - i, swap32(portId) >>> 0)
  })
  put(returnValue, 0, 0xffff_ffff)
  put(returnValue, 0, 0)
  return program
}
