/**
 * Hot. Collects messages into datagrams, up to 64 back to back in one buffer, so that a batch
 * leaves in one system call.
 *
 * A message is written where it will stay. Only when its length is known is it decided whether it
 * belongs to the open datagram or begins the next: either way it does not move. Every message
 * begins at a multiple of four, because every length on the wire is one.
 *
 * Source: specification, "The replication protocol", section 10.
 */
import { assert } from "../assert.ts"

/** Datagrams back to back in one buffer: number i ends at `ends[i]`, begins where i - 1 ended. */
export interface Datagrams {
  readonly bytes: Uint8Array
  readonly ends: Int32Array
  readonly count: number
}

/** Datagrams of one batch. */
export const datagramsMax = 64

/** The largest payload a UDP datagram over IPv4 can have, in bytes. */
export const datagramBytesLimit = 65_507

/** How much of the MTU is not ours, in bytes: headers of IP and UDP, or of IP and TCP. */
export const HeaderAllowance = { udpIpv4: 28, udpIpv6: 48, tcp: 40 } as const
export type HeaderAllowance = (typeof HeaderAllowance)[keyof typeof HeaderAllowance]

/** Whole batches of small datagrams fit; links with a huge MTU send fewer per batch. */
const capacityMin = 4 * datagramBytesLimit & ~3
const capacityMax = 1 << 20

export class SendBuffer implements Datagrams {
  readonly bytes: Uint8Array
  readonly ends = new Int32Array(datagramsMax)
  readonly #roomBytes: number
  #count = 0
  /** Where the open datagram begins, where it ends so far. Equal when none is open. */
  #begin = 0
  #end = 0
  #taken = false
  #refused = 0

  /** `mtuBytes` of the link, `allowance` (a `HeaderAllowance`) for the headers around a payload. */
  constructor(mtuBytes: number, allowance: number) {
    this.#roomBytes = Math.max(0, mtuBytes - allowance)
    const wanted = datagramsMax * this.#roomBytes
    this.bytes = new Uint8Array(Math.min(capacityMax, Math.max(capacityMin, wanted)))
  }

  /** Finished datagrams; the open one counts after `take` only. */
  get count(): number {
    return this.#count
  }

  get isEmpty(): boolean {
    return this.#taken || (this.#count === 0 && this.#begin === this.#end)
  }

  /** Messages that no datagram could carry. */
  get refused(): number {
    return this.#refused
  }

  /**
   * Where a message of at most `bytesMax` bytes may be written, in `bytes`; -1 when the batch is
   * full: `take` and send it first. Asking again without `commit` gives the same place.
   */
  reserve(bytesMax: number): number {
    assert(bytesMax <= capacityMin, "a message fits an empty buffer")
    if (this.#taken) this.#clear()
    if (this.#end + bytesMax > this.bytes.length) return -1
    if (this.#begin === this.#end) return this.#count === datagramsMax ? -1 : this.#end
    // The message may have to begin a datagram of its own; there must be one left for it.
    const joins = this.#end - this.#begin + bytesMax < this.#roomBytes
    return joins || this.#count + 2 <= datagramsMax ? this.#end : -1
  }

  /**
   * The message at the reserved place ends at `end`. False when it is longer than any datagram:
   * then it is counted in `refused` and gone.
   *
   * A message that would fill a datagram to the brim begins a new one (peers compare with "less
   * than"), and one that is larger than a whole datagram travels alone in one of its own.
   */
  commit(end: number): boolean {
    assert(!this.#taken && end > this.#end && (end & 3) === 0, "a message is reserved and aligned")
    if (end - this.#end > datagramBytesLimit) {
      this.#refused++
      return false
    }
    if (this.#begin < this.#end && end - this.#begin >= this.#roomBytes) this.#close()
    this.#end = end
    return true
  }

  /** The finished datagrams. They are valid until the next `reserve`, which begins a new batch. */
  take(): Datagrams {
    if (this.#taken) this.#clear()
    if (this.#begin < this.#end) this.#close()
    this.#taken = true
    return this
  }

  #close(): void {
    assert(this.#count < datagramsMax, "a datagram was reserved")
    this.ends[this.#count] = this.#end
    this.#count++
    this.#begin = this.#end
  }

  #clear(): void {
    this.#count = 0
    this.#begin = 0
    this.#end = 0
    this.#taken = false
  }
}
