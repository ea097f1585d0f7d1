/**
 * The story on machines of the simulator: the daemon whole, with its configuration, on simulated
 * kernels and links, in this process and in simulated time.
 *
 * The story itself is a process of the simulated world, so it waits by the world's clock, and two
 * tellings are equal to the last byte.
 */
import * as Effect from "effect/Effect"
import type { KernelFlow } from "../sim/kernel/KernelFlow.ts"
import { tcpStates } from "../sim/kernel/KernelFlow.ts"
import type { Answer, ClientOption, MachineName } from "../sim/machine/Machine.ts"
import { linkAddress, linkInterface } from "../sim/machine/Machine.ts"
import { SimNode } from "../sim/machine/SimNode.ts"
import { VirtualNetwork } from "../sim/network/VirtualNetwork.ts"
import type { ScriptRun, ScriptStep } from "../sim/Operator.ts"
import { Operator } from "../sim/Operator.ts"
import { World } from "../sim/World.ts"
import { awaitAnswer } from "./Answers.ts"
import { DemoFailed } from "./Command.ts"
import { configurationFor } from "./Configuration.ts"
import { addressText, PacketFilter } from "./SimulatedRules.ts"
import { SimulatedTraffic } from "./SimulatedTraffic.ts"
import type { Daemon, Firewall, Site, Stage, Takeover } from "./Stage.ts"

/** How long the shell takes to start the client, in milliseconds. */
const stepDelayMs = [20, 60] as const
/** Simulated time between two looks at signals and at the terminal. */
const stretchMs = 50
/** No story is that long: somebody does not answer. */
const storyMaxMs = 600_000

/** A machine whose client can be kept from asking one thing. */
class DemoNode extends SimNode {
  leftOut: ClientOption | undefined

  override ask(option: ClientOption, done?: (answer: Answer) => void): void {
    if (option === this.leftOut) done?.({ option, text: "", isAnswered: true })
    else super.ask(option, done)
  }
}

/** Runs an effect as a process of the world, and the world until it is done. */
const inWorld = <A>(
  world: World,
  effect: Effect.Effect<A, DemoFailed>
): Effect.Effect<A, DemoFailed> =>
  Effect.gen(function*() {
    const story = world.process("story").fork(effect)
    for (;;) {
      const exit = story.pollUnsafe()
      if (exit !== undefined) return yield* exit
      if (world.nowMs > storyMaxMs) return yield* new DemoFailed({ message: "this never ends" })
      world.runUntil(world.nowMs + stretchMs)
      yield* Effect.yieldNow
    }
  })

const entryText = ({ original, reply, tcp }: KernelFlow): string => {
  const [there, back] = [original, reply].map(({ a, b, dst, src }) =>
    `src=${addressText(src)} dst=${addressText(dst)} sport=${a} dport=${b}`
  )
  return `tcp ${tcp === undefined ? "" : tcpStates[tcp.state]} ${there} ${back}`
}

/** What the operator does on one machine, as it happens. */
interface Script {
  readonly requests: Array<Takeover["requests"][number]>
  lastMs: number
  whenEnded: () => void
}

class SimulatedSite implements Site {
  readonly fw1: Firewall
  readonly fw2: Firewall
  readonly startTraffic: Site["startTraffic"]
  readonly #world: World
  readonly #network: VirtualNetwork
  readonly #operator: Operator
  readonly #nodes: ReadonlyArray<DemoNode>
  readonly #filters = new Map<string, PacketFilter>()
  readonly #endings = new Map<string, string>()
  readonly #scripts = new Map<string, Script>()

