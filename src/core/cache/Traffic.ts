/**
 * Hot. Packets and bytes of all flows that ended, summed over both directions.
 *
 * The kernel counts in 64 bits. Sums are kept in two 32-bit halves: exact however long we run, and
 * without garbage per event.
 *
 * Source: specification, "Command line, life cycle …", section 9.2.
 */
import { Detail, HasRare, swap32 } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { presentRareOf } from "../model/FlowView.ts"

const halfSize = 0x1_0000_0000

/** Words of one direction's block. */
const packetsWord = 0
const bytesWord = 2

export class Traffic {
  #packetsHigh = 0
  #packetsLow = 0
  #bytesHigh = 0
  #bytesLow = 0

  get packets(): bigint {
    return (BigInt(this.#packetsHigh) << 32n) | BigInt(this.#packetsLow)
  }

  get bytes(): bigint {
    return (BigInt(this.#bytesHigh) << 32n) | BigInt(this.#bytesLow)
  }

  /** Adds the counters of a destroy event, if the kernel sent any. */
  add(view: FlowView): void {
    const presentRare = presentRareOf(view)
    if ((presentRare & HasRare.countersOriginal) !== 0) this.#add(view, Detail.countersOriginal)
    if ((presentRare & HasRare.countersReply) !== 0) this.#add(view, Detail.countersReply)
  }

  #add(view: FlowView, at: number): void {
    const { detail } = view
    const packets = this.#packetsLow + (swap32(detail[at + packetsWord + 1]!) >>> 0)
    this.#packetsLow = packets >>> 0
    this.#packetsHigh += (swap32(detail[at + packetsWord]!) >>> 0) + (packets >= halfSize ? 1 : 0)
    const bytes = this.#bytesLow + (swap32(detail[at + bytesWord + 1]!) >>> 0)
    this.#bytesLow = bytes >>> 0
    this.#bytesHigh += (swap32(detail[at + bytesWord]!) >>> 0) + (bytes >= halfSize ? 1 : 0)
  }
}
