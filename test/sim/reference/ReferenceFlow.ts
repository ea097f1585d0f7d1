/**
 * A flow as the reference peer's internal cache holds it, what of it goes out on the wire, and how
 * the client prints flows.
 *
 * Source: specification, "The replication protocol", section 8; "conntrackd", section 9.8.
 */
import type { Addresses, Ports, ReferenceFlow } from "./ReferenceWire.ts"

/** One direction of a flow. */
export interface SeenTuple {
  readonly addresses?: Addresses
  readonly protocol?: number
  readonly ports?: Ports
  readonly icmpId?: number
  readonly icmpType?: number
  readonly icmpCode?: number
}

/** What kernel events and dumps have told of a flow so far. A field is there once it was told. */
export interface SeenFlow extends
  Pick<
    ReferenceFlow,
    | "tcpState"
    | "tcpScaleOriginal"
    | "tcpScaleReply"
    | "sctpState"
    | "sctpTagOriginal"
    | "sctpTagReply"
    | "dccpState"
    | "dccpRole"
    | "status"
    | "timeout"
    | "mark"
    | "helper"
    | "labels"
    | "synproxy"
    | "zone"
  >
{
  readonly original: SeenTuple
  readonly reply: SeenTuple
  readonly master?: SeenTuple
  readonly seqAdjOriginal?: ReadonlyArray<number>
  readonly seqAdjReply?: ReadonlyArray<number>
}

export const hasPortsOnWire = (protocol: number): boolean => [6, 17, 132, 33].includes(protocol)
const isIcmp = (protocol: number | undefined): boolean => protocol === 1 || protocol === 58

const srcNatDone = 0x80
const dstNatDone = 0x100

/** The 16 bits that stand where a port would: identifier, or type and code. */
const l4Source = (tuple: SeenTuple) => isIcmp(tuple.protocol) ? tuple.icmpId : tuple.ports?.source
const l4Destination = (tuple: SeenTuple) =>
  isIcmp(tuple.protocol) && tuple.icmpType !== undefined
    ? tuple.icmpType * 256 + (tuple.icmpCode ?? 0)
    : tuple.ports?.destination

export interface WireOptions {
  readonly hasCommitTimeout?: boolean
  readonly tcpWindowTracking?: boolean
}

const natOf = ({ original, reply, status }: SeenFlow): ReferenceFlow => {
  const there = original.addresses
  const back = reply.addresses
  if (there === undefined || back === undefined) return {}
  const isSource = status === undefined || (status & srcNatDone) !== 0
  const isDestination = status === undefined || (status & dstNatDone) !== 0
  const port = (value: number | undefined) => isIcmp(original.protocol) ? 0 : value ?? 0
  return {
    ...(isSource && back.destination !== there.source ? { snatAddress: back.destination } : {}),
    ...(isDestination && back.source !== there.destination ? { dnatAddress: back.source } : {}),
    ...(isSource && l4Destination(reply) !== l4Source(original)
      ? { snatPort: port(reply.ports?.destination) }
      : {}),
    ...(isDestination && l4Source(reply) !== l4Destination(original)
      ? { dnatPort: port(reply.ports?.source) }
      : {})
  }
}

const layer4Of = (flow: SeenFlow, options: WireOptions): ReferenceFlow => {
  const { original } = flow
  const protocol = original.protocol ?? 0
  const out: ReferenceFlow = hasPortsOnWire(protocol)
    ? { ports: original.ports ?? { source: 0, destination: 0 } }
    : {}
  if (protocol === 6 && flow.tcpState !== undefined) {
    return {
      ...out,
      tcpState: flow.tcpState,
      ...(options.tcpWindowTracking === true
        ? {
          tcpScaleOriginal: flow.tcpScaleOriginal ?? 0,
          tcpScaleReply: flow.tcpScaleReply ?? 0
        }
        : {})
    }
  }
  if (protocol === 132 && flow.sctpState !== undefined) {
    return {
      ...out,
      sctpState: flow.sctpState,
      sctpTagOriginal: flow.sctpTagOriginal ?? 0,
      sctpTagReply: flow.sctpTagReply ?? 0
    }
  }
  if (protocol === 33 && flow.dccpState !== undefined) {
    return { ...out, dccpState: flow.dccpState, dccpRole: flow.dccpRole ?? 0 }
  }
  if (isIcmp(protocol) && original.icmpType !== undefined) {
    return {
      icmpType: original.icmpType,
      icmpCode: original.icmpCode ?? 0,
      icmpId: original.icmpId ?? 0
    }
  }
  return out
}

