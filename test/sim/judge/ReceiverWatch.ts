/**
 * Watches the receiving half of a daemon of ours: which messages it accepts, what it makes of them.
 * S1 (an entry is what was told), S2, S3, S5 (nothing accepted vanishes, gaps are reported), S10.
 *
 * Which messages must be accepted is computed a second time, from the specification.
 *
 * Source: specification, "The synchronisation engines", sections 12.2, 12.3 and 13.
 */
import { Change } from "../../../src/core/model/Change.ts"
import type { FlowView as View } from "../../../src/core/model/FlowView.ts"
import { FlowView } from "../../../src/core/model/FlowView.ts"
import type { Inbound } from "../../../src/core/protocol/SyncProtocol.ts"
import { Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import { Flag } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { Ledger, Message, Told } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { isMalformed, Malformed } from "./Malformed.ts"
import type { SenderWatch } from "./SenderWatch.ts"
import { NoRoom } from "./Verdict.ts"
import {
  asKept,
  differenceLines,
  differingFields,
  keyOfView,
  learnedOf,
  merged
} from "./WireFlow.ts"

const changeWords = ["created", "updated", "destroyed"] as const
/** By then a gap has been reported, whatever the daemon is busy with. */
const reportWithinMs = 2_500

export interface ReceiverParts {
  readonly court: Court
  readonly life: Life
  /** What the peer tells this machine. */
  readonly incoming: Ledger
  /** What this machine tells its peer: poisoned together. */
  readonly outgoing: Ledger
  readonly sender: SenderWatch
  readonly isPeerForeign: boolean
  /** The external cache begins to be flushed. */
  readonly flushing: () => void
}

interface Gap {
  readonly from: number
  readonly to: number
  dueMs: number
}

/** What handleMessage handled last, until the cache has it. "forged": nobody sent it. */
type Current = Message | "forged" | undefined

export class ReceiverWatch {
  readonly #parts: ReceiverParts
  readonly #view = new FlowView()
  /** Messages read and not yet handled, by link; undefined: bytes that nobody sent. */
  readonly #inboxes = new Map<number, Array<Message | undefined>>()
  #current: Current
  readonly #malformed = new Malformed()

  // What the specification says the receiver remembers.
  #hasHeard = false
  #last = 0
  #peerSeq = 0
  #peerSaidHello = false
  #lost = 0
  #before = 0
  #gaps: Array<Gap> = []
  /** The newest message accepted. */
  #newest: Message | undefined
  /** What was built before may be applied late: see `#noteMisled`. */
  #misledMoment: number

  constructor(parts: ReceiverParts) {
    this.#parts = parts
    // Its cache is empty, and it knows no number: what was on its way is the first it hears of.
    this.#misledMoment = parts.court.nextMoment()
    this.#wrap()
  }

  /** Messages of a datagram that the daemon took out of its socket; undefined: nobody sent it. */
  read(link: number, messages: ReadonlyArray<Message> | undefined, bytes: Uint8Array): void {
    let inbox = this.#inboxes.get(link)
    if (inbox === undefined) this.#inboxes.set(link, inbox = [])
    if (messages === undefined) {
      this.#malformed.read(bytes)
      inbox.push(undefined)
    } else inbox.push(...messages)
  }

  /** Messages that were read and not handled. */
  get unhandled(): number {
    let sum = 0
    for (const inbox of this.#inboxes.values()) sum += inbox.filter((m) => m !== undefined).length
    return sum
  }

  reported(from: number, to: number): void {
    this.#gaps = this.#gaps.filter((gap) => gap.from !== from || gap.to !== to)
  }

  /** The daemon gets no turns: what it owes, it owes later. */
  postpone(): void {
    for (const gap of this.#gaps) gap.dueMs = this.#parts.court.nowMs() + reportWithinMs
  }

  /** S5, S10: what is overdue, and whether the counters are right. */
  tick(): void {
    const { court, life } = this.#parts
    this.#checkApplied()
    const nowMs = court.nowMs()
    const late = this.#gaps.find((gap) => gap.dueMs < nowMs)
    if (late !== undefined) {
      court.violate("S5", `${life.machine} misses ${late.from}-${late.to} and never said so`)
    }
    const wrong = this.#malformed.difference(life.replica.receive)
    if (wrong !== undefined) court.violate("S10", `${life.machine} counts ${wrong}`)
  }

  // -------------------------------------------------------------------------- messages

  #wrap(): void {
    const { life: { replica: { external, protocol } } } = this.#parts
    const handleMessage = protocol.handleMessage.bind(protocol)
    protocol.handleMessage = (header, nowMs) => {
      this.#checkApplied()
      const inbound = this.#take(header)
      const mustDrop = this.#isOld(header)
      const isRestart = this.#noteHello(header)
      this.#parts.sender.handling()
      const verdict = handleMessage(header, nowMs)
      this.#handled(header, inbound, verdict, mustDrop, isRestart)
      return verdict
    }
    const apply = external.apply.bind(external)
    external.apply = (kind, view, nowSeconds) => {
      const { noSpace } = external.stats
      const slot = apply(kind, view, nowSeconds)
      this.#applied(kind, view, slot, external.stats.noSpace > noSpace)
      return slot
    }
    const flushStep = external.flushStep.bind(external)
    external.flushStep = (from, max) => {
      if (from === 0) {
        this.#parts.flushing()
        this.#parts.incoming.receiverLost("flushed from the external cache")
      }
      return flushStep(from, max)
    }
  }

  /** The message that the daemon handles now; undefined when nobody sent it. */
  #take({ flags, seq, type }: Inbound): Message | undefined {
    for (const inbox of this.#inboxes.values()) {
      let at = 0
      while (at < inbox.length && inbox[at] === undefined) at++
      const next = inbox[at]
      if (next === undefined || next.seq !== seq) continue
      if (next.type !== type || next.flags !== flags) continue
      inbox.splice(0, at + 1)
      return next
    }
    return undefined
  }

  #isOld({ flags, seq }: Inbound): boolean {
    const isAhead = ((seq - this.#last) | 0) > 0
    return this.#hasHeard && (flags & Flag.hello) === 0 && !isAhead
  }

  /** True when the message begins a new life of the peer. */
  #noteHello(header: Inbound): boolean {
    if (this.#isOld(header)) return false
    const saysHello = (header.flags & Flag.hello) !== 0
    const goesOn = this.#peerSaidHello && header.seq === ((this.#peerSeq + 1) >>> 0)
    return saysHello && !goesOn
  }

  #handled(
    header: Inbound,
    inbound: Message | undefined,
    verdict: Verdict,
    mustDrop: boolean,
    isRestart: boolean
  ): void {
    const { court, incoming, life, outgoing, sender } = this.#parts
    if (mustDrop) this.#before++
    else if (verdict !== Verdict.drop) this.#accept(header, verdict, isRestart)
    this.#checkVerdict(header, inbound, verdict, mustDrop)
    if (!mustDrop && isMalformed(header)) this.#malformed.headers++
    if (inbound === undefined && verdict === Verdict.apply) this.#malformed.applied++
    if (verdict === Verdict.apply || verdict === Verdict.control) {
      if (inbound === undefined) {
        incoming.isPoisoned = outgoing.isPoisoned = true
        incoming.losses++
        court.mark("forged message accepted")
        court.declare(life.machine, "accepted a message that nobody sent")
        life.heard(0)
      } else {
        if (inbound.life === life.id) {
          court.violate("S7", `${life.machine} took its own message ${header.seq} for its peer's`)
        }
        inbound.acceptedBy = life.id
        this.#noteMisled(header, inbound)
        this.#noteLife(header, inbound, isRestart)
      }
    }
    if (verdict === Verdict.apply) this.#current = inbound ?? "forged"
    sender.handled(header, inbound, verdict, isRestart && verdict !== Verdict.drop)
    const { before, lost } = life.replica.protocol.counters
    if (before !== this.#before || lost !== this.#lost) {
      court.violate(
        "S10",
        `${life.machine} counts ${lost} lost and ${before} old messages, ` +
          `it should be ${this.#lost} and ${this.#before}`
      )
    }
  }

  #accept({ flags, seq }: Inbound, verdict: Verdict, isRestart: boolean): void {
    const saysHello = (flags & Flag.hello) !== 0
    const didSayHello = this.#peerSaidHello
    this.#peerSaidHello = saysHello
    this.#peerSeq = seq
    const isGap = this.#hasHeard && ((seq - this.#last) | 0) > 1
    if (isGap && !saysHello) this.#lost += ((seq - this.#last) >>> 0) + 1
    // The peer's earlier life is asked for nothing any more.
    if (isRestart) this.#gaps = []
    if (verdict === Verdict.malformed) return
    if (isGap && (!isRestart || didSayHello)) {
      this.#gaps.push({
        from: (this.#last + 1) >>> 0,
        to: (seq - 1) >>> 0,
        dueMs: this.#parts.court.nowMs() + reportWithinMs
      })
    }
    this.#hasHeard = true
    this.#last = seq
  }

  #checkVerdict(
    { seq }: Inbound,
    inbound: Message | undefined,
    verdict: Verdict,
    mustDrop: boolean
  ): void {
    const { court, incoming, life } = this.#parts
    const facts = () =>
      inbound?.key === undefined
        ? []
        : [["the flow", [incoming.lineOf(inbound.key)]], [
          "its history",
          incoming.of(inbound.key).historyLines
        ]] as const
    if (mustDrop && verdict !== Verdict.drop) {
      court.violate("S3", `${life.machine} accepted ${seq}, which is behind what it has`, facts)
    }
    if (mustDrop && inbound?.key !== undefined) {
      const what = `${life.machine}: ← dropped, behind ${this.#last}`
      incoming.of(inbound.key).note(court.nowMs(), what, seq)
    }
    if (!mustDrop && verdict === Verdict.drop) {
      court.violate("S5", `${life.machine} dropped ${seq}, which it had to accept`, facts)
    }
    // A peer that is not ours may acknowledge from behind to before.
    const isReversed = inbound !== undefined && ((inbound.to - inbound.from) | 0) < 0
    if (verdict === Verdict.malformed && inbound !== undefined && !isReversed) {
      court.violate("S5", `${life.machine} calls ${seq} malformed, which is sound`, facts)
    }
  }

  // ------------------------------------------------------------------------- the cache

  /** What was accepted must be in the cache before anything else happens. */
  #checkApplied(): void {
    const current = this.#current
    this.#current = undefined
    if (current === undefined || current === "forged" || current.type > Change.destroyed) return
    const { court, life } = this.#parts
    court.violate("S5", `${life.machine} accepted ${current.seq} and did not apply it`)
  }

  #applied(kind: Change, view: View, slot: number, isFull: boolean): void {
    const { court, incoming, life } = this.#parts
    const key = keyOfView(view)
    const current = this.#current
    this.#current = undefined
    if (current === undefined) {
      court.violate("S1", `${life.machine} changed its external cache without a message`)
      return
    }
    if (current === "forged") {
      if (key !== undefined) this.#forged(key, slot)
      return
    }
    if (key !== current.key || kind !== current.type) {
      court.violate("S1", `${life.machine} made another flow of message ${current.seq}`)
      return
    }
    if (key === undefined) return
    this.#checkOrder(current, key)
    const told = incoming.of(key)
    this.#checkLeftover(current, key, told)
    told.appliedMoment = current.moment
    told.appliedBirth = current.birth
    told.appliedType = current.type
    told.appliedFlow = current.flow
    told.appliedLife = current.life
    told.appliedAtMoment = court.nextMoment()
    told.appliedAtMs = court.nowMs()
    told.note(court.nowMs(), `${life.machine}: ← ${changeWords[kind]}`, current.seq)
    this.#hold(current, key, slot, isFull, view)
  }

  /**
   * A message that says HELLO and was overtaken looks like another start of the peer, whose numbers
   * begin there: what is older than the newest, and newer than that one, is then in sequence again.
   * The protocol promises nothing.
   */
  #noteMisled({ flags }: Inbound, inbound: Message): void {
    const newest = this.#newest
    if (newest === undefined || inbound.life !== newest.life || inbound.moment > newest.moment) {
      this.#newest = inbound
      return
    }
    if ((flags & Flag.hello) === 0) return
    const { court, incoming, life } = this.#parts
    this.#misledMoment = court.nextMoment()
    incoming.losses++
    court.mark("late hello taken for a start")
    court.declare(life.machine, "took a late hello of its peer for another start")
  }

  /**
   * A daemon that is back within the second may begin with the number after its last life's last:
   * then its HELLO seems to go on, and an acknowledgement spans both lives. What its last life was
   * told and did not acknowledge is sent again when it is overdue; what it had acknowledged ended
   * with it, which is a declared loss.
   */
  #noteLife({ seq }: Inbound, inbound: Message, isRestart: boolean): void {
    const { court, life } = this.#parts
    const isJoined = !isRestart && inbound.life > life.heardLife && life.heardLife !== 0
    if (isJoined) court.mark("start taken for going on")
    life.heard(inbound.life, isJoined ? seq : undefined)
  }

  #checkOrder({ flags, life: from, moment, seq }: Message, key: string): void {
    const { court, incoming, life } = this.#parts
    const told = incoming.of(key)
    if (moment >= told.appliedMoment) return
    // A message that says HELLO skips the sequence check, and a number of the peer's previous life
    // cannot be told from one of the present one: the protocol promises nothing.
    if ((flags & Flag.hello) !== 0 || moment < this.#misledMoment) return
    if (from < told.appliedLife) {
      court.mark("message of an earlier life applied")
      incoming.losses++
      court.declare(life.machine, "applied a late message of its peer's previous life")
      return
    }
    const wasDestroyed = told.appliedType === Change.destroyed
    court.violate(
      wasDestroyed ? "S2" : "S3",
      wasDestroyed
        ? `${life.machine} brought a destroyed flow back with the older message ${seq}`
        : `${life.machine} applied ${seq}, which is older than what it had`,
      () => [["the flow", [incoming.lineOf(key)]], ["its history", told.historyLines]]
    )
  }

  /**
   * S1: an update must not be merged into what is left of an earlier flow with the same tuple,
   * unless something was lost between the two.
   */
  #checkLeftover({ birth, flow, seq, type }: Message, key: string, told: Told): void {
    const { court, incoming, life } = this.#parts
    const held = incoming.held.get(key)
    if (type !== Change.updated || held === undefined) {
      told.hasLeftover = false
      return
    }
    if (birth === 0) return
    const fields = differingFields(merged(held, asKept(flow!)), asKept(flow!))
    if (fields.length === 0) return
    if (birth === told.appliedBirth) {
      // Its events were lost: the sender took another flow for the same, and no UPD says less.
      if (!told.hasLeftover) court.mark("field left of a flow whose end was not seen")
      told.hasLeftover = true
      return
    }
    told.hasLeftover = true
    court.mark("field of an earlier flow left at the peer")
    if (told.doubtMoment > told.appliedMoment || incoming.isPoisoned) return
    court.violate(
      "S1",
      `${life.machine} made an entry of two flows of ${incoming.sender}'s with number ${seq}`,
      () => [
        ["the flow", [incoming.lineOf(key)]],
        ["left of the earlier", fields],
        ["its history", told.historyLines]
      ]
    )
  }

  #hold(current: Message, key: string, slot: number, isFull: boolean, view: View): void {
    const { court, incoming, life } = this.#parts
    const { external } = life.replica
    if (current.type === Change.destroyed) {
      incoming.held.delete(key)
      const left = external.table.find(view)
      if (left >= 0 && external.holds(left)) {
        court.violate(
          "S2",
          `${life.machine} keeps a flow whose end it was told by ${current.seq}`,
          () => [["the flow", [incoming.lineOf(key)]]]
        )
      }
      return
    }
    if (slot < 0) {
      if (!isFull) {
        court.violate("S5", `${life.machine} accepted ${current.seq} and has no entry for it`)
        return
      }
      court.mark("slot exhaustion")
      incoming.held.delete(key)
      incoming.doubt(key, "did not fit the external cache")
      incoming.losses++
      court.declare(life.machine, NoRoom.external)
      return
    }
    const flow = asKept(current.flow!)
    const old = incoming.held.get(key)
    const must = current.type === Change.updated && old !== undefined ? merged(old, flow) : flow
    incoming.held.set(key, must)
    const is = learnedOf(external.table.view(slot, this.#view))
    if (differingFields(is, must).length === 0) return
    court.violate(
      "S1",
      `${life.machine} has an entry that ${incoming.sender} never told`,
      () => [
        ["the flow", [incoming.lineOf(key)]],
        ["differences", differenceLines(is, must)],
        ["its history", incoming.of(key).historyLines]
      ]
    )
  }

  /** Nobody knows what it should be; from now on it is what it is. */
  #forged(key: string, slot: number): void {
    const { incoming, life } = this.#parts
    incoming.doubt(key, "told by a message that nobody sent")
    if (slot < 0) incoming.held.delete(key)
    else {
      const view = life.replica.external.table.view(slot, this.#view)
      incoming.held.set(key, learnedOf(view))
    }
  }
}
