/**
 * The judge's own copy of a daemon's resend queue: which numbers wait for acknowledgement, and
 * which flows they are about. What the engine drops and the copy still has was forgotten; the
 * caller decides whether it may be.
 */
import type { Ftfw } from "../../../src/core/protocol/Ftfw.ts"
import { Flag } from "../reference/ReferenceWire.ts"
import type { Message } from "./Ledger.ts"

export interface Waiting {
  readonly message: Message
  /** -1: a control message. */
  readonly slot: number
}

export class ResendMirror {
  readonly #protocol: Ftfw
  /** Oldest first: in the order of sending. */
  readonly #waiting = new Map<number, Waiting>()
  readonly #seqOfSlot = new Map<number, number>()

  constructor(protocol: Ftfw) {
    this.#protocol = protocol
  }

  add(message: Message, slot: number): void {
    this.#waiting.set(message.seq, { message, slot })
    if (slot >= 0) this.#seqOfSlot.set(slot, message.seq)
  }

  /** The flow in `slot` is told again, or forgotten: its message waits no longer. */
  removeSlot(slot: number): void {
    const seq = this.#seqOfSlot.get(slot)
    if (seq === undefined) return
    this.#seqOfSlot.delete(slot)
    this.#waiting.delete(seq)
  }

  /** Removes what the engine no longer has, and tells it. */
  reconcile(): ReadonlyArray<Waiting> {
    if (this.#protocol.resendLength === this.#waiting.size) return nobody
    const still = new Set<number>()
    for (const { seq } of this.#protocol.resendEntries()) still.add(seq)
    const gone: Array<Waiting> = []
    for (const [seq, waiting] of this.#waiting) {
      if (still.has(seq)) continue
      gone.push(waiting)
      this.#waiting.delete(seq)
      if (this.#seqOfSlot.get(waiting.slot) === seq) this.#seqOfSlot.delete(waiting.slot)
    }
    return gone
  }

  /** Flows among the waiting, oldest first. */
  flows(): ReadonlyArray<Waiting> {
    return [...this.#waiting.values()].filter(({ slot }) => slot >= 0)
  }

  /** The first flow with a number in the range. */
  flowIn(from: number, to: number): Waiting | undefined {
    const length = (to - from) >>> 0
    for (const waiting of this.#waiting.values()) {
      const { message, slot } = waiting
      if (slot >= 0 && ((message.seq - from) >>> 0) <= length) return waiting
    }
    return undefined
  }

  /** A request for a resync waits for acknowledgement: a bulk send may be about to begin. */
  get hasResync(): boolean {
    for (const { message, slot } of this.#waiting.values()) {
      if (slot < 0 && (message.flags & Flag.resync) !== 0) return true
    }
    return false
  }

  get flowCount(): number {
    return this.#seqOfSlot.size
  }
}

const nobody: ReadonlyArray<Waiting> = []
