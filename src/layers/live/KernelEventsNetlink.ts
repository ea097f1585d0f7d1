/**
 * Conntrack events from a netlink socket: subscribed to new, update and destroy, without those of
 * our own requests.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ownEventsFilter } from "../../core/netlink/EventFilter.ts"
import { Group, NetlinkProtocol } from "../../core/netlink/Nlmsg.ts"
import type { EventBatch } from "../KernelEvents.ts"
import { KernelEvents, KernelEventsLost } from "../KernelEvents.ts"
import { moderated } from "../Moderation.ts"
import { errnoName } from "./ErrnoName.ts"
import type { NativeAddon, NetlinkHandle } from "./NativeAddon.ts"
import { netlinkSlots } from "./NetlinkSlots.ts"
import { whenReadable } from "./Readable.ts"

export interface EventOptions {
  /** NetlinkBufferSize in bytes; 0 for the system's default. */
  readonly bufferBytes: number
  /** NetlinkBufferSizeMaxGrowth in bytes. */
  readonly bufferMaxBytes: number
  /** Events with these port ids are dropped in the kernel. */
  readonly ownPortIds: ReadonlyArray<number>
}

const drainMax = 1_024
/** Events are far smaller; one that is not is reported as truncated. */
const slotBytes = 1_024
/** What the kernel accounts for a queued event, measured. */
const eventAccountedBytes = 1_280
const eagain = 11
const enobufs = 105

const groups = [Group.ctNew, Group.ctUpdate, Group.ctDestroy]

export const open = (
  addon: NativeAddon,
  options: EventOptions
): Effect.Effect<KernelEvents["Service"], KernelEventsLost, Scope.Scope> =>
  Effect.gen(function*() {
    const filter = ownEventsFilter(options.ownPortIds)
    let bufferBytes = options.bufferBytes <= options.bufferMaxBytes ? options.bufferBytes : 0

    const openSocket = Effect.suspend((): Effect.Effect<NetlinkHandle, KernelEventsLost> => {
      const handle = addon.openNetlink(NetlinkProtocol.netfilter)
      if (typeof handle === "number") return failed(handle)
      // The kernel doubles what it is told, and the configuration means the doubled size.
      if (bufferBytes > 0) handle.setReceiveBuffer(bufferBytes >>> 1)
      for (const result of [handle.attachFilter(filter), ...groups.map((g) => handle.join(g))]) {
        if (result < 0) {
          handle.close()
          return failed(result)
        }
      }
      return Effect.succeed(handle)
    })
    let handle = yield* openSocket
    yield* Effect.addFinalizer(() => Effect.sync(() => handle.close()))

    const slots = netlinkSlots(drainMax, slotBytes)
    const batch: EventBatch & { count: number } = Object.assign(slots, { overrun: false })
    let failure = 0
    const drain = (): number => {
      const result = handle.receive(slots.bytes, slotBytes, slots.lengths, drainMax)
      batch.overrun = result === -enobufs
      batch.count = Math.max(0, result)
      if (result === -eagain) return 0
      failure = result < 0 && !batch.overrun ? result : 0
      return result
    }
    const source = moderated({
      readable: whenReadable(() => handle),
      drain,
      drainMax,
      roomItems: () => Math.max(0, handle.receiveBufferBytes()) / eventAccountedBytes
    })

    return KernelEvents.of({
      pull: Effect.flatMap(source, () =>
        failure < 0 ? failed(failure) : Effect.succeed<EventBatch>(batch)),
      reopen: Effect.suspend(() => {
        handle.close()
        return Effect.map(openSocket, (opened) => {
          handle = opened
        })
      }),
      growBuffer: Effect.sync(() => {
        const wanted = handle.receiveBufferBytes() * 2
        if (wanted > options.bufferMaxBytes) {
          return false
        }
        bufferBytes = wanted
        return handle.setReceiveBuffer(wanted >>> 1) >= 0
      }),
      bufferBytes: () =>
        Math.max(0, handle.receiveBufferBytes())
    })
  })

const failed = (result: number): Effect.Effect<never, KernelEventsLost> =>
  Effect.fail(new KernelEventsLost({ code: errnoName(result) }))
