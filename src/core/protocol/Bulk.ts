/**
 * Sends a whole internal cache, in steps that leave the peer time to read.
 *
 * A step walks a bounded number of slots. The next one is due at once while few messages wait for
 * acknowledgement, and otherwise after a pause. A peer that is known to acknowledge is waited for:
 * the resend queue never overflows because of a bulk send, and what a broken link holds up comes
 * when it is whole again. A peer that never answered may be of a mode that acknowledges nothing:
 * it slows a bulk send down and never stops it. (Upstream writes everything out in one turn and
 * overruns its own queue and the socket of its peer.)
 *
 * Source: specification, "The synchronisation engines", sections 9, 12.4 and 22 (12).
 */
import type { Notice } from "./Notice.ts"
import type { Entity } from "./SyncProtocol.ts"

/** A table that can be walked in steps while it changes. */
export interface BulkSource {
  readonly entity: Entity
  /**
   * Visits the entries in at most `max` slots from `cursor` on; returns the cursor to go on from,
   * or -1 at the end. A walk begins at 0. An entry that stays where it is all the time is visited.
   */
  walk(cursor: number, max: number, visit: (slot: number) => void): number
}

/** Slots of one step. */
export const bulkStepSlotsMax = 1_024

/** Pause between steps while the resend queue is long, in milliseconds. */
export const bulkPauseMs = 20

/** Unacknowledged messages that make us pause. */
const resendLengthMax = 4_096

const done = -1

export class Bulk {
  readonly #sources: ReadonlyArray<BulkSource>
  readonly #resendLimit: number
  readonly #stepSlots: number
  /** Of the resend queue; the rest is for what happens meanwhile. */
  readonly #room: number
  #source = 0
  #cursor = done
  #isAskedAgain = false
  #lastStepMs = 0
  #starts = 0

  /** `sources` in the order in which they are sent: flows first, their expectations afterwards. */
  constructor(sources: ReadonlyArray<BulkSource>, resendQueueSize: number) {
    this.#sources = sources
    // Half the queue: what is under way and the step fit together.
    const half = Math.max(1, resendQueueSize >>> 1)
    this.#resendLimit = Math.min(half, resendLengthMax)
    this.#stepSlots = Math.min(half, bulkStepSlotsMax)
    this.#room = Math.max(1, Math.floor((resendQueueSize * 3) / 4))
  }

  get isRunning(): boolean {
    return this.#cursor !== done
  }

  /**
   * Everything is to be sent. While a bulk send runs it is finished and then done once more,
   * however often it was asked for: what was sent before the request may be what the peer has lost.
   */
  start(nowMs: number): void {
    this.#starts++
    if (this.isRunning) this.#isAskedAgain = true
    else {
      this.#begin()
      this.#lastStepMs = nowMs - bulkPauseMs
    }
  }

  /**
   * When `step` is to be called next; `Infinity` when no bulk send runs. `waiting`: messages that
   * are not acknowledged, or not even sent.
   */
  nextStepMs(waiting: number): number {
    if (!this.isRunning) return Infinity
    return waiting < this.#resendLimit ? this.#lastStepMs : this.#lastStepMs + bulkPauseMs
  }

  /** A bulk send runs, and cannot go on before something is acknowledged. */
  isBlocked(waiting: number, acknowledges: boolean): boolean {
    return this.isRunning && acknowledges && waiting >= this.#room
  }

  /**
   * Walks one step if it is due and there is room; `tell` is called for what is to be sent.
   * `acknowledges`: the peer is known to. False when nothing was walked.
   */
  step(
    nowMs: number,
    waiting: number,
    acknowledges: boolean,
    tell: (entity: Entity, slot: number) => void
  ): boolean {
    if (nowMs < this.nextStepMs(waiting)) return false
    this.#lastStepMs = nowMs
    const slots = acknowledges ? Math.min(this.#stepSlots, this.#room - waiting) : this.#stepSlots
    if (slots <= 0) return false
    const source = this.#sources[this.#source]!
    this.#cursor = source.walk(this.#cursor, slots, (slot) => tell(source.entity, slot))
    if (this.#cursor !== done) return true
    this.#source++
    if (this.#source < this.#sources.length) this.#cursor = 0
    else if (this.#isAskedAgain) this.#begin()
    return true
  }

  pollNotice(): Notice | undefined {
    if (this.#starts === 0) return undefined
    this.#starts--
    return { _tag: "BulkSendStarted" }
  }

  #begin(): void {
    this.#isAskedAgain = false
    this.#source = 0
    this.#cursor = this.#sources.length === 0 ? done : 0
  }
}
