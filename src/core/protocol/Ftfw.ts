/**
 * Hot. FTFW, the reliable mode: every message is numbered, kept until it is acknowledged, and sent
 * again, with its flow's latest state and a new number, when the peer reports it missing.
 *
 * A flow waits in one of three lists: to be sent (tx), sent (resend), destroyed and no longer
 * needed by anybody (released). `tell` moves it to the tx queue from wherever it is, so a flow is
 * never queued twice and what is sent is always its last state.
 *
 * Where upstream loses state silently we repair it without a byte that a C peer would refuse; each
 * repair is marked "Repair" below and listed in the differences from upstream.
 *
 * Source: specification, "The synchronisation engines", sections 9 and 12; "The replication
 * protocol", sections 4 to 6 and 12.2.
 */
import { assert } from "../assert.ts"
import { Change } from "../model/Change.ts"
import { Flag, helloFlags, MessageType } from "../wire/MessageHeader.ts"
import * as Seq from "../wire/Seq.ts"
import { AckWindow, Place } from "./AckWindow.ts"
import { Hello } from "./Hello.ts"
import { MessageList, MessagePool, none } from "./MessagePool.ts"
import type { Notice } from "./Notice.ts"
import { ResendQueue } from "./ResendQueue.ts"
import { SlotStates } from "./SlotStates.ts"
import type { Inbound, Outbound, ResendEntry, SyncCounters, SyncProtocol } from "./SyncProtocol.ts"
import { Entity, Verdict } from "./SyncProtocol.ts"

/** Longest silence, and period of the sweep. Source: section 12.5. */
const alarmMs = 1_000

/** ACKs of numbers further back than this say nothing about what is queued now. */
const recentMax = 2 ** 30

/**
 * Beside the changes that are told: the object took over the slot of another with the same key, and
 * no peer has acknowledged it. Told as `created`.
 */
const renewed = 3

const ListNumber = { tx: 1, resend: 2, releasedFlows: 3, releasedExpectations: 4 } as const

export interface FtfwOptions {
  /** ACKWindowSize: messages acknowledged together. At least one. */
  readonly ackWindowSize: number
  /** ResendQueueSize: messages kept until they are acknowledged. At least one. */
  readonly resendQueueSize: number
  /** The first sequence number: the wall clock's seconds. Read when the first message is built. */
  readonly firstSeq: () => number
  /** Now, on the clock of all later calls: the first alarm is a second away. */
  readonly nowMs: number
}

