/**
 * A firewall of the simulated cluster, as the operator, the traffic and the plan see it: a kernel
 * with a connection-tracking table, a disk, and a daemon that replicates the table.
 *
 * There are two kinds: `SimNode` runs our daemon, whole; `ReferenceNode` runs the reference peer,
 * which was written from the specification alone.
 */
import type { Replica } from "../../../src/actors/Replica.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { ProcessClocks } from "../World.ts"

export const machineNames = ["A", "B", "C", "D"] as const
export type MachineName = (typeof machineNames)[number]

/** The options of the command-line client that the simulation uses, as a person types them. */
export type ClientOption = (typeof clientOptions)[number]
export const clientOptions = [
  "-c",
  "-f",
  "-f internal",
  "-f external",
  "-F",
  "-R",
  "-B",
  "-n",
  "-t",
  "-i",
  "-e",
  "-s",
  "-s network",
  "-s cache",
  "-s runtime",
  "-s link",
  "-s queue",
  "-k"
] as const

/** What came of a command: what the client printed, and whether it reached a daemon at all. */
export interface Answer {
  readonly option: ClientOption
  readonly text: string
  /** False: nobody listens, or the daemon went away before it was done. */
  readonly isAnswered: boolean
}

/** off: no power. idle: the machine is up, no daemon runs. */
export type MachineState = "off" | "idle" | "running" | "paused"

export interface Machine {
  readonly name: MachineName
  /** The machine on the other end of its dedicated links. */
  readonly peerName: MachineName
  readonly kind: "conntrackd" | "reference"
  readonly state: MachineState
  /** Another object after a power loss: the old one's table is gone. */
  readonly kernel: FakeKernel
  /** How wrong the machine's wall clock is; the plan may change it. */
  readonly clocks: ProcessClocks
  /** Starts the daemon; nothing when it runs. A paused or dead machine cannot. */
  start(): void
  /** `kill -9` of the daemon: kernel, interfaces and disk stay. */
  kill(): void
  /** Everything that is not on disk is gone. */
  powerLoss(): void
  /** The machine boots, with an empty kernel table, and starts its daemon. */
  powerOn(): void
  /** The daemon gets no CPU; its kernel works on. */
  pause(): void
  resume(): void
  /** Runs the client; `done` is called exactly once. Only the latest daemon can answer. */
  ask(option: ClientOption, done?: (answer: Answer) => void): void
}

/** How a daemon's life ended. */
export type Ending = "killed" | "power loss" | "stopped" | "failed to start" | "crashed"

/**
 * Who watches (judge, report, statistics). All calls come synchronously, in the order of what
 * happens, with the world's clock at the moment of it.
 */
export interface Witness {
  /** A daemon of ours was built; nothing has been read, received or sent yet. */
  booted?(machine: Machine, replica: Replica): void
  /** Its actors run: the start is complete. */
  ready?(machine: Machine): void
  /** `leaks` names what an ended daemon left open (sockets, timers, lock). */
  ended?(machine: Machine, ending: Ending, leaks: ReadonlyArray<string>, reason?: string): void
  /** The kernel of a machine was made (first boot, or power came back). */
  kernelMade?(machine: Machine): void
  logged?(machine: Machine, level: string, text: string): void
  asked?(machine: Machine, option: ClientOption): void
  answered?(machine: Machine, answer: Answer): void
  /** Something the plan did to the world, as a sentence for the timeline. */
  did?(machine: Machine | undefined, sentence: string): void
}

/** Number of a machine: A is 1. Its address on dedicated link `link` is 10.255.link.number. */
export const numberOf = (name: MachineName): number => machineNames.indexOf(name) + 1

/** Interface, address and port of a machine on dedicated link `link` (0, 1, …). */
export const linkInterface = (link: number): string => `eth${link + 2}`
export const linkAddress = (name: MachineName, link: number, family: 4 | 6 = 4): string =>
  family === 4 ? `10.255.${link}.${numberOf(name)}` : `fd00:255:${link}::${numberOf(name)}`
export const linkPort = (link: number): number => 3_780 + link
