/**
 * Tells a failover story: runs a plan under the judge, and looks at the connections of the first
 * pair at chosen moments.
 *
 * A look says how many connections work now, how many of them the other firewall knows as well,
 * and what became of those that worked at the look before: it sends a packet in each direction of
 * every one of them, through whoever holds the address, and counts whose packets pass as those of
 * an established connection, translated as before.
 */
import type { Replica } from "../../../src/actors/Replica.ts"
import { FlowView, l4Of, stateOf } from "../../../src/core/model/FlowView.ts"
import type { Cluster } from "../Cluster.ts"
import { keyOf, keyOfKernelFlow, keyOfView } from "../judge/WireFlow.ts"
import type {
  Answer,
  ClientOption,
  Ending,
  Machine,
  MachineName,
  Witness
} from "../machine/Machine.ts"
import type { Plan } from "../plan/Plan.ts"
import { ReferenceNode } from "../reference/ReferenceNode.ts"
import type { Outcome } from "../Simulate.ts"
import { simulate } from "../Simulate.ts"
import type { Snapshot } from "../traffic/Survivors.ts"
import type { TrafficConnection } from "../traffic/TrafficConnection.ts"

const tcp = 6
/** TCP's state ESTABLISHED. */
const establishedState = 3

/** What was seen at one moment. */
export interface Look {
  /** Who holds the virtual address. */
  readonly primaries: ReadonlyArray<MachineName>
  /** Connections that are established in the kernel of whoever holds the address. */
  readonly established: number
  /** Those of them that the other machine's daemon has, established, in its external cache. */
  readonly replicated: number
  /** Entries there, established, of flows that no kernel with the address has (any more). */
  readonly stale: number
  /** Of those that were established at the look before: how many can still talk. */
  readonly survived: number
  /** …and those that cannot, why: names and reasons. */
  readonly died: ReadonlyArray<string>
  /** …and those of the dead that were replicated, and ought to live. */
  readonly diedThoughReplicated: ReadonlyArray<string>
  /** …and how many their ends closed or opened again. */
  readonly ended: number
  /** …and how many lost their translated port to a client that came before the commit. */
  readonly displaced: number
}

/** Somebody logged something, or the plan did something. */
interface Happening {
  readonly atMs: number
  readonly machine: MachineName | undefined
  readonly text: string
}

export interface Telling<Moment extends string> {
  /** Moments in their order, in milliseconds, by name. */
  readonly looks: Readonly<Record<Moment, number>>
  /** Commands that do not reach a machine's daemon, though whoever gives them thinks so. */
  readonly deaf?: ReadonlyArray<readonly [machine: MachineName, option: ClientOption]>
}

export class Story<Moment extends string> {
  readonly outcome: Outcome
  readonly #looks: ReadonlyMap<string, Look>
  readonly #happenings: ReadonlyArray<Happening>

  constructor(
    outcome: Outcome,
    looks: ReadonlyMap<string, Look>,
    happenings: ReadonlyArray<Happening>
  ) {
    this.outcome = outcome
    this.#looks = looks
    this.#happenings = happenings
  }

  /** What the judge objects to, with the moment, as a sentence. Undefined: nothing. */
  get verdict(): string | undefined {
    const { verdict } = this.outcome
    if (verdict === undefined) return undefined
    const facts = verdict.facts.map(([label, lines]) => `\n${label}:\n  ${lines.join("\n  ")}`)
    const { atMs, invariant, name, sentence } = verdict
    return `${invariant} ${name}: ${sentence} (at ${Math.round(atMs)} ms)${facts.join("")}`
  }

  at(moment: Moment): Look {
    const look = this.#looks.get(moment)
    if (look === undefined) {
      throw new Error(`the run was over before the moment "${moment}": ${this.verdict}`)
    }
    return look
  }

  /** What a machine logged, or what the plan did to it, until the plan's steps were over. */
  happenings(machine: MachineName | undefined, text: RegExp): ReadonlyArray<string> {
    const { faultsStopAtMs } = this.outcome.plan
    return this.#happenings
      .filter(({ atMs }) => atMs <= faultsStopAtMs)
      .filter((happening) => happening.machine === machine && text.test(happening.text))
      .map((happening) => happening.text)
  }

  /** How often the judge saw a marked event. */
  marks(name: string): number {
    return this.outcome.marks.get(name) ?? 0
  }
}

/** Runs the plan, looks, and tells what was seen. */
export const tell = <Moment extends string>(
  plan: Plan,
  { deaf = [], looks }: Telling<Moment>
): Story<Moment> => {
  let observer: Observer | undefined
  const outcome = simulate(plan, {
    onBuilt: (cluster) => {
      observer = new Observer(cluster)
      for (const [machine, option] of deaf) makeDeaf(cluster, machine, option)
      for (const [moment, atMs] of Object.entries<number>(looks)) {
        cluster.world.after(atMs, () => observer!.look(moment))
      }
    }
  })
  return new Story<Moment>(outcome, observer!.looks, observer!.happenings)
}

