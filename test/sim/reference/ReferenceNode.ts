/**
 * One machine that runs the reference peer: what a conntrackd of upstream does on the other side of
 * the links, written from the specification, defects included. When one of those loses something,
 * `declaredLosses` has it, so that nobody else is blamed.
 */
import type { FakeKernelOptions } from "../kernel/FakeKernel.ts"
import { FakeKernel } from "../kernel/FakeKernel.ts"
import type {
  Answer,
  ClientOption,
  Ending,
  Machine,
  MachineName,
  MachineState,
  Witness
} from "../machine/Machine.ts"
import type { VirtualNetwork } from "../network/VirtualNetwork.ts"
import type { Process, ProcessClocks, World } from "../World.ts"
import { wireFlow } from "./ReferenceFlow.ts"
import { ReferenceProcess } from "./ReferenceProcess.ts"
import type { ReferenceSettings } from "./ReferenceSettings.ts"
import type { ReferenceFlow } from "./ReferenceWire.ts"

/** How often a kernel looks for flows whose time is over. */
const kernelTickMs = 500
const bootTickMs = 1

export interface ReferenceNodeOptions {
  readonly world: World
  readonly network: VirtualNetwork
  readonly name: MachineName
  readonly peerName: MachineName
  readonly configuration: ReferenceSettings
  readonly kernel?: Omit<FakeKernelOptions, "now" | "defer">
  readonly witness?: Witness
}

/** Something that upstream's ways lose, and when. */
export interface DeclaredLoss {
  readonly atMs: number
  readonly what: string
}

interface Daemon {
  readonly process: Process
  /** Undefined until it has started. */
  running: ReferenceProcess | undefined
  /** Clients that wait for their turn. */
  readonly clients: Set<(text: string, isAnswered: boolean) => void>
}

export class ReferenceNode implements Machine {
  readonly name: MachineName
  readonly peerName: MachineName
  readonly kind = "reference"
  /** How wrong the machine's wall clock is; the plan may change it. */
  readonly clocks: ProcessClocks = { wallOffsetMs: 0 }
  readonly #options: ReferenceNodeOptions
  readonly #losses: Array<DeclaredLoss> = []
  #hasPower = true
  #daemon: Daemon | undefined
  #kernel: FakeKernel
  #processes = 0

