/**
 * Writes settings as a `conntrackd.conf` that reads back as the same settings. For tools that show
 * what is in force or that generate files.
 *
 * Every value is written, also the defaults; what is not set has no line. Names that the settings
 * can only have got from a file are written as they are, since the language has no quoting.
 */
import { formatAddress } from "./Address.ts"
import { protocolName } from "./ProtocolNames.ts"
import type {
  FilterPolicy,
  FilterSettings,
  GeneralSettings,
  HelperSettings,
  HelperTypeSettings,
  LinkSettings,
  Settings,
  StatsSettings,
  SyncMode,
  SyncSettings
} from "./Settings.ts"

type Lines = ReadonlyArray<string>

/** The whole file, ended by a line feed. */
export const print = (settings: Settings): string => {
  const { general, helper, sections, stats, sync } = settings
  const lines = [
    ...block("General", generalLines(general)),
    ...(sections.sync ? block("Sync", syncLines(sync)) : []),
    ...(sections.stats ? block("Stats", statsLines(stats)) : []),
    ...(sections.helper ? block("Helper", helperLines(helper)) : [])
  ]
  return `${lines.join("\n")}\n`
}

const block = (header: string, body: Lines): Lines => [
  `${header} {`,
  ...body.map((line) => `\t${line}`),
  "}"
]

const onOff = (value: boolean): string => value ? "on" : "off"

/** A line for a value that is set, none for one that is not. */
const given = (name: string, value: string | number | undefined): Lines =>
  value === undefined ? [] : [`${name} ${value}`]

const generalLines = (general: GeneralSettings): Lines => [
  `HashSize ${general.hashSizeBuckets}`,
  `HashLimit ${general.hashLimitEntries}`,
  ...given("LogFile", general.logFile),
  ...given("Syslog", general.syslogFacility),
  `LockFile ${general.lockFile}`,
  ...block("UNIX", given("Path", general.socketPath)),
  `NetlinkBufferSize ${general.netlinkBufferBytes}`,
  `NetlinkBufferSizeMaxGrowth ${general.netlinkBufferMaxBytes}`,
  `NetlinkOverrunResync ${general.netlinkOverrunResyncSeconds ?? "off"}`,
  `NetlinkEventsReliable ${onOff(general.netlinkEventsReliable)}`,
  `EventIterationLimit ${general.eventIterationLimit}`,
  ...given("PollSecs", general.pollSeconds),
  ...block("Scheduler", [
    ...given("Type", general.scheduler.policy?.toUpperCase()),
    `Priority ${general.scheduler.priority}`
  ]),
  `Systemd ${onOff(general.systemd)}`,
  ...(general.filter === undefined ? [] : filterLines(general.filter))
]

/** Upstream's names of the kernel's TCP states 1 to 9. */
const stateNames: Lines = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSED",
  "LISTEN"
]

const filterLines = (filter: FilterSettings): Lines => {
  const list = (header: string, policy: FilterPolicy | undefined, body: Lines): Lines =>
    policy === undefined
      ? []
      : block(`${header} ${policy === "accept" ? "Accept" : "Ignore"}`, body)
  const from = filter.where === "kernelspace" ? "Kernelspace" : "Userspace"
  const states = filter.tcpStates.map((state) => `${stateNames[state]!} `).join("")
  return block(`Filter From ${from}`, [
    ...list("Protocol", filter.protocolPolicy, filter.protocols.flatMap(protocolLine)),
    ...list("Address", filter.addressPolicy, [
      ...filter.hosts.map((host) => addressLine(host, "")),
      ...filter.networks.map((network) => addressLine(network.address, `/${network.prefixLength}`))
    ]),
    ...list("State", filter.statePolicy, [`${states}for TCP`])
  ])
}

/** The language takes names only: a number without one has no line. */
const protocolLine = (number: number): Lines => {
  const name = protocolName(number)
  return name === undefined ? [] : [name]
}

