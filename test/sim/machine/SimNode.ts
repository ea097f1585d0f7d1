/**
 * One machine that runs our daemon, whole: booted from the text of a configuration file by the code
 * that the program boots with, over the live layers, on a simulated kernel, network and disk.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import type { Replica } from "../../../src/actors/Replica.ts"
import { helperPolicies } from "../../../src/core/config/BuiltinHelpers.ts"
import { parse } from "../../../src/core/config/Grammar.ts"
import { protocolNumber } from "../../../src/core/config/ProtocolNames.ts"
import type { Settings } from "../../../src/core/config/Settings.ts"
import { parseArguments } from "../../../src/core/control/ConntrackdArguments.ts"
import { Request } from "../../../src/core/control/Request.ts"
import { LogSink } from "../../../src/layers/LogSink.ts"
import { run } from "../../../src/programs/Boot.ts"
import type { FakeKernelOptions } from "../kernel/FakeKernel.ts"
import { FakeKernel } from "../kernel/FakeKernel.ts"
import { FakeRouting } from "../kernel/FakeRouting.ts"
import type { VirtualNetwork } from "../network/VirtualNetwork.ts"
import type { Process, ProcessClocks, World } from "../World.ts"
import type {
  Answer,
  ClientOption,
  Ending,
  Machine,
  MachineName,
  MachineState,
  Witness
} from "./Machine.ts"
import { linkInterface } from "./Machine.ts"
import { SimAddon } from "./SimAddon.ts"
import { SimControl } from "./SimControl.ts"
import { SimDisk } from "./SimDisk.ts"

/** How often a kernel looks for flows whose time is over. */
const kernelTickMs = 500
const bootTickMs = 1

export interface SimNodeOptions {
  readonly world: World
  readonly network: VirtualNetwork
  readonly name: MachineName
  readonly peerName: MachineName
  /** Text of conntrackd.conf, as it is on this machine. */
  readonly configuration: string
  readonly kernel?: Omit<FakeKernelOptions, "now" | "defer">
  readonly witness?: Witness
  /** So long daemons read dumps slowly. */
  readonly slowDumpsUntilMs?: number
}

/** A daemon process with what belongs to it. */
interface Daemon {
  readonly process: Process
  readonly addon: SimAddon
  readonly control: SimControl
  stopRequested: boolean
}

const textOf = (message: unknown): string =>
  Array.isArray(message) ? message.map(textOf).join(" ") : String(message)

/** The settings in a configuration text. Throws with every complaint: plans must be valid. */
export const settingsIn = (configuration: string): Settings => {
  const parsed = parse(new TextEncoder().encode(configuration), {
    interfaceExists: () => true,
    protocolNumber: (name) => protocolNumber(name),
    helperPolicies
  })
  if (Result.isFailure(parsed)) {
    throw new Error(`the configuration of a plan: ${parsed.failure.map((d) => d.text).join("; ")}`)
  }
  return parsed.success.settings
}

/** What the client of this option sends. */
const requestOf = (option: ClientOption): number => {
  const invocation = parseArguments(option.split(" "))
  if (invocation.role !== "client") throw new Error(`${option} is no request`)
  return invocation.request
}

export class SimNode implements Machine {
  readonly name: MachineName
  readonly peerName: MachineName
  readonly kind = "conntrackd"
  readonly disk = new SimDisk()
  readonly settings: Settings
  /** How wrong the machine's wall clock is; the plan may change it. */
  readonly clocks: ProcessClocks = { wallOffsetMs: 0 }
  readonly #options: SimNodeOptions
  #hasPower = true
  #daemon: Daemon | undefined
  #kernel: FakeKernel
  #routing: FakeRouting
  #processes = 0

