/**
 * The statistics that `conntrackd -s` prints, block by block. Scripts cut them by columns, so every
 * tab and blank counts.
 *
 * Numbers are right-aligned in 12 or 20 columns and may be wider; counters that can pass 2^53 are
 * `bigint`.
 *
 * Source: specification, "Command line, life cycle …", sections 9.1 to 9.6.
 */

type Count = number | bigint

const in12 = (value: Count): string => String(value).padStart(12)
const in20 = (value: Count): string => String(value).padStart(20)

/** What a cache counts. */
export interface CacheCounts {
  /** Entries now, without destroyed ones that peers must still hear of. */
  readonly active: Count
  readonly created: Count
  /** Entries refused because the cache was full. */
  readonly noSpace: Count
  readonly updated: Count
  readonly destroyed: Count
}

/** A cache in `-s` and `-s expect`. */
export const formatCache = (name: "internal" | "external" | "stats", counts: CacheCounts): string =>
  `cache ${name}:\n` +
  `current active connections:\t${in12(counts.active)}\n` +
  `connections created:\t\t${in12(counts.created)}\tfailed:\t${in12(counts.noSpace)}\n` +
  `connections updated:\t\t${in12(counts.updated)}\tfailed:\t${in12(0)}\n` +
  `connections destroyed:\t\t${in12(counts.destroyed)}\tfailed:\t${in12(0)}\n\n`

/** Instead of the internal cache's block when there is none: messages sent. */
export interface BypassCounts {
  readonly created: Count
  readonly updated: Count
  readonly destroyed: Count
}

export const formatInternalBypass = (counts: BypassCounts): string =>
  "internal bypass:\n" +
  `connections new:\t\t${in12(counts.created)}\n` +
  `connections updated:\t\t${in12(counts.updated)}\n` +
  `connections destroyed:\t\t${in12(counts.destroyed)}\n\n`

/** Instead of the external cache's block when there is none: kernel operations. */
export interface InjectCounts extends BypassCounts {
  readonly createFailed: Count
  readonly updateFailed: Count
  readonly destroyFailed: Count
}

export const formatExternalInject = (counts: InjectCounts): string =>
  "external inject:\n" +
  `connections created:\t\t${in12(counts.created)}\tfailed:\t${in12(counts.createFailed)}\n` +
  `connections updated:\t\t${in12(counts.updated)}\tfailed:\t${in12(counts.updateFailed)}\n` +
  `connections destroyed:\t\t${in12(counts.destroyed)}\tfailed:\t${in12(counts.destroyFailed)}\n\n`

/** A cache in `-s cache`. */
export interface CacheMemory extends CacheCounts {
  /** Entries in memory: the active ones and destroyed ones that peers must still hear of. */
  readonly allocated: Count
}

export const formatCacheExtended = (
  name: "internal" | "external" | "stats",
  counts: CacheMemory
): string =>
  `cache:${name}\tactive objects:\t\t${in12(counts.allocated)}\n` +
  `\tactive/total entries:\t\t${in12(counts.active)}/${in12(counts.active)}\n` +
  `\tcreation OK/failed:\t\t${in12(counts.created)}/${in12(counts.noSpace)}\n` +
  `\t\tno memory available:\t${in12(0)}\n` +
  `\t\tno space left in cache:\t${in12(counts.noSpace)}\n` +
  `\tupdate OK/failed:\t\t${in12(counts.updated)}/${in12(0)}\n` +
  `\t\tentry not found:\t${in12(0)}\n` +
  `\tdeletion created/failed:\t${in12(counts.destroyed)}/${in12(0)}\n` +
  `\t\tentry not found:\t${in12(0)}\n\n`

/** Packets and bytes of all flows that ended. */
export const formatTraffic = (
  traffic: { readonly bytes: Count; readonly packets: Count }
): string =>
  `traffic processed:\n${in20(traffic.bytes)} Bytes      ${in20(traffic.packets)} Pckts\n\n`

/** One dedicated link since the start. */
export interface LinkCounts {
  readonly kind: "multicast" | "udp" | "tcp"
  readonly interfaceName: string
  readonly bytesSent: Count
  readonly bytesReceived: Count
  /** Calls that sent or received. */
  readonly packetsSent: Count
  readonly packetsReceived: Count
  readonly errorsSent: Count
  readonly errorsReceived: Count
}

