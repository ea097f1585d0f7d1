/**
 * What the daemon writes to its log, word for word, and how serious it is. People search for these
 * sentences, so they are interface.
 *
 * Source: specification, "Command line, life cycle …", sections 3 and 10.4.
 */
import type { LogLevel } from "./LogLine.ts"

export interface LogText {
  readonly level: LogLevel
  readonly text: string
}

const notice = (text: string): LogText => ({ level: "notice", text })
const warning = (text: string): LogText => ({ level: "warning", text })
const error = (text: string): LogText => ({ level: "error", text })

// Life cycle.
export const noSyncMode = warning(
  "No synchronization mode specified. Defaulting to FT-FW mode."
)
export const disablingInternalCache = notice("disabling internal cache")
export const disablingExternalCache = notice("disabling external cache")
export const pollingMode = notice("running in polling mode")
export const reliableEvents = notice("reliable ctnetlink event delivery is ENABLED.")
export const userspaceFiltering = notice("using user-space event filtering")
export const kernelFiltering = notice("using kernel-space event filtering")
export const bufferSizeDefault = notice(
  "NetlinkBufferSize is either not set or is greater than NetlinkBufferSizeMaxGrowth. " +
    "Using current system buffer size"
)
export const bufferSizeSet = (bytes: number): LogText =>
  notice(`netlink event socket buffer size has been set to ${bytes} bytes`)
export const initializationCompleted = notice("initialization completed")
export const startingDaemon = notice("-- starting in daemon mode --")
export const startingConsole = notice("-- starting in console mode --")
export const shutdownReceived = notice("---- shutdown received ----")
export const lockFileExists = (path: string): LogText =>
  error(`lockfile \`${path}' exists, perhaps conntrackd already running?`)
export const cannotOpenUnixSocket = error("can't open unix socket!")
export const initializationFailed = error("initialization failed")
export const cannotStart = error("conntrackd cannot start, please review your configuration")
export const schedulerFailed = (reason: string): LogText =>
  warning(
    `scheduler configuration failed: ${reason}. Likely a bug in conntrackd, please report it. ` +
      "Continuing with system default scheduler."
  )
export const cannotChangeDirectory = (reason: string): LogText =>
  warning(`Cannot change current directory to /: ${reason}`)
export const watchdogFailed = (reason: string): LogText =>
  warning(`failed to get watchdog details from systemd: ${reason}`)

// Between the nodes.
export const resyncRequested = notice("resync requested")
export const resyncRequestedByPeer = notice("resync requested by other node")
export const sendingBulkUpdate = notice("sending bulk update")
export const linkChanged = (interfaceName: string): LogText =>
  notice(`device \`${interfaceName}' becomes dedicated link`)
export const noLinkUp = error("no dedicated links available!")

/** A received entry without addresses. */
export const entryWithoutAddresses = error("unknown layer 3 proto in hash")

// Commit.
export const committingAll = notice("committing all external caches")
export const committingFlows = notice("committing conntrack cache")
export const committingExpectations = notice("committing expectation cache")
export const commitAlreadyRunning = notice("commit already in progress, skipping")
export type CommitPhase = "entries" | "expectations"
export const committed = (count: number, what: CommitPhase): LogText =>
  notice(`Committed ${count} new ${what}`)
export const notCommitted = (count: number, what: CommitPhase): LogText =>
  notice(`${count} ${what} can't be committed`)
/** `micros`: duration in whole microseconds. */
export const commitDuration = (micros: number): LogText =>
  notice(
    `commit has taken ${Math.floor(micros / 1_000_000)}.` +
      `${String(micros % 1_000_000).padStart(6, "0")} seconds`
  )
export const commitCreateFailed = (reason: string): LogText => error(`commit-create: ${reason}`)
export const commitDestroyFailed = (reason: string): LogText => error(`commit-destroy: ${reason}`)

// Flush, purge, resync with the kernel.
export const flushingCaches = notice("flushing caches")
export const flushingInternal = notice("flushing internal cache")
export const flushingExternal = notice("flushing external cache")
export const flushRefused = error("ignoring flush command, commit still in progress")
export const flushingKernelFlows = notice("flushing kernel conntrack table")
export const flushingKernelExpectations = notice("flushing kernel expect table")
export const flushingKernelScheduled = notice("flushing kernel conntrack table (scheduled)")
export const purgeScheduled = (seconds: number): LogText =>
  notice(`flushing conntrack table in ${seconds} secs`)
export const resyncKernelFlows = notice("resync with master conntrack table")
export const resyncKernelExpectations = notice("resync with master expect table")
export const resyncUnsupported = notice("resync is unsupported in this mode")

// Kernel and its event socket.
export const bufferSizeDoubled = (bytes: number): LogText =>
  notice(`netlink event socket buffer size has been doubled to ${bytes} bytes`)
export const bufferSizeExhausted = warning(
  "netlink event socket buffer size cannot be doubled further since it will exceed " +
    "NetlinkBufferSizeMaxGrowth. We are likely to be losing events, this may lead to " +
    "unsynchronized replicas. Please, consider increasing netlink socket buffer size via " +
    "NetlinkBufferSize and NetlinkBufferSizeMaxGrowth clauses in conntrackd.conf"
)
export const cannotOpenNetlink = (reason: string): LogText =>
  error(`can't open netlink handler: ${reason}`)
export const noCtnetlink = error("no ctnetlink kernel support?")
export const cannotDumpFlows = error("can't get kernel conntrack table")
export const cannotDumpExpectations = error("can't get kernel expect table")
export const cannotWatchInterfaces = error("can't open interface watcher")
export const cannotOpenChannel = (reason: string): LogText =>
  error(`can't open channel socket: ${reason}`)

// External entries put into the kernel at once (`DisableExternalCache`).
export const injectAddFailed = (reason: string): LogText =>
  warning(`could not add new ct entry: ${reason}`)
export const injectReplaceFailed = (reason: string): LogText =>
  warning(`could not add new ct entry, even when deleting it first: ${reason}`)
export const injectUpdateFailed = (reason: string): LogText =>
  warning(`could not update ct entry: ${reason}`)
export const injectUpdateCreateFailed = (reason: string): LogText =>
  warning(`could not update ct entry, even if creating it instead: ${reason}`)
export const injectUpdateReplaceFailed = (reason: string): LogText =>
  warning(`could not update ct entry, even when deleting it first: ${reason}`)
export const injectDestroyFailed = (reason: string): LogText =>
  warning(`could not destroy ct entry: ${reason}`)

// The client.
export const cannotConnect = error("can't connect: is conntrackd running? appropriate permissions?")
