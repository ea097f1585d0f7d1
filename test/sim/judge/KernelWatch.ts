/**
 * Watches a machine's kernel: what happened to its flows, and because of whom.
 *
 * S6: the daemon may take only what packets and timers did for an event worth telling. S5: an event
 * that never arrives was lost, and then an overrun must have been counted. Q1: once all is quiet,
 * the internal cache has what the kernel has.
 */
import type { Change } from "../../../src/core/model/Change.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import type { Court } from "./Court.ts"
import { keyOfKernelFlow, lineOfKey } from "./WireFlow.ts"

const changeWords = ["creation", "update", "end"] as const

/** Counts of one flow, by `Change`. */
interface Counts {
  readonly emitted: [number, number, number]
  readonly consumed: [number, number, number]
  /** Events of this daemon's life that it has not taken in yet. */
  pending: number
  lastMoment: number
}

/** Who wants to know what our own requests did. */
export interface OwnDoing {
  didOurselves(key: string, flow: KernelFlow): void
}

export class KernelWatch {
  readonly machine: string
  readonly #court: Court
  readonly #counts = new Map<string, Counts>()
  /** Flows that the internal cache may lack or keep, and why. */
  readonly #excuses = new Map<string, string>()
  /** Flows whose end the kernel did not tell: they began while nobody listened. */
  readonly #endedUntold = new Set<string>()
  #kernel: FakeKernel | undefined
  #stop: (() => void) | undefined
  #isDaemonUp = false
  #own: OwnDoing | undefined

  constructor(court: Court, machine: string) {
    this.#court = court
    this.machine = machine
  }

  get kernel(): FakeKernel | undefined {
    return this.#kernel
  }

  set own(own: OwnDoing | undefined) {
    this.#own = own
  }

  /** Another kernel: after a power loss the old one's flows are gone. */
  watch(kernel: FakeKernel): void {
    this.#stop?.()
    this.#kernel = kernel
    this.#counts.clear()
    this.#excuses.clear()
    this.#stop = kernel.observe({
      created: (flow, causer) => this.#saw(flow, causer, 0),
      updated: (flow, causer) => this.#saw(flow, causer, 1),
      destroyed: (flow, causer) => this.#saw(flow, causer, 2)
    })
  }

  booted(): void {
    this.#isDaemonUp = true
    this.#excuses.clear()
    for (const counts of this.#counts.values()) counts.pending = 0
  }

  /** The event socket is closed: what it had not delivered is gone. */
  ended(): void {
    this.#isDaemonUp = false
    for (const counts of this.#counts.values()) {
      for (const kind of [0, 1, 2] as const) counts.consumed[kind] = counts.emitted[kind]
    }
  }

  #saw(flow: KernelFlow, causer: number, kind: 0 | 1 | 2): void {
    const key = keyOfKernelFlow(flow)
    if (key === undefined) return
    if (causer !== 0) {
      this.#own?.didOurselves(key, flow)
      return
    }
    const counts = this.#of(key)
    counts.lastMoment = this.#court.nextMoment()
    if (!flow.hasEvents) {
      this.excuse(key, "the kernel tells no events of it")
      if (kind === 2) this.#endedUntold.add(key)
      else this.#endedUntold.delete(key)
      return
    }
    this.#endedUntold.delete(key)
    counts.emitted[kind]++
    if (this.#isDaemonUp) counts.pending++
  }

  /** When packets or timers did something to the flow last; -1: never. */
  lastMomentOf(key: string): number {
    return this.#counts.get(key)?.lastMoment ?? -1
  }

  /** The daemon has taken in every event of the flow. */
  isCaughtUp(key: string): boolean {
    const counts = this.#counts.get(key)
    if (counts === undefined) return true
    const { consumed, emitted } = counts
    return consumed[0] === emitted[0] && consumed[1] === emitted[1] && consumed[2] === emitted[2]
  }

  /** The daemon took an event for somebody else's. */
  consumed(key: string, kind: Change): void {
    const counts = this.#of(key)
    counts.consumed[kind]++
    if (counts.pending > 0) counts.pending--
    if (this.#kernel === undefined || counts.consumed[kind] <= counts.emitted[kind]) return
    counts.consumed[kind] = counts.emitted[kind]
    this.#court.violate(
      "S6",
      `${this.machine} took the ${changeWords[kind]} of a flow for news, but caused it itself`,
      () => [["the flow", [lineOfKey(key)]]]
    )
  }

  /**
   * The internal cache has a new word on the flow; `isRead`: the kernel's very last, from a dump or
   * an answer. Of a flow that an update alone makes known the rest is read.
   */
  touched(key: string, isRead: boolean): void {
    // A part of a dump that was made before its end brings it back, and nobody says otherwise.
    if (!this.#endedUntold.has(key)) this.#excuses.delete(key)
    if (!isRead) return
    const counts = this.#counts.get(key)
    if (counts !== undefined) counts.pending = 0
  }

  excuse(key: string, why: string): void {
    this.#excuses.set(key, why)
  }

  /** `forLost`: that events of it were lost is an excuse, too. */
  isExcused(key: string, forLost: boolean): boolean {
    return this.#excuses.has(key) || (forLost && (this.#counts.get(key)?.pending ?? 0) > 0)
  }

  lineOf(key: string): string {
    return lineOfKey(key)
  }

  /** Flows with events that never arrived, now that all is quiet. */
  lostEvents(): ReadonlyArray<string> {
    const keys: Array<string> = []
    for (const [key, { pending }] of this.#counts) if (pending > 0) keys.push(key)
    return keys
  }

  #of(key: string): Counts {
    let counts = this.#counts.get(key)
    if (counts === undefined) {
      counts = { emitted: [0, 0, 0], consumed: [0, 0, 0], pending: 0, lastMoment: -1 }
      this.#counts.set(key, counts)
    }
    return counts
  }
}
