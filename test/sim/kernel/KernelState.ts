/**
 * What the simulated kernel is made of: the flows, who hears of them, the time, and the rules by
 * which flows come, change and go. Packets, timers and requests all work on it.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 3, 4 and 7.
 */
import { expectationAttributes } from "./ExpectationMessage.ts"
import { ExpectationTable } from "./ExpectationTable.ts"
import type { EventContent } from "./FlowMessage.ts"
import { FlowTable } from "./FlowTable.ts"
import { KernelDelivery } from "./KernelDelivery.ts"
import type { KernelExpectation } from "./KernelExpectation.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { StatusBit } from "./KernelFlow.ts"
import type { Causer } from "./KernelListeners.ts"
import { KernelListeners, nobody } from "./KernelListeners.ts"

export interface FakeKernelOptions {
  /** `nf_conntrack_max`. */
  readonly flowsMax?: number
  /** `nf_conntrack_expect_max`. */
  readonly expectationsMax?: number
  /** `nf_conntrack_events`: 1 always, 2 (as kernels do) only while somebody listens, 0 never. */
  readonly events?: 0 | 1 | 2
  /** `nf_conntrack_acct`. */
  readonly accounting?: boolean
  /** `nf_conntrack_timestamp`; then the wall clock of moment 0, in nanoseconds. */
  readonly epochNs?: bigint
  /** A rule uses labels. */
  readonly labels?: boolean
  /** Helpers that are loaded: name and layer-4 protocol. Default: ftp, sip, tftp. */
  readonly helpers?: ReadonlyArray<readonly [name: string, l4: number]>
  /** Milliseconds of a monotonic clock, read whenever something happens. */
  readonly now?: () => number
  /** How a socket's `ready` is called. Default: as a microtask. */
  readonly defer?: (task: () => void) => void
}

/** Seconds; larger timeouts are clamped (INT_MAX / 250). */
const timeoutMaxSeconds = 8_589_934
const defaultHelpers = [["ftp", 6], ["sip", 6], ["sip", 17], ["tftp", 17]] as const

export class KernelState {
  readonly options: FakeKernelOptions
  readonly table = new FlowTable()
  readonly expectations = new ExpectationTable()
  readonly listeners = new KernelListeners()
  readonly delivery = new KernelDelivery(this.listeners)
  /** Flows that came and were expected; expectations that came, that went. */
  readonly expectationCounts = { fulfilled: 0, created: 0, deleted: 0 }
  /** Flows that came, that met another, that found the table full. */
  readonly counts = { insert: 0, insertFailed: 0, drop: 0 }
  #nowMs = 0
  #ids = 0

  constructor(options: FakeKernelOptions) {
    this.options = options
  }

  // ------------------------------------------------------------------------------- time

  get nowMs(): number {
    return this.#nowMs
  }