  constructor(options: ReferenceNodeOptions) {
    this.#options = options
    this.name = options.name
    this.peerName = options.peerName
    this.#kernel = this.#makeKernel()
    const tick = (): void => {
      if (this.#hasPower) this.#kernel.advanceTo(Math.floor(options.world.nowMs))
      options.world.after(kernelTickMs, tick)
    }
    tick()
    options.witness?.kernelMade?.(this)
  }

  get kernel(): FakeKernel {
    return this.#kernel
  }

  get state(): MachineState {
    if (!this.#hasPower) return "off"
    if (this.#daemon === undefined) return "idle"
    return this.#daemon.process.isPaused ? "paused" : "running"
  }

  // ----------------------------------------------------------------------- for the judge

  /** In order. Lives of the daemon begin and end with one each. */
  declaredLosses(): ReadonlyArray<DeclaredLoss> {
    return this.#losses
  }

  /** What the peer should know: the living flows of the internal cache, as they would be told. */
  internalFlows(): ReadonlyArray<ReferenceFlow> {
    const { commitTimeoutSeconds, tcpWindowTracking } = this.#options.configuration
    const options = { hasCommitTimeout: commitTimeoutSeconds !== undefined, tcpWindowTracking }
    return (this.#daemon?.running?.daemon.internal.objects ?? [])
      .filter(({ status }) => status !== "dead")
      .map(({ flow }) => wireFlow(flow, options))
  }

  /** What the peer has told. */
  externalFlows(): ReadonlyArray<ReferenceFlow> {
    return (this.#daemon?.running?.daemon.external.entries ?? []).map(({ flow }) => flow)
  }

  /** Messages to send, and messages that are not acknowledged. */
  queueLengths(): { readonly transmit: number; readonly resend: number } {
    const engine = this.#daemon?.running?.daemon.engine
    return {
      transmit: engine?.transmitQueueLength ?? 0,
      resend: engine?.resendQueueLength ?? 0
    }
  }

  // --------------------------------------------------------------------------------- life

  start(): void {
    if (!this.#hasPower || this.#daemon !== undefined) return
    const { configuration, network, witness, world } = this.#options
    const process = world.process(`${this.name}/${++this.#processes}`, this.clocks)
    const daemon: Daemon = { process, running: undefined, clients: new Set() }
    this.#daemon = daemon
    const kernel = this.#kernel
    process.defer(() => {
      this.#lost("the daemon starts")
      try {
        daemon.running = new ReferenceProcess({
          world,
          network,
          name: this.name,
          process,
          kernel,
          settings: configuration,
          lost: (what) => this.#lost(what),
          log: (line) => this.#log(line),
          stop: () => this.#end("stopped")
        })
      } catch (reason) {
        network.closeAll(process)
        this.#end("failed to start", reason instanceof Error ? reason.message : String(reason))
        return
      }
      world.note("ready", this.name.charCodeAt(0))
      witness?.ready?.(this)
    })
  }

  kill(): void {
    this.#end("killed")
  }

  powerLoss(): void {
    if (!this.#hasPower) return
    this.#end("power loss")
    this.#hasPower = false
  }

  powerOn(): void {
    if (this.#hasPower) return
    this.#hasPower = true
    this.#kernel = this.#makeKernel()
    this.#options.witness?.kernelMade?.(this)
    this.#options.world.after(bootTickMs, () => this.start())
  }

  pause(): void {
    this.#daemon?.process.pause()
  }

  resume(): void {
    this.#daemon?.process.resume()
  }

  ask(option: ClientOption, done?: (answer: Answer) => void): void {
    const { witness, world } = this.#options
    witness?.asked?.(this, option)
    const daemon = this.#daemon
    let isDone = false
    const answered = (text: string, isAnswered: boolean): void => {
      if (isDone) return
      isDone = true
      daemon?.clients.delete(answered)
      const answer: Answer = { option, text, isAnswered }
      world.note(option, isAnswered ? 1 : 0, text.length)
      witness?.answered?.(this, answer)
      done?.(answer)
    }
    if (daemon?.running === undefined) {
      world.schedule(undefined, () => answered("", false))
      return
    }
    daemon.clients.add(answered)
    daemon.process.defer(() => {
      // The end of the daemon is the answer to who asked for it.
      if (option === "-k") daemon.clients.delete(answered)
      answered(daemon.running!.ask(option), true)
    })
  }

  // ----------------------------------------------------------------------------- the parts

  #makeKernel(): FakeKernel {
    const { kernel, world } = this.#options
    return new FakeKernel({
      ...kernel,
      now: () => Math.floor(world.nowMs),
      defer: (task) => world.schedule(undefined, task)
    })
  }

  #lost(what: string): void {
    const { world } = this.#options
    world.note(what, this.name.charCodeAt(0))
    this.#losses.push({ atMs: world.nowMs, what })
  }

  #log(line: string): void {
    this.#options.world.note(line, this.name.charCodeAt(0))
    this.#options.witness?.logged?.(this, "notice", line)
  }

  #end(ending: Ending, reason?: string): void {
    const daemon = this.#daemon
    if (daemon === undefined) return
    this.#daemon = undefined
    const { witness, world } = this.#options
    daemon.running?.close()
    daemon.process.kill()
    this.#lost(`the daemon ends: ${ending}`)
    const leaks = daemon.process.timersPending === 0
      ? []
      : [`${daemon.process.timersPending} timers`]
    world.note(ending, this.name.charCodeAt(0))
    witness?.ended?.(this, ending, ending === "stopped" ? leaks : [], reason)
    for (const answered of daemon.clients) answered("", false)
  }
}
