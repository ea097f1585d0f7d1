/**
 * The values in force when the file is silent, the half-read file (`Draft`), and how the second
 * becomes `Settings` with the help of the first.
 *
 * For most numbers 0 means "use the default", which is why a draft starts with zeros.
 *
 * Source: specification, chapter "conntrackd.conf", section 6.
 */
import { formatAddress } from "./Address.ts"
import type {
  FilterPolicy,
  FilterSettings,
  GeneralSettings,
  HelperTypeSettings,
  LinkSettings,
  NetworkSettings,
  Settings,
  SyncMode,
  SyncSettings,
  SyslogFacility
} from "./Settings.ts"

export const defaultHashSizeBuckets = 65_536
export const defaultHashLimitEntries = 262_144
export const defaultLockFile = "/var/lock/conntrackd.lock"
export const defaultLogFile = "/var/log/conntrackd.log"
export const defaultStatsLogFile = "/var/log/conntrackd-stats.log"
export const defaultRefreshSeconds = 60
export const defaultCacheTimeoutSeconds = 180
export const defaultPurgeTimeoutSeconds = 60
export const defaultResendQueueObjects = 131_072
export const defaultAckWindowMessages = 300
export const defaultEventIterationLimit = 100
export const defaultNetlinkOverrunResyncSeconds = 30
export const defaultErrorQueueBatches = 128

/** A file that is being read. Numbers are 0 and texts undefined until the file gives them. */
export interface Draft {
  sections: { sync: boolean; stats: boolean; helper: boolean }
  hashSize: number
  hashLimit: number
  logFile: string | undefined
  syslog: SyslogFacility | undefined
  lockFile: string | undefined
  socketPath: string | undefined
  netlinkBuffer: number
  netlinkBufferMax: number
  /** 0: the default; undefined: off. */
  overrunResync: number | undefined
  eventsReliable: boolean
  eventIterationLimit: number
  poll: number
  schedulerPolicy: "rr" | "fifo" | undefined
  schedulerPriority: number
  systemd: boolean
  filter: FilterDraft
  modes: Set<SyncMode>
  refresh: number
  cacheTimeout: number
  commitTimeout: number
  purgeTimeout: number
  resendQueue: number
  ackWindow: number
  startupResync: boolean
  disableInternalCache: boolean
  disableExternalCache: boolean
  tcpWindowTracking: boolean
  expectationSync: boolean
  expectationHelpers: Array<string>
  errorQueue: number
  links: Array<LinkDraft>
  /** A `Stats` block stands inside `General`. */
  statsInGeneral: boolean
  statsLogFile: string | undefined
  statsSyslog: SyslogFacility | undefined
  helperSetup: boolean
  helperTypes: Array<HelperTypeSettings>
}

export interface FilterDraft {
  where: "userspace" | "kernelspace"
  protocolPolicy: FilterPolicy | undefined
  protocols: Array<number>
  addressPolicy: FilterPolicy | undefined
  hosts: Array<Uint8Array>
  networks: Array<NetworkSettings>
  statePolicy: FilterPolicy | undefined
  tcpStates: Set<number>
}

export interface LinkDraft {
  readonly kind: "udp" | "tcp" | "multicast"
  readonly isDefault: boolean
  interfaceName: string | undefined
  family: 4 | 6 | undefined
  port: number
  sendBuffer: number
  receiveBuffer: number
  checksum: boolean
  /** Listening address, or own address of the multicast interface. */
  own: Uint8Array | undefined
  /** Destination address, or multicast group. */
  remote: Uint8Array | undefined
}

export const emptyDraft = (): Draft => ({
  sections: { sync: false, stats: false, helper: false },
  hashSize: 0,
  hashLimit: 0,
  logFile: undefined,
  syslog: undefined,
  lockFile: undefined,
  socketPath: undefined,
  netlinkBuffer: 0,
  netlinkBufferMax: 0,
  overrunResync: 0,
  eventsReliable: false,
  eventIterationLimit: 0,
  poll: 0,
  schedulerPolicy: undefined,
  schedulerPriority: 0,
  systemd: true,
  filter: {
    where: "userspace",
    protocolPolicy: undefined,
    protocols: [],
    addressPolicy: undefined,
    hosts: [],
    networks: [],
    statePolicy: undefined,
    tcpStates: new Set()
  },
  modes: new Set(),
  refresh: 0,
  cacheTimeout: 0,
  commitTimeout: 0,
  purgeTimeout: 0,
  resendQueue: 0,
  ackWindow: 0,
  startupResync: false,
  disableInternalCache: false,
  disableExternalCache: false,
  tcpWindowTracking: false,
  expectationSync: false,
  expectationHelpers: [],
  errorQueue: 0,
  links: [],
  statsInGeneral: false,
  statsLogFile: undefined,
  statsSyslog: undefined,
  helperSetup: false,
  helperTypes: []
})

