/**
 * Hot. The flows of one cache: records in slabs, found by their key.
 *
 * A flow is named by its slot, a small integer that stays the same until `release`. The key is the
 * original tuple and its zone, hashed with a secret seed, since whoever sends packets chooses
 * tuples. Inserting into a full table fails; the caller counts it.
 */
import { assert } from "../assert.ts"
import {
  addressBits,
  addressWords,
  Base,
  baseRuns,
  baseWords,
  Has,
  Life,
  rareRuns,
  rareWords,
  storedRareBits
} from "./FlowLayout.ts"
import type { FlowView } from "./FlowView.ts"
import { Slab } from "./Slab.ts"
import { SlotIndex } from "./SlotIndex.ts"

export interface FlowTableOptions {
  /** Largest number of flows (`HashLimit`). */
  readonly flowsMax: number
  /** Expected number of flows (`HashSize`): the index starts with that many buckets. */
  readonly bucketsHint: number
  /** Two random 32-bit numbers. */
  readonly seed: readonly [number, number]
}

/** Fields of the key: merging never touches them. */
const keyBits = Has.originalIpv4 | Has.originalIpv6 | Has.l4Protocol | Has.originalPorts |
  Has.zone | Has.originalZone | Has.icmpType | Has.icmpCode | Has.icmpId

/** Words of a key: protocols and zone, ports, then two or eight address words. */
const keyWordsIpv4 = 4
const keyWordsIpv6 = 10
/** Rounds after the last word of the key. */
const hashEndRounds = 3

export class FlowTable {
  readonly flowsMax: number
  readonly #flows = new Slab(baseWords)
  readonly #addresses = new Slab(addressWords)
  readonly #rares = new Slab(rareWords)
  readonly #index: SlotIndex
  /** Key, number of its words, and the zeros that end the hash. */
  readonly #key = new Int32Array(keyWordsIpv6 + 1 + hashEndRounds)
  readonly #seed0: number
  readonly #seed1: number
  #keyWords = keyWordsIpv4
  /** What `find` looked for last, and its hash. */
  #sought: FlowView | undefined
  #soughtHash = 0

  constructor(options: FlowTableOptions) {
    assert(options.flowsMax >= 1, "a table holds at least one flow")
    this.flowsMax = options.flowsMax
    this.#seed0 = options.seed[0] | 0
    this.#seed1 = options.seed[1] | 0
    this.#index = new SlotIndex(options.bucketsHint)
  }

  /** Flows in the table, destroyed ones that peers must still hear of included. */
  get size(): number {
    return this.#flows.used
  }

  /** Every slot in use is below this number: the end of a walk. */
  get slotsHigh(): number {
    return this.#flows.high
  }

  get bytesAllocated(): number {
    return this.#flows.bytesAllocated + this.#addresses.bytesAllocated +
      this.#rares.bytesAllocated + this.#index.bytesAllocated
  }

  /** Points `view` at the record in `slot`; valid until that slot is changed. */
  view(slot: number, view: FlowView): FlowView {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    view.base = words
    view.baseBytes = this.#flows.bytes(slot)
    view.baseWord = at
    const address = words[at + Base.addressSlot]! - 1
    if (address >= 0) {
      view.address = this.#addresses.words(address)
      view.addressWord = this.#addresses.wordOf(address)
    } else view.withoutAddress()
    const rare = words[at + Base.rareSlot]! - 1
    if (rare >= 0) {
      view.rare = this.#rares.words(rare)
      view.rareBytes = this.#rares.bytes(rare)
      view.rareWord = this.#rares.wordOf(rare)
    } else view.withoutRare()
    return view
  }

  /** The slot of the flow with the key of `view`, or -1. */
  find(view: FlowView): number {
    const hash = this.#hashKey(view)
    this.#sought = view
    this.#soughtHash = hash
    return this.#find(hash)
  }

  /** The hash of the flow's key, in this table: a number that few others share. */
  hashOf(view: FlowView): number {
    return this.#hashKey(view)
  }

  /**
   * Adds the flow; its slot, or -1 when the table is full. The caller has made sure that it is not
   * there yet.
   */
  insert(view: FlowView): number {
    return this.#insert(view, this.#hashKey(view))
  }

