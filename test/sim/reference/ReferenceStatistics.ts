/**
 * The statistics that the reference peer prints.
 *
 * Source: specification, "conntrackd", section 9.
 */
import type { CacheCounters } from "./ReferenceCache.ts"
import type { ReferenceDaemon } from "./ReferenceDaemon.ts"

export interface LinkCounters {
  readonly interfaceName: string
  bytesSent: number
  bytesReceived: number
  sent: number
  received: number
  sendErrors: number
  receiveErrors: number
}

const wide = (value: number) => String(value).padStart(20)
const narrow = (value: number) => String(value).padStart(12)

const cacheText = (name: string, counters: CacheCounters): string =>
  `cache ${name}:\n` +
  `current active connections:\t${narrow(counters.active)}\n` +
  `connections created:\t\t${narrow(counters.created)}\tfailed:\t${
    narrow(counters.createFailed)
  }\n` +
  `connections updated:\t\t${narrow(counters.updated)}\tfailed:\t${narrow(0)}\n` +
  `connections destroyed:\t\t${narrow(counters.destroyed)}\tfailed:\t${narrow(0)}\n\n`

const extendedCacheText = (name: string, counters: CacheCounters, objects: number): string =>
  `cache:${name}\tactive objects:\t\t${narrow(objects)}\n` +
  `\tactive/total entries:\t\t${narrow(counters.active)}/${narrow(objects)}\n` +
  `\tcreation OK/failed:\t\t${narrow(counters.created)}/${narrow(counters.createFailed)}\n` +
  `\t\tno memory available:\t${narrow(0)}\n` +
  `\t\tno space left in cache:\t${narrow(counters.createFailed)}\n` +
  `\tupdate OK/failed:\t\t${narrow(counters.updated)}/${narrow(0)}\n` +
  `\t\tentry not found:\t${narrow(0)}\n` +
  `\tdeletion created/failed:\t${narrow(counters.destroyed)}/${narrow(0)}\n` +
  `\t\tentry not found:\t${narrow(0)}\n\n`

const linkCountersText = (link: LinkCounters): string =>
  `${wide(link.bytesSent)} Bytes sent ${wide(link.bytesReceived)} Bytes recv\n` +
  `${wide(link.sent)} Pckts sent ${wide(link.received)} Pckts recv\n` +
  `${wide(link.sendErrors)} Error send ${wide(link.receiveErrors)} Error recv\n\n`

const activeLinkText = (link: LinkCounters): string =>
  `UDP traffic (active device=${link.interfaceName}):\n${linkCountersText(link)}`

/** `-s` without a topic. */
export const statisticsText = (daemon: ReferenceDaemon, link: LinkCounters): string =>
  cacheText("internal", daemon.internal.counters) +
  cacheText("external", daemon.external.counters) +
  `traffic processed:\n${wide(0)} Bytes      ${wide(0)} Pckts\n\n` +
  activeLinkText(link) +
  `message tracking:\n${wide(daemon.malformed)} Malformed msgs ${
    wide(daemon.engine.counters.lost)
  } Lost msgs\n\n`

export const networkText = (daemon: ReferenceDaemon, link: LinkCounters): string => {
  const { badHeader, badVersion, before, lost } = daemon.engine.counters
  const { badPayload, badSize, truncated } = daemon.faults
  return "network statistics:\n\trecv:\n" +
    `\t\tMalformed messages:\t${wide(daemon.malformed)}\n` +
    `\t\tWrong protocol version:\t${wide(badVersion)}\n` +
    `\t\tMalformed header:\t${wide(badHeader)}\n` +
    `\t\tMalformed payload:\t${wide(badPayload)}\n` +
    `\t\tBad message type:\t${wide(0)}\n` +
    `\t\tTruncated message:\t${wide(truncated)}\n` +
    `\t\tBad message size:\t${wide(badSize)}\n` +
    `\tsend:\n\t\tMalformed messages:\t${wide(0)}\n\n` +
    "sequence tracking statistics:\n\trecv:\n" +
    `\t\tPackets lost:\t\t${wide(lost)}\n` +
    `\t\tPackets before:\t\t${wide(before)}\n\n` +
    activeLinkText(link)
}

export const cachesText = ({ external, internal }: ReferenceDaemon): string =>
  extendedCacheText("internal", internal.counters, internal.objects.length) +
  extendedCacheText("external", external.counters, external.entries.length)

export const linksText = (links: ReadonlyArray<LinkCounters>, active: LinkCounters): string =>
  links.map((link) =>
    `UDP traffic device=${link.interfaceName} status=RUNNING role=${
      link === active ? "ACTIVE" : "BACKUP"
    }:\n${linkCountersText(link)}`
  ).join("")

export const queuesText = ({ engine }: ReferenceDaemon, resendQueueSize: number): string => {
  const { resendQueueLength, transmitQueueLength } = engine
  const queues = [
    ["txqueue", transmitQueueLength, 2_147_483_647, 0],
    ["errorq", 0, 128, 0],
    ["rsqueue", resendQueueLength, resendQueueSize, engine.counters.noSpaceInResendQueue]
  ] as const
  return `allocated queue nodes:\t\t${narrow(transmitQueueLength + resendQueueLength)}\n\n` +
    queues.map(([name, length, maximum, errors]) =>
      `queue ${name}:\ncurrent elements:\t\t${narrow(length)}\n` +
      `maximum elements:\t\t${narrow(maximum)}\nnot enough space errors:\t${narrow(errors)}\n\n`
    ).join("")
}

export interface RuntimeCounters {
  readonly uptimeSeconds: number
  readonly eventsReceived: number
  readonly overruns: number
  readonly flushes: number
  readonly resyncs: number
  readonly bufferBytes: number
}

export const runtimeText = (counters: RuntimeCounters): string => {
  const minutes = Math.floor(counters.uptimeSeconds / 60)
  return `daemon uptime: ${minutes} min\n\nnetlink stats:\n` +
    `\tevents received:\t${wide(counters.eventsReceived)}\n` +
    `\tevents filtered:\t${wide(0)}\n` +
    `\tevents unknown type:\t\t${narrow(0)}\n` +
    `\tcatch event failed:\t\t${narrow(counters.overruns)}\n` +
    `\tdump unknown type:\t\t${narrow(0)}\n` +
    `\tnetlink overrun:\t\t${narrow(counters.overruns)}\n` +
    `\tflush kernel table:\t\t${narrow(counters.flushes)}\n` +
    `\tresync with kernel table:\t${narrow(counters.resyncs)}\n` +
    `\tcurrent buffer size (in bytes):\t${narrow(counters.bufferBytes)}\n\nruntime stats:\n` +
    `\tchild process failed:\t\t${narrow(0)}\n\t\tchild process segfault:\t${narrow(0)}\n` +
    `\t\tchild process termsig:\t${narrow(0)}\n\tselect failed:\t\t\t${narrow(0)}\n` +
    `\twait failed:\t\t\t${narrow(0)}\n\tlocal read failed:\t\t${narrow(0)}\n` +
    `\tlocal unknown request:\t\t${narrow(0)}\n\n`
}