  /** Moves time on; flows and expectations whose time is over go, oldest first. */
  advanceTo(nowMs: number): void {
    for (;;) {
      const flow = this.table.expired(nowMs)
      const expectation = this.expectations.expired(nowMs)
      const flowAtMs = flow?.expiresAtMs ?? Infinity
      const expectationAtMs = expectation?.expiresAtMs ?? Infinity
      const { retryAtMs } = this.delivery
      const atMs = Math.min(flowAtMs, expectationAtMs, retryAtMs)
      if (atMs > nowMs || atMs === Infinity) break
      this.#nowMs = Math.max(this.#nowMs, atMs)
      if (atMs === retryAtMs) this.delivery.retry(this.#nowMs)
      else if (atMs === flowAtMs) this.remove(flow!)
      else this.forget(expectation!)
    }
    this.#nowMs = Math.max(this.#nowMs, nowMs)
  }

  /** When something happens by itself; `Infinity` when nothing does. */
  nextMs(): number {
    return Math.min(
      this.table.nextExpiryMs(),
      this.expectations.nextExpiryMs(),
      this.delivery.retryAtMs
    )
  }

  /** Reads the clock, if there is one. What has no time left goes now, and not before. */
  tick(): void {
    this.advanceTo(this.options.now?.() ?? this.#nowMs)
  }

  /** Sets the lifetime of a flow, from now on. No event says so. */
  expireIn(flow: KernelFlow, seconds: number): void {
    this.table.setExpiry(flow, this.#nowMs + Math.min(seconds, timeoutMaxSeconds) * 1000)
  }

  // ------------------------------------------------------------------------------ flows

  /** A flow that is in no table yet. */
  make(
    fields: Pick<KernelFlow, "family" | "original" | "reply" | "zone" | "zoneIn">
  ): KernelFlow {
    const { accounting, events = 2 } = this.options
    const startNs = this.#wallClockNs()
    const none = () => ({ packets: 0n, bytes: 0n })
    return {
      ...fields,
      // Opaque and never the same for two flows: multiplication by an odd number.
      id: Math.imul(++this.#ids, 0x9e37_79b1) >>> 0,
      status: StatusBit.confirmed,
      expiresAtMs: 0,
      mark: 0,
      children: 0,
      hasEvents: events === 1 || (events === 2 && this.listeners.areThere),
      isGone: false,
      ...(accounting === true
        ? { counters: [none(), none()] as const as NonNullable<KernelFlow["counters"]> }
        : {}),
      ...(startNs === undefined ? {} : { startNs })
    }
  }

  /** How many flows count: also those whose end is still to be told. */
  get count(): number {
    return this.table.size + this.delivery.dyingCount
  }

  /** True, and counted, when no flow finds room. */
  isFull(): boolean {
    const full = this.count >= (this.options.flowsMax ?? Infinity)
    if (full) this.counts.drop++
    return full
  }

  /** True, and counted, when one of its tuples is taken. */
  clashes(flow: KernelFlow): boolean {
    const inUse = this.table.isInUse(flow)
    if (inUse) this.counts.insertFailed++
    return inUse
  }

  isHelperLoaded(name: string, l4: number): boolean {
    const helpers = this.options.helpers ?? defaultHelpers
    return helpers.some(([known, protocol]) => known === name && protocol === l4)
  }

  /** The flow comes: NEW. */
  insert(flow: KernelFlow, content: EventContent): void {
    this.counts.insert++
    this.table.insert(flow)
    this.delivery.tell(flow, true, content, this.#nowMs, this.#wallClockNs())
    this.listeners.tell("created", flow)
  }

  /** The flow changed: UPDATE. */
  changed(flow: KernelFlow, content: EventContent): void {
    this.delivery.tell(flow, false, content, this.#nowMs, this.#wallClockNs())
    this.listeners.tell("updated", flow)
  }

  /** The flow goes, whatever the reason: DESTROY. */
  remove(flow: KernelFlow): void {
    if (flow.isGone) return
    flow.isGone = true
    this.table.delete(flow)
    flow.status |= StatusBit.dying
    this.delivery.tellEnd(flow, this.#nowMs, this.#wallClockNs())
    this.forgetAllOf(flow)
    this.listeners.tell("destroyed", flow)
  }

  // ----------------------------------------------------------------------- expectations

  /** The expectation comes: EXP_NEW. */
  expect(one: KernelExpectation): void {
    this.expectations.insert(one)
    this.expectationCounts.created++
    this.#tellOf(one, 4, 0x0200, 0x600, this.listeners.causer)
  }

  /** The expectation goes: EXP_DESTROY. Mostly that is nobody's doing. */
  forget(one: KernelExpectation, causer: Causer = nobody): void {
    if (one.isGone) return
    this.expectations.delete(one)
    this.expectationCounts.deleted++
    this.#tellOf(one, 6, 0x0202, 0, causer)
  }

  /** What this flow's helper expects is expected no more. */
  forgetAllOf(master: KernelFlow): void {
    for (const one of [...this.expectations.of(master)].toReversed()) this.forget(one)
  }

  #tellOf(
    one: KernelExpectation,
    group: number,
    type: number,
    flags: number,
    causer: Causer
  ): void {
    if (!one.master.hasEvents || !this.listeners.wouldHear(group)) return
    const attributes = expectationAttributes(one, this.#nowMs)
    this.listeners.send(group, type, flags, one.family, attributes, causer)
  }

  /** Undefined when flows have no timestamps. */
  #wallClockNs(): bigint | undefined {
    const { epochNs } = this.options
    return epochNs === undefined ? undefined : epochNs + BigInt(this.#nowMs) * 1_000_000n
  }
}
