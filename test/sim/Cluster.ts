/**
 * The world of a plan, built: machines, dedicated links, kernels, the operator and the traffic, and
 * everybody who watches. Nothing has happened in it yet.
 */
import type { Machine, MachineName } from "./machine/Machine.ts"
import { linkInterface } from "./machine/Machine.ts"
import { SimNode } from "./machine/SimNode.ts"
import { Witnesses } from "./machine/Witnesses.ts"
import { VirtualNetwork } from "./network/VirtualNetwork.ts"
import type { ScriptWatcher } from "./Operator.ts"
import { Operator } from "./Operator.ts"
import type { Plan } from "./plan/Plan.ts"
import { configurationFor, firstPrimaries, machinesOf, peerOf } from "./plan/Plan.ts"
import { ReferenceNode } from "./reference/ReferenceNode.ts"
import { referenceSettings } from "./reference/ReferenceSettings.ts"
import { Traffic } from "./traffic/Traffic.ts"
import { World } from "./World.ts"

/** How long a shell takes to start the client, in milliseconds. */
const scriptStepMs = [5, 60] as const

/** One pair of machines with what goes through it. */
export interface Pair {
  readonly names: readonly [MachineName, MachineName]
  readonly traffic: Traffic
}

export class Cluster {
  readonly plan: Plan
  readonly world: World
  readonly network: VirtualNetwork
  readonly machines: ReadonlyArray<Machine>
  readonly operator: Operator
  readonly pairs: ReadonlyArray<Pair>
  readonly witnesses = new Witnesses()
  /** Who wants to know how far the operator's scripts are. */
  readonly scriptWatcher: { -readonly [K in keyof ScriptWatcher]: ScriptWatcher[K] } = {}

  /** `watch` may add witnesses before the first machine exists. */
  constructor(plan: Plan, watch: (cluster: Cluster) => void = () => {}) {
    this.plan = plan
    this.world = new World({ seed: plan.seed, scheduling: plan.scheduling })
    this.network = new VirtualNetwork(this.world, {
      links: plan.links,
      mtuBytes: plan.mtuBytes,
      machines: machinesOf(plan)
    })
    this.operator = new Operator({
      world: this.world,
      machines: () => this.machines,
      witness: this.witnesses,
      watcher: this.scriptWatcher,
      stepDelayMs: scriptStepMs
    })
    this.machines = []
    watch(this)
    this.witnesses.add(this.operator)
    this.machines = machinesOf(plan).map((name) => this.#machine(name))
    this.pairs = firstPrimaries(plan).map((primary, index) => {
      this.operator.begin(primary)
      return {
        names: [primary, peerOf(primary)],
        traffic: new Traffic({
          world: this.world,
          stream: `traffic/${index}`,
          network: index,
          holders: () => this.operator.holdersOf(primary),
          hasNatRules: plan.kernel.natRules,
          labels: plan.kernel.labels
        })
      }
    })
    this.#applyNetworkFaults()
  }

  machine(name: MachineName): Machine {
    return this.operator.machine(name)
  }

  node(name: MachineName): SimNode | undefined {
    const machine = this.machine(name)
    return machine instanceof SimNode ? machine : undefined
  }

  /** A machine's interface of a dedicated link changes; its kernel says so. */
  setInterface(name: MachineName, link: number, isUp: boolean, hasCarrier: boolean): void {
    this.network.setInterface(name, link, isUp, hasCarrier)
    const routing = this.node(name)?.routing
    routing?.set(linkInterface(link), { up: isUp, running: isUp && hasCarrier })
  }

  #machine(name: MachineName): Machine {
    const { kernel, referencePeer } = this.plan
    const configuration = configurationFor(this.plan, name)
    const common = {
      world: this.world,
      network: this.network,
      name,
      peerName: peerOf(name),
      kernel: {
        flowsMax: kernel.flowsMax,
        accounting: kernel.accounting,
        labels: kernel.labels,
        ...(kernel.timestamps ? { epochNs: BigInt(this.world.epochMs) * 1_000_000n } : {})
      },
      witness: this.witnesses
    }
    return name === referencePeer
      ? new ReferenceNode({ ...common, configuration: referenceSettings(configuration) })
      : new SimNode({
        ...common,
        configuration,
        slowDumpsUntilMs: kernel.slowDumps === true ? this.plan.faultsStopAtMs : 0
      })
  }

  #applyNetworkFaults(): void {
    const { bytesPerMs, ...faults } = this.plan.network
    for (let link = 0; link < this.plan.links; link++) {
      Object.assign(this.network.faults(link), faults, {
        bytesPerMs: bytesPerMs === 0 ? Infinity : bytesPerMs
      })
    }
  }
}