class Observer implements Witness {
  readonly looks = new Map<string, Look>()
  readonly happenings: Array<Happening> = []
  readonly #cluster: Cluster
  readonly #replicas = new Map<MachineName, Replica>()
  #before: Snapshot | undefined
  #replicatedBefore: ReadonlySet<TrafficConnection> = new Set()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    cluster.witnesses.add(this)
  }

  look(moment: string): void {
    const { operator, pairs: [pair] } = this.#cluster
    const { names, traffic } = pair!
    const fates = this.#before === undefined ? undefined : traffic.checkSurvivors(this.#before)
    const dead = fates?.casualties ?? []
    const lines = (those: typeof dead) =>
      those.map(({ connection, reason }) => `${connection.name}: ${reason}`)
    const primaries = operator.holdersOf(names[0])
    const known = new Set(primaries.flatMap(({ peerName }) => this.#knownTo(peerName)))
    const tracked = new Set(
      primaries.flatMap(({ kernel }) => kernel.flows.map((flow) => keyOfKernelFlow(flow)))
    )
    const replicated = new Set<TrafficConnection>()
    const snapshot = traffic.snapshotReplicated((connection) => {
      const flow = traffic.flow(connection)
      const key = flow === undefined ? undefined : keyOfKernelFlow(flow)
      if (key !== undefined && known.has(key)) replicated.add(connection)
      return true
    })
    this.looks.set(moment, {
      primaries: primaries.map(({ name }) => name),
      established: snapshot.remembered.length,
      replicated: replicated.size,
      stale: [...known].filter((key) => !tracked.has(key)).length,
      survived: fates?.survivors ?? 0,
      died: lines(dead),
      diedThoughReplicated: lines(
        dead.filter(({ connection }) => this.#replicatedBefore.has(connection))
      ),
      ended: fates?.excused.ended ?? 0,
      displaced: fates?.excused["port given away"] ?? 0
    })
    this.#before = snapshot
    this.#replicatedBefore = replicated
  }

  /** Keys of what is in a daemon's external cache; of TCP, what is established there. */
  #knownTo(name: MachineName): ReadonlyArray<string> {
    const machine = this.#cluster.machine(name)
    const keys: Array<string> = []
    const add = (key: string | undefined): void => {
      if (key !== undefined) keys.push(key)
    }
    if (machine instanceof ReferenceNode) {
      for (const flow of machine.externalFlows()) {
        if ((flow.tcpState ?? establishedState) === establishedState) add(keyOf(flow))
      }
      return keys
    }
    const external = this.#replicas.get(name)?.external
    if (external === undefined) return keys
    const { table } = external
    const view = new FlowView()
    for (let slot = 0; slot < table.slotsHigh; slot++) {
      if (!external.holds(slot)) continue
      table.view(slot, view)
      if (l4Of(view) !== tcp || stateOf(view) === establishedState) add(keyOfView(view))
    }
    return keys
  }

  // ------------------------------------------------------------------------ witness

  booted({ name }: Machine, replica: Replica): void {
    this.#replicas.set(name, replica)
  }

  ready({ name }: Machine): void {
    this.#happened(name, "is ready")
  }

  ended({ name }: Machine, ending: Ending): void {
    this.#replicas.delete(name)
    this.#happened(name, `daemon: ${ending}`)
  }

  logged({ name }: Machine, _level: string, text: string): void {
    this.#happened(name, text)
  }

  answered({ name }: Machine, { isAnswered, option }: Answer): void {
    this.#happened(name, `conntrackd ${option}: ${isAnswered ? "done" : "no answer"}`)
    // From here on, an entry that packets make anew is nobody's excuse.
    if (option === "-c" && this.#before !== undefined) {
      this.#before.commitEndedMs ??= this.#cluster.world.nowMs
    }
  }

  did(machine: Machine | undefined, sentence: string): void {
    this.#happened(machine?.name, sentence)
  }

  #happened(machine: MachineName | undefined, text: string): void {
    this.happenings.push({ atMs: this.#cluster.world.nowMs, machine, text })
  }
}

/** Whoever gives the command gets an answer, but no daemon hears of it. */
const makeDeaf = (cluster: Cluster, name: MachineName, deafTo: ClientOption): void => {
  const machine = cluster.machine(name)
  const ask = machine.ask.bind(machine)
  machine.ask = (option, done) => {
    if (option !== deafTo) return ask(option, done)
    cluster.world.schedule(undefined, () => done?.({ option, text: "", isAnswered: true }))
  }
}
