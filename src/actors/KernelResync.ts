/**
 * Compares the internal cache with the kernel's table: at the start, on request, and after events
 * were lost.
 *
 * After an overrun everything in the table is told to peers, and what the cache has and the kernel
 * has not is told as destroyed. A suspect is asked for by a request of its own before it is given
 * up, since a dump is not a snapshot.
 *
 * Source: specification, "The synchronisation engines", sections 6.1 and 15.
 */
import * as Effect from "effect/Effect"
import { flowChangeOf } from "../core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import { Entity } from "../core/protocol/SyncProtocol.ts"
import type { NetlinkBatch } from "../layers/KernelEvents.ts"
import type { KernelTable, KernelTableError } from "../layers/KernelTable.ts"
import { readFlow } from "./KernelMessage.ts"
import type { DumpNews, Replica } from "./Replica.ts"
import { askKernel, dumpRequest, RequestBatch } from "./RequestBatch.ts"

/** Slots looked at in one step while suspects are searched. */
const sweepStep = 4_096

type Kernel = KernelTable["Service"]

/**
 * Calls `visit` with the scratch record for every flow of a dump, except those that an event has
 * named since the kernel made that part of the dump: the cache knows better already.
 */
export const forEachFlow = (
  replica: Replica,
  kernel: Kernel,
  visit: () => void
): Effect.Effect<void, KernelTableError> =>
  Effect.scoped(Effect.gen(function*() {
    const cursor = new NlmsgCursor()
    const news = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const empty: DumpNews = { slots: new Set(), ended: new Set() }
        replica.dumps.add(empty)
        return empty
      }),
      (added) => Effect.sync(() => replica.dumps.delete(added))
    )
    const dump = yield* kernel.dump(dumpRequest())
    for (;;) {
      const part = yield* dump.next
      if (part.count === 0) return
      visitPart(replica, cursor, part, news, visit)
      news.slots.clear()
      news.ended.clear()
      yield* Effect.yieldNow
    }
  }))

const visitPart = (
  replica: Replica,
  cursor: NlmsgCursor,
  part: NetlinkBatch,
  news: DumpNews,
  visit: () => void
): void => {
  const { runtime, scratch } = replica
  for (let i = 0; i < part.count; i++) {
    const from = i * part.slotBytes
    cursor.reset(part.words, from, from + Math.abs(part.lengths[i]!))
    while (cursor.next()) {
      if (flowChangeOf(cursor) < 0) continue
      if (!readFlow(part, cursor, scratch)) runtime.dumpUnknown++
      else if (!isOutdated(replica, news)) visit()
    }
  }
}

/** The flow in the scratch record is not any more as the dump has it. */
const isOutdated = ({ internal, scratch }: Replica, { ended, slots }: DumpNews): boolean => {
  if (slots.size === 0 && ended.size === 0) return false
  const slot = internal.table.find(scratch)
  return slot >= 0 && slots.has(slot) || ended.has(internal.table.hashOf(scratch))
}

/** Reads the kernel's table into the internal cache and tells nobody: at the start, and `-R`. */
export const readTable = (
  replica: Replica,
  kernel: Kernel
): Effect.Effect<void, KernelTableError> =>
  forEachFlow(replica, kernel, () => {
    replica.internal.refresh(replica.scratch, replica.nowSeconds())
  })

/**
 * Gives up what the internal cache has and the kernel has not; peers hear of that alone. For after
 * a flush of the kernel's table: an event that was on its way then brings its flow back into the
 * cache, and that we deleted it is not reported to us.
 */
export const forgetGone = (
  replica: Replica,
  kernel: Kernel
): Effect.Effect<void, KernelTableError> =>
  Effect.gen(function*() {
    replica.internal.beginResync()
    yield* readTable(replica, kernel)
    yield* sweep(replica, kernel)
    replica.work.openUnsafe()
  })

/** Makes the internal cache and the peers agree with the kernel again. */
export const repair = (
  replica: Replica,
  kernel: Kernel
): Effect.Effect<void, KernelTableError> =>
  Effect.gen(function*() {
    const { internal, protocol } = replica
    internal.beginResync()
    yield* forEachFlow(replica, kernel, () => {
      const slot = internal.refresh(replica.scratch, replica.nowSeconds())
      if (slot >= 0) protocol.tell(Entity.flow, slot, internal.change)
    })
    replica.work.openUnsafe()
    yield* sweep(replica, kernel)
    replica.work.openUnsafe()
  })

const enoent = 2

const sweep = (replica: Replica, kernel: Kernel): Effect.Effect<void, KernelTableError> =>
  Effect.gen(function*() {
    const { internal, protocol, view } = replica
    const requests = new RequestBatch()
    for (let from = 0; from < internal.table.slotsHigh;) {
      requests.clear()
      const end = from + sweepStep
      while (from < end && requests.hasRoom) {
        const slot = internal.nextStale(from, end)
        if (slot < 0) {
          from = end
          break
        }
        from = slot + 1
        requests.get(internal.table.view(slot, view), slot)
      }
      if (requests.count > 0) {
        yield* askKernel(replica, kernel, requests, ({ errnos }) => {
          for (let i = 0; i < requests.count; i++) {
            const slot = requests.slots[i]!
            if (errnos[i] !== enoent || internal.nextStale(slot, slot + 1) !== slot) continue
            protocol.tell(Entity.flow, internal.destroyStale(slot), internal.change)
          }
        })
      }
      yield* Effect.yieldNow
    }
  })