export class Ftfw implements SyncProtocol {
  readonly counters: SyncCounters = { lost: 0, before: 0, malformedHeader: 0, resendQueueFull: 0 }
  readonly #firstSeq: () => number
  readonly #hello = new Hello()
  readonly #window: AckWindow
  readonly #pool = new MessagePool()
  readonly #tx = new MessageList(this.#pool, ListNumber.tx)
  readonly #resend: ResendQueue
  readonly #released = [
    new MessageList(this.#pool, ListNumber.releasedFlows),
    new MessageList(this.#pool, ListNumber.releasedExpectations)
  ] as const
  readonly #states = [new SlotStates(), new SlotStates()] as const
  /** Number of the last message built; `undefined` before the first. */
  #seq: number | undefined
  #alarmAtMs: number
  #isAliveQueued = false
  /** Counts the peer's new starts. ACKs and NACKs meant for an earlier one are not sent. */
  #incarnation = 0

  /** The newest number acknowledged, and what it was at the last two sweeps. -1: unknown. */
  #ackedTo = -1
  #ackedAtSweep = -1
  #ackedAtSweepBefore = -1
  #sweepAtMs: number

  #isBulkRequested = false
  #resyncsRequested = 0
  #isResyncRequestedByPeer = false
  #overflowed = 0
  #restarts = 0
  #requeued = 0

  constructor(options: FtfwOptions) {
    assert(options.resendQueueSize >= 1, "a resend queue holds at least one message")
    this.#firstSeq = options.firstSeq
    this.#window = new AckWindow(options.ackWindowSize)
    this.#resend = new ResendQueue(this.#pool, ListNumber.resend, options.resendQueueSize)
    this.#alarmAtMs = options.nowMs + alarmMs
    this.#sweepAtMs = options.nowMs + alarmMs
  }

  get txLength(): number {
    return this.#tx.length
  }

  get resendLength(): number {
    return this.#resend.length
  }

  /** "init" before the first message, "saying" until the peer answers, "done" afterwards. */
  get helloState(): Hello["state"] {
    return this.#hello.state
  }

  /** What `-s rsqueue` lists, oldest first. Not to be held over any other call. */
  *resendEntries(): IterableIterator<ResendEntry> {
    const { flags, kind, next, seq } = this.#pool
    for (let node = this.#resend.head; node !== none; node = next[node]!) {
      yield { kind: kind[node]! as Entity, seq: seq[node]!, flags: flags[node]! }
    }
  }

  nextWakeupMs(): number {
    return this.#alarmAtMs
  }

  /**
   * HELLO and HELLO_BACK take effect before anything else, even when the message then turns out to
   * be malformed. A message with HELLO is never old; one without is judged by its number first.
   */
  handleMessage(message: Inbound, _nowMs: number): Verdict {
    const { flags, seq } = message
    if ((flags & Flag.helloBack) !== 0) this.#hello.handleAnswer()
    const saysHello = (flags & Flag.hello) !== 0
    const place = this.#window.placeOf(seq)
    if (!saysHello && place === Place.old) {
      this.counters.before++
      return Verdict.drop
    }
    const saidHello = this.#hello.peerSaidHello
    const isRestart = this.#hello.handleMessage(seq, flags)
    if (isRestart) this.#handleRestart()
    // Upstream's formula: two more than are missing. Scripts compare it.
    if (!saysHello && place === Place.gap) {
      this.counters.lost += Seq.distance(this.#window.last, seq) + 1
    }

    const verdict = this.#handleContent(message)
    if (verdict === Verdict.malformed) {
      this.counters.malformedHeader++
      return verdict
    }
    if (isRestart) {
      // Repair: upstream acknowledges what is missing between two messages with HELLO. It is either
      // lost, then the peer sends it again, or the peer started twice and knows no such number.
      if (saidHello && place === Place.gap) this.#reportMissing(seq)
    } else if (place === Place.gap) {
      if (this.#window.isOpen) this.#acknowledge()
      this.#reportMissing(seq)
      this.#window.reopenBehindGap()
    }
    const isAck = message.type === MessageType.control && (flags & Flag.ack) !== 0
    if (this.#window.accept(seq, isAck)) this.#acknowledge()
    return verdict
  }

  /** The second is over: acknowledge what is open, or else show that we are alive. */
  handleTimer(nowMs: number): void {
    if (nowMs < this.#alarmAtMs) return
    this.#alarmAtMs = nowMs + alarmMs
    if (nowMs >= this.#sweepAtMs) this.#sweep(nowMs)
    if (this.#window.isOpen) this.#acknowledge()
    else if (!this.#isAliveQueued) {
      this.#isAliveQueued = true
      this.#queueControl(Flag.alive, 0, 0)
    }
  }

  tell(entity: Entity, slot: number, change: Change): void {
    assert(entity !== Entity.control, "only flows and expectations are told")
    const states = this.#states[entity]
    // Repair: upstream sends the last change, and its peer then merges the fresh flow into the old.
    const isCovered = change !== Change.destroyed && states.changeOf(slot) === renewed
    if (!isCovered) states.setChange(slot, change)
    this.#queue(entity, slot)
  }

  tellAgain(entity: Entity, slot: number): void {
    assert(entity !== Entity.control, "only flows and expectations are told")
    const node = this.#states[entity].messageOf(slot)
    if (node !== none && this.#released[entity].has(node)) return
    this.#queue(entity, slot)
  }

  forget(entity: Entity, slot: number): void {
    assert(entity !== Entity.control, "only flows and expectations are forgotten")
    const states = this.#states[entity]
    const node = states.messageOf(slot)
    if (node !== none) {
      this.#unlink(node)
      this.#pool.release(node)
      states.setMessage(slot, none)
    }
    if (states.changeOf(slot) !== Change.created) states.setChange(slot, Change.created)
  }

  renew(entity: Entity, slot: number): void {
    assert(entity !== Entity.control, "only flows and expectations are renewed")
    this.forget(entity, slot)
    this.#states[entity].setChange(slot, renewed)
  }

  requestResync(): void {
    this.#resyncsRequested++
    this.#queueControl(Flag.resync, 0, 0)
  }

  pollOutbound(out: Outbound, nowMs: number): boolean {
    if (nowMs >= this.#sweepAtMs) this.#sweep(nowMs)
    const node = this.#takeNext()
    if (node === none) return false
    const pool = this.#pool
    const seq = this.#seq === undefined ? this.#firstSeq() >>> 0 : Seq.next(this.#seq)
    const hello = this.#hello.takeFlags()
    this.#seq = seq
    this.#alarmAtMs = nowMs + alarmMs
    const kind = pool.kind[node]! as Entity
    out.kind = kind
    out.seq = seq
    out.ackFrom = pool.from[node]!
    out.ackTo = pool.to[node]!
    if (kind === Entity.control) {
      const flags = pool.flags[node]! | hello
      pool.flags[node] = flags
      out.flags = flags
      out.slot = none
      out.change = Change.created
      if ((flags & Flag.alive) !== 0) {
        this.#isAliveQueued = false
        pool.release(node)
        return true
      }
    } else {
      out.flags = hello
      out.slot = pool.slot[node]!
      const change = this.#states[kind].changeOf(out.slot)
      out.change = change === renewed ? Change.created : change as Change
    }
    this.#makeRoom(seq)
    this.#resend.append(node, seq)
    return true
  }

  pollReleased(entity: Entity): number {
    assert(entity !== Entity.control, "only flows and expectations are released")
    const node = this.#released[entity].head
    if (node === none) return none
    const slot = this.#pool.slot[node]!
    this.forget(entity, slot)
    return slot
  }

  pollBulkRequested(): boolean {
    const isRequested = this.#isBulkRequested
    this.#isBulkRequested = false
    return isRequested
  }

  pollNotice(): Notice | undefined {
    if (this.#restarts > 0) {
      const requeued = this.#requeued
      this.#restarts = 0
      this.#requeued = 0
      return { _tag: "PeerRestarted", requeued }
    }
    if (this.#resyncsRequested > 0) {
      this.#resyncsRequested--
      return { _tag: "ResyncRequested" }
    }
    if (this.#isResyncRequestedByPeer) {
      // Answered together, so told together: a flood of requests must not fill the log.
      this.#isResyncRequestedByPeer = false
      return { _tag: "ResyncRequestedByPeer" }
    }
    if (this.#overflowed > 0) {
      const dropped = this.#overflowed
      this.#overflowed = 0
      return { _tag: "ResendQueueOverflow", dropped }
    }
    return undefined
  }

  #handleContent(message: Inbound): Verdict {
    const { ackFrom, ackTo, flags, type } = message
    if (type <= MessageType.expectDestroy) {
      return (flags & ~helloFlags) === 0 ? Verdict.apply : Verdict.malformed
    }
    if (type !== MessageType.control) return Verdict.malformed
    if ((flags & (Flag.ack | Flag.nack)) !== 0) {
      if (Seq.before(ackTo, ackFrom)) return Verdict.malformed
      // Repair: before the peer answers our HELLO, it acknowledges what we said in an earlier life.
      if ((flags & Flag.ack) !== 0) {
        if (this.#hello.state === "done") this.#handleAck(ackFrom, ackTo)
      } else this.#handleNack(ackFrom, ackTo)
      return Verdict.control
    }
    if ((flags & Flag.resync) !== 0) {
      this.#isBulkRequested = true
      this.#isResyncRequestedByPeer = true
      return Verdict.control
    }
    return (flags & Flag.alive) !== 0 ? Verdict.control : Verdict.malformed
  }

  #handleAck(from: number, to: number): void {
    const { next, seq } = this.#pool
    let node = this.#resend.seek(from)
    while (node !== none && !Seq.after(seq[node]!, to)) {
      const following = next[node]!
      this.#resend.remove(node)
      this.#noteKnown(node)
      this.#settle(node)
      node = following
    }
    if (this.#seq === undefined) return
    // A peer may claim anything; only numbers that were sent lately tell that others are overdue.
    const age = Seq.distance(to, this.#seq)
    const isNewest = this.#ackedTo === -1 || age < Seq.distance(this.#ackedTo, this.#seq)
    if (age < recentMax && isNewest) this.#ackedTo = to
  }

  /** The peer has replaced what it had. */
  #noteKnown(node: number): void {
    const kind = this.#pool.kind[node]! as Entity
    if (kind === Entity.control) return
    const states = this.#states[kind]
    const slot = this.#pool.slot[node]!
    if (states.changeOf(slot) === renewed) states.setChange(slot, Change.created)
  }

  #handleNack(from: number, to: number): void {
    const { next, seq } = this.#pool
    let node = this.#resend.seek(from)
    while (node !== none && !Seq.after(seq[node]!, to)) {
      const following = next[node]!
      this.#requeue(node)
      node = following
    }
  }

  /**
   * The peer has just started. Repair: upstream forgets everything unacknowledged; we send it
   * again. What we had to say about the numbers of its previous life is dropped, as upstream does,
   * because the same numbers may mean other messages now.
   */
  #handleRestart(): void {
    const { flags, kind, next } = this.#pool
    let requeued = 0
    let node = this.#resend.head
    while (node !== none) {
      const following = next[node]!
      if (kind[node] !== Entity.control || (flags[node]! & Flag.resync) !== 0) {
        this.#requeue(node)
        requeued++
      } else {
        this.#resend.remove(node)
        this.#pool.release(node)
      }
      node = following
    }
    this.#window.restart()
    this.#incarnation = (this.#incarnation + 1) | 0
    this.#ackedTo = -1
    this.#ackedAtSweep = -1
    this.#ackedAtSweepBefore = -1
    if (this.#window.heard) {
      this.#restarts++
      this.#requeued += requeued
    }
  }

  /**
   * Repair: flows and resync requests that stay unacknowledged although later messages were
   * acknowledged two sweeps ago are sent again. Nothing else would: a gap is reported once, and its
   * report may be lost too.
   */
  #sweep(nowMs: number): void {
    this.#sweepAtMs = nowMs + alarmMs
    if (this.#ackedTo === -1 || this.#seq === undefined) return
    if (Seq.distance(this.#ackedTo, this.#seq) >= recentMax) this.#ackedTo = -1
    else if (this.#ackedAtSweepBefore !== -1) {
      const mark = this.#ackedAtSweepBefore
      let node = this.#resend.pollOverdue(mark)
      while (node !== none) {
        this.#requeue(node)
        node = this.#resend.pollOverdue(mark)
      }
    }
    this.#ackedAtSweepBefore = this.#ackedTo === -1 ? -1 : this.#ackedAtSweep
    this.#ackedAtSweep = this.#ackedTo
  }

  #acknowledge(): void {
    this.#queueControl(Flag.ack, this.#window.from, this.#window.last)
    this.#window.close()
  }

  #reportMissing(seq: number): void {
    this.#queueControl(Flag.nack, Seq.next(this.#window.last), Seq.previous(seq))
  }

  #queueControl(flags: number, from: number, to: number): void {
    const node = this.#pool.allocate(Entity.control, this.#incarnation)
    this.#pool.flags[node] = flags
    this.#pool.from[node] = from
    this.#pool.to[node] = to
    this.#tx.append(node)
  }

  /**
   * Puts a flow into the tx queue, from wherever it is. A flow that waits there keeps its place.
   */
  #queue(entity: typeof Entity.flow | typeof Entity.expectation, slot: number): void {
    const states = this.#states[entity]
    let node = states.messageOf(slot)
    if (node === none) {
      node = this.#pool.allocate(entity, slot)
      states.setMessage(slot, node)
    } else if (this.#tx.has(node)) return
    else this.#unlink(node)
    this.#tx.append(node)
  }

  /**
   * The message will be sent again. Repair: upstream leaves HELLO on a control message for ever,
   * and so greets its peer anew, which then forgets what it has not had acknowledged, long after.
   */
  #requeue(node: number): void {
    this.#resend.remove(node)
    this.#pool.flags[node] = this.#pool.flags[node]! & ~helloFlags
    this.#tx.append(node)
  }

  #unlink(node: number): void {
    if (this.#tx.has(node)) this.#tx.remove(node)
    else if (this.#resend.has(node)) this.#resend.remove(node)
    else {
      const kind = this.#pool.kind[node]!
      assert(kind !== Entity.control, "control messages are in the tx or the resend queue")
      this.#released[kind === Entity.flow ? Entity.flow : Entity.expectation].remove(node)
    }
  }

  /** The head of the tx queue, taken out; ACKs and NACKs for a peer that is gone are skipped. */
  #takeNext(): number {
    const pool = this.#pool
    for (;;) {
      const node = this.#tx.head
      if (node === none) return none
      this.#tx.remove(node)
      const isForPeer = pool.kind[node] !== Entity.control ||
        (pool.flags[node]! & (Flag.ack | Flag.nack)) === 0 ||
        pool.slot[node] === this.#incarnation
      if (isForPeer) return node
      pool.release(node)
    }
  }

  #makeRoom(seq: number): void {
    for (;;) {
      const node = this.#resend.surplus(seq)
      if (node === none) return
      this.#resend.remove(node)
      this.counters.resendQueueFull++
      if (this.#pool.kind[node] !== Entity.control) this.#overflowed++
      this.#settle(node)
    }
  }

  /** The message has left the resend queue for good. A destroyed flow may now be released. */
  #settle(node: number): void {
    const kind = this.#pool.kind[node]! as Entity
    if (kind !== Entity.control) {
      const slot = this.#pool.slot[node]!
      if (this.#states[kind].changeOf(slot) === Change.destroyed) {
        this.#released[kind].append(node)
        return
      }
      this.#states[kind].setMessage(slot, none)
    }
    this.#pool.release(node)
  }
}
