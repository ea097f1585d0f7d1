/**
 * Watches a simulation and says the first thing that must not have happened.
 *
 * It sees what an omniscient observer would: every change of every kernel's flows, every byte on
 * the wire, and each call of a daemon's caches and protocol, whose methods it wraps on the
 * instances. Production code knows nothing of it.
 *
 * Source: architecture, section 8.3; specification, "The synchronisation engines", sections 9 to
 * 14 and 22.
 */
import type { Replica } from "../../src/actors/Replica.ts"
import type { JudgedDatagram, JudgedNetwork } from "./judge/JudgedNetwork.ts"
import type { DeclaredLoss, Verdict } from "./judge/Verdict.ts"
import { notYetApplicable } from "./judge/Verdict.ts"
import type { Answer, ClientOption, Ending, Machine, Witness } from "./Machine.ts"
import type { World } from "./World.ts"

export type { DeclaredLoss, Verdict } from "./judge/Verdict.ts"

export interface JudgeOptions {
  /** All machines of the simulation; asked when needed. */
  readonly machines: () => ReadonlyArray<Machine>
}

/** An established connection of the traffic, after a failover. */
export interface Survivor {
  /** As the traffic names it. */
  readonly connection: string
  /** It was replicated before the failover, so it must go on. */
  readonly isOwed: boolean
  readonly isAlive: boolean
  /** Why the traffic thinks it died. */
  readonly reason?: string
}

export class Judge implements Witness {
  readonly marks = new Map<string, number>()
  readonly notYetApplicable = notYetApplicable
  readonly declaredLosses: Array<DeclaredLoss> = []
  readonly #world: World
  readonly #options: JudgeOptions
  #verdict: Verdict | undefined
  /** Of the last tick. */
  #atMs = 0

  constructor(world: World, network: JudgedNetwork, options: JudgeOptions) {
    this.#world = world
    this.#options = options
    network.observe(this)
  }

  /** The first violation, which ends the run. */
  get verdict(): Verdict | undefined {
    return this.#verdict
  }

  // ------------------------------------------------------------------------ the runner

  /** Every 100 ms of simulated time. */
  tick(): void {
    if (this.#options.machines().length > 0) this.#atMs = this.#world.nowMs
  }

  /** Faults and traffic have stopped. */
  beginSettling(): void {}

  /** Everything agrees and every queue is empty. */
  isSettled(): boolean {
    return this.#atMs >= 0
  }

  /** The time to settle is over, and `isSettled` never said yes: says what is wrong. */
  notSettled(): void {}

  /** From now on an idle, settled pair is watched. */
  beginQuiet(): void {}

  endQuiet(): void {}

  /** What the traffic found after a failover: its connections, dead or alive. */
  judgeSurvivors(_survivors: ReadonlyArray<Survivor>): void {}

  /** The run is over, all daemons were stopped. */
  finish(): void {}

  // ----------------------------------------------------------------------- the machines

  booted(_machine: Machine, _replica: Replica): void {}

  ready(_machine: Machine): void {}

  ended(
    _machine: Machine,
    _ending: Ending,
    _leaks: ReadonlyArray<string>,
    _reason?: string
  ): void {}

  kernelMade(_machine: Machine): void {}

  logged(_machine: Machine, _level: string, _text: string): void {}

  asked(_machine: Machine, _option: ClientOption): void {}

  answered(_machine: Machine, _answer: Answer): void {}

  // ------------------------------------------------------------------------ the network

  sent(_datagram: JudgedDatagram): void {}

  delivered(_datagram: JudgedDatagram, _copy: number, _bytes: Uint8Array): void {}

  lost(_datagram: JudgedDatagram, _why: string): void {}

  read(_datagram: JudgedDatagram, _copy: number, _bytes: Uint8Array): void {}
}
