/**
 * What the story needs of the machines it happens on. There are two stages: network namespaces of
 * the real kernel, and machines of the simulator.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DemoFailed } from "./Command.ts"

export interface Stage {
  /** How its kernels see to it that nothing passes without its state. */
  readonly strictness: string
  /** What a spectator must know of it; lines under the picture. */
  readonly notice: ReadonlyArray<string>
  /** The end of the last line. */
  readonly remark: string
  /** Plays a scene on machines of its own; they are gone when it ends. */
  readonly play: <A>(
    scene: (build: Effect.Effect<Site, DemoFailed, Scope.Scope>) => Effect.Effect<
      A,
      DemoFailed,
      Scope.Scope
    >
  ) => Effect.Effect<A, DemoFailed>
}

/** Client, firewalls and server, wired. The rules are in force and fw1 has the addresses. */
export interface Site {
  readonly fw1: Firewall
  readonly fw2: Firewall
  /** Starts both ends of the connections. */
  readonly startTraffic: Effect.Effect<Traffic, DemoFailed, Scope.Scope>
}

export interface Firewall {
  readonly startDaemon: Effect.Effect<Daemon, DemoFailed, Scope.Scope>
  readonly pullCables: Effect.Effect<void, DemoFailed>
  /** From now on it carries the traffic. */
  readonly takeAddresses: Effect.Effect<void, DemoFailed>
  /** Packets that were dropped because nothing is known of their connection. */
  readonly unknownPackets: Effect.Effect<number, DemoFailed>
  /** TCP entries in its kernel, a line each. */
  readonly kernelEntries: Effect.Effect<ReadonlyArray<string>, DemoFailed>
}

export interface Daemon {
  /** Resolves when it answers. */
  readonly answers: Effect.Effect<void, DemoFailed>
  readonly request: (word: "-s" | "-e") => Effect.Effect<string, DemoFailed>
  readonly kill: Effect.Effect<void>
  /**
   * Runs the script that keepalived runs on the new primary. `leaveOut` is a request that does not
   * reach the daemon: `-c` for the counter-proof.
   */
  readonly takeOver: (leaveOut: "-c" | undefined) => Effect.Effect<Takeover, DemoFailed>
  /** What it said, line by line. */
  readonly log: () => ReadonlyArray<string>
}

export interface Takeover {
  /** What was asked of the daemon, and the seconds it took. */
  readonly requests: ReadonlyArray<
    { readonly letter: string; readonly seconds: number; readonly isDone: boolean }
  >
  /** What the script printed. */
  readonly said: string
}

/**
 * All connections of one telling. On each of them both ends ask numbered questions all the time
 * and answer those of the other end; nothing ever connects again. A connection has survived when
 * *both* ends have had a fresh question answered: then data has gone both ways, in both directions.
 */
export interface Traffic {
  /** Opens more connections, so many of each kind. */
  open(counts: ReadonlyArray<number>): void
  /** Connections that carry data, as both ends see it. */
  readonly opened: number
  /** From now on the silence of the connections counts. */
  watch(): void
  /** Milliseconds for which one of the living had heard nothing, at most, since `watch`. */
  readonly silenceMs: number
  /** From now on only data that is sent later counts as a sign of life. */
  probe(): void
  /** Connections that have carried fresh data both ways since the probe. */
  readonly alive: number
  /** The same, by kind. */
  aliveByKind(): ReadonlyArray<number>
  /** Why connections ended, with how many did. */
  reasons(): ReadonlyArray<string>
}
