/**
 * Hot. What FTFW remembers of every slot of a table: the message in which it waits, and the last
 * change that was told of it. One word a slot, since both are wanted together and memory that is
 * not in the processor's cache is what costs; in segments that appear when a slot is first used.
 */
import { none } from "./MessagePool.ts"

const segmentBits = 14
const segmentSlots = 1 << segmentBits
const inSegment = segmentSlots - 1

/** Bits 0–1: the change. The others: the message plus one, so that a new segment says "none". */
const messageShift = 2
const changeMask = (1 << messageShift) - 1

export class SlotStates {
  readonly #segments: Array<Int32Array | undefined> = []

  /** The message of `slot`, or `none`. */
  messageOf(slot: number): number {
    const segment = this.#segments[slot >>> segmentBits]
    return segment === undefined ? none : (segment[slot & inSegment]! >>> messageShift) + none
  }

  setMessage(slot: number, message: number): void {
    const segment = this.#segmentOf(slot)
    const at = slot & inSegment
    segment[at] = (segment[at]! & changeMask) | ((message - none) << messageShift)
  }

  /** The last change told of `slot`; `created` (0) when none was. */
  changeOf(slot: number): number {
    const segment = this.#segments[slot >>> segmentBits]
    return segment === undefined ? 0 : segment[slot & inSegment]! & changeMask
  }

  setChange(slot: number, change: number): void {
    const segment = this.#segmentOf(slot)
    const at = slot & inSegment
    segment[at] = (segment[at]! & ~changeMask) | change
  }

  #segmentOf(slot: number): Int32Array {
    const number = slot >>> segmentBits
    const existing = this.#segments[number]
    if (existing !== undefined) return existing
    // The list of segments stays dense: a hole would turn it into a dictionary.
    for (let i = this.#segments.length; i <= number; i++) this.#segments.push(undefined)
    const segment = new Int32Array(segmentSlots)
    this.#segments[number] = segment
    return segment
  }
}
