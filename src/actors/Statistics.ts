/**
 * What `conntrackd -s …` answers: the daemon's counters, brought into the shape that `core/text`
 * prints.
 */
import { Entity } from "../core/protocol/SyncProtocol.ts"
import type {
  CacheMemory,
  LinkCounts,
  LinkStatus,
  NetworkCounts,
  RuntimeCounts
} from "../core/text/FormatStats.ts"
import * as Format from "../core/text/FormatStats.ts"
import type { Interfaces } from "../layers/Interfaces.ts"
import type { KernelEvents } from "../layers/KernelEvents.ts"
import type { Replica } from "./Replica.ts"

const cacheOf = (cache: Replica["internal"] | Replica["external"]): CacheMemory => ({
  active: cache.stats.active,
  created: cache.stats.created,
  noSpace: cache.stats.noSpace,
  updated: cache.stats.updated,
  destroyed: cache.stats.destroyed,
  allocated: cache.table.size
})

const linkOf = (replica: Replica, index: number): LinkCounts => {
  const { counters, interfaceName, transport } = replica.links[index]!
  return {
    kind: transport,
    interfaceName,
    bytesSent: counters.bytesSent,
    bytesReceived: counters.bytesReceived,
    packetsSent: counters.packetsSent,
    packetsReceived: counters.packetsReceived,
    errorsSent: counters.sendErrors,
    errorsReceived: counters.receiveErrors
  }
}

const networkOf = ({ protocol, receive }: Replica): NetworkCounts => ({
  badVersion: receive.badVersion,
  badHeader: receive.badHeader,
  badPayload: receive.badPayload,
  badType: receive.badType,
  truncated: receive.truncated,
  badSize: receive.badSize,
  sendMalformed: 0,
  lost: protocol.counters.lost,
  before: protocol.counters.before
})

const activeLink = (replica: Replica): string =>
  Format.formatActiveLink(linkOf(replica, replica.selector.current))

/** `-s` */
export const general = (replica: Replica): string => {
  const network = networkOf(replica)
  return Format.formatCache("internal", cacheOf(replica.internal)) +
    Format.formatCache("external", cacheOf(replica.external)) +
    Format.formatTraffic(replica.internal.traffic) +
    activeLink(replica) +
    Format.formatMessageTracking({
      malformed: Format.malformedOf(network),
      lost: network.lost
    })
}

/** `-s network` */
export const network = (replica: Replica): string =>
  Format.formatNetwork(networkOf(replica)) + activeLink(replica)

/** `-s cache` */
export const cache = (replica: Replica): string =>
  Format.formatCacheExtended("internal", cacheOf(replica.internal)) +
  Format.formatCacheExtended("external", cacheOf(replica.external))

/** `-s runtime`. There are no child processes, so nothing of them ever fails. */
export const runtime = (replica: Replica, events: KernelEvents["Service"]): string => {
  const { runtime } = replica
  const counts: RuntimeCounts = {
    uptimeSeconds: Math.floor((replica.nowMs() - replica.startedMs) / 1_000),
    eventsReceived: runtime.eventsReceived,
    eventsFiltered: runtime.eventsFiltered,
    eventsUnknownType: runtime.eventsUnknown,
    eventsFailed: runtime.catchEventFailed,
    dumpUnknownType: runtime.dumpUnknown,
    overruns: runtime.overruns,
    kernelFlushes: runtime.flushes,
    kernelResyncs: runtime.kernelResyncs,
    bufferBytes: events.bufferBytes(),
    childFailed: 0,
    childSegfault: 0,
    childTermsig: 0,
    selectFailed: 0,
    waitFailed: 0,
    localReadFailed: runtime.localReadFailed,
    localUnknownRequest: runtime.localUnknownRequest
  }
  return Format.formatRuntime(counts)
}

const statusOf = (interfaces: Interfaces["Service"], name: string): LinkStatus => {
  const state = interfaces.current(name)
  if (state === undefined || !state.up) return "DOWN"
  return state.running ? "RUNNING" : "NO-CARRIER"
}

/** `-s link` */
export const links = (replica: Replica, interfaces: Interfaces["Service"]): string =>
  replica.links.map((link, index) =>
    Format.formatLink(
      linkOf(replica, index),
      statusOf(interfaces, link.interfaceName),
      index === replica.selector.current
    )
  ).join("")

/** `-s queue` */
export const queues = ({ protocol, settings }: Replica): string =>
  Format.formatQueues(protocol.txLength + protocol.resendLength, [
    { name: "txqueue", length: protocol.txLength, lengthMax: Format.unlimitedQueueLength, full: 0 },
    { name: "errorq", length: 0, lengthMax: settings.sync.errorQueueBatches, full: 0 },
    {
      name: "rsqueue",
      length: protocol.resendLength,
      lengthMax: settings.sync.resendQueueObjects,
      full: protocol.counters.resendQueueFull
    }
  ])

/** `-s rsqueue` */
export const resendQueue = ({ protocol }: Replica): string =>
  Format.formatResendQueue(Array.from(protocol.resendEntries(), ({ flags, kind, seq }) => ({
    kind: kind === Entity.control ? "control" : kind === Entity.flow ? "flow" : "expectation",
    seq,
    flags
  })))