  constructor(options: SimNodeOptions) {
    this.#options = options
    this.name = options.name
    this.peerName = options.peerName
    this.settings = settingsIn(options.configuration)
    this.#kernel = this.#makeKernel()
    this.#routing = this.#makeRouting()
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

  get routing(): FakeRouting {
    return this.#routing
  }

  get state(): MachineState {
    if (!this.#hasPower) return "off"
    if (this.#daemon === undefined) return "idle"
    return this.#daemon.process.isPaused ? "paused" : "running"
  }

  // ------------------------------------------------------------------------- life

  start(): void {
    if (!this.#hasPower || this.#daemon !== undefined) return
    const { network, slowDumpsUntilMs: untilMs = 0, witness, world } = this.#options
    const process = world.process(`${this.name}/${++this.#processes}`, this.clocks)
    const addon = new SimAddon({
      machine: this.name,
      process,
      pid: 1_000 + this.#processes,
      kernel: this.#kernel,
      routing: this.#routing,
      network,
      disk: this.disk,
      slowDumps: untilMs > 0
        ? { dice: world.dice.stream(`slow dumps/${process.name}`), untilMs }
        : undefined
    })
    const daemon: Daemon = {
      process,
      addon,
      control: new SimControl(),
      stopRequested: false
    }
    this.#daemon = daemon
    let isReady = false
    const effect = run(
      {
        addon,
        environment: { watchdogMicros: undefined, watchdogPid: undefined, pid: 1 },
        control: () => daemon.control.layer,
        removeFile: (path) => this.disk.remove(path),
        announceReady: Effect.sync(() => {
          isReady = true
          world.note("ready", this.name.charCodeAt(0))
          witness?.ready?.(this)
        }),
        stopRequested: Effect.never,
        watch: (replica: Replica) => witness?.booted?.(this, replica)
      },
      this.settings,
      "daemon"
    ).pipe(
      Effect.provide(this.#log()),
      Effect.onExit((exit) => Effect.sync(() => this.#exited(daemon, exit, isReady)))
    )
    process.fork(effect)
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
    this.#routing = this.#makeRouting()
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
    const request = requestOf(option)
    witness?.asked?.(this, option)
    const answered = (text: string, isAnswered: boolean): void => {
      const answer: Answer = { option, text, isAnswered }
      world.note(option, isAnswered ? 1 : 0, text.length)
      witness?.answered?.(this, answer)
      done?.(answer)
    }
    if (request === Request.kill && this.#daemon !== undefined) this.#daemon.stopRequested = true
    const isHeard = this.#daemon?.control.connect(request, answered) ?? false
    if (!isHeard) world.schedule(undefined, () => answered("", false))
  }

  // ---------------------------------------------------------------------- the parts

  #makeKernel(): FakeKernel {
    const { kernel, world } = this.#options
    return new FakeKernel({
      ...kernel,
      // A kernel counts ticks.
      now: () => Math.floor(world.nowMs),
      defer: (task) => world.schedule(undefined, task)
    })
  }

  #makeRouting(): FakeRouting {
    const { network, world } = this.#options
    const routing = new FakeRouting({ defer: (task) => world.schedule(undefined, task) })
    for (let link = 0; link < network.linkCount; link++) {
      routing.add(linkInterface(link), { mtu: network.mtuBytes })
    }
    return routing
  }

  /** What would be in the log file, which is on the disk. */
  #log(): Layer.Layer<LogSink> {
    const { witness, world } = this.#options
    const line = (level: string, text: string): void => {
      world.note(text, this.name.charCodeAt(0))
      this.disk.append("/var/log/conntrackd.log", `${Math.floor(world.nowMs)} ${level} ${text}\n`)
      witness?.logged?.(this, level, text)
    }
    return Layer.merge(
      Logger.layer([
        Logger.make(({ cause, logLevel, message }) => {
          const reason = cause.reasons.length === 0 ? "" : `: ${Cause.pretty(cause)}`
          line(logLevel, textOf(message) + reason)
        })
      ]),
      Layer.succeed(
        LogSink,
        LogSink.of({ flow: (text) => Effect.sync(() => line("flow", text)) })
      )
    )
  }

  /** The process has run to its end; whether it left something is seen when all is at rest. */
  #exited(daemon: Daemon, exit: Exit.Exit<void, unknown>, wasReady: boolean): void {
    const reason = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : undefined
    const isOrderly = reason === undefined && daemon.stopRequested
    const ending: Ending = isOrderly ? "stopped" : wasReady ? "crashed" : "failed to start"
    this.#options.world.after(0, () => {
      if (daemon.process.isGone) return
      const { timersPending } = daemon.process
      const timers = timersPending === 0 ? [] : [`${timersPending} timers`]
      this.#gone(daemon, ending, [...daemon.addon.leaks, ...timers], reason)
    })
  }

  /** Ends the daemon from outside, in the middle of whatever it does. */
  #end(ending: Ending): void {
    if (this.#daemon !== undefined) this.#gone(this.#daemon, ending, [], undefined)
  }

  #gone(
    daemon: Daemon,
    ending: Ending,
    leaks: ReadonlyArray<string>,
    reason: string | undefined
  ): void {
    daemon.process.kill()
    daemon.addon.closeAll()
    if (this.#daemon === daemon) this.#daemon = undefined
    this.#options.world.note(ending, this.name.charCodeAt(0))
    this.#options.witness?.ended?.(this, ending, leaks, reason)
    daemon.control.close(ending === "stopped")
  }
}
