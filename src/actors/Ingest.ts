/**
 * Kernel events → internal cache → protocol. One fiber step per batch.
 *
 * Source: specification, "The synchronisation engines", sections 6 and 8.
 */
import * as Effect from "effect/Effect"
import { Origin } from "../core/cache/Origin.ts"
import { Change } from "../core/model/Change.ts"
import { Fault } from "../core/model/Fault.ts"
import { flowChangeOf } from "../core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import { Entity } from "../core/protocol/SyncProtocol.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import type { EventBatch, KernelEvents, KernelEventsLost } from "../layers/KernelEvents.ts"
import type { KernelTable } from "../layers/KernelTable.ts"
import { readFlow } from "./KernelMessage.ts"
import { PartialFlows } from "./PartialFlows.ts"
import { reopenedForEver } from "./Reopening.ts"
import type { Replica } from "./Replica.ts"
import { say } from "./Say.ts"

/** After a request for flows failed, or was too large for one turn. */
const askAgainMs = 1_000

/** Applies one batch of events; true when peers must hear of something. */
const applyBatch = (
  replica: Replica,
  cursor: NlmsgCursor,
  batch: EventBatch,
  partial: PartialFlows
): boolean => {
  const { dumps, internal, protocol, runtime, scratch } = replica
  const nowSeconds = replica.nowSeconds()
  let told = false
  for (let i = 0; i < batch.count; i++) {
    const length = batch.lengths[i]!
    const from = i * batch.slotBytes
    if (length < 0) {
      runtime.eventsUnknown++
      continue
    }
    cursor.reset(batch.words, from, from + length)
    while (cursor.next()) {
      const kind = flowChangeOf(cursor)
      if (kind === -1) {
        runtime.eventsUnknown++
        continue
      }
      runtime.eventsReceived++
      if (!readFlow(batch, cursor, scratch)) {
        runtime.eventsUnknown++
        continue
      }
      const slot = internal.apply(kind, scratch, Origin.other, nowSeconds)
      if (dumps.size > 0) noteNews(replica, kind, slot)
      if (slot < 0) continue
      protocol.tell(Entity.flow, slot, internal.change)
      if (kind === Change.updated && internal.change === Change.created) partial.note(slot)
      told = true
    }
    if (cursor.fault !== Fault.none) runtime.eventsUnknown++
  }
  return told
}

/** The event of the flow in the scratch record left it in `slot`, or in none. */
const noteNews = ({ dumps, internal, scratch }: Replica, kind: Change, slot: number): void => {
  for (const { ended, slots } of dumps) {
    if (slot >= 0) slots.add(slot)
    if (kind === Change.destroyed) ended.add(internal.table.hashOf(scratch))
  }
}

/**
 * Reads events for ever. After an overrun the buffer grows, and the kernel's table is read again a
 * while later; a socket that fails is opened again and the table is read at once. Of flows that
 * updates began the whole is asked for before the next batch.
 */
export const ingest = (
  replica: Replica,
  events: KernelEvents["Service"],
  kernel: KernelTable["Service"],
  resync: OverrunResync
): Effect.Effect<never> => {
  const { progress, runtime, work } = replica
  const cursor = new NlmsgCursor()
  const partial = new PartialFlows(replica, kernel)
  // A turn lasts until events are waited for again, so also while a lost socket is not there.
  const pull = Effect.suspend(() => {
    progress.ingestSinceMs = 0
    return events.pull
  })
  // What could not be asked for is asked for again, events or none.
  const batchOrPause = Effect.suspend((): Effect.Effect<EventBatch | undefined, KernelEventsLost> =>
    partial.isEmpty ? pull : Effect.raceFirst(pull, Effect.as(Effect.sleep(askAgainMs), undefined))
  )
  const turn = Effect.flatMap(batchOrPause, (batch) => {
    progress.ingestSinceMs = replica.nowMs()
    if (batch === undefined) {
      return Effect.andThen(partial.complete(), Effect.sync(() => work.openUnsafe()))
    }
    const told = applyBatch(replica, cursor, batch, partial)
    const lost = batch.overrun ? overrun(replica, events, resync) : Effect.void
    if (partial.isEmpty) {
      if (told) work.openUnsafe()
      return lost
    }
    // Peers hear of these flows when they are whole, and of the rest of the batch with them.
    return lost.pipe(
      Effect.andThen(partial.complete()),
      Effect.andThen(Effect.sync(() => work.openUnsafe()))
    )
  })
  return reopenedForEver({
    turn: Effect.tapError(turn, () =>
      Effect.sync(() => {
        runtime.catchEventFailed++
        if (progress.ingestSinceMs === 0) progress.ingestSinceMs = replica.nowMs()
      })),
    reopen: events.reopen,
    failed: (lost: KernelEventsLost) => Effect.logWarning(lost.message),
    opened: resync.now
  })
}

/** What follows from lost events. */
export interface OverrunResync {
  /** Schedules a kernel resync, if the configuration wants one. */
  readonly later: Effect.Effect<void>
  /** Begins one at once. Events are read meanwhile. */
  readonly now: Effect.Effect<void>
}

const overrun = (
  replica: Replica,
  events: KernelEvents["Service"],
  resync: OverrunResync
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { runtime } = replica
    runtime.catchEventFailed++
    runtime.overruns++
    if (yield* events.growBuffer) {
      yield* say(LogTexts.bufferSizeDoubled(events.bufferBytes()))
    } else if (!replica.progress.limitLogged) {
      replica.progress.limitLogged = true
      yield* say(LogTexts.bufferSizeExhausted)
    }
    yield* resync.later
  })
