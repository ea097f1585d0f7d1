/**
 * From a plan to a verdict: builds the world, lets the plan happen to it, heals everything, and
 * asks the judge all along and at the end.
 *
 * Phases: *faults* (anything may fail), *settling* (everybody is up and the network is whole: all
 * must agree within the plan's time), *quiet* (nobody has a reason to say anything), *last
 * failover* (what is established must live on), *end* (all daemons stop and leave nothing behind).
 */
import { Cluster } from "./Cluster.ts"
import type { Takeover } from "./Failovers.ts"
import { Failovers } from "./Failovers.ts"
import { Judge } from "./Judge.ts"
import type { Verdict } from "./judge/Verdict.ts"
import type { Machine } from "./machine/Machine.ts"
import type { Plan } from "./plan/Plan.ts"
import { problemOf } from "./plan/Plan.ts"
import { resyncsMax } from "./plan/Swarm.ts"
import { Timeline } from "./report/Timeline.ts"
import type { TimelineEntry } from "./report/Timeline.ts"
import { Steps } from "./Steps.ts"
import { Livelock } from "./World.ts"

const tickMs = 100
/** How often connections send packets. */
const beatMs = 2_000
const settlePollMs = 250
/** Between two requests for everything; longer where a bulk send takes long. */
const resyncPauseMs = 3_000
const quietMs = 3_000
/** A script and the commit in it are over by then; purges may take `PurgeTimeout` longer. */
const failoverMs = 3_000
const stopMs = 2_000

export interface SimulateOptions {
  /** Keeps the timeline and the packets. */
  readonly record?: boolean
  /** Told of everything that goes into the timeline, as it happens. */
  readonly onEntry?: ((entry: TimelineEntry) => void) | undefined
  /** Given the cluster before anything happens in it, to look at it later: for stories. */
  readonly onBuilt?: ((cluster: Cluster) => void) | undefined
  /** Asked every 100 ms of simulated time; a sentence ends the run, as S9: it took too much. */
  readonly tooMuch?: (() => string | undefined) | undefined
}

export interface Outcome {
  readonly plan: Plan
  /** Undefined when nothing is wrong. */
  readonly verdict: Verdict | undefined
  readonly traceHash: string
  readonly simulatedMs: number
  /** Fiber turns. */
  readonly turns: number
  readonly timersFired: number
  readonly datagrams: number
  /** Kernel events that traffic, timers and requests caused. */
  readonly kernelEvents: number
  /** Faults injected, by kind. */
  readonly faults: ReadonlyMap<string, number>
  /** How often each marked event happened. */
  readonly marks: ReadonlyMap<string, number>
  readonly notYetApplicable: ReadonlyArray<readonly [name: string, why: string]>
  /** Takeovers that ended, and what came of their connections. */
  readonly takeovers: ReadonlyArray<Takeover>
  readonly timeline: ReadonlyArray<TimelineEntry>
  readonly pcap: Uint8Array | undefined
}

/** Runs the plan from the beginning to the first violation, or to its end. */
export const simulate = (plan: Plan, options: SimulateOptions = {}): Outcome => {
  const problem = problemOf(plan)
  if (problem !== undefined) throw new RangeError(`the plan cannot be run: ${problem}`)
  return new Simulation(plan, options).run()
}

class Simulation {
  readonly #cluster: Cluster
  readonly #judge: Judge
  readonly #steps: Steps
  readonly #timeline: Timeline
  readonly #failovers: Failovers
  readonly #plan: Plan
  readonly #isRecording: boolean
  #kernelEvents = 0
  /** Declared losses that a resync was asked for after, and when. */
  #lossesRepaired = 0
  #resyncMs = 0
  readonly #tooMuch: () => string | undefined
  #defect: Verdict | undefined
  /** No beats of the traffic any more. */
  #isSilent = false

  constructor(plan: Plan, options: SimulateOptions) {
    const { onBuilt, onEntry, record = false, tooMuch = () => undefined } = options
    this.#plan = plan
    this.#tooMuch = tooMuch
    this.#isRecording = record
    let judge: Judge | undefined
    let timeline: Timeline | undefined
    this.#cluster = new Cluster(plan, (cluster) => {
      cluster.network.isRecording = record
      judge = new Judge(cluster.world, cluster.network, { machines: () => cluster.machines })
      timeline = new Timeline(cluster.world, cluster.network, onEntry)
      cluster.witnesses.add(timeline)
      cluster.witnesses.add(judge)
      cluster.witnesses.add({ kernelMade: (machine) => this.#countEvents(machine) })
    })
    this.#judge = judge!
    this.#timeline = timeline!
    this.#steps = new Steps(this.#cluster)
    const failovers = new Failovers(this.#cluster, this.#judge)
    this.#failovers = failovers
    this.#cluster.witnesses.add(failovers)
    this.#cluster.scriptWatcher.moving = (machine) => failovers.moving(machine)
    this.#cluster.scriptWatcher.stepEnded = (run, step, answer) =>
      failovers.stepEnded(run, step, answer)
    onBuilt?.(this.#cluster)
  }

  run(): Outcome {
    try {
      this.#phases()
    } catch (cause) {
      if (!(cause instanceof Livelock)) throw cause
      this.#unbounded(cause.message)
    }
    return this.#outcome()
  }

  #unbounded(sentence: string): void {
    const { nowMs } = this.#cluster.world
    this.#defect = { invariant: "S9", name: "bounded", sentence, atMs: nowMs, facts: [] }
  }

  get #isOver(): boolean {
    return this.#judge.verdict !== undefined || this.#defect !== undefined
  }