  /** As `insert`, for the flow that `find` has just looked for: its hash is known. */
  insertSought(view: FlowView): number {
    assert(view === this.#sought, "the flow was looked for just before")
    return this.#insert(view, this.#soughtHash)
  }

  #insert(view: FlowView, hash: number): number {
    if (this.#flows.used >= this.flowsMax) return -1
    const slot = this.#flows.allocate()
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    words[at + Base.addressSlot] = 0
    words[at + Base.rareSlot] = 0
    this.#fill(words, at, view)
    words[at + Base.hash] = hash
    words[at + Base.life] = Life.used
    this.#index.insert(slot, hash)
    return slot
  }

  /** Overwrites all fields of the flow in `slot` with those of `view`, which has the same key. */
  replace(slot: number, view: FlowView): void {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    const hash = words[at + Base.hash]!
    this.#fill(words, at, view)
    words[at + Base.hash] = hash
    words[at + Base.life] = Life.used
  }

  /** Replaces every field that `view` knows, keeps the others. The key is never changed. */
  merge(slot: number, view: FlowView): void {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    const from = view.base
    const fromAt = view.baseWord
    const present = from[fromAt + Base.present]! & ~keyBits
    const presentRare = from[fromAt + Base.presentRare]! & storedRareBits
    if ((present & addressBits) !== 0) this.#needAddress(words, at)
    for (let bits = present; bits !== 0; bits &= bits - 1) {
      const runs = baseRuns[31 - Math.clz32(bits & -bits)]!
      for (let r = 0; r < runs.length; r++) {
        const run = runs[r]!
        if (run.part === "base") {
          const mask = run.mask
          for (let i = run.word; i < run.word + run.words; i++) {
            words[at + i] = (words[at + i]! & ~mask) | (from[fromAt + i]! & mask)
          }
        } else {
          const address = words[at + Base.addressSlot]! - 1
          const to = this.#addresses.words(address)
          const toAt = this.#addresses.wordOf(address)
          for (let i = run.word; i < run.word + run.words; i++) {
            to[toAt + i] = view.address[view.addressWord + i]!
          }
        }
      }
    }
    if (presentRare !== 0) this.#mergeRare(words, at, view, presentRare)
    words[at + Base.present] = words[at + Base.present]! | present
    words[at + Base.presentRare] = words[at + Base.presentRare]! | presentRare
  }

  /** Removes the flow: the slot may be used again at once. */
  release(slot: number): void {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    assert((words[at + Base.life]! & Life.used) !== 0, "a slot is released once")
    this.#index.remove(slot, words[at + Base.hash]!)
    const address = words[at + Base.addressSlot]!
    if (address !== 0) this.#addresses.release(address - 1)
    const rare = words[at + Base.rareSlot]!
    if (rare !== 0) this.#rares.release(rare - 1)
    words[at + Base.life] = 0
    this.#flows.release(slot)
  }

  /**
   * The first slot in use in `[from, to)`, or -1. Stable while flows come and go: the way to walk
   * in steps. Free slots cost a look each, so a walk that must not stall bounds `to`.
   */
  nextUsed(from: number, to = this.#flows.high): number {
    const end = Math.min(to, this.#flows.high)
    for (let slot = from; slot < end; slot++) {
      if (this.lifeOf(slot) !== 0) return slot
    }
    return -1
  }

  /** `Life` bits of a slot; 0 when it is free. */
  lifeOf(slot: number): number {
    return this.#flows.words(slot)[this.#flows.wordOf(slot) + Base.life]!
  }

  setLife(slot: number, bits: number): void {
    this.#flows.words(slot)[this.#flows.wordOf(slot) + Base.life] = bits
  }

  addLife(slot: number, bits: number): void {
    const at = this.#flows.wordOf(slot) + Base.life
    const words = this.#flows.words(slot)
    words[at] = words[at]! | bits
  }

  /** Monotonic seconds. */
  createdSeconds(slot: number): number {
    return this.#flows.words(slot)[this.#flows.wordOf(slot) + Base.createdSeconds]!
  }

  updatedSeconds(slot: number): number {
    return this.#flows.words(slot)[this.#flows.wordOf(slot) + Base.updatedSeconds]!
  }

  setTimes(slot: number, createdSeconds: number, updatedSeconds: number): void {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    words[at + Base.createdSeconds] = createdSeconds
    words[at + Base.updatedSeconds] = updatedSeconds
  }

  #fill(words: Int32Array, at: number, view: FlowView): void {
    const addressSlot = words[at + Base.addressSlot]!
    const rareSlot = words[at + Base.rareSlot]!
    const from = view.base
    const fromAt = view.baseWord
    for (let i = 0; i < Base.hash; i++) words[at + i] = from[fromAt + i]!
    const present = words[at + Base.present]!
    const presentRare = words[at + Base.presentRare]! & storedRareBits
    words[at + Base.presentRare] = presentRare
    words[at + Base.addressSlot] = addressSlot
    words[at + Base.rareSlot] = rareSlot
    if ((present & addressBits) !== 0) {
      this.#needAddress(words, at)
      const address = words[at + Base.addressSlot]! - 1
      const to = this.#addresses.words(address)
      const toAt = this.#addresses.wordOf(address)
      for (let i = 0; i < addressWords; i++) to[toAt + i] = view.address[view.addressWord + i]!
    } else if (addressSlot !== 0) {
      this.#addresses.release(addressSlot - 1)
      words[at + Base.addressSlot] = 0
    }
    if (rareSlot !== 0) {
      this.#rares.release(rareSlot - 1)
      words[at + Base.rareSlot] = 0
    }
    if (presentRare !== 0) this.#mergeRare(words, at, view, presentRare)
  }

  #needAddress(words: Int32Array, at: number): void {
    if (words[at + Base.addressSlot] !== 0) return
    const slot = this.#addresses.allocate()
    words[at + Base.addressSlot] = slot + 1
    const to = this.#addresses.words(slot)
    const toAt = this.#addresses.wordOf(slot)
    for (let i = 0; i < addressWords; i++) to[toAt + i] = 0
  }

