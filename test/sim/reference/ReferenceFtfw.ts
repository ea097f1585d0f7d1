/**
 * The FTFW engine of the reference peer: numbers, hello, acknowledgements, retransmission. It does
 * what upstream 1.4.7 was seen to do, defects included, and says when one of them loses something.
 *
 * It has no clock and no socket: the daemon calls `alarm` and `drain` and sends what comes out.
 *
 * Source: specification, "The synchronisation engines", sections 9, 12 and 22.
 */
import type { Frame, MessageType, ReferenceMessage } from "./ReferenceWire.ts"
import { Flag, isControl } from "./ReferenceWire.ts"

/** A flow that is told to the peer. Queues hold references: what is sent is the state of then. */
export interface Told {
  /** What is sent of it is NEW, UPD or DEL. */
  status: "new" | "alive" | "dead"
  place: "none" | "transmit queue" | "resend queue"
  /** Number of the message that told of it last. */
  sequence: number
}

interface Control {
  readonly kind: "control"
  flags: number
  readonly from: number
  readonly to: number
  sequence: number
}

export interface FtfwHost<T extends Told> {
  /** A data message, in or out of order. */
  readonly apply: (frame: Frame) => void
  /** The content of a message about this. */
  readonly encode: (told: T) => Pick<ReferenceMessage, "flow" | "expectation"> & {
    readonly type: MessageType
  }
  /** A dead one is in no queue any more. */
  readonly released: (told: T) => void
  readonly resyncAsked: () => void
  /** Something is lost that the protocol promises nothing about. */
  readonly lost: (what: string) => void
  /** The first sequence number. */
  readonly epochSeconds: () => number
}

export interface FtfwSettings {
  readonly ackWindowSize: number
  readonly resendQueueSize: number
}

/** Where an engine is: tests start it in the middle of a conversation. */
export interface FtfwState {
  hello: "init" | "say" | "done"
  isAnswerDue: boolean
  /** The next number to send; undefined: the clock decides. */
  next: number | undefined
  last: number | undefined
  window: number
  ackFrom: number | undefined
}

export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0
export const after = (a: number, b: number): boolean => before(b, a)
const following = (n: number): number => (n + 1) >>> 0

export class ReferenceFtfw<T extends Told> {
  readonly counters = {
    malformed: 0,
    badVersion: 0,
    badHeader: 0,
    lost: 0,
    before: 0,
    noSpaceInResendQueue: 0
  }
  readonly state: FtfwState
  readonly #settings: FtfwSettings
  readonly #host: FtfwHost<T>
  /** Sets keep the order of insertion, and forget cheaply. */
  readonly #transmit = new Set<T | Control>()
  readonly #resend = new Set<T | Control>()

  constructor(settings: FtfwSettings, host: FtfwHost<T>) {
    this.#settings = settings
    this.#host = host
    this.state = {
      hello: "init",
      isAnswerDue: false,
      next: undefined,
      last: undefined,
      window: settings.ackWindowSize,
      ackFrom: undefined
    }
  }

  get hasToSend(): boolean {
    return this.#transmit.size > 0
  }

  /** What `-s rsqueue` prints. */
  get resendQueueText(): ReadonlyArray<string> {
    const entries = [...this.#resend].map((entry) =>
      isTold(entry)
        ? `object -> seq:${entry.sequence}`
        : `control -> seq:${entry.sequence} flags:${entry.flags}`
    )
    return [`resent queue (len=${entries.length})`, ...entries]
  }

  get transmitQueueLength(): number {
    return this.#transmit.size
  }

  get resendQueueLength(): number {
    return this.#resend.size
  }

  // -------------------------------------------------------------------------------- sending

  /** Tells the peer, with the state it will have when it is sent. */
  tell(told: T): void {
    if (told.place === "transmit queue") return
    this.#resend.delete(told)
    this.#transmit.add(told)
    told.place = "transmit queue"
  }

  /** Forgets whatever was to be told of it. */
  forget(told: T): void {
    this.#transmit.delete(told)
    this.#resend.delete(told)
    told.place = "none"
  }

  askForResync(): void {
    this.#queue(Flag.resync, 0, 0)
  }

  /** A second went by without transmission. */
  alarm(): void {
    const { ackFrom, last } = this.state
    if (ackFrom !== undefined && last !== undefined) {
      this.#queue(Flag.ack, ackFrom, last)
      this.state.ackFrom = undefined
    } else {
      this.#queue(Flag.alive, 0, 0)
    }
  }

  /** Empties the transmit queue: the messages to send now, in order. */
  drain(): ReadonlyArray<ReferenceMessage> {
    const messages: Array<ReferenceMessage> = []
    for (const entry of this.#transmit) {
      this.#transmit.delete(entry)
      entry.sequence = this.#number()
      const flags = this.#helloFlags()
      if (isTold(entry)) {
        messages.push({ ...this.#host.encode(entry), flags, sequence: entry.sequence })
        this.#keep(entry)
      } else {
        entry.flags |= flags
        const { from, sequence, to } = entry
        const isAlive = (entry.flags & Flag.alive) !== 0
        messages.push({
          type: "CTL",
          flags: entry.flags,
          sequence,
          ...(isAlive ? {} : { from, to })
        })
        if (!isAlive) this.#keep(entry)
      }
    }
    return messages
  }

  #queue(flags: number, from: number, to: number): void {
    this.#transmit.add({ kind: "control", flags, from, to, sequence: 0 })
  }

  #number(): number {
    const number = this.state.next ?? this.#host.epochSeconds() >>> 0
    this.state.next = following(number)
    return number
  }

