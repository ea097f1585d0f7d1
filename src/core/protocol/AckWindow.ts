/**
 * Hot. Receiving side of FTFW: the last number accepted, and what is not yet acknowledged.
 *
 * Missing numbers are not remembered: they come again under new numbers. So the state is one
 * number, one open range, and how many more messages the range may take.
 *
 * Source: specification, "The synchronisation engines", sections 12.1 to 12.3.
 */
import { assert } from "../assert.ts"
import * as Seq from "../wire/Seq.ts"

/** Where a number lies, seen from the last one accepted. */
export const Place = { inSequence: 0, gap: 1, old: 2 } as const
export type Place = (typeof Place)[keyof typeof Place]

export class AckWindow {
  readonly #size: number
  #left: number
  #heard = false
  #last = 0
  #isOpen = false
  #from = 0

  /** `size`: messages that are acknowledged together (ACKWindowSize). At least one. */
  constructor(size: number) {
    assert(size >= 1, "an ack window holds at least one message")
    this.#size = size
    this.#left = size
  }

  /** A message was accepted once. */
  get heard(): boolean {
    return this.#heard
  }

  /** The last number accepted. */
  get last(): number {
    return this.#last
  }

  /** There is something to acknowledge: `from` to `last`. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  get from(): number {
    return this.#from
  }

  placeOf(seq: number): Place {
    const expected = Seq.next(this.#last)
    if (!this.#heard || seq === expected) return Place.inSequence
    return Seq.after(seq, expected) ? Place.gap : Place.old
  }

  /**
   * Accepts a message. True when the window is full: acknowledge `from` to `last`, then `close`.
   *
   * Repair: in a window of one, an ACK does not fill it. Otherwise two nodes acknowledge each
   * other's ACKs for ever, as fast as the link can.
   */
  accept(seq: number, isAck: boolean): boolean {
    if (!this.#isOpen) {
      this.#isOpen = true
      this.#from = seq
    }
    this.#heard = true
    this.#last = seq
    this.#left--
    return this.#left <= 0 && !(isAck && this.#size === 1)
  }

  /** Forgets the open range; the next message begins one. Only a full window gets its size back. */
  close(): void {
    this.#isOpen = false
    if (this.#left <= 0) this.#left = this.#size
  }

  /** The message about to be accepted lies behind a gap and begins a range. It counts itself. */
  reopenBehindGap(): void {
    this.#isOpen = false
    this.#left = this.#size
  }

  /**
   * The message about to be accepted begins a new incarnation of the peer, whose numbers have
   * nothing to do with those of the open range. As upstream, the window is short by one; it never
   * becomes so short that it cannot close.
   */
  restart(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#left = Math.max(1, this.#size - 1)
  }
}