  #mergeRare(words: Int32Array, at: number, view: FlowView, presentRare: number): void {
    // Zeros need no memory: every flow made through ctnetlink reports a SYNPROXY block of zeros.
    if (words[at + Base.rareSlot] === 0) {
      if (!this.#rareIsNonZero(view, presentRare)) return
      const slot = this.#rares.allocate()
      words[at + Base.rareSlot] = slot + 1
      const to = this.#rares.words(slot)
      const toAt = this.#rares.wordOf(slot)
      for (let i = 0; i < rareWords; i++) to[toAt + i] = 0
    }
    const rare = words[at + Base.rareSlot]! - 1
    const to = this.#rares.words(rare)
    const toAt = this.#rares.wordOf(rare)
    for (let bits = presentRare; bits !== 0; bits &= bits - 1) {
      const runs = rareRuns[31 - Math.clz32(bits & -bits)]!
      for (let r = 0; r < runs.length; r++) {
        const run = runs[r]!
        for (let i = run.word; i < run.word + run.words; i++) {
          to[toAt + i] = (to[toAt + i]! & ~run.mask) | (view.rare[view.rareWord + i]! & run.mask)
        }
      }
    }
  }

  #rareIsNonZero(view: FlowView, presentRare: number): boolean {
    for (let bits = presentRare; bits !== 0; bits &= bits - 1) {
      const runs = rareRuns[31 - Math.clz32(bits & -bits)]!
      for (let r = 0; r < runs.length; r++) {
        const run = runs[r]!
        for (let i = run.word; i < run.word + run.words; i++) {
          if ((view.rare[view.rareWord + i]! & run.mask) !== 0) return true
        }
      }
    }
    return false
  }

  #find(hash: number): number {
    const index = this.#index
    for (let bucket = index.first(hash);; bucket = index.next(bucket, hash)) {
      const slot = index.slotAt(bucket)
      if (slot < 0) return -1
      if (this.#holdsKey(slot)) return slot
    }
  }

  #holdsKey(slot: number): boolean {
    const words = this.#flows.words(slot)
    const at = this.#flows.wordOf(slot)
    const key = this.#key
    const meta = (words[at + Base.protocols]! & 0xffff) | (words[at + Base.zone]! << 16)
    if (meta !== key[0] || words[at + Base.originalPorts] !== key[1]) return false
    if (words[at + Base.originalSource] !== key[2]) return false
    if (words[at + Base.originalDestination] !== key[3]) return false
    if (this.#keyWords === keyWordsIpv4) return true
    const address = words[at + Base.addressSlot]! - 1
    if (address < 0) return false
    const more = this.#addresses.words(address)
    const moreAt = this.#addresses.wordOf(address)
    for (let i = 0; i < 6; i++) {
      if (more[moreAt + i] !== key[4 + i]) return false
    }
    return true
  }

  /** Gathers the key of `view` and hashes it (HalfSipHash-1-3). */
  #hashKey(view: FlowView): number {
    const key = this.#key
    const words = view.base
    const at = view.baseWord
    key[0] = (words[at + Base.protocols]! & 0xffff) | (words[at + Base.zone]! << 16)
    key[1] = words[at + Base.originalPorts]!
    key[2] = words[at + Base.originalSource]!
    key[3] = words[at + Base.originalDestination]!
    let count = keyWordsIpv4
    if ((words[at + Base.present]! & Has.originalIpv6) !== 0) {
      count = keyWordsIpv6
      for (let i = 0; i < 6; i++) key[4 + i] = view.address[view.addressWord + i]!
    }
    this.#keyWords = count
    let v0 = this.#seed0
    let v1 = this.#seed1
    let v2 = 0x6c79_6765 ^ this.#seed0
    let v3 = 0x7465_6462 ^ this.#seed1
    key[count] = count << 26
    key[count + 1] = 0
    key[count + 2] = 0
    key[count + 3] = 0
    const end = count + 1
    let i = 0
    for (let to = end;; to += hashEndRounds) {
      for (; i < to; i++) {
        const word = key[i]!
        v3 ^= word
        v0 = (v0 + v1) | 0
        v1 = (v1 << 5) | (v1 >>> 27)
        v1 ^= v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = (v3 << 8) | (v3 >>> 24)
        v3 ^= v2
        v0 = (v0 + v3) | 0
        v3 = (v3 << 7) | (v3 >>> 25)
        v3 ^= v0
        v2 = (v2 + v1) | 0
        v1 = (v1 << 13) | (v1 >>> 19)
        v1 ^= v2
        v2 = (v2 << 16) | (v2 >>> 16)
        v0 ^= word
      }
      if (to > end) return v1 ^ v3
      v2 ^= 0xff
    }
  }
}