/** What is sent of a flow. */
export const wireFlow = (flow: SeenFlow, options: WireOptions = {}): ReferenceFlow => {
  const { helper, labels, mark, master, original, seqAdjOriginal, seqAdjReply, synproxy } = flow
  return {
    ...(original.addresses === undefined ? {} : { addresses: original.addresses }),
    status: flow.status ?? 0,
    protocol: original.protocol ?? 0,
    ...layer4Of(flow, options),
    ...(flow.timeout !== undefined && options.hasCommitTimeout !== true
      ? { timeout: flow.timeout }
      : {}),
    ...(mark === undefined ? {} : { mark }),
    ...(master?.addresses === undefined
      ? {}
      : {
        masterAddresses: master.addresses,
        masterProtocol: master.protocol ?? 0,
        ...(master.ports === undefined ? {} : { masterPorts: master.ports })
      }),
    ...natOf(flow),
    ...(seqAdjOriginal !== undefined && seqAdjReply !== undefined
      ? { seqAdj: [...seqAdjOriginal, ...seqAdjReply] }
      : {}),
    ...(helper === undefined ? {} : { helper }),
    ...(labels?.some((word) => word !== 0) === true ? { labels } : {}),
    ...(synproxy === undefined ? {} : { synproxy }),
    ...(flow.zone === undefined ? {} : { zone: flow.zone })
  }
}

// ------------------------------------------------------------------------------------- text

const protocolNames = new Map([
  [1, "icmp"],
  [6, "tcp"],
  [17, "udp"],
  [33, "dccp"],
  [47, "gre"],
  [58, "icmpv6"],
  [132, "sctp"],
  [136, "udplite"]
])

const tcpNames =
  "NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2"
    .split(" ")
const sctpNames = [
  ..."NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT SHUTDOWN_RECD".split(" "),
  "SHUTDOWN_ACK_SENT"
]
const dccpNames = "NONE REQUEST RESPOND PARTOPEN OPEN CLOSEREQ CLOSING TIMEWAIT".split(" ")

const addressText = (hex: string): string => {
  if (hex.length === 8) return (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).join(".")
  const groups = (hex.match(/.{4}/g) ?? []).map((group) => parseInt(group, 16).toString(16))
  const zeros = [...groups.join(":").matchAll(/(?<![^:])0(:0)+(?![^:])/g)]
  const longest = zeros.toSorted((a, b) => b[0].length - a[0].length)[0]
  if (longest === undefined) return groups.join(":")
  const before = groups.join(":").slice(0, longest.index)
  const after = groups.join(":").slice(longest.index + longest[0].length)
  return `${before === "" ? ":" : before}${after === "" ? ":" : after}`
}

const tupleText = (tuple: SeenTuple): string => {
  const { addresses, icmpCode, icmpId, icmpType, ports, protocol = 0 } = tuple
  const out = addresses === undefined
    ? []
    : [`src=${addressText(addresses.source)}`, `dst=${addressText(addresses.destination)}`]
  const { destination, source } = ports ?? { source: 0, destination: 0 }
  if (hasPortsOnWire(protocol) || protocol === 136) {
    out.push(`sport=${source}`, `dport=${destination}`)
  } else if (protocol === 47) {
    out.push(`srckey=0x${source.toString(16)}`, `dstkey=0x${destination.toString(16)}`)
  } else if (isIcmp(protocol)) {
    out.push(`type=${icmpType ?? 0}`, `code=${icmpCode ?? 0}`, `id=${icmpId ?? 0}`)
  }
  return out.join(" ")
}

const stateText = ({ dccpState, sctpState, tcpState }: ReferenceFlow): string | undefined =>
  tcpState !== undefined
    ? tcpNames[tcpState] ?? "NONE"
    : sctpState !== undefined
    ? sctpNames[sctpState] ?? "NONE"
    : dccpState !== undefined
    ? dccpNames[dccpState] ?? "NONE"
    : undefined

interface Line extends ReferenceFlow {
  readonly original: SeenTuple
  readonly reply?: SeenTuple
}

const attention = (status: number): string | undefined =>
  (status & 0x8000) !== 0
    ? "[HW_OFFLOAD]"
    : (status & 0x4000) !== 0
    ? "[OFFLOAD]"
    : (status & 0x4) !== 0
    ? "[ASSURED]"
    : undefined

/** As `-i` and `-e` print it, without the line end. */
const lineText = (line: Line, activeSeconds: number): string => {
  const { helper, mark, original, reply, status, zone } = line
  const protocol = original.protocol ?? 0
  const name = (protocolNames.get(protocol) ?? "unknown").padEnd(8)
  return [
    `${name} ${protocol}`,
    stateText(line),
    tupleText(original),
    status !== undefined && (status & 2) === 0 ? "[UNREPLIED]" : undefined,
    reply === undefined ? undefined : tupleText(reply),
    status === undefined ? undefined : attention(status),
    mark === undefined ? undefined : `mark=${mark}`,
    zone === undefined ? undefined : `zone=${zone}`,
    helper === undefined ? undefined : `helper=${helper}`,
    `[active since ${activeSeconds}s]`
  ].filter((part) => part !== undefined && part !== "").join(" ")
}

export const internalLine = (flow: SeenFlow, activeSeconds: number): string =>
  lineText(flow, activeSeconds)

export const externalLine = (flow: ReferenceFlow, activeSeconds: number): string =>
  lineText({ ...flow, original: flow }, activeSeconds)
