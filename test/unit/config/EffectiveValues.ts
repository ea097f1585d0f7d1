/** Settings in the words of `test/golden/config/index.json`, so that both can be compared whole. */
import { formatAddress } from "../../../src/core/config/Address.ts"
import type {
  FilterSettings,
  HelperTypeSettings,
  LinkSettings,
  NetworkSettings,
  Settings
} from "../../../src/core/config/Settings.ts"

export const effectiveValues = (settings: Settings): Readonly<Record<string, unknown>> => {
  const { general, helper, sections, stats, sync } = settings
  const { expectationSync } = sync
  return sorted({
    sections: (["sync", "stats", "helper"] as const).filter((name) => sections[name]),
    Mode: sync.modesGiven,
    HashSize: general.hashSizeBuckets,
    // The debug build prints this number with its sign.
    HashLimit: general.hashLimitEntries | 0,
    LogFile: general.logFile ?? null,
    LockFile: general.lockFile,
    Syslog: general.syslogFacility ?? null,
    "UNIX.Path": general.socketPath ?? null,
    NetlinkBufferSize: general.netlinkBufferBytes,
    NetlinkBufferSizeMaxGrowth: general.netlinkBufferMaxBytes,
    NetlinkOverrunResync: general.netlinkOverrunResyncSeconds ?? "off",
    NetlinkEventsReliable: general.netlinkEventsReliable,
    EventIterationLimit: general.eventIterationLimit,
    PollSecs: general.pollSeconds ?? null,
    Systemd: general.systemd,
    Scheduler: { Type: general.scheduler.policy ?? null, Priority: general.scheduler.priority },
    RefreshTime: sync.refreshSeconds,
    CacheTimeout: sync.cacheTimeoutSeconds,
    CommitTimeout: sync.commitTimeoutSeconds ?? null,
    PurgeTimeout: sync.purgeTimeoutSeconds,
    ResendQueueSize: sync.resendQueueObjects,
    ACKWindowSize: sync.ackWindowMessages,
    StartupResync: sync.startupResync,
    DisableInternalCache: sync.disableInternalCache,
    DisableExternalCache: sync.disableExternalCache,
    TCPWindowTracking: sync.tcpWindowTracking,
    ExpectationSync: expectationSync.enabled,
    event_groups: expectationSync.enabled ? "conntrack+expectations" : "conntrack",
    "ExpectationSync.helpers": expectationSync.helpers.length === 0
      ? null
      : expectationSync.helpers,
    ErrorQueueLength: sync.errorQueueBatches,
    filtering: general.filter?.where ?? "userspace",
    Filter: general.filter === undefined ? null : filterValues(general.filter),
    "Stats.LogFile": stats.logFile ?? null,
    "Stats.Syslog": stats.syslogFacility ?? null,
    links: sync.links.map(linkValues),
    ...(sections.helper
      ? { "Helper.Setup": helper.setup, "Helper.Types": helper.types.map(typeValues) }
      : {})
  })
}

/** Lists whose order the recording does not keep. */
export const sorted = (
  values: Readonly<Record<string, unknown>>
): Readonly<Record<string, unknown>> => {
  const filter = values["Filter"] as Record<string, unknown> | null
  const helpers = values["ExpectationSync.helpers"] as ReadonlyArray<string> | null
  return {
    ...values,
    "ExpectationSync.helpers": helpers?.toSorted() ?? null,
    Filter: filter && Object.fromEntries(
      Object.entries(filter).map(([key, value]) => [
        key,
        Array.isArray(value) ? value.map(String).toSorted() : value
      ])
    )
  }
}

const filterValues = (filter: FilterSettings): Readonly<Record<string, unknown>> => {
  const ofLength = (bytes: number) => (address: Uint8Array) => address.length === bytes
  const networks = (bytes: number): ReadonlyArray<string> =>
    filter.networks.filter(({ address }) => address.length === bytes).map(networkText)
  return {
    logic: {
      protocol: filter.protocolPolicy ?? null,
      state: filter.statePolicy ?? null,
      address: filter.addressPolicy ?? null
    },
    protocols: filter.protocols,
    tcp_states: filter.tcpStates,
    networks4: networks(4),
    networks6: networks(16),
    hosts4: filter.hosts.filter(ofLength(4)).map(formatAddress),
    hosts6: filter.hosts.filter(ofLength(16)).map(formatAddress)
  }
}

const networkText = ({ address, prefixLength }: NetworkSettings): string => {
  const mask = address.map((_, i) => {
    const bits = Math.min(8, Math.max(0, prefixLength - 8 * i))
    return 256 - 2 ** (8 - bits)
  })
  return `${formatAddress(address)}/${formatAddress(mask)}`
}

const linkValues = (link: LinkSettings): Readonly<Record<string, unknown>> => {
  const isIpv6 = link.family === 6
  const unset = isIpv6 ? "::" : "0.0.0.0"
  const common = {
    type: link.kind,
    interface: link.interfaceName ?? "",
    default: link.isDefault,
    family: link.family === undefined ? "unset" : isIpv6 ? "inet6" : "inet",
    port: link.port,
    checksum: link.checksum,
    SndSocketBuffer: link.sendBufferBytes,
    RcvSocketBuffer: link.receiveBufferBytes
  }
  if (link.kind !== "multicast") {
    return {
      ...common,
      listen: link.listenAddress ?? unset,
      destination: link.destinationAddress ?? unset,
      ...(isIpv6 ? { scope_id_set: link.interfaceName !== undefined } : {})
    }
  }
  return {
    ...common,
    group: link.groupAddress ?? unset,
    ...(isIpv6
      ? { interface_index_set: link.interfaceName !== undefined }
      : { interface_address: link.interfaceAddress ?? unset })
  }
}

const typeValues = (type: HelperTypeSettings): Readonly<Record<string, unknown>> => ({
  name: type.name,
  l3proto: type.l3Protocol,
  l4proto: type.l4Protocol,
  queue_num: type.queueNumber,
  queue_len: type.queueLength,
  policies: type.policies.map((policy) => ({
    name: policy.name,
    expect_max: policy.expectMax,
    expect_timeout: policy.expectTimeoutSeconds
  }))
})