/** Whether each side of a TCP link is connected. */
export interface TcpLinkState {
  readonly serverConnected: boolean
  readonly clientConnected: boolean
}

const kindWords = { multicast: "multicast", udp: "UDP", tcp: "TCP" } as const

const connectedWord = (connected: boolean): string => connected ? "connected" : "disconnected"

const formatLinkCounts = (link: LinkCounts): string =>
  `${in20(link.bytesSent)} Bytes sent ${in20(link.bytesReceived)} Bytes recv\n` +
  `${in20(link.packetsSent)} Pckts sent ${in20(link.packetsReceived)} Pckts recv\n` +
  `${in20(link.errorsSent)} Error send ${in20(link.errorsReceived)} Error recv\n\n`

/** The link that we send on, in `-s` and `-s network`. `tcp` only for a TCP link. */
export const formatActiveLink = (link: LinkCounts, tcp?: TcpLinkState): string => {
  const head = `${kindWords[link.kind]} traffic (active device=${link.interfaceName})`
  const state = tcp === undefined
    ? ":"
    : ` server=${connectedWord(tcp.serverConnected)} client=${connectedWord(tcp.clientConnected)}:`
  return `${head}${state}\n${formatLinkCounts(link)}`
}

/** `NO-CARRIER`: the interface is up and its cable is not. */
export type LinkStatus = "RUNNING" | "NO-CARRIER" | "DOWN"

/** One link in `-s link`. */
export const formatLink = (link: LinkCounts, status: LinkStatus, isActive: boolean): string =>
  `${kindWords[link.kind]} traffic device=${link.interfaceName} status=${status} ` +
  `role=${isActive ? "ACTIVE" : "BACKUP"}:\n${formatLinkCounts(link)}`

/** The last block of `-s`. */
export const formatMessageTracking = (
  tracking: { readonly malformed: Count; readonly lost: Count }
): string =>
  `message tracking:\n${in20(tracking.malformed)} Malformed msgs ${
    in20(tracking.lost)
  } Lost msgs\n\n`

export interface NetworkCounts {
  readonly badVersion: Count
  readonly badHeader: Count
  readonly badPayload: Count
  readonly badType: Count
  readonly truncated: Count
  readonly badSize: Count
  readonly sendMalformed: Count
  /** Sequence numbers that never arrived. */
  readonly lost: Count
  /** Messages older than the last one. */
  readonly before: Count
}

/** All received messages that could not be used. */
export const malformedOf = (counts: NetworkCounts): number =>
  Number(counts.badVersion) + Number(counts.badHeader) + Number(counts.badPayload) +
  Number(counts.badType) + Number(counts.truncated) + Number(counts.badSize)

/** `-s network` without the link's block, which follows it. */
export const formatNetwork = (counts: NetworkCounts): string =>
  "network statistics:\n" +
  "\trecv:\n" +
  `\t\tMalformed messages:\t${in20(malformedOf(counts))}\n` +
  `\t\tWrong protocol version:\t${in20(counts.badVersion)}\n` +
  `\t\tMalformed header:\t${in20(counts.badHeader)}\n` +
  `\t\tMalformed payload:\t${in20(counts.badPayload)}\n` +
  `\t\tBad message type:\t${in20(counts.badType)}\n` +
  `\t\tTruncated message:\t${in20(counts.truncated)}\n` +
  `\t\tBad message size:\t${in20(counts.badSize)}\n` +
  "\tsend:\n" +
  `\t\tMalformed messages:\t${in20(counts.sendMalformed)}\n\n` +
  "sequence tracking statistics:\n" +
  "\trecv:\n" +
  `\t\tPackets lost:\t\t${in20(counts.lost)}\n` +
  `\t\tPackets before:\t\t${in20(counts.before)}\n\n`

export interface QueueCounts {
  readonly name: "txqueue" | "errorq" | "rsqueue"
  readonly length: Count
  readonly lengthMax: Count
  /** Elements refused because the queue was full. */
  readonly full: Count
}

/** The maximum that is shown for a queue without one. */
export const unlimitedQueueLength = 2_147_483_647

