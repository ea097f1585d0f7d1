/**
 * The state of one daemon: caches, protocol, what is to be sent. The actors share it.
 *
 * JavaScript runs one thing at a time, so an actor may use all of it within one synchronous step,
 * and nothing of it may be trusted to stand still across a yield. Each part has one owner (see
 * ARCHITECTURE, "The actors").
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import { ExternalCache } from "../core/cache/ExternalCache.ts"
import { InternalCache } from "../core/cache/InternalCache.ts"
import type { GeneralSettings, SyncSettings } from "../core/config/Settings.ts"
import { FlowTable } from "../core/model/FlowTable.ts"
import type { FlowView } from "../core/model/FlowView.ts"
import { FlowView as View, scratchView } from "../core/model/FlowView.ts"
import { Bulk } from "../core/protocol/Bulk.ts"
import { Ftfw } from "../core/protocol/Ftfw.ts"
import { LinkSelector } from "../core/protocol/LinkSelector.ts"
import { SendBuffer } from "../core/protocol/SendBuffer.ts"
import type { Outbound } from "../core/protocol/SyncProtocol.ts"
import { Entity } from "../core/protocol/SyncProtocol.ts"
import type { EncodeOptions } from "../core/wire/FlowAttributes.ts"
import type { Link } from "../layers/Links.ts"

/** What `-s network` counts. */
export interface ReceiveCounters {
  badVersion: number
  badHeader: number
  badPayload: number
  badType: number
  truncated: number
  badSize: number
  /** Attributes that a newer peer sent and we skipped. Not printed: upstream has no such line. */
  unknownAttributes: number
}

/** What `-s runtime` counts. */
export interface RuntimeCounters {
  eventsReceived: number
  eventsFiltered: number
  eventsUnknown: number
  catchEventFailed: number
  dumpUnknown: number
  overruns: number
  flushes: number
  kernelResyncs: number
  localReadFailed: number
  localUnknownRequest: number
}

/**
 * What events named since the last part of a dump was read. The kernel has made the next part by
 * then, so events know better.
 */
export interface DumpNews {
  /** Flows that appeared or changed. */
  readonly slots: Set<number>
  /** Hashes of the keys of flows that ended; they may have left the cache, or never been in it. */
  readonly ended: Set<number>
}

export interface ReplicaSettings {
  readonly general: GeneralSettings
  readonly sync: SyncSettings
}

export interface Replica {
  readonly settings: ReplicaSettings
  readonly internal: InternalCache
  readonly external: ExternalCache
  readonly protocol: Ftfw
  readonly bulk: Bulk
  readonly links: ReadonlyArray<Link>
  readonly selector: LinkSelector
  readonly sendBuffer: SendBuffer
  readonly receive: ReceiveCounters
  readonly runtime: RuntimeCounters
  /** Opened when the protocol may have something to say. */
  readonly work: Latch.Latch
  /** Who has it may ask the kernel: answers are looked at before anybody else asks. */
  readonly kernelTurn: Semaphore.Semaphore
  /** For each dump of the kernel's table that is being read: what events said meanwhile. */
  readonly dumps: Set<DumpNews>
  /** One scratch record for decoding, never used across a yield. */
  readonly scratch: FlowView
  readonly view: FlowView
  readonly outbound: Outbound
  readonly encodeOptions: EncodeOptions
  /** Readings of the monotonic clock. */
  readonly nowMs: () => number
  readonly nowSeconds: () => number
  readonly startedMs: number
  /** States given up for want of room that the log has not told yet, and when it last told any. */
  readonly overflow: { dropped: number; toldMs: number }
  /**
   * For the watchdog: when the sender last finished a turn, and since when the reader of events is
   * in one (0: it waits for events).
   */
  readonly progress: { syncMs: number; ingestSinceMs: number; limitLogged: boolean }
}

const emptyReceive = (): ReceiveCounters => ({
  badVersion: 0,
  badHeader: 0,
  badPayload: 0,
  badType: 0,
  truncated: 0,
  badSize: 0,
  unknownAttributes: 0
})

const emptyRuntime = (): RuntimeCounters => ({
  eventsReceived: 0,
  eventsFiltered: 0,
  eventsUnknown: 0,
  catchEventFailed: 0,
  dumpUnknown: 0,
  overruns: 0,
  flushes: 0,
  kernelResyncs: 0,
  localReadFailed: 0,
  localUnknownRequest: 0
})

const emptyOutbound = (): Outbound => ({
  kind: Entity.control,
  slot: 0,
  change: 0,
  flags: 0,
  seq: 0,
  ackFrom: 0,
  ackTo: 0
})

/** Builds the state of a daemon that replicates over `links`, of which there is at least one. */
export const make = (
  settings: ReplicaSettings,
  links: ReadonlyArray<Link>
): Effect.Effect<Replica> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const nowMs = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const seed = () => Effect.map(Random.nextInt, (n) => n | 0)
    const table = Effect.map(Effect.all([seed(), seed()]), ([a, b]) =>
      new FlowTable({
        flowsMax: settings.general.hashLimitEntries,
        bucketsHint: Math.min(settings.general.hashSizeBuckets, 1 << 20),
        seed: [a, b]
      }))
    const { sync } = settings
    const protocol = new Ftfw({
      ackWindowSize: sync.ackWindowMessages,
      resendQueueSize: sync.resendQueueObjects,
      firstSeq: () => Math.floor(clock.currentTimeMillisUnsafe() / 1_000) >>> 0,
      nowMs: nowMs()
    })
    // A program may have opened the first choice alone.
    const firstLink = links.length === sync.links.length
      ? Math.max(0, sync.links.findLastIndex((link) => link.isDefault))
      : 0
    const internalTable = yield* table
    const externalTable = yield* table
    const internal = new InternalCache({
      table: internalTable,
      forget: (slot) => protocol.forget(Entity.flow, slot),
      renew: (slot) => protocol.renew(Entity.flow, slot)
    })
    const current = links[firstLink]!
    return {
      settings,
      internal,
      external: new ExternalCache({ table: externalTable }),
      protocol,
      bulk: new Bulk([{
        entity: Entity.flow,
        walk: (cursor, max, visit) => {
          const end = Math.min(cursor + max, internalTable.slotsHigh)
          for (let slot = cursor; slot < end; slot++) {
            if (internal.holds(slot)) visit(slot)
          }
          return end < internalTable.slotsHigh ? end : -1
        }
      }], sync.resendQueueObjects),
      links,
      selector: new LinkSelector(links.map((link) => link.interfaceName), firstLink),
      sendBuffer: new SendBuffer(current.mtuBytes, current.headerBytes === 48 ? 48 : 28),
      receive: emptyReceive(),
      runtime: emptyRuntime(),
      work: Latch.makeUnsafe(true),
      dumps: new Set(),
      kernelTurn: Semaphore.makeUnsafe(1),
      scratch: scratchView(),
      view: new View(),
      outbound: emptyOutbound(),
      encodeOptions: {
        windowTracking: sync.tcpWindowTracking,
        timeout: sync.commitTimeoutSeconds === undefined
      },
      nowMs,
      nowSeconds: () => Math.floor(nowMs() / 1_000),
      startedMs: nowMs(),
      overflow: { dropped: 0, toldMs: -Infinity },
      progress: { syncMs: nowMs(), ingestSinceMs: 0, limitLogged: false }
    }
  })