const addressLine = (address: Uint8Array, suffix: string): string =>
  `${address.length === 4 ? "IPv4" : "IPv6"}_address ${formatAddress(address)}${suffix}`

const syncLines = (sync: SyncSettings): Lines => [
  `RefreshTime ${sync.refreshSeconds}`,
  `CacheTimeout ${sync.cacheTimeoutSeconds}`,
  ...given("CommitTimeout", sync.commitTimeoutSeconds),
  `PurgeTimeout ${sync.purgeTimeoutSeconds}`,
  ...modeLines(sync),
  ...sync.links.flatMap((link) => linkLines(link, sync.errorQueueBatches)),
  ...block("Options", [
    `TCPWindowTracking ${onOff(sync.tcpWindowTracking)}`,
    ...expectationLines(sync)
  ])
]

/** `StartupResync` and the like are one value each, written in every mode that takes it. */
const modeLines = (sync: SyncSettings): Lines => {
  const external = `DisableExternalCache ${onOff(sync.disableExternalCache)}`
  const resync = `StartupResync ${onOff(sync.startupResync)}`
  const bodies: Readonly<Record<SyncMode, Lines>> = {
    ftfw: [
      `ResendQueueSize ${sync.resendQueueObjects}`,
      `ACKWindowSize ${sync.ackWindowMessages}`,
      external,
      resync
    ],
    alarm: [external],
    notrack: [`DisableInternalCache ${onOff(sync.disableInternalCache)}`, external, resync]
  }
  return sync.modesGiven.flatMap((mode) => block(`Mode ${mode.toUpperCase()}`, bodies[mode]))
}

const linkLines = (link: LinkSettings, errorQueueBatches: number): Lines => {
  const mark = link.isDefault ? " Default" : ""
  const common = [
    ...given("Interface", link.interfaceName),
    `SndSocketBuffer ${link.sendBufferBytes}`,
    `RcvSocketBuffer ${link.receiveBufferBytes}`,
    `Checksum ${onOff(link.checksum)}`
  ]
  const version = `IPv${link.family ?? 4}`
  if (link.kind === "multicast") {
    return block(`Multicast${mark}`, [
      ...given(`${version}_address`, link.groupAddress),
      ...given(`${version}_interface`, link.interfaceAddress),
      `Group ${link.port}`,
      ...common
    ])
  }
  return block(`${link.kind.toUpperCase()}${mark}`, [
    ...given(`${version}_address`, link.listenAddress),
    ...given(`${version}_Destination_Address`, link.destinationAddress),
    `Port ${link.port}`,
    ...common,
    ...(link.kind === "tcp" ? [`ErrorQueueLength ${errorQueueBatches}`] : [])
  ])
}

const expectationLines = ({ expectationSync }: SyncSettings): Lines => [
  ...(expectationSync.helpers.length === 0
    ? []
    : block("ExpectationSync", expectationSync.helpers)),
  ...(expectationSync.enabled && expectationSync.helpers.length > 0
    ? []
    : [`ExpectationSync ${onOff(expectationSync.enabled)}`])
]

const statsLines = (stats: StatsSettings): Lines => [
  ...given("LogFile", stats.logFile),
  ...given("Syslog", stats.syslogFacility)
]

/** The reader turns the order of the types round, so it is turned back here. */
const helperLines = (helper: HelperSettings): Lines => [
  `Setup ${onOff(helper.setup)}`,
  ...helper.types.toReversed().flatMap(typeLines)
]

const typeLines = (type: HelperTypeSettings): Lines =>
  block(`Type ${type.name} ${type.l3Protocol} ${type.l4Protocol}`, [
    `QueueNum ${type.queueNumber}`,
    `QueueLen ${type.queueLength}`,
    ...type.policies.flatMap((policy) =>
      block(`Policy ${policy.name}`, [
        `ExpectMax ${policy.expectMax}`,
        `ExpectTimeout ${policy.expectTimeoutSeconds}`
      ])
    )
  ])
