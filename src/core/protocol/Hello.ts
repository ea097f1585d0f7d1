/**
 * The greeting of FTFW: how a node says that it has just started, and how it notices that its peer
 * has.
 *
 * A node says HELLO on every message until a HELLO_BACK answers. A peer that says HELLO begins a
 * new incarnation, unless it merely goes on saying so: the message before said HELLO too, and had
 * the number before.
 *
 * Source: specification, "The synchronisation engines", section 12.2.
 */
import { Flag } from "../wire/MessageHeader.ts"
import * as Seq from "../wire/Seq.ts"

export type HelloState = "init" | "saying" | "done"
export type HelloInput = "sent" | "answered"

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

  get state(): HelloState {
    return this.#state
  }

  /** The last message heard from the peer said HELLO. */
  get peerSaidHello(): boolean {
    return this.#peerSaidHello
  }

  /** A message came that is not old. True when it begins a new incarnation of the peer. */
  handleMessage(seq: number, flags: number): boolean {
    const saysHello = (flags & Flag.hello) !== 0
    const goesOn = this.#peerSaidHello && seq === Seq.next(this.#peerSeq)
    this.#peerSeq = seq
    this.#peerSaidHello = saysHello
    if (saysHello) this.#answerDue = true
    return saysHello && !goesOn
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