  constructor(world: World) {
    this.#world = world
    this.#network = new VirtualNetwork(world, { links: 1 })
    this.#operator = new Operator({
      world,
      machines: () => this.#nodes,
      stepDelayMs,
      watcher: {
        stepEnded: (run, step) => this.#stepEnded(run, step),
        ended: ({ machine }) => this.#scripts.get(machine.name)?.whenEnded()
      }
    })
    const [a, b] = [this.#node("A", "B"), this.#node("B", "A")]
    this.#nodes = [a, b]
    this.#operator.begin("A")
    this.fw1 = this.#firewall(a)
    this.fw2 = this.#firewall(b)
    this.startTraffic = Effect.sync(() => new SimulatedTraffic(world, () => this.#active))
  }

  get #active(): PacketFilter | undefined {
    const primary = this.#operator.primaryOf("A")
    return primary === undefined ? undefined : this.#filters.get(primary.name)
  }

  #node(name: MachineName, peerName: MachineName): DemoNode {
    const node = new DemoNode({
      world: this.#world,
      network: this.#network,
      name,
      peerName,
      configuration: configurationFor({
        own: linkAddress(name, 0),
        peer: linkAddress(peerName, 0),
        interfaceName: linkInterface(0),
        path: "/var/lib/conntrackd"
      }),
      witness: {
        ready: (machine) => this.#operator.ready(machine),
        ended: (machine, ending, _leaks, reason = "no reason") => {
          this.#endings.set(machine.name, `${ending}: ${reason}`)
          this.#operator.ended(machine)
        }
      }
    })
    this.#filters.set(name, new PacketFilter(node.kernel))
    return node
  }

  #firewall(node: DemoNode): Firewall {
    const filter = this.#filters.get(node.name)!
    return {
      startDaemon: Effect.sync(() => {
        node.start()
        return this.#daemon(node)
      }),
      // Nothing of a machine without power can be told from one without cables.
      pullCables: Effect.sync(() => node.powerLoss()),
      takeAddresses: Effect.suspend(() =>
        this.#operator.failover(node.name)
          ? Effect.void
          : Effect.fail(new DemoFailed({ message: "the addresses cannot be taken" }))
      ),
      unknownPackets: Effect.sync(() => filter.unknown),
      kernelEntries: Effect.sync(() => node.kernel.flows.map(entryText))
    }
  }

  #daemon(node: DemoNode): Daemon {
    const request: Daemon["request"] = (option) =>
      Effect.callback((resume) =>
        node.ask(option, ({ isAnswered, text }) =>
          resume(
            isAnswered
              ? Effect.succeed(text)
              : Effect.fail(new DemoFailed({ message: `nobody answers ${option}` }))
          ))
      )
    return {
      answers: awaitAnswer(
        request("-s"),
        () => node.state === "running" ? undefined : this.#endings.get(node.name)
      ),
      request,
      kill: Effect.sync(() => node.kill()),
      takeOver: (leaveOut) => this.#takeOver(node, leaveOut),
      log: () =>
        (node.disk.files.get("/var/log/conntrackd.log") ?? "(nothing)").trimEnd().split("\n")
    }
  }

  /** The script runs since the address moved, a moment ago; its first step takes some time. */
  #takeOver(node: DemoNode, leaveOut: "-c" | undefined): Effect.Effect<Takeover> {
    return Effect.callback((resume) => {
      node.leftOut = leaveOut
      const requests: Script["requests"] = []
      this.#scripts.set(node.name, {
        requests,
        lastMs: this.#world.nowMs,
        whenEnded: () => resume(Effect.succeed({ requests, said: "" }))
      })
    })
  }

  #stepEnded({ done, machine }: ScriptRun, step: ScriptStep): void {
    const script = this.#scripts.get(machine.name)
    const node = this.#nodes.find((one) => one === machine)
    if (script === undefined || step === node?.leftOut) return
    const { nowMs } = this.#world
    const seconds = (nowMs - script.lastMs) / 1e3
    script.requests.push({ letter: step, seconds, isDone: done.at(-1)?.isOk === true })
    script.lastMs = nowMs
  }
}

export const simulatedStage: Stage = {
  strictness: "no pick-up in the middle",
  notice: [
    "Kernels, cables and time are simulated here, the daemons are not.",
    "As root, npm start shows the same on the real kernel."
  ],
  remark: " (simulated kernel)",
  play: (scene) =>
    Effect.suspend(() => {
      const world = new World({ seed: "demo" })
      return inWorld(world, Effect.scoped(scene(Effect.sync(() => new SimulatedSite(world)))))
    })
}
