/**
 * Tries the judge: a small failover in a calm world, with daemons that somebody tampered with.
 *
 * The tampering is done to the instances before the judge sees them, so the judge takes it for the
 * daemon's own doing.
 */
import type { Replica } from "../../../src/actors/Replica.ts"
import { Cluster } from "../Cluster.ts"
import { Judge } from "../Judge.ts"
import type { Machine } from "../machine/Machine.ts"
import type { Plan } from "../plan/Plan.ts"
import { calmPlan } from "../plan/Plan.ts"
import { Steps } from "../Steps.ts"
import type { World } from "../World.ts"

export interface Scene {
  readonly machine: Machine
  readonly replica: Replica
  readonly world: World
}

export interface TrialOptions {
  readonly changes?: Partial<Plan>
  /** Called for every daemon that boots. */
  readonly tamper?: (scene: Scene) => void
  /** When the pair is settled and silence begins. */
  readonly atQuiet?: (cluster: Cluster, judge: Judge) => void
}

const steps: Plan["steps"] = [
  {
    _tag: "OpenFlows",
    atMs: 1_000,
    count: 20,
    kind: "tcp",
    translated: "none",
    family: 4,
    overMs: 500,
    established: true
  },
  {
    _tag: "OpenFlows",
    atMs: 1_200,
    count: 6,
    kind: "udp",
    translated: "source",
    family: 4,
    overMs: 300,
    established: true
  },
  { _tag: "UpdateFlows", atMs: 2_500, count: 10, change: "mark", overMs: 500 },
  { _tag: "CloseFlows", atMs: 3_200, count: 2 },
  { _tag: "ExpireFlows", atMs: 3_500, count: 5 },
  { _tag: "Failover", atMs: 5_000, to: "B" },
  { _tag: "UpdateFlows", atMs: 7_000, count: 8, change: "mark", overMs: 500 }
]

const tickMs = 100

/** Plays a plan to its end, or to the verdict. */
export const trial = (options: TrialOptions = {}): Judge => {
  let judge: Judge | undefined
  const plan = calmPlan({ steps, faultsStopAtMs: 9_000, ...options.changes })
  const cluster = new Cluster(plan, ({ network, witnesses, world }) => {
    judge = new Judge(world, network, { machines: () => cluster.machines })
    witnesses.add({
      booted: (machine, replica) => options.tamper?.({ machine, replica, world })
    })
    witnesses.add(judge)
  })
  const { machines, world } = cluster
  const advance = (ms: number, until = () => false): void => {
    const endMs = world.nowMs + ms
    while (world.nowMs < endMs && judge!.verdict === undefined && !until()) {
      world.runUntil(world.nowMs + tickMs)
      judge!.tick()
    }
  }
  const script = new Steps(cluster)
  script.schedule()
  for (const machine of machines) machine.start()
  advance(plan.faultsStopAtMs)
  script.stop()
  judge!.beginSettling()
  const losses = judge!.declaredLosses.length
  if (losses > 0) { for (const machine of machines) machine.ask("-n") }
  let isSettled = false
  advance(plan.settleWithinMs, () => (isSettled = judge!.isSettled()))
  if (!isSettled && judge!.verdict === undefined) judge!.notSettled()
  judge!.beginQuiet()
  options.atQuiet?.(cluster, judge!)
  advance(3_000)
  judge!.endQuiet()
  for (const machine of machines) machine.ask("-k")
  advance(1_000)
  judge!.finish()
  return judge!
}
