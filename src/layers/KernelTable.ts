/**
 * The kernel's conntrack table: requests in batches, and dumps. Bytes in, bytes out; the codecs are
 * in core.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { NetlinkBatch } from "./KernelEvents.ts"

/** Requests back to back. Request number i carries the netlink sequence number `firstSeq + i`. */
export interface Requests {
  readonly bytes: Uint8Array
  length: number
  firstSeq: number
  count: number
}

/** What came back. One object, overwritten by the next `apply`. */
export interface Answers {
  /** Per request: 0, or the errno with which the kernel refused it. */
  readonly errnos: Int32Array
  /** Messages that are not errors, such as the flows that gets ask for. */
  readonly messages: NetlinkBatch
}

/** The most requests that one `apply` takes. */
export const requestsMax = 128

export class KernelTableError extends Schema.TaggedError<KernelTableError>()("KernelTableError", {
  operation: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    const hint = this.code === "EPERM" ? "; conntrackd needs CAP_NET_ADMIN" : ""
    return `cannot ${this.operation}: ${this.code}${hint}`
  }
}

export interface DumpCursor {
  /** The next part of the table; `count` is 0 at the end. Valid until the next call. */
  readonly next: Effect.Effect<NetlinkBatch, KernelTableError>
}

export class KernelTable extends Context.Service<KernelTable, {
  /** Hands all requests to the kernel, which executes them in order before this returns. */
  readonly apply: (requests: Requests) => Effect.Effect<Answers, KernelTableError>
  /** Starts a dump with the encoded request; it ends with the scope. */
  readonly dump: (
    request: Uint8Array
  ) => Effect.Effect<DumpCursor, KernelTableError, Scope.Scope>
}>()("conntrackd/layers/KernelTable") {}
