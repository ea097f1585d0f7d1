/**
 * Hot. Netlink attributes: four bytes of header (length with the header, type), a value, and zeros
 * up to a multiple of four. Header fields are in host order; a nest is an attribute whose value is
 * attributes, and bit 15 of its type says so.
 *
 * Writers work on word indices, which they take and return. Decoders that must be fast write the
 * loop out with a `switch`; the cursor is for the others.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1.
 */
import { Fault } from "../model/Fault.ts"

export const attributeHeaderBytes = 4

/** Removes the two flag bits from a type. */
export const attributeTypeMask = 0x3fff

/** Walks the attributes of a message or a nest. Reused: `reset`, then `next` until false. */
export class NlattrCursor {
  type = 0
  /** Position and bytes of the value. */
  valueAt = 0
  valueBytes = 0
  fault: Fault = Fault.none
  #words: Int32Array = new Int32Array(0)
  #next = 0
  #end = 0

  reset(words: Int32Array, at: number, end: number): void {
    this.#words = words
    this.#next = at
    this.#end = end
    this.fault = Fault.none
  }

  next(): boolean {
    const left = this.#end - this.#next
    if (left <= 0) return false
    const head = left < attributeHeaderBytes ? 0 : this.#words[this.#next >> 2]!
    const bytes = head & 0xffff
    if (bytes < attributeHeaderBytes || bytes > left) {
      this.fault = left < attributeHeaderBytes ? Fault.truncated : Fault.badSize
      this.#next = this.#end
      return false
    }
    this.type = (head >>> 16) & attributeTypeMask
    this.valueAt = this.#next + attributeHeaderBytes
    this.valueBytes = bytes - attributeHeaderBytes
    this.#next += (bytes + 3) & ~3
    return true
  }
}

/** An attribute of four bytes. */
export const putWord = (words: Int32Array, to: number, type: number, value: number): number => {
  words[to] = 8 | (type << 16)
  words[to + 1] = value
  return to + 2
}

/** Two bytes: the lower half of `value`. */
export const putHalf = (words: Int32Array, to: number, type: number, value: number): number => {
  words[to] = 6 | (type << 16)
  words[to + 1] = value & 0xffff
  return to + 2
}

/** One byte. */
export const putByte = (words: Int32Array, to: number, type: number, value: number): number => {
  words[to] = 5 | (type << 16)
  words[to + 1] = value & 0xff
  return to + 2
}

/** `count` words copied from `from`. */
export const putWords = (
  words: Int32Array,
  to: number,
  type: number,
  from: Int32Array,
  fromWord: number,
  count: number
): number => {
  words[to] = (4 + count * 4) | (type << 16)
  for (let i = 0; i < count; i++) words[to + 1 + i] = from[fromWord + i]!
  return to + 1 + count
}

/** Completes the nest whose header is the word `from` and whose attributes end before `to`. */
export const closeNest = (words: Int32Array, from: number, type: number, to: number): number => {
  words[from] = ((to - from) << 2) | ((type | 0x8000) << 16)
  return to
}
