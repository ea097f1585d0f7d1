/**
 * Hot. Fixed-size records of 32-bit words in segments that never move.
 *
 * Segments are allocated one by one as slots are needed, so memory follows use in steps and no
 * record is ever copied. A free slot keeps the next free slot (plus one) in its first word.
 */
import { assert } from "../assert.ts"

/** Slots per segment, as a power of two. */
export const segmentShift = 14
export const segmentSlots = 1 << segmentShift
export const segmentMask = segmentSlots - 1

export class Slab {
  readonly #recordWords: number
  readonly #words: Array<Int32Array> = []
  readonly #bytes: Array<Uint8Array> = []
  #free = 0
  #fresh = 0
  #used = 0

  constructor(recordWords: number) {
    assert(recordWords >= 1, "a record has at least one word")
    this.#recordWords = recordWords
  }

  get used(): number {
    return this.#used
  }

  /** Slots that were ever used: every used slot is below it. */
  get high(): number {
    return this.#fresh
  }

  get bytesAllocated(): number {
    return this.#words.length * segmentSlots * this.#recordWords * 4
  }

  /** A slot whose words hold whatever its last user left. */
  allocate(): number {
    this.#used++
    if (this.#free !== 0) {
      const slot = this.#free - 1
      this.#free = this.#words[slot >>> segmentShift]![this.wordOf(slot)]!
      return slot
    }
    const slot = this.#fresh++
    if ((slot & segmentMask) === 0) {
      const memory = new ArrayBuffer(segmentSlots * this.#recordWords * 4)
      this.#words.push(new Int32Array(memory))
      this.#bytes.push(new Uint8Array(memory))
    }
    return slot
  }

  release(slot: number): void {
    assert(this.#used > 0, "a slot is released once")
    this.#used--
    this.#words[slot >>> segmentShift]![this.wordOf(slot)] = this.#free
    this.#free = slot + 1
  }

  /** The segment a slot lies in. */
  words(slot: number): Int32Array {
    return this.#words[slot >>> segmentShift]!
  }

  bytes(slot: number): Uint8Array {
    return this.#bytes[slot >>> segmentShift]!
  }

  /** Index of the record's first word in its segment. */
  wordOf(slot: number): number {
    return (slot & segmentMask) * this.#recordWords
  }
}
