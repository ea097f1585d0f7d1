/**
 * The kernel's conntrack events, in batches of raw netlink bytes.
 *
 * Events that this daemon caused itself (commit, flush) do not appear: the source drops them before
 * they are queued.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Netlink datagrams in slots of equal size. Valid until the next `pull`. */
export interface NetlinkBatch {
  readonly bytes: Uint8Array
  /** The same memory as 32-bit words; slots begin on a word. */
  readonly words: Int32Array
  readonly slotBytes: number
  /** Bytes of datagram i; negative when it did not fit its slot. */
  readonly lengths: Int32Array
  count: number
}

export interface EventBatch extends NetlinkBatch {
  /** The kernel dropped events since the last pull: the internal cache needs a kernel resync. */
  overrun: boolean
}

export class KernelEventsLost extends Schema.TaggedError<KernelEventsLost>()("KernelEventsLost", {
  code: Schema.String
}) {
  override get message(): string {
    return `the conntrack event socket failed: ${this.code}; it is reopened and the internal ` +
      "cache is compared with the kernel's table again"
  }
}

export class KernelEvents extends Context.Service<KernelEvents, {
  /** Waits for events, then returns all that arrived, at most 1 024. */
  readonly pull: Effect.Effect<EventBatch, KernelEventsLost>
  /** Closes the socket and opens a new one, with the same groups, filter and buffer size. */
  readonly reopen: Effect.Effect<void, KernelEventsLost>
  /** Doubles the receive buffer; false when that would exceed NetlinkBufferSizeMaxGrowth. */
  readonly growBuffer: Effect.Effect<boolean>
  /** Size of the receive buffer in bytes, as the kernel reports it. */
  readonly bufferBytes: () => number
}>()("conntrackd/layers/KernelEvents") {}