  #helloFlags(): number {
    const { state } = this
    let flags = 0
    if (state.hello === "init") state.hello = "say"
    if (state.hello === "say") flags |= Flag.hello
    if (state.isAnswerDue) flags |= Flag.helloBack
    state.isAnswerDue = false
    return flags
  }

  /** Until it is acknowledged. A full queue drops its oldest entry, and says nothing. */
  #keep(entry: T | Control): void {
    if (this.#resend.size >= this.#settings.resendQueueSize) {
      const [oldest] = this.#resend
      this.counters.noSpaceInResendQueue++
      if (oldest !== undefined) {
        this.#release(oldest)
        this.#host.lost("the resend queue is full: its oldest entry is dropped")
      }
    }
    this.#resend.add(entry)
    if (isTold(entry)) entry.place = "resend queue"
  }

  #release(entry: T | Control): void {
    this.#resend.delete(entry)
    if (!isTold(entry)) return
    entry.place = "none"
    if (entry.status === "dead") this.#host.released(entry)
  }

  // ------------------------------------------------------------------------------ receiving

  receive(frame: Frame): void {
    const { state } = this
    const { flags, sequence } = frame
    if (frame.version !== 1) {
      this.counters.malformed++
      this.counters.badVersion++
      return
    }
    if ((flags & Flag.hello) !== 0) this.#greeted(sequence)
    if ((flags & Flag.helloBack) !== 0 && state.hello === "say") state.hello = "done"

    const { last } = state
    const expected = last === undefined ? sequence : following(last)
    if ((flags & Flag.hello) !== 0 || sequence === expected) {
      if (sequence !== expected) this.#host.lost("a hello hides what was lost before it")
      this.#inSequence(frame)
    } else if (after(sequence, expected)) {
      this.#gap(frame, expected)
    } else {
      this.counters.before++
    }
  }

  /** The peer has just started, or does not know yet that we know: everything kept is dropped. */
  #greeted(sequence: number): void {
    const { state } = this
    state.isAnswerDue = true
    if (this.#resend.size > 0) {
      const flows = [...this.#resend].filter(isTold).length
      this.#host.lost(`a hello empties the resend queue of ${this.#resend.size}, flows: ${flows}`)
    }
    for (const entry of this.#resend) this.#release(entry)
    if (state.ackFrom !== undefined && before(sequence, state.ackFrom)) {
      state.window = this.#settings.ackWindowSize - 1
      state.ackFrom = sequence
    }
  }

  #inSequence(frame: Frame): void {
    const { state } = this
    if (!this.#handle(frame)) return
    state.ackFrom ??= frame.sequence
    // Wraps as the unsigned number that it is.
    state.window = (state.window - 1) >>> 0
    if (state.window === 0) {
      this.#queue(Flag.ack, state.ackFrom, frame.sequence)
      state.window = this.#settings.ackWindowSize
      state.ackFrom = undefined
    }
    state.last = frame.sequence
  }

  #gap(frame: Frame, expected: number): void {
    const { state } = this
    const last = (expected - 1) >>> 0
    // Two more than are missing.
    this.counters.lost += (frame.sequence - last + 1) >>> 0
    if (!this.#handle(frame)) return
    if (state.ackFrom !== undefined) this.#queue(Flag.ack, state.ackFrom, last)
    this.#queue(Flag.nack, expected, (frame.sequence - 1) >>> 0)
    state.window = this.#settings.ackWindowSize - 1
    state.ackFrom = frame.sequence
    state.last = frame.sequence
  }

  /** False: a bad header. */
  #handle(frame: Frame): boolean {
    const { flags, from, to, type } = frame
    if (!isControl(frame)) {
      if (type > 5 || (flags & ~(Flag.hello | Flag.helloBack)) !== 0) return this.#badHeader()
      this.#host.apply(frame)
    } else if ((flags & Flag.ack) !== 0) {
      if (before(to, from)) return this.#badHeader()
      for (const entry of this.#range(from, to)) this.#release(entry)
    } else if ((flags & Flag.nack) !== 0) {
      if (before(to, from)) return this.#badHeader()
      this.#sendAgain(from, to)
    } else if ((flags & Flag.resync) !== 0) {
      this.#host.resyncAsked()
    } else if ((flags & Flag.alive) === 0) {
      return this.#badHeader()
    }
    return true
  }

  #badHeader(): false {
    this.counters.malformed++
    this.counters.badHeader++
    return false
  }

  /** From the head: numbers before the range are passed over, the first one after it ends it. */
  #range(from: number, to: number): ReadonlyArray<T | Control> {
    const entries: Array<T | Control> = []
    for (const entry of this.#resend) {
      if (before(entry.sequence, from)) continue
      if (after(entry.sequence, to)) break
      entries.push(entry)
    }
    return entries
  }

  #sendAgain(from: number, to: number): void {
    for (const entry of this.#range(from, to)) {
      this.#resend.delete(entry)
      this.#transmit.add(entry)
      if (isTold(entry)) entry.place = "transmit queue"
    }
  }
}

const isTold = <T extends Told>(entry: T | Control): entry is T => !("kind" in entry)