  #phases(): void {
    const { faultsStopAtMs, settleWithinMs } = this.#plan
    const { machines, world } = this.#cluster
    this.#steps.schedule()
    for (const machine of machines) machine.start()
    this.#beats()
    if (!this.#advanceTo(faultsStopAtMs)) return

    this.#timeline.phase("faults stop")
    this.#steps.stop()
    this.#judge.beginSettling()
    if (!this.#settle(faultsStopAtMs + settleWithinMs)) return

    this.#timeline.phase("settled")
    this.#isSilent = true
    this.#judge.beginQuiet()
    if (!this.#advanceTo(world.nowMs + quietMs)) return
    this.#judge.endQuiet()
    if (this.#isOver) return
    if (!this.#lastFailover()) return

    this.#timeline.phase("end")
    // While they run, their counters and logs can be asked; then nobody may wait any more.
    this.#judge.finish()
    if (this.#isOver) return
    for (const machine of machines) machine.ask("-k")
    if (!this.#advanceTo(world.nowMs + stopMs)) return
    this.#judge.finish()
    const alive = machines.find(({ state }) => state === "running")
    if (alive !== undefined) this.#defect = this.#survivor(alive)
  }

  /** A daemon that was asked to end, and did not. */
  #survivor({ name }: Machine): Verdict {
    return {
      invariant: "S12",
      name: "no defects, no leaks",
      sentence: `${name}'s daemon did not end ${stopMs / 1_000} s after conntrackd -k`,
      atMs: this.#cluster.world.nowMs,
      facts: []
    }
  }

  /** False when the judge has spoken before. */
  #advanceTo(endMs: number): boolean {
    const { world } = this.#cluster
    while (world.nowMs < endMs && !this.#isOver) {
      world.runUntil(Math.min(endMs, world.nowMs + tickMs))
      this.#judge.tick()
      const sentence = this.#tooMuch()
      if (sentence !== undefined) this.#unbounded(sentence)
    }
    return !this.#isOver
  }

  #beats(): void {
    const { pairs, world } = this.#cluster
    const beat = (): void => {
      if (this.#isSilent) return
      for (const { traffic } of pairs) traffic.beat()
      world.after(beatMs, beat)
    }
    world.after(beatMs, beat)
  }

  /** Whether everything agreed in time. Somebody asks for a resync where one is owed. */
  #settle(deadlineMs: number): boolean {
    const { world } = this.#cluster
    while (world.nowMs < deadlineMs) {
      if (!this.#advanceTo(Math.min(deadlineMs, world.nowMs + settlePollMs))) return false
      this.#resync()
      // What was lost just before would be excused, if nobody asked for it once more.
      const isOwed = this.#judge.declaredLosses.length !== this.#lossesRepaired
      if (!isOwed && this.#judge.isSettled()) return true
    }
    this.#judge.notSettled()
    return !this.#isOver
  }

  /**
   * After a declared loss the protocol owes nothing until a resync, so somebody asks for one. Not
   * all the time: each brings everything.
   */
  #resync(): void {
    const { machines, world } = this.#cluster
    const losses = this.#judge.declaredLosses.length
    const pauseMs = Math.max(resyncPauseMs, this.#plan.settleWithinMs / resyncsMax)
    if (losses === this.#lossesRepaired || world.nowMs < this.#resyncMs + pauseMs) return
    this.#lossesRepaired = losses
    this.#resyncMs = world.nowMs
    for (const machine of machines) machine.ask("-n")
  }

  /** The address moves once more, with nothing in the way. */
  #lastFailover(): boolean {
    const { operator, pairs, world } = this.#cluster
    this.#timeline.phase("last failover")
    for (const { names } of pairs) {
      const primary = operator.primaryOf(names[0])
      if (primary !== undefined) operator.failover(primary.peerName)
    }
    return this.#advanceTo(world.nowMs + failoverMs)
  }

  #countEvents({ kernel }: Machine): void {
    const count = (): void => void this.#kernelEvents++
    kernel.observe({ created: count, updated: count, destroyed: count })
  }

  #outcome(): Outcome {
    const { network, world } = this.#cluster
    return {
      plan: this.#plan,
      verdict: this.#judge.verdict ?? this.#defect,
      traceHash: world.traceHash,
      simulatedMs: world.nowMs,
      turns: world.turns,
      timersFired: world.timersFired,
      datagrams: network.counters["sent"] ?? 0,
      kernelEvents: this.#kernelEvents,
      faults: this.#faults(),
      marks: this.#judge.marks,
      notYetApplicable: this.#judge.notYetApplicable,
      takeovers: this.#failovers.takeovers,
      timeline: this.#timeline.entries,
      pcap: this.#isRecording ? network.pcap() : undefined
    }
  }

  #faults(): ReadonlyMap<string, number> {
    const faults = new Map<string, number>()
    for (const [tag, count] of this.#steps.done) faults.set(tag, count)
    const { counters } = this.#cluster.network
    for (const [name, count] of Object.entries(counters)) {
      if (count > 0 && /^(lost: |duplicated|reordered|corrupted)/.test(name)) {
        faults.set(name.replace("lost: ", "datagrams lost: "), count)
      }
    }
    return faults
  }
}
