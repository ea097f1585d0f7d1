/** Memory into which the addon receives netlink datagrams: slots of equal size. */
import type { NetlinkBatch } from "../KernelEvents.ts"

export interface NetlinkSlots extends NetlinkBatch {
  readonly slotsMax: number
}

export const netlinkSlots = (slotsMax: number, slotBytes: number): NetlinkSlots => {
  const memory = new ArrayBuffer(slotsMax * slotBytes)
  return {
    bytes: new Uint8Array(memory),
    words: new Int32Array(memory),
    slotBytes,
    lengths: new Int32Array(slotsMax),
    count: 0,
    slotsMax
  }
}
