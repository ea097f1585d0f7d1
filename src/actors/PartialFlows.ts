/**
 * Flows that the internal cache got to know by an update: because it had no room when they began,
 * or was flushed, or their first event was lost.
 *
 * An update says what changed, and beyond that not even the TCP state; a flow's master and labels
 * it says never again. Whoever commits such a flow makes a connection without a state. So the
 * kernel is asked for the whole of it, once, and the peer is told that.
 *
 * The reader of events asks, between two batches: every event that the cache knows is older than
 * the answer, and those that follow are applied to it in their order.
 *
 * Source: specification, "ctnetlink", sections 4.4 and 7.1; difference K15.
 */
import * as Effect from "effect/Effect"
import { Change } from "../core/model/Change.ts"
import { flowChangeOf } from "../core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import { Entity } from "../core/protocol/SyncProtocol.ts"
import type { Answers, KernelTable, KernelTableError } from "../layers/KernelTable.ts"
import { readFlow } from "./KernelMessage.ts"
import type { Replica } from "./Replica.ts"
import { askKernel, RequestBatch } from "./RequestBatch.ts"

/** Flows asked for in one turn of the reader of events: some milliseconds. */
const askedMax = 1_024

export class PartialFlows {
  readonly #replica: Replica
  readonly #kernel: KernelTable["Service"]
  readonly #slots = new Set<number>()
  readonly #requests = new RequestBatch()
  readonly #cursor = new NlmsgCursor()
  #isFailing = false

  constructor(replica: Replica, kernel: KernelTable["Service"]) {
    this.#replica = replica
    this.#kernel = kernel
  }

  get isEmpty(): boolean {
    return this.#slots.size === 0
  }

  /** An update began the flow in `slot`. */
  note(slot: number): void {
    this.#slots.add(slot)
  }

  /**
   * Asks for the noted flows and tells the peer what the kernel answers. A flow that has ended
   * stays as it is: its end is reported. What cannot be asked for is left to the next call.
   */
  complete(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (let asked = 0; asked < askedMax && this.#encode(); asked += this.#requests.count) {
        yield* askKernel(
          this.#replica,
          this.#kernel,
          this.#requests,
          (answers) => this.#merge(answers)
        )
        this.#isFailing = false
      }
    }).pipe(Effect.catchTag("KernelTableError", (error) => this.#failed(error)))
  }

  /** Moves slots into the batch of requests; false when there are none. */
  #encode(): boolean {
    const { internal, view } = this.#replica
    const requests = this.#requests
    requests.clear()
    for (const slot of this.#slots) {
      if (!requests.hasRoom) break
      this.#slots.delete(slot)
      if (!internal.holds(slot) || internal.isDead(slot)) continue
      requests.get(internal.table.view(slot, view), slot)
    }
    return requests.count > 0
  }

  #merge({ messages }: Answers): void {
    const { internal, protocol, scratch } = this.#replica
    const nowSeconds = this.#replica.nowSeconds()
    const cursor = this.#cursor
    for (let i = 0; i < messages.count; i++) {
      const from = i * messages.slotBytes
      cursor.reset(messages.words, from, from + Math.abs(messages.lengths[i]!))
      while (cursor.next()) {
        if (flowChangeOf(cursor) < 0 || !readFlow(messages, cursor, scratch)) continue
        const slot = internal.table.find(scratch)
        // A flush or a resync may have run since the flow was asked for.
        if (slot < 0 || !internal.holds(slot) || internal.isDead(slot)) continue
        internal.refresh(scratch, nowSeconds)
        // As before: peers replace what they have, if they have heard of it at all.
        protocol.tell(Entity.flow, slot, Change.created)
      }
    }
  }

  #failed(error: KernelTableError): Effect.Effect<void> {
    const { count, slots } = this.#requests
    for (let i = 0; i < count; i++) this.#slots.add(slots[i]!)
    if (this.#isFailing) return Effect.void
    this.#isFailing = true
    return Effect.logWarning(
      `flows that are known by an update alone could not be read: ${error.message}; ` +
        "they are asked for again in a second"
    )
  }
}
