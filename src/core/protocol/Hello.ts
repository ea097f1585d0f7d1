/**
 * The greeting of FTFW: how a node says that it has just started, and how it notices that its peer
 * has.
 *
 * A node says HELLO on every message until a HELLO_BACK answers. A peer that says HELLO begins a
 * new incarnation, unless it merely goes on saying so: the message before said HELLO too, and had
 * the number before; or it belongs to what the peer said in its first moments, and was overtaken.
 *
 * Source: specification, "The synchronisation engines", section 12.2.
 */
import { Flag } from "../wire/MessageHeader.ts"
import * as Seq from "../wire/Seq.ts"

export type HelloState = "init" | "saying" | "done"
export type HelloInput = "sent" | "answered"

/** A peer gets its answer within that time; later nothing that says HELLO is a late message. */
const firstMomentsMs = 3_000
/** A peer that starts again takes the seconds of its clock; so many either way are possible. */
const clockSlackSeconds = 3
/** Messages that a node sends in its first moments, at most. */
const firstMessagesMax = 4_096

/** An answer that comes before the first message was sent is lost: the peer will repeat it. */
const transitions: Record<HelloState, Record<HelloInput, HelloState>> = {
  init: { sent: "saying", answered: "init" },
  saying: { sent: "saying", answered: "done" },
  done: { sent: "done", answered: "done" }
}

export class Hello {
  #state: HelloState = "init"
  #answerDue = false
  /** Of the last message of the peer that was not dropped as old. */
  #peerSeq = 0
  #peerSaidHello = false
  /** The message that began the peer's present incarnation, and when it came. */
  #firstSeq = 0
  #firstMs = -Infinity

  get state(): HelloState {
    return this.#state
  }

  /** The last message heard from the peer said HELLO. */
  get peerSaidHello(): boolean {
    return this.#peerSaidHello
  }

  /**
   * Repair: whether a message that says HELLO belongs to the incarnation that the peer began a
   * moment ago, although others came in between. A peer that starts again numbers its messages from
   * the seconds of its clock, so a number far from those is not of another start. Upstream begins
   * anew with each, and takes states that are older than what it has.
   */
  isOfPresent(seq: number, nowMs: number): boolean {
    const ageMs = nowMs - this.#firstMs
    if (ageMs > firstMomentsMs) return false
    const index = (seq - this.#firstSeq) | 0
    if (Math.abs(index) > firstMessagesMax) return false
    return Math.abs(index - Math.floor(ageMs / 1_000)) > clockSlackSeconds
  }

  /** A message came that is not old. True when it begins a new incarnation of the peer. */
  handleMessage(seq: number, flags: number, nowMs: number): boolean {
    const saysHello = (flags & Flag.hello) !== 0
    const goesOn = this.#peerSaidHello && seq === Seq.next(this.#peerSeq)
    this.#peerSeq = seq
    this.#peerSaidHello = saysHello
    if (saysHello) this.#answerDue = true
    if (!saysHello || goesOn || this.isOfPresent(seq, nowMs)) return false
    this.#firstSeq = seq
    this.#firstMs = nowMs
    return true
  }

  /** The message, old or not, answers our HELLO. */
  handleAnswer(): void {
    this.#state = transitions[this.#state].answered
  }

  /** Flags for the message that is being built. */
  takeFlags(): number {
    this.#state = transitions[this.#state].sent
    const greeting = this.#state === "saying" ? Flag.hello : 0
    const answer = this.#answerDue ? Flag.helloBack : 0
    this.#answerDue = false
    return greeting | answer
  }
}
