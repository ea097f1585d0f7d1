/**
 * Empties the kernel's table (`-F`, and `-t` when it is due): a dump, and one deletion per flow.
 *
 * Peers are not told: the flows live on at whoever is primary now.
 *
 * Source: specification, "The synchronisation engines", sections 8.3 and 15.
 */
import * as Effect from "effect/Effect"
import { Origin } from "../core/cache/Origin.ts"
import { Change } from "../core/model/Change.ts"
import { flowChangeOf } from "../core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import type { KernelTable, KernelTableError } from "../layers/KernelTable.ts"
import { readFlow } from "./KernelMessage.ts"
import type { Replica } from "./Replica.ts"
import { askKernel, dumpRequest, RequestBatch } from "./RequestBatch.ts"

/** Deletes every flow that the kernel has now, or stops half-way when it is not wanted any more. */
export const flushKernel = (
  replica: Replica,
  kernel: KernelTable["Service"],
  isWanted: () => boolean
): Effect.Effect<void, KernelTableError> =>
  Effect.scoped(Effect.gen(function*() {
    const { internal, scratch } = replica
    const cursor = new NlmsgCursor()
    const requests = new RequestBatch()
    const deleteNow = Effect.suspend(() =>
      requests.count === 0
        ? Effect.void
        : askKernel(replica, kernel, requests, () => requests.clear())
    )
    const dump = yield* kernel.dump(dumpRequest())
    for (;;) {
      const part = yield* dump.next
      if (part.count === 0 || !isWanted()) break
      for (let i = 0; i < part.count; i++) {
        const from = i * part.slotBytes
        cursor.reset(part.words, from, from + Math.abs(part.lengths[i]!))
        while (cursor.next()) {
          if (flowChangeOf(cursor) < 0 || !readFlow(part, cursor, scratch)) continue
          requests.delete(scratch, 0, true)
          internal.apply(Change.destroyed, scratch, Origin.flush, replica.nowSeconds())
          if (!requests.hasRoom) yield* deleteNow
        }
      }
      // Nobody gets a turn between the cache and the kernel: an event would bring a flow back.
      yield* deleteNow
      yield* Effect.yieldNow
    }
  }))
