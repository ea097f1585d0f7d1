/**
 * Watches the sending half of a daemon of ours: its internal cache, what it tells, the messages it
 * builds, and when it forgets them. S1 (what is told is what the cache has), S4, S5, S6.
 *
 * The methods are wrapped on the instances; each wrapper calls the original and looks.
 */
import { Origin } from "../../../src/core/cache/Origin.ts"
import { Change } from "../../../src/core/model/Change.ts"
import { FlowView } from "../../../src/core/model/FlowView.ts"
import type { Inbound, Outbound } from "../../../src/core/protocol/SyncProtocol.ts"
import { Entity, Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import { Flag } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { KernelWatch } from "./KernelWatch.ts"
import type { Ledger, Message } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { liveSlots } from "./LiveSlots.ts"
import { RepairWatch } from "./RepairWatch.ts"
import type { Waiting } from "./ResendMirror.ts"
import { ResendMirror } from "./ResendMirror.ts"
import { NoRoom } from "./Verdict.ts"
import type { ToldOptions } from "./WireFlow.ts"
import { differingFields, keyOf, keyOfView, toldOf } from "./WireFlow.ts"

const changeWords = ["created", "updated", "destroyed"] as const
const controlType = 10
/** Longest range of an acknowledgement that is looked at number by number. */
const rangeMax = 100_000

export interface SenderParts {
  readonly court: Court
  readonly life: Life
  /** What this machine tells its peer. */
  readonly outgoing: Ledger
  readonly kernel: KernelWatch
  readonly isPeerOurs: boolean
  /** What a life has built, by number. */
  readonly builtBy: (life: number) => ReadonlyMap<number, Message> | undefined
  /** A gap was reported. */
  readonly reported: (from: number, to: number) => void
}

export class SenderWatch {
  readonly mirror: ResendMirror
  /** States lost to a full resend queue, and how many of them the log mentioned. */
  overflowed = 0
  overflowLogged = 0
  /** It could not be told which states were lost: their number is not compared. */
  isOverflowUnclear = false
  readonly #parts: SenderParts
  readonly #options: ToldOptions
  readonly #view = new FlowView()
  #lastSeq = -1
  /** The slot that an event or a dump changed just now: who tells it says nothing new. */
  #changedSlot = -1
  /** It was a dump that named it. */
  #isFromDump = false
  readonly #repairs: RepairWatch
  /** The flow that an event changed, until it is told. */
  #untold: { readonly slot: number; readonly key: string | undefined } | undefined
  #isInBulk = false
  /** When a bulk send was asked for last. */
  #bulkMoment = 0
  /** When a slot changed hands last, and when none had. */
  readonly #births = new Map<number, number>()
  readonly #firstBirth: number
  /** Messages in the tx queue before the message that is handled now. */
  #txBefore = 0

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#firstBirth = parts.court.nextMoment()
    const { protocol, settings: { sync } } = parts.life.replica
    this.#options = {
      windowTracking: sync.tcpWindowTracking,
      timeout: sync.commitTimeoutSeconds === undefined
    }
    this.mirror = new ResendMirror(protocol)
    this.#repairs = new RepairWatch(parts.court, parts.life)
    this.#wrapCache()
    this.#wrapTelling()
    this.#wrapSending()
  }

  get toldOptions(): ToldOptions {
    return this.#options
  }

  // ------------------------------------------------------------------------ the cache

  #wrapCache(): void {
    const { internal } = this.#parts.life.replica
    const apply = internal.apply.bind(internal)
    internal.apply = (kind, view, origin, nowSeconds) => {
      this.#checkTold()
      const key = keyOfView(view)
      const { noSpace } = internal.stats
      const slot = apply(kind, view, origin, nowSeconds)
      this.#applied(kind, key, origin, slot, internal.stats.noSpace > noSpace)
      return slot
    }
    const refresh = internal.refresh.bind(internal)
    internal.refresh = (view, nowSeconds) => {
      this.#checkTold()
      const key = keyOfView(view)
      const { noSpace } = internal.stats
      const old = key === undefined ? undefined : this.#liveContent(internal.table.find(view))
      const slot = refresh(view, nowSeconds)
      this.#refreshed(key, old, slot, internal.stats.noSpace > noSpace)
      return slot
    }
    const destroyStale = internal.destroyStale.bind(internal)
    internal.destroyStale = (slot) => {
      const destroyed = destroyStale(slot)
      const key = this.#keyOfSlot(destroyed)
      this.#changedSlot = destroyed
      this.#untold = { slot: destroyed, key }
      if (key !== undefined) this.#parts.kernel.touched(key, true)
      return destroyed
    }
    const flushStep = internal.flushStep.bind(internal)
    internal.flushStep = (from, max) => {
      if (from === 0) this.#flushed()
      return flushStep(from, max)
    }
  }

  #applied(
    kind: Change,
    key: string | undefined,
    origin: Origin,
    slot: number,
    isFull: boolean
  ): void {
    const { kernel, outgoing } = this.#parts
    if (origin === Origin.other && key !== undefined) kernel.consumed(key, kind)
    if (isFull) {
      this.#didNotFit(key)
      return
    }
    if (slot >= 0) {
      this.#changedSlot = slot
      this.#isFromDump = false
      this.#untold = { slot, key }
      if (key !== undefined) kernel.touched(key, false)
      return
    }
    if (origin === Origin.other || origin === Origin.inject || key === undefined) return
    kernel.touched(key, false)
    outgoing.doubt(
      key,
      kind === Change.destroyed ? "deleted by our own flush" : "committed, which is not told"
    )
  }

  #refreshed(
    key: string | undefined,
    old: ReturnType<typeof toldOf> | undefined,
    slot: number,
    isFull: boolean
  ): void {
    if (isFull) this.#didNotFit(key)
    this.#changedSlot = slot
    this.#isFromDump = true
    if (slot < 0 || key === undefined) return
    const { kernel, outgoing } = this.#parts
    kernel.touched(key, true)
    const now = this.#contentOf(slot)
    const differing = old === undefined ? undefined : differingFields(old, now)
    if (differing === undefined || differing.some((field) => field !== "timeout")) {
      outgoing.doubt(key, "read from the kernel, which is not told")
    } else if (differing.length > 0) outgoing.of(key).isTimeoutSilent = true
  }

  #didNotFit(key: string | undefined): void {
    const { court, kernel, life, outgoing } = this.#parts
    court.mark("slot exhaustion")
    if (key === undefined) return
    kernel.excuse(key, "did not fit the internal cache")
    outgoing.doubt(key, "did not fit the internal cache")
    outgoing.losses++
    court.declare(life.machine, NoRoom.internal)
  }

  #flushed(): void {
    const { kernel, life: { replica: { internal } }, outgoing } = this.#parts
    for (let slot = 0; slot < internal.table.slotsHigh; slot++) {
      if (!internal.holds(slot)) continue
      const key = this.#keyOfSlot(slot)
      if (key === undefined) continue
      kernel.excuse(key, "flushed from the internal cache")
      outgoing.doubt(key, "flushed from the internal cache, which is not told")
    }
  }

  // ------------------------------------------------------------------------- telling

  #wrapTelling(): void {
    const { bulk, protocol } = this.#parts.life.replica
    const tell = protocol.tell.bind(protocol)
    protocol.tell = (entity, slot, change) => {
      if (entity === Entity.flow) this.#told(slot, change)
      tell(entity, slot, change)
    }
    const tellAgain = protocol.tellAgain.bind(protocol)
    protocol.tellAgain = (entity, slot) => {
      if (entity === Entity.flow) this.#told(slot, Change.updated)
      tellAgain(entity, slot)
    }
    const forget = protocol.forget.bind(protocol)
    protocol.forget = (entity, slot) => {
      if (entity === Entity.flow) {
        this.mirror.removeSlot(slot)
        // Of a flow that was released, that a flush removed, or that another follows (`renew`).
        this.#births.set(slot, this.#parts.court.nextMoment())
      }
      forget(entity, slot)
    }
    const start = bulk.start.bind(bulk)
    bulk.start = (nowMs) => {
      this.#bulkMoment = this.#parts.court.nextMoment()
      start(nowMs)
    }
    const step = bulk.step.bind(bulk)
    bulk.step = (...parameters) => {
      this.#isInBulk = true
      const wasRunning = bulk.isRunning
      const isDone = step(...parameters)
      this.#isInBulk = false
      if (wasRunning && !bulk.isRunning) this.#checkBulk()
      return isDone
    }
  }

  /** Q2: a bulk send tells everything that was there all the time. */
  #checkBulk(): void {
    const { court, life, outgoing } = this.#parts
    for (const key of liveSlots(life).keys()) {
      const told = outgoing.find(key)
      if (told === undefined || Math.max(told.toldMoment, told.doubtMoment) > this.#bulkMoment) {
        continue
      }
      court.violate(
        "Q2",
        `${life.machine} left a flow out of a bulk send`,
        () => [["the flow", [outgoing.lineOf(key)]], ["its history", told.historyLines]]
      )
      return
    }
  }

  #told(slot: number, change: Change): void {
    const { court, life, outgoing } = this.#parts
    const key = this.#keyOfSlot(slot)
    if (!this.#isInBulk && slot !== this.#changedSlot) {
      court.violate(
        "S6",
        `${life.machine} told its peer of a flow that no event, dump or bulk send named`,
        () => [["the flow", [key === undefined ? `slot ${slot}` : outgoing.lineOf(key)]]]
      )
    }
    if (!this.#isInBulk && this.#isFromDump) this.#repairs.told()
    this.#changedSlot = -1
    this.#isFromDump = false
    this.#untold = undefined
    this.mirror.removeSlot(slot)
    if (!this.#isInBulk) outgoing.tells++
    if (key === undefined) return
    const what = `${life.machine}: tell ${changeWords[change]}`
    outgoing.tell(key, this.#isInBulk ? `${what} (bulk)` : what)
  }

  /** What an event changed must be told before anything else happens. */
  #checkTold(): void {
    const untold = this.#untold
    if (untold === undefined) return
    this.#untold = undefined
    const { court, life } = this.#parts
    court.violate(
      "S5",
      `${life.machine} changed a flow because of an event and never told its peer`,
      () => [["the flow", [untold.key ?? `slot ${untold.slot}`]]]
    )
  }

  // ------------------------------------------------------------------------- sending

  #wrapSending(): void {
    const { protocol } = this.#parts.life.replica
    const pollOutbound = protocol.pollOutbound.bind(protocol)
    protocol.pollOutbound = (out, nowMs) => {
      this.#checkTold()
      const { resendQueueFull } = protocol.counters
      const isThere = pollOutbound(out, nowMs)
      const evicted = protocol.counters.resendQueueFull - resendQueueFull
      const message = isThere ? this.#built(out) : undefined
      if (message !== undefined && (message.flags & Flag.alive) === 0) {
        this.mirror.add(message, out.kind === Entity.flow ? out.slot : -1)
      }
      this.#evicted(evicted)
      return isThere
    }
    const handleTimer = protocol.handleTimer.bind(protocol)
    protocol.handleTimer = (nowMs) => {
      handleTimer(nowMs)
      // What is overdue goes back into the tx queue: it stays owed.
      this.mirror.reconcile()
    }
    const pollReleased = protocol.pollReleased.bind(protocol)
    protocol.pollReleased = (entity) => {
      const slot = pollReleased(entity)
      if (slot >= 0 && entity === Entity.flow) this.#released(slot)
      return slot
    }
  }

  #built(out: Outbound): Message {
    const { court, life, outgoing } = this.#parts
    const isFlow = out.kind === Entity.flow
    const flow = isFlow ? this.#contentOf(out.slot) : undefined
    const key = flow === undefined ? undefined : keyOf(flow)
    const { seq } = out
    if (this.#lastSeq >= 0 && seq !== ((this.#lastSeq + 1) >>> 0)) {
      court.violate("S8", `${life.machine} numbered a message ${seq} after ${this.#lastSeq}`)
    }
    if (seq < this.#lastSeq) court.mark("sequence wrap")
    this.#lastSeq = seq
    const message: Message = {
      life: life.id,
      seq,
      flags: out.flags,
      type: isFlow ? out.change : controlType,
      key,
      flow,
      from: out.ackFrom,
      to: out.ackTo,
      moment: court.nextMoment(),
      atMs: court.nowMs(),
      birth: isFlow ? this.#births.get(out.slot) ?? this.#firstBirth : 0,
      isSent: false,
      acceptedBy: 0,
      aboutLife: life.heardLife
    }
    life.built.set(seq, message)
    life.unsent++
    if (key !== undefined) {
      outgoing.of(key).note(court.nowMs(), `${life.machine}: → ${changeWords[out.change]}`, seq)
    }
    if ((message.flags & Flag.ack) !== 0 && !isFlow) this.#checkAcknowledgement(message)
    if ((message.flags & Flag.nack) !== 0 && !isFlow) {
      this.#parts.reported(message.from, message.to)
    }
    return message
  }

  /** S4, where it begins: only what was accepted is acknowledged. */
  #checkAcknowledgement({ from, seq, to }: Message): void {
    const { builtBy, court, life } = this.#parts
    if (life.heardLives.length === 0 || this.#parts.outgoing.isPoisoned) return
    const length = (to - from) >>> 0
    if (length > rangeMax) return
    let missing: number | undefined
    const { heardLives: [present = 0, former = 0], joinedAt } = life
    const lives = [[present, present], [former, former]]
    if (joinedAt !== undefined) lives.push([former, present])
    for (const [early, late] of lives) {
      missing = undefined
      for (let i = 0; i <= length && missing === undefined; i++) {
        const number = (from + i) >>> 0
        const isEarly = joinedAt !== undefined && ((number - joinedAt) | 0) < 0
        const built = builtBy((isEarly ? early : late)!)
        if (built?.get(number)?.acceptedBy !== life.id) missing = number
      }
      if (missing === undefined) return
    }
    court.violate(
      "S4",
      `${life.machine} acknowledges ${from}-${to}, but never accepted ${missing}`,
      () => [["the acknowledgement", [`seq ${seq} of ${life.machine}`]]]
    )
  }

  #evicted(count: number): void {
    const { court, life, outgoing } = this.#parts
    const gone = this.mirror.reconcile()
    if (count === 0) return
    court.mark("resend queue overflow")
    if (gone.length > count) this.isOverflowUnclear = true
    let lost = 0
    for (const { message, slot } of gone) {
      if (slot < 0) continue
      this.overflowed++
      // What the peer has is only not acknowledged: nothing is lost.
      if (message.acceptedBy !== 0) continue
      lost++
      if (message.key === undefined) continue
      outgoing.doubt(message.key, "given up: the resend queue is full")
      outgoing.losses++
    }
    if (lost > 0) court.declare(life.machine, NoRoom.resendQueue)
  }

  #released(slot: number): void {
    const { court, isPeerOurs, life, outgoing } = this.#parts
    const key = this.#keyOfSlot(slot)
    const told = key === undefined ? undefined : outgoing.find(key)
    if (told === undefined || !told.isOwed || !isPeerOurs || outgoing.isPoisoned) return
    court.violate(
      "S5",
      `${life.machine} forgot a destroyed flow, and ${outgoing.receiver} never heard of its end`,
      () => [["the flow", [outgoing.lineOf(key!)]], ["its history", told.historyLines]]
    )
  }

  // -------------------------------------------------------------- what the peer answers

  /** A message is about to be handled. */
  handling(): void {
    this.#txBefore = this.#parts.life.replica.protocol.txLength
  }

  /** A message was handled. `inbound` is undefined when nobody sent it. */
  handled(
    header: Inbound,
    inbound: Message | undefined,
    verdict: Verdict,
    isRestart: boolean
  ): void {
    this.#checkTold()
    const { court } = this.#parts
    if (isRestart) {
      if (this.mirror.flowCount > 0) court.mark("hello reset")
      this.#checkRequeued(this.mirror.reconcile(), "its peer started again")
      return
    }
    const isRanged = verdict === Verdict.control && header.type === controlType
    if (isRanged && (header.flags & Flag.ack) !== 0) this.#acknowledged(header, inbound)
    else if (isRanged && (header.flags & Flag.nack) !== 0) this.#askedAgain(header, inbound)
    else {
      const [gone] = this.mirror.reconcile()
      if (gone !== undefined) this.#forgot(gone.message, "no acknowledgement named it")
    }
  }

  #acknowledged({ ackFrom, ackTo }: Inbound, inbound: Message | undefined): void {
    const { court, isPeerOurs, life, outgoing } = this.#parts
    const length = (ackTo - ackFrom) >>> 0
    const isGreeted = life.replica.protocol.helloState === "done"
    for (const { message } of this.mirror.reconcile()) {
      const { acceptedBy, key, seq } = message
      if (!isGreeted) this.#forgot(message, "its peer had not answered its HELLO")
      if (((seq - ackFrom) >>> 0) > length) {
        this.#forgot(message, `the acknowledgement was for ${ackFrom}-${ackTo}`)
      }
      if (key === undefined || acceptedBy !== 0 || !isPeerOurs || outgoing.isPoisoned) continue
      if (inbound === undefined || inbound.aboutLife !== life.id) {
        outgoing.doubt(key, "acknowledged by a message about an earlier life")
        outgoing.losses++
        court.declare(life.machine, "an acknowledgement for its previous life arrived late")
      } else this.#forgot(message, `${outgoing.receiver} never accepted it`)
    }
  }

  #askedAgain({ ackFrom, ackTo }: Inbound, inbound: Message | undefined): void {
    const { court, life, outgoing } = this.#parts
    const wanted = this.mirror.flowIn(ackFrom, ackTo)
    if (wanted !== undefined && inbound !== undefined) court.mark("nack resend")
    this.#checkRequeued(this.mirror.reconcile(), `it was asked for ${ackFrom}-${ackTo} again`)
    const left = this.mirror.flowIn(ackFrom, ackTo)
    if (left === undefined) return
    court.violate(
      "S5",
      `${life.machine} was asked for ${ackFrom}-${ackTo} again and kept ${left.message.seq} back`,
      () => this.#facts(left.message, outgoing)
    )
  }

  /** S5: what leaves the resend queue unacknowledged goes back into the tx queue. */
  #checkRequeued(gone: ReadonlyArray<Waiting>, why: string): void {
    const { court, life, outgoing } = this.#parts
    const flows = gone.filter(({ slot }) => slot >= 0)
    if (life.replica.protocol.txLength >= this.#txBefore + flows.length) return
    court.violate(
      "S5",
      `${life.machine} forgot unacknowledged states when ${why}`,
      () => flows.flatMap(({ message }) => this.#facts(message, outgoing))
    )
  }

  #forgot(message: Message, why: string): void {
    const { court, life, outgoing } = this.#parts
    court.violate(
      "S4",
      `${life.machine} forgot ${message.seq}: ${why}`,
      () => this.#facts(message, outgoing)
    )
  }

  #facts(message: Message, outgoing: Ledger) {
    if (message.key === undefined) return []
    return [
      ["the flow", [outgoing.lineOf(message.key)]],
      ["its history", outgoing.of(message.key).historyLines]
    ] as const
  }

  // ----------------------------------------------------------------------------- slots

  #contentOf(slot: number) {
    return toldOf(this.#parts.life.replica.internal.table.view(slot, this.#view), this.#options)
  }

  #liveContent(slot: number) {
    const { internal } = this.#parts.life.replica
    if (slot < 0 || !internal.holds(slot) || internal.isDead(slot)) return undefined
    return this.#contentOf(slot)
  }

  #keyOfSlot(slot: number): string | undefined {
    return keyOfView(this.#parts.life.replica.internal.table.view(slot, this.#view))
  }
}
