/**
 * What one machine told its peer, flow by flow, and what became of it.
 *
 * A flow is *owed* from the moment its sender means to tell it until the receiver has applied a
 * message that was built later. A *doubt* is raised where nothing is promised: by a declared loss,
 * or because a cache changed in silence as it should (a commit, a flush). It covers what was told
 * before it and nothing that is told after it. So every flow is judged by itself, and a loss
 * excuses no more than what it touched.
 */
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import { seconds } from "./Court.ts"
import { lineOfFlow, lineOfKey } from "./WireFlow.ts"

/** A message with its number, built by one life of a sender. */
export interface Message {
  /** Unique among all daemons of the run. */
  readonly life: number
  readonly seq: number
  readonly flags: number
  /** Type on the wire: 0 to 2 about flows, 10 control. */
  readonly type: number
  /** Undefined: about no flow, or about one that the wire cannot tell from others. */
  readonly key: string | undefined
  readonly flow: ReferenceFlow | undefined
  readonly from: number
  readonly to: number
  /** When it was built, in order and in time. */
  readonly moment: number
  readonly atMs: number
  /** When its flow began, among those with the same key. 0: not known. */
  readonly birth: number
  /** It left in a datagram. */
  isSent: boolean
  /** The life that accepted it last; 0: nobody. */
  acceptedBy: number
  /** An acknowledgement: the life whose numbers it is about. 0: not known. */
  readonly aboutLife: number
}

type Event = readonly [atMs: number, what: string, seq: number]
const historyMax = 10

/** When the sender lost everything it had not yet said, last. */
interface GeneralDoubt {
  moment: number
}

/** One flow, as far as one direction is concerned. Moments are -1 when it never happened. */
export class Told {
  readonly key: string
  readonly #general: GeneralDoubt
  /** The sender meant to tell it. */
  toldMoment = -1
  /** The message that the receiver applied last was built. */
  appliedMoment = -1
  appliedType = -1
  appliedFlow: ReferenceFlow | undefined
  appliedLife = 0
  /** When the flow of that message began. */
  appliedBirth = 0
  /** The receiver's entry has fields of an earlier flow, and may. */
  hasLeftover = false
  /** When it was applied, in order and in time. */
  appliedAtMoment = -1
  appliedAtMs = 0
  /** The sender read a new timeout from its kernel and did not say so. */
  isTimeoutSilent = false
  readonly history: Array<Event> = []
  #doubtMoment = -1

  constructor(key: string, general: GeneralDoubt) {
    this.key = key
    this.#general = general
  }

  get doubtMoment(): number {
    return Math.max(this.#doubtMoment, this.#general.moment)
  }

  doubt(moment: number): void {
    this.#doubtMoment = moment
  }

  /** Told, not applied, and no excuse. */
  get isOwed(): boolean {
    return this.toldMoment > this.appliedMoment && this.toldMoment > this.doubtMoment
  }

  /** Since the last doubt it was not told again, so the peer may know anything. */
  get isDoubtful(): boolean {
    return this.doubtMoment >= 0 && this.doubtMoment > this.toldMoment
  }

  note(atMs: number, what: string, seq = -1): void {
    if (this.history.length === historyMax) this.history.shift()
    this.history.push([atMs, what, seq])
  }

  get historyLines(): ReadonlyArray<string> {
    return this.history.map(([atMs, what, seq]) =>
      `${seconds(atMs)} ${what}${seq < 0 ? "" : ` (seq ${seq})`}`
    )
  }
}

export class Ledger {
  readonly sender: string
  readonly receiver: string
  /** Entries of the receiver's external cache, as they must be. */
  readonly held = new Map<string, ReferenceFlow>()
  /** What was lost by declaration; decides between Q1 and Q2. */
  losses = 0
  /** Why everything was in doubt last. */
  lastLoss = ""
  /** How often something was told, of whatever flow; bulk sends do not count. */
  tells = 0
  /** The receiver accepted bytes that nobody sent: nothing can be said any more. */
  isPoisoned = false
  readonly #court: Court
  readonly #flows = new Map<string, Told>()
  readonly #general: GeneralDoubt = { moment: -1 }

  constructor(court: Court, sender: string, receiver: string) {
    this.#court = court
    this.sender = sender
    this.receiver = receiver
  }

  flows(): IterableIterator<Told> {
    return this.#flows.values()
  }

  of(key: string): Told {
    let told = this.#flows.get(key)
    if (told === undefined) {
      told = new Told(key, this.#general)
      this.#flows.set(key, told)
    }
    return told
  }

  find(key: string): Told | undefined {
    return this.#flows.get(key)
  }

  tell(key: string, what: string): void {
    const told = this.of(key)
    told.toldMoment = this.#court.nextMoment()
    told.isTimeoutSilent = false
    told.note(this.#court.nowMs(), what)
  }

  doubt(key: string, why: string): void {
    this.#doubt(this.of(key), why)
  }

  /** The sender is gone, and with it what it had not yet said. */
  senderLost(why: string): void {
    this.#general.moment = this.#court.nextMoment()
    this.lastLoss = why
  }

  /** The receiver's cache is empty now. What is still on its way is owed as before. */
  receiverLost(why: string): void {
    for (const told of this.#flows.values()) {
      if (!told.isOwed) this.#doubt(told, why)
    }
    this.held.clear()
  }

  lineOf(key: string): string {
    const flow = this.held.get(key)
    return flow === undefined ? lineOfKey(key) : lineOfFlow(flow)
  }

  #doubt(told: Told, why: string): void {
    told.doubt(this.#court.nextMoment())
    told.note(this.#court.nowMs(), why)
  }
}
