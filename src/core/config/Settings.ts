/**
 * What a `conntrackd.conf` says, typed and complete: defaults are filled in, addresses and protocol
 * names are resolved. It holds every option of the language, also those that this version only
 * reads (`InEffect.ts` knows which).
 *
 * Source: specification, chapter "conntrackd.conf", sections 5 and 6.
 */

export interface Settings {
  /** Which sections the file has. Without any, the daemon only answers requests. */
  readonly sections: SectionsGiven
  readonly general: GeneralSettings
  readonly sync: SyncSettings
  readonly stats: StatsSettings
  readonly helper: HelperSettings
}

export interface SectionsGiven {
  readonly sync: boolean
  readonly stats: boolean
  readonly helper: boolean
}

export interface GeneralSettings {
  /** Buckets of each cache table; it also steers the batch size of the commit. */
  readonly hashSizeBuckets: number
  /** Largest number of entries of each cache table. */
  readonly hashLimitEntries: number
  /** Undefined: no log file. */
  readonly logFile: string | undefined
  /** Undefined: no system log. */
  readonly syslogFacility: SyslogFacility | undefined
  readonly lockFile: string
  /** The control socket (`UNIX { Path }`). Undefined: no client can reach the daemon. */
  readonly socketPath: string | undefined
  /** Receive buffer of the event socket; 0: the system's default. */
  readonly netlinkBufferBytes: number
  /** Ceiling of the automatic growth. When smaller than `netlinkBufferBytes`, neither is used. */
  readonly netlinkBufferMaxBytes: number
  /** Delay of the kernel resync after an overrun; undefined: no kernel resync. */
  readonly netlinkOverrunResyncSeconds: number | undefined
  readonly netlinkEventsReliable: boolean
  /** Kernel events handled per wake-up before other work gets a turn. */
  readonly eventIterationLimit: number
  /** Interval of polling mode; undefined: the daemon listens to events. */
  readonly pollSeconds: number | undefined
  readonly scheduler: SchedulerSettings
  readonly systemd: boolean
  readonly filter: FilterSettings | undefined
}

export type SyslogFacility =
  | "daemon"
  | "local0"
  | "local1"
  | "local2"
  | "local3"
  | "local4"
  | "local5"
  | "local6"
  | "local7"

export interface SchedulerSettings {
  /** Undefined: round-robin at the system's maximum, whatever `priority` says. */
  readonly policy: "rr" | "fifo" | undefined
  /** 0 to 99. */
  readonly priority: number
}

export type FilterPolicy = "accept" | "ignore"

/** Which flows the daemon cares about. A list whose policy is undefined was not given. */
export interface FilterSettings {
  readonly where: "userspace" | "kernelspace"
  readonly protocolPolicy: FilterPolicy | undefined
  /** IP protocol numbers, without repetition. */
  readonly protocols: ReadonlyArray<number>
  readonly addressPolicy: FilterPolicy | undefined
  /** Single addresses, 4 or 16 bytes in network order, without repetition. */
  readonly hosts: ReadonlyArray<Uint8Array>
  readonly networks: ReadonlyArray<NetworkSettings>
  readonly statePolicy: FilterPolicy | undefined
  /** The kernel's numbers of TCP states (1 SYN_SENT … 9 LISTEN), ascending. */
  readonly tcpStates: ReadonlyArray<number>
}

export interface NetworkSettings {
  /** 4 or 16 bytes in network order. Host bits are kept: mask both sides when comparing. */
  readonly address: Uint8Array
  readonly prefixLength: number
}

export type SyncMode = "ftfw" | "alarm" | "notrack"

export interface SyncSettings {
  /** The mode that rules: FTFW beats ALARM beats NOTRACK; FTFW when the file names none. */
  readonly mode: SyncMode
  /** All modes the file names, in the order of their strength. */
  readonly modesGiven: ReadonlyArray<SyncMode>
  readonly refreshSeconds: number
  readonly cacheTimeoutSeconds: number
  /** Undefined: the timeout the peer announced, aged. */
  readonly commitTimeoutSeconds: number | undefined
  readonly purgeTimeoutSeconds: number
  readonly resendQueueObjects: number
  readonly ackWindowMessages: number
  readonly startupResync: boolean
  readonly disableInternalCache: boolean
  readonly disableExternalCache: boolean
  readonly tcpWindowTracking: boolean
  readonly expectationSync: ExpectationSyncSettings
  /** Batches a TCP link keeps while the peer is away. */
  readonly errorQueueBatches: number
  /** In the order of the file, all of one kind, at most four. */
  readonly links: ReadonlyArray<LinkSettings>
}

export interface ExpectationSyncSettings {
  readonly enabled: boolean
  /** Only expectations whose helper name starts with one of these, ignoring case; none: all. */
  readonly helpers: ReadonlyArray<string>
}

export type LinkSettings = UnicastLinkSettings | MulticastLinkSettings

export interface LinkCommon {
  /** Marked `Default`. See `activeLink` for the link that is used first. */
  readonly isDefault: boolean
  /** Undefined when the block has no `Interface`: such a link cannot be opened. */
  readonly interfaceName: string | undefined
  /** Undefined when no address was valid: such a link cannot be opened. */
  readonly family: 4 | 6 | undefined
  /** UDP or TCP port (`Port`, for multicast `Group`); 0: the system chooses. */
  readonly port: number
  /** 0: the system's default. */
  readonly sendBufferBytes: number
  /** 0: the system's default. */
  readonly receiveBufferBytes: number
  /** Whether datagrams carry a UDP checksum. */
  readonly checksum: boolean
}

export interface UnicastLinkSettings extends LinkCommon {
  readonly kind: "udp" | "tcp"
  /** Own address in its usual spelling; undefined: any. */
  readonly listenAddress: string | undefined
  /** The peer's address in its usual spelling. */
  readonly destinationAddress: string | undefined
}

export interface MulticastLinkSettings extends LinkCommon {
  readonly kind: "multicast"
  readonly groupAddress: string | undefined
  /** Own IPv4 address of the interface; undefined: chosen by routing. */
  readonly interfaceAddress: string | undefined
}

export interface StatsSettings {
  readonly logFile: string | undefined
  readonly syslogFacility: SyslogFacility | undefined
}

export interface HelperSettings {
  /** Announce the private-data length too when a helper is registered in the kernel. */
  readonly setup: boolean
  /** In the order in which they are configured: the reverse of the file. */
  readonly types: ReadonlyArray<HelperTypeSettings>
}

export interface HelperTypeSettings {
  readonly name: string
  readonly l3Protocol: "inet" | "inet6"
  readonly l4Protocol: "tcp" | "udp"
  /** Number of the NFQUEUE. */
  readonly queueNumber: number
  /** Packets; 0: the kernel's default. */
  readonly queueLength: number
  readonly policies: ReadonlyArray<ExpectPolicy>
}

export interface ExpectPolicy {
  readonly name: string
  readonly expectMax: number
  readonly expectTimeoutSeconds: number
}

/** The link that is active first: the last one marked `Default`, else the first one. */
export const activeLink = (sync: SyncSettings): LinkSettings | undefined =>
  sync.links.findLast((link) => link.isDefault) ?? sync.links[0]
