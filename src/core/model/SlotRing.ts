/**
 * Hot. A bounded first-in first-out queue of slots. When it is full the oldest makes room, and is
 * handed back so that its owner can count and clean up.
 *
 * Source: architecture, "the core, module by module".
 */
import { assert } from "../assert.ts"

/** Room to begin with; the ring doubles up to its limit, so an idle ring stays small. */
const firstCapacity = 64

export class SlotRing {
  readonly #lengthMax: number
  #slots: Int32Array
  #head = 0
  #length = 0
  #dropped = 0

  /** `lengthMax`: slots it holds at most. At least one. */
  constructor(lengthMax: number) {
    assert(lengthMax >= 1, "a ring holds at least one slot")
    this.#lengthMax = lengthMax
    this.#slots = new Int32Array(Math.min(lengthMax, firstCapacity))
  }

  get length(): number {
    return this.#length
  }

  /** Slots that had to make room since the ring was made. */
  get dropped(): number {
    return this.#dropped
  }

  /** Appends `slot`; returns the slot that had to leave for it, or -1. */
  push(slot: number): number {
    assert(slot >= 0, "a slot is not negative")
    let evicted = -1
    if (this.#length === this.#lengthMax) {
      evicted = this.shift()
      this.#dropped++
    } else if (this.#length === this.#slots.length) this.#grow()
    let at = this.#head + this.#length
    if (at >= this.#slots.length) at -= this.#slots.length
    this.#slots[at] = slot
    this.#length++
    return evicted
  }

  /** Takes the oldest slot; -1 when there is none. */
  shift(): number {
    if (this.#length === 0) return -1
    const slot = this.#slots[this.#head]!
    this.#head++
    if (this.#head === this.#slots.length) this.#head = 0
    this.#length--
    return slot
  }

  clear(): void {
    this.#head = 0
    this.#length = 0
  }

  #grow(): void {
    const grown = new Int32Array(Math.min(this.#lengthMax, 2 * this.#slots.length))
    const first = this.#slots.subarray(this.#head)
    grown.set(first)
    grown.set(this.#slots.subarray(0, this.#head), first.length)
    this.#slots = grown
    this.#head = 0
  }
}