/** `-s queue`. */
export const formatQueues = (nodesAllocated: Count, queues: ReadonlyArray<QueueCounts>): string =>
  `allocated queue nodes:\t\t${in12(nodesAllocated)}\n\n` +
  queues.map((queue) =>
    `queue ${queue.name}:\n` +
    `current elements:\t\t${in12(queue.length)}\n` +
    `maximum elements:\t\t${in12(queue.lengthMax)}\n` +
    `not enough space errors:\t${in12(queue.full)}\n\n`
  ).join("")

/** A message that waits for its acknowledgement. */
export interface ResendElement {
  readonly kind: "control" | "flow" | "expectation"
  readonly seq: number
  readonly flags: number
}

/** `-s rsqueue`, oldest first. */
export const formatResendQueue = (elements: ReadonlyArray<ResendElement>): string =>
  `resent queue (len=${elements.length})\n` +
  elements.map(({ flags, kind, seq }) =>
    kind === "control" ? `control -> seq:${seq} flags:${flags}\n` : `object -> seq:${seq}\n`
  ).join("")

/** `-s process`: one line per child process. */
export const formatProcesses = (
  processes: ReadonlyArray<{ readonly pid: number; readonly kind: "any" | "flush" }>
): string => processes.map(({ kind, pid }) => `PID=${pid} type=${kind}\n`).join("")

export interface RuntimeCounts {
  readonly uptimeSeconds: number
  readonly eventsReceived: Count
  readonly eventsFiltered: Count
  readonly eventsUnknownType: Count
  readonly eventsFailed: Count
  readonly dumpUnknownType: Count
  readonly overruns: Count
  readonly kernelFlushes: Count
  readonly kernelResyncs: Count
  /** As the kernel reports it, or 0. */
  readonly bufferBytes: Count
  readonly childFailed: Count
  readonly childSegfault: Count
  readonly childTermsig: Count
  readonly selectFailed: Count
  readonly waitFailed: Count
  /** Clients that closed without a request. */
  readonly localReadFailed: Count
  readonly localUnknownRequest: Count
}

/** `-s runtime`. */
export const formatRuntime = (counts: RuntimeCounts): string =>
  `daemon uptime: ${formatUptime(counts.uptimeSeconds)}\n\n` +
  "netlink stats:\n" +
  `\tevents received:\t${in20(counts.eventsReceived)}\n` +
  `\tevents filtered:\t${in20(counts.eventsFiltered)}\n` +
  `\tevents unknown type:\t\t${in12(counts.eventsUnknownType)}\n` +
  `\tcatch event failed:\t\t${in12(counts.eventsFailed)}\n` +
  `\tdump unknown type:\t\t${in12(counts.dumpUnknownType)}\n` +
  `\tnetlink overrun:\t\t${in12(counts.overruns)}\n` +
  `\tflush kernel table:\t\t${in12(counts.kernelFlushes)}\n` +
  `\tresync with kernel table:\t${in12(counts.kernelResyncs)}\n` +
  `\tcurrent buffer size (in bytes):\t${in12(counts.bufferBytes)}\n\n` +
  "runtime stats:\n" +
  `\tchild process failed:\t\t${in12(counts.childFailed)}\n` +
  `\t\tchild process segfault:\t${in12(counts.childSegfault)}\n` +
  `\t\tchild process termsig:\t${in12(counts.childTermsig)}\n` +
  `\tselect failed:\t\t\t${in12(counts.selectFailed)}\n` +
  `\twait failed:\t\t\t${in12(counts.waitFailed)}\n` +
  `\tlocal read failed:\t\t${in12(counts.localReadFailed)}\n` +
  `\tlocal unknown request:\t\t${in12(counts.localUnknownRequest)}\n\n`

const secondsPerDay = 86_400
const secondsPerHour = 3_600

/** Days, hours and minutes; the larger units only when they are not zero. */
export const formatUptime = (seconds: number): string => {
  const days = Math.floor(seconds / secondsPerDay)
  const hours = Math.floor((seconds % secondsPerDay) / secondsPerHour)
  const minutes = Math.floor((seconds % secondsPerHour) / 60)
  return (days > 0 ? `${days} day${days > 1 ? "s" : ""} ` : "") +
    (hours > 0 ? `${hours} h ` : "") +
    `${minutes} min`
}