export const emptyLink = (kind: LinkDraft["kind"], isDefault: boolean): LinkDraft => ({
  kind,
  isDefault,
  interfaceName: undefined,
  family: undefined,
  port: 0,
  sendBuffer: 0,
  receiveBuffer: 0,
  checksum: true,
  own: undefined,
  remote: undefined
})

/** Fills in the defaults. */
export const resolve = (draft: Draft): Settings => ({
  sections: { ...draft.sections },
  general: resolveGeneral(draft),
  sync: resolveSync(draft),
  stats: { logFile: draft.statsLogFile, syslogFacility: draft.statsSyslog },
  // Upstream configures the helpers in the reverse order of the file.
  helper: { setup: draft.helperSetup, types: draft.helperTypes.toReversed() }
})

const resolveGeneral = (draft: Draft): GeneralSettings => ({
  hashSizeBuckets: draft.hashSize || defaultHashSizeBuckets,
  hashLimitEntries: draft.hashLimit || defaultHashLimitEntries,
  logFile: draft.logFile,
  syslogFacility: draft.syslog,
  lockFile: draft.lockFile ?? defaultLockFile,
  socketPath: draft.socketPath,
  netlinkBufferBytes: draft.netlinkBuffer,
  netlinkBufferMaxBytes: draft.netlinkBufferMax,
  netlinkOverrunResyncSeconds: draft.overrunResync === undefined
    ? undefined
    : draft.overrunResync || defaultNetlinkOverrunResyncSeconds,
  netlinkEventsReliable: draft.eventsReliable,
  eventIterationLimit: draft.eventIterationLimit || defaultEventIterationLimit,
  pollSeconds: draft.poll || undefined,
  scheduler: { policy: draft.schedulerPolicy, priority: draft.schedulerPriority },
  systemd: draft.systemd,
  filter: resolveFilter(draft.filter)
})

/** A `Filter` block with nothing inside is no filter. */
const resolveFilter = (draft: FilterDraft): FilterSettings | undefined => {
  const { addressPolicy, protocolPolicy, statePolicy } = draft
  if ((addressPolicy ?? protocolPolicy ?? statePolicy) === undefined) return undefined
  const tcpStates = Array.from(draft.tcpStates).sort((a, b) => a - b)
  return { ...draft, tcpStates }
}

const modesByStrength: ReadonlyArray<SyncMode> = ["ftfw", "alarm", "notrack"]

const resolveSync = (draft: Draft): SyncSettings => {
  const modesGiven = modesByStrength.filter((mode) => draft.modes.has(mode))
  return {
    mode: modesGiven[0] ?? "ftfw",
    modesGiven,
    refreshSeconds: draft.refresh || defaultRefreshSeconds,
    cacheTimeoutSeconds: draft.cacheTimeout || defaultCacheTimeoutSeconds,
    commitTimeoutSeconds: draft.commitTimeout || undefined,
    purgeTimeoutSeconds: draft.purgeTimeout || defaultPurgeTimeoutSeconds,
    resendQueueObjects: draft.resendQueue || defaultResendQueueObjects,
    ackWindowMessages: draft.ackWindow || defaultAckWindowMessages,
    startupResync: draft.startupResync,
    disableInternalCache: draft.disableInternalCache,
    disableExternalCache: draft.disableExternalCache,
    tcpWindowTracking: draft.tcpWindowTracking,
    expectationSync: { enabled: draft.expectationSync, helpers: draft.expectationHelpers },
    errorQueueBatches: draft.errorQueue || defaultErrorQueueBatches,
    links: draft.links.map(resolveLink)
  }
}

const resolveLink = (draft: LinkDraft): LinkSettings => {
  const { checksum, family, interfaceName, isDefault, kind, port } = draft
  const common = {
    isDefault,
    interfaceName,
    family,
    port,
    sendBufferBytes: draft.sendBuffer,
    receiveBufferBytes: draft.receiveBuffer,
    checksum
  }
  const own = draft.own && formatAddress(draft.own)
  const remote = draft.remote && formatAddress(draft.remote)
  return kind === "multicast"
    ? { kind, ...common, groupAddress: remote, interfaceAddress: own }
    : { kind, ...common, listenAddress: own, destinationAddress: remote }
}
