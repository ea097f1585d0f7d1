/**
 * Hot. What FTFW remembers of every slot of a table: the message in which it waits, and the last
 * change that was told of it. Five bytes a slot, in segments that appear when a slot is first used.
 */
import { none } from "./MessagePool.ts"

const segmentBits = 14
const segmentSlots = 1 << segmentBits
const inSegment = segmentSlots - 1

export class SlotStates {
  readonly #messages: Array<Int32Array | undefined> = []
  readonly #changes: Array<Uint8Array | undefined> = []

  /** The message of `slot`, or `none`. */
  messageOf(slot: number): number {
    const segment = this.#messages[slot >>> segmentBits]
    return segment === undefined ? none : segment[slot & inSegment]!
  }

  setMessage(slot: number, message: number): void {
    this.#segmentOf(slot)[slot & inSegment] = message
  }

  /** The last change told of `slot`; `created` (0) when none was. */
  changeOf(slot: number): number {
    const segment = this.#changes[slot >>> segmentBits]
    return segment === undefined ? 0 : segment[slot & inSegment]!
  }

  setChange(slot: number, change: number): void {
    this.#segmentOf(slot)
    this.#changes[slot >>> segmentBits]![slot & inSegment] = change
  }

  #segmentOf(slot: number): Int32Array {
    const number = slot >>> segmentBits
    const existing = this.#messages[number]
    if (existing !== undefined) return existing
    // The lists of segments stay dense: a hole would turn them into dictionaries.
    for (let i = this.#messages.length; i <= number; i++) {
      this.#messages.push(undefined)
      this.#changes.push(undefined)
    }
    const segment = new Int32Array(segmentSlots).fill(none)
    this.#messages[number] = segment
    this.#changes[number] = new Uint8Array(segmentSlots)
    return segment
  }
}
