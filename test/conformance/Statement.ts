/**
 * What a kernel answers and tells: statements that hold for the real kernel and the simulated one.
 *
 * A statement works on a fresh table through `Bench`, which sends raw requests and writes down
 * everything that comes back. It gives a summary, which must be the expected one (most are those
 * that were recorded from a real kernel); what was written down must be the same on both kernels.
 *
 * Source: specification, "The kernel's connection-tracking interface".
 */
import type { Bench } from "./Bench.ts"

/** How the kernel of a statement is set up. */
export type Setting =
  /** As namespaces are made, but events always. */
  | "plain"
  /** A rule uses labels. */
  | "labels"
  /** Counters and timestamps are on. */
  | "counters"
  /** Flows report nothing. */
  | "silent"

export interface Statement {
  readonly name: string
  readonly setting: Setting
  /** Undefined: whatever it is, it must be the same on both kernels. */
  readonly expected: string | undefined
  /** The kernel throws dice (for a port): no two logs are the same, and only summaries count. */
  readonly isChance?: boolean
  readonly run: (bench: Bench) => string
}

/** A socket of the kernel under test, whichever it is. */
export interface KernelSocket {
  readonly portId: number
  join(group: number): number
  setOption(level: number, name: number, value: number): number
  setReceiveBuffer(bytes: number): number
  send(bytes: Uint8Array, length: number): number
  receive(buffer: Uint8Array, slotBytes: number, lengths: Int32Array, datagramsMax: number): number
  dropped(): number
  close(): void
}

/** A kernel under test. */
export interface KernelArm {
  readonly open: () => KernelSocket
}

/** What came of a statement on one kernel. */
export interface Outcome {
  readonly name: string
  readonly summary: string
  /** Everything that was received, in order, without what differs from run to run. */
  readonly log: ReadonlyArray<string>
}
