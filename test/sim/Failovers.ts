/**
 * Watches every takeover from before it begins: which connections must live on (Q4), and whether
 * they did when the new primary's commit was over.
 */
import type { Cluster, Pair } from "./Cluster.ts"
import type { Judge } from "./Judge.ts"
import { Refusals } from "./judge/Refusals.ts"
import { isSameTuple } from "./kernel/KernelFlow.ts"
import type { Answer, Ending, Machine, Witness } from "./machine/Machine.ts"
import { settingsIn } from "./machine/SimNode.ts"
import type { ScriptRun, ScriptStep } from "./Operator.ts"
import { configurationFor } from "./plan/Plan.ts"
import { replicatedIn } from "./traffic/Replicated.ts"
import type { Excuse, Snapshot } from "./traffic/Survivors.ts"
import type { TrafficConnection } from "./traffic/TrafficConnection.ts"

/** What came of one takeover. */
export interface Takeover {
  readonly to: Machine["name"]
  readonly atMs: number
  /** When the commit was over; undefined: it never was, so nothing was promised. */
  readonly committedMs: number | undefined
  /** Connections that had to live on. */
  readonly owed: number
  readonly survived: number
  /** Of the others: why they need not. */
  readonly excused: Readonly<Partial<Record<Excuse, number>>>
}

/** One that is under way. */
interface Pending {
  readonly machine: Machine
  readonly kernel: Machine["kernel"]
  readonly pair: Pair
  readonly snapshot: Snapshot
  /** Entries that the kernel did not take, as the log says. */
  readonly refusals: Refusals
  /** How many they were: all that the reference peer says. */
  refused: number
  /** Another commit was running, which knows nothing of this takeover. */
  isSkipped: boolean
}

const nameOf = ({ family, kind, original: { a, b, dst, src } }: TrafficConnection): string =>
  `${kind} over IPv${family} ${src} ${a} to ${dst} ${b}`

const keyOfConnection = ({ original, zone }: TrafficConnection): string => {
  const { a, b, dst, l4, src } = original
  return `${l4}/${zone}/${src}/${dst}/${a}/${b}`
}

/**
 * The machine's kernel has the translated port for somebody else: a connection that its peer never
 * heard of, because a daemon was down, or the two had lost each other.
 */
const isTaken = ({ original, reply, zone }: TrafficConnection, { kernel }: Machine): boolean => {
  const holder = reply === undefined ? undefined : kernel.find(reply, zone)
  return holder !== undefined && !isSameTuple(holder.original, original)
}

export class Failovers implements Witness {
  readonly takeovers: Array<Takeover> = []
  readonly #cluster: Cluster
  readonly #judge: Judge
  readonly #windowTracking: boolean
  readonly #pending = new Map<Pair, Pending>()
  /** What was established when the only holder of the address lost its power. */
  readonly #orphans = new Map<Pair, Snapshot>()

  constructor(cluster: Cluster, judge: Judge) {
    this.#cluster = cluster
    this.#judge = judge
    const { sync } = settingsIn(configurationFor(cluster.plan, "A"))
    this.#windowTracking = sync.tcpWindowTracking
  }

  /** The address is about to move to the machine. */
  moving(machine: Machine): void {
    const pair = this.#pairOf(machine)
    if (pair === undefined) return
    this.#giveUp(pair)
    const orphans = this.#orphans.get(pair)
    this.#orphans.delete(pair)
    const isReplicated = this.#replicatedOn(machine)
    const isOwed = (connection: TrafficConnection) =>
      isReplicated(connection) && !isTaken(connection, machine)
    this.#pending.set(pair, {
      machine,
      kernel: machine.kernel,
      pair,
      snapshot: orphans === undefined
        ? pair.traffic.snapshotReplicated(isOwed)
        : {
          ...orphans,
          remembered: orphans.remembered.filter(({ connection }) => isOwed(connection))
        },
      refusals: new Refusals(),
      refused: 0,
      isSkipped: false
    })
  }

  /** A primary's table goes with its power: this is the last look at what is established. */
  ended(machine: Machine, ending: Ending): void {
    const pair = this.#pairOf(machine)
    if (ending !== "power loss" || pair === undefined) return
    const holders = this.#cluster.operator.holdersOf(machine.name)
    if (holders.length !== 1 || holders[0] !== machine) return
    this.#orphans.set(pair, pair.traffic.snapshotReplicated(() => true))
  }

  #pairOf({ name }: Machine): Pair | undefined {
    return this.#cluster.pairs.find(({ names }) => names.includes(name))
  }

  /** For the operator: a step of a script has ended. */
  stepEnded(run: ScriptRun, step: ScriptStep, answer: Answer | undefined): void {
    if (run.role !== "primary" || step !== "-c") return
    const pending = [...this.#pending.values()].find(({ machine }) => machine === run.machine)
    if (pending === undefined) return
    const { machine, pair } = pending
    // Without a daemon nothing was committed; after a power loss it is another kernel.
    const isDone = answer?.isAnswered === true && !pending.isSkipped
    if (isDone && machine.kernel === pending.kernel) this.#judgeNow(pending)
    else this.#giveUp(pair)
  }

  logged(machine: Machine, _level: string, text: string): void {
    for (const pending of this.#pending.values()) {
      if (pending.machine === machine) pending.refusals.logged(text)
    }
    if (text.startsWith("commit already in progress")) {
      for (const pending of this.#pending.values()) {
        if (pending.machine === machine) pending.isSkipped = true
      }
    }
    const refused = /^(\d+) entries can't be committed/.exec(text)
    if (refused === null) return
    for (const pending of this.#pending.values()) {
      if (pending.machine === machine) pending.refused += Number(refused[1])
    }
  }

  #judgeNow({ machine, pair, refusals, refused, snapshot }: Pending): void {
    const { nowMs } = this.#cluster.world
    this.#pending.delete(pair)
    snapshot.commitEndedMs = nowMs
    const { casualties: dead, excused, survivors } = pair.traffic.checkSurvivors(snapshot)
    const isStillTold = this.#hasFaithfulPeer(machine) ? () => true : this.#replicatedOn(machine)
    const isOurs = machine.kind === "conntrackd"
    const casualties = dead.filter(({ connection }) =>
      isStillTold(connection) && !(isOurs && refusals.has(keyOfConnection(connection)))
    )
    this.takeovers.push({
      to: machine.name,
      atMs: snapshot.atMs,
      committedMs: nowMs,
      owed: survivors + casualties.length,
      survived: survivors,
      excused
    })
    this.#judge.judgeSurvivors(
      survivors,
      // The reference peer does not say whom the kernel's refusals hit.
      !isOurs && casualties.length <= refused
        ? []
        : casualties.map(({ connection, reason }) => `${nameOf(connection)}: ${reason}`)
    )
  }

  #replicatedOn(machine: Machine): (connection: TrafficConnection) => boolean {
    return replicatedIn(this.#judge.toldTo(machine), {
      kind: machine.kind,
      windowTracking: this.#windowTracking
    })
  }

  /** Upstream ends flows of zones although they live: its purge forgets the zone. */
  #hasFaithfulPeer({ peerName }: Machine): boolean {
    return this.#cluster.machine(peerName).kind === "conntrackd"
  }

  /** Nothing was promised. */
  #giveUp(pair: Pair): void {
    const pending = this.#pending.get(pair)
    if (pending === undefined) return
    this.#pending.delete(pair)
    this.takeovers.push({
      to: pending.machine.name,
      atMs: pending.snapshot.atMs,
      committedMs: undefined,
      owed: 0,
      survived: 0,
      excused: {}
    })
  }
}
