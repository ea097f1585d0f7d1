/**
 * Hot. Which slot holds the record with a given hash: open addressing with linear probing.
 *
 * A bucket is two words: slot plus one, and the whole hash, so that a probe reads one cache line
 * and no record. The owner compares keys; the index proposes slots with an equal hash.
 *
 * Grows without a stall: when three quarters of its buckets are in use a table of twice the size
 * takes over, and each later insertion or removal moves a few buckets from the old table.
 */
import { assert } from "../assert.ts"

const bucketsMin = 1024
/** Moved from the old table at each insertion or removal: done long before the next growth. */
const bucketsPerStep = 16
const removed = -1

export class SlotIndex {
  #buckets: Int32Array
  #mask: number
  #used = 0
  #old: Int32Array | undefined
  #oldMask = 0
  #cursor = 0

  /** `bucketsHint`: expected number of entries. */
  constructor(bucketsHint: number) {
    let buckets = bucketsMin
    while (buckets < bucketsHint) buckets *= 2
    this.#buckets = new Int32Array(buckets * 2)
    this.#mask = buckets - 1
  }

  get bytesAllocated(): number {
    return this.#buckets.byteLength + (this.#old === undefined ? 0 : this.#old.byteLength)
  }

  /**
   * Walks the candidates for `hash`: the first bucket is `first(hash)`, then `next(bucket, hash)`,
   * until one is -1. Buckets of the old table follow those of the current one and have numbers
   * below -1.
   */
  first(hash: number): number {
    return this.#seek(hash & this.#mask, hash)
  }

  next(bucket: number, hash: number): number {
    if (bucket >= 0) return this.#seek((bucket + 1) & this.#mask, hash)
    return this.#seekOld((-bucket - 2 + 1) & this.#oldMask, hash)
  }

  /**
   * Slot in a bucket that `first` or `next` returned; -1 means that there are no more candidates.
   */
  slotAt(bucket: number): number {
    if (bucket === -1) return -1
    return bucket >= 0 ? this.#buckets[bucket * 2]! - 1 : this.#old![(-bucket - 2) * 2]! - 1
  }

  // Both walks end: a quarter of the buckets is never in use.
  #seek(from: number, hash: number): number {
    const buckets = this.#buckets
    for (let at = from; buckets[at * 2] !== 0; at = (at + 1) & this.#mask) {
      if (buckets[at * 2 + 1] === hash) return at
    }
    return this.#old === undefined ? -1 : this.#seekOld(hash & this.#oldMask, hash)
  }

  #seekOld(from: number, hash: number): number {
    const old = this.#old!
    for (let at = from; old[at * 2] !== 0; at = (at + 1) & this.#oldMask) {
      if (old[at * 2 + 1] === hash && old[at * 2] !== removed) return -at - 2
    }
    return -1
  }

  /** The caller has made sure that the key is not there yet. */
  insert(slot: number, hash: number): void {
    if (this.#old !== undefined) this.#move()
    if ((this.#used + 1) * 4 > (this.#mask + 1) * 3) this.#grow()
    this.#place(slot + 1, hash)
  }

  remove(slot: number, hash: number): void {
    if (this.#old !== undefined) this.#move()
    const wanted = slot + 1
    const buckets = this.#buckets
    let at = hash & this.#mask
    while (buckets[at * 2] !== 0 && buckets[at * 2] !== wanted) at = (at + 1) & this.#mask
    if (buckets[at * 2] === wanted) {
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
    while (old[at * 2] !== wanted) {
      assert(old[at * 2] !== 0, "a slot that is removed was indexed")
      at = (at + 1) & this.#oldMask
    }
    old[at * 2] = removed
  }

  #place(entry: number, hash: number): void {
    const buckets = this.#buckets
    let at = hash & this.#mask
    while (buckets[at * 2] !== 0) at = (at + 1) & this.#mask
    buckets[at * 2] = entry
    buckets[at * 2 + 1] = hash
    this.#used++
  }

  /**
   * Empties bucket `hole` and moves later entries of its run back, so that no probe is cut short.
   */
  #close(hole: number): void {
    const buckets = this.#buckets
    const mask = this.#mask
    let at = hole
    for (;;) {
      at = (at + 1) & mask
      if (buckets[at * 2] === 0) break
      const home = buckets[at * 2 + 1]! & mask
      // The entry may move when its home does not lie cyclically in (hole, at].
      const stays = hole <= at ? home > hole && home <= at : home > hole || home <= at
      if (stays) continue
      buckets[hole * 2] = buckets[at * 2]!
      buckets[hole * 2 + 1] = buckets[at * 2 + 1]!
      hole = at
    }
    buckets[hole * 2] = 0
  }

  #grow(): void {
    while (this.#old !== undefined) this.#move()
    this.#old = this.#buckets
    this.#oldMask = this.#mask
    this.#cursor = 0
    const buckets = (this.#mask + 1) * 2
    this.#buckets = new Int32Array(buckets * 2)
    this.#mask = buckets - 1
    this.#used = 0
  }

  #move(): void {
    const old = this.#old!
    for (let i = 0; i < bucketsPerStep; i++) {
      const at = this.#cursor
      if (at > this.#oldMask) {
        this.#old = undefined
        return
      }
      const entry = old[at * 2]!
      if (entry > 0) {
        old[at * 2] = removed
        this.#place(entry, old[at * 2 + 1]!)
      }
      this.#cursor++
    }
  }
}
