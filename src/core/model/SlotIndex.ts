/**
 * Hot. Which slot holds the record with a given hash: open addressing with linear probing.
 *
 * Grows without a stall: when three quarters of its buckets are in use a table of twice the size takes over, and each
 * later insertion or removal moves a few buckets from the old table. The owner compares keys; the index only proposes.
 */
import { assert } from "../assert.ts"

const bucketsMin = 1024
/** Moved from the old table at each insertion or removal: enough to finish long before the next growth. */
const bucketsPerStep = 16
const removed = -1

/** What the index asks of the table it serves. */
export interface SlotHashes {
  /** Hash of the key of the record in `slot`. */
  hashOf(slot: number): number
}

export class SlotIndex {
  readonly #owner: SlotHashes
  #buckets: Int32Array
  #mask: number
  #used = 0
  #old: Int32Array | undefined
  #oldMask = 0
  #cursor = 0

  /** `bucketsHint`: expected number of entries. */
  constructor(owner: SlotHashes, bucketsHint: number) {
    this.#owner = owner
    let buckets = bucketsMin
    while (buckets < bucketsHint) buckets *= 2
    this.#buckets = new Int32Array(buckets)
    this.#mask = buckets - 1
  }

  get bytesAllocated(): number {
    return this.#buckets.byteLength + (this.#old === undefined ? 0 : this.#old.byteLength)
  }

  /**
   * Walks the candidates for `hash`: the first bucket is `first(hash)`, the next `next(bucket)`, until `slotAt` says -1.
   * Buckets of the old table follow those of the current one and have numbers below -1.
   */
  first(hash: number): number {
    const at = hash & this.#mask
    if (this.#buckets[at] !== 0) return at
    return this.#firstOld(hash)
  }

  next(bucket: number, hash: number): number {
    if (bucket >= 0) {
      const at = (bucket + 1) & this.#mask
      return this.#buckets[at] !== 0 ? at : this.#firstOld(hash)
    }
    return this.#skipRemoved((-bucket - 2 + 1) & this.#oldMask)
  }

  /** Slot in a bucket that `first` or `next` returned; -1 means that there are no more candidates. */
  slotAt(bucket: number): number {
    if (bucket === -1) return -1
    return bucket >= 0 ? this.#buckets[bucket]! - 1 : this.#old![-bucket - 2]! - 1
  }

  #firstOld(hash: number): number {
    return this.#old === undefined ? -1 : this.#skipRemoved(hash & this.#oldMask)
  }

  #skipRemoved(from: number): number {
    const old = this.#old!
    let at = from
    for (let steps = 0; steps <= this.#oldMask; steps++) {
      const entry = old[at]!
      if (entry === 0) return -1
      if (entry !== removed) return -at - 2
      at = (at + 1) & this.#oldMask
    }
    return -1
  }

  /** The caller has made sure that the key is not there yet. */
  insert(slot: number, hash: number): void {
    if (this.#old !== undefined) this.#move()
    if ((this.#used + 1) * 4 > (this.#mask + 1) * 3) this.#grow()
    this.#place(slot, hash)
  }

  remove(slot: number, hash: number): void {
    if (this.#old !== undefined) this.#move()
    const wanted = slot + 1
    const buckets = this.#buckets
    let at = hash & this.#mask
    while (buckets[at] !== 0 && buckets[at] !== wanted) at = (at + 1) & this.#mask
    if (buckets[at] === wanted) {
      this.#close(at)
      this.#used--
      return
    }
    this.#removeOld(wanted, hash)
  }

  #removeOld(wanted: number, hash: number): void {
    const old = this.#old
    assert(old !== undefined, "a slot that is removed was indexed")
    let at = hash & this.#oldMask
    while (old[at] !== wanted) {
      assert(old[at] !== 0, "a slot that is removed was indexed")
      at = (at + 1) & this.#oldMask
    }
    old[at] = removed
  }

  #place(slot: number, hash: number): void {
    const buckets = this.#buckets
    let at = hash & this.#mask
    while (buckets[at] !== 0) at = (at + 1) & this.#mask
    buckets[at] = slot + 1
    this.#used++
  }

  /** Empties bucket `hole` and moves later entries of its run back, so that no probe is cut short. */
  #close(hole: number): void {
    const buckets = this.#buckets
    const mask = this.#mask
    let at = hole
    for (;;) {
      at = (at + 1) & mask
      const entry = buckets[at]!
      if (entry === 0) break
      const home = this.#owner.hashOf(entry - 1) & mask
      // The entry may move when its home does not lie cyclically in (hole, at].
      const stays = hole <= at ? home > hole && home <= at : home > hole || home <= at
      if (stays) continue
      buckets[hole] = entry
      hole = at
    }
    buckets[hole] = 0
  }

  #grow(): void {
    while (this.#old !== undefined) this.#move()
    this.#old = this.#buckets
    this.#oldMask = this.#mask
    this.#cursor = 0
    const buckets = (this.#mask + 1) * 2
    this.#buckets = new Int32Array(buckets)
    this.#mask = buckets - 1
    this.#used = 0
  }

  #move(): void {
    const old = this.#old!
    for (let i = 0; i < bucketsPerStep; i++) {
      if (this.#cursor > this.#oldMask) {
        this.#old = undefined
        return
      }
      const entry = old[this.#cursor]!
      if (entry > 0) {
        old[this.#cursor] = removed
        this.#place(entry - 1, this.#owner.hashOf(entry - 1))
      }
      this.#cursor++
    }
  }
}
