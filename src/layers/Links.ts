/** The dedicated links of the configuration, opened. Index = order in the configuration file. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { LinkOpenError, LinkReceiveError } from "./LinkError.ts"

/**
 * Datagrams back to back in one buffer: number i ends at `ends[i]` and begins where i - 1 ended.
 */
export interface Datagrams {
  readonly bytes: Uint8Array
  readonly ends: Int32Array
  count: number
}

/** Traffic of one link since the start, as the statistics print it. */
export interface LinkCounters {
  bytesSent: number
  bytesReceived: number
  packetsSent: number
  packetsReceived: number
  sendErrors: number
  receiveErrors: number
}

export interface Link {
  readonly interfaceName: string
  readonly transport: "multicast" | "udp" | "tcp"
  /** Bytes of IP and transport headers in front of the messages. */
  readonly headerBytes: number
  /** The interface's maximum transmission unit when the link was opened. */
  readonly mtuBytes: number
  readonly counters: LinkCounters
  /**
   * Everything received since the last pull, oldest first; valid until the next pull. Waits when
   * there is nothing.
   */
  readonly pull: Effect.Effect<Datagrams, LinkReceiveError>
  /** Sends all, in order. What the socket refuses is counted in `sendErrors` and lost. */
  readonly send: (datagrams: Datagrams) => Effect.Effect<void>
  /** Closes the sockets and opens them again, after an error. */
  readonly reopen: Effect.Effect<void, LinkOpenError>
}

export class Links
  extends Context.Service<Links, ReadonlyArray<Link>>()("conntrackd/layers/Links")
{}
