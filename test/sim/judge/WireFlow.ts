/**
 * Flows as the wire carries them, read from our caches: what the judge compares.
 *
 * `toldOf` says what a message about an entry of an internal cache must contain, `learnedOf` what
 * an entry of an external cache was told. Both are written from the specification, so that an
 * error in the encoder or the decoder under test shows as a difference.
 *
 * Source: specification, "The replication protocol", sections 8 and 9.
 */
import { Address, Base, Has, HasRare, Rare, swap32 } from "../../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../../src/core/model/FlowView.ts"
import { high16Of, low16Of } from "../../../src/core/text/Decimal.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { Direction, zoneOf } from "../kernel/KernelFlow.ts"
import type { Addresses, ReferenceFlow } from "../reference/ReferenceWire.ts"

/** A `ReferenceFlow` that is being put together. */
export type WireFlow = { -readonly [K in keyof ReferenceFlow]: ReferenceFlow[K] }

export interface ToldOptions {
  readonly windowTracking: boolean
  readonly timeout: boolean
}

const Done = { source: 0x80, destination: 0x100 } as const

const [icmp, tcp, udp, dccp, gre, icmpv6, sctp, udplite] = [1, 6, 17, 33, 47, 58, 132, 136]

const hex32 = (word: number): string => (swap32(word) >>> 0).toString(16).padStart(8, "0")

/** An address: its first word in the base, the others in the address part. */
const addressOf = (view: FlowView, isIpv6: boolean, base: number, rest: number): string => {
  const first = hex32(view.base[view.baseWord + base]!)
  if (!isIpv6) return first
  const at = view.addressWord + rest
  const { address } = view
  return first + hex32(address[at]!) + hex32(address[at + 1]!) + hex32(address[at + 2]!)
}

const masterAddress = (view: FlowView, isIpv6: boolean, at: number): string => {
  let text = ""
  for (let i = 0; i < (isIpv6 ? 4 : 1); i++) text += hex32(view.rare[view.rareWord + at + i]!)
  return text
}

const helperOf = (view: FlowView): string => {
  const from = (view.rareWord + Rare.helperName) * 4
  let text = ""
  for (let i = from; i < from + 15 && view.rareBytes[i] !== 0; i++) {
    text += String.fromCharCode(view.rareBytes[i]!)
  }
  return text
}

const presentOf = (view: FlowView): number => view.base[view.baseWord + Base.present]!
const rareOf = (view: FlowView): number => view.base[view.baseWord + Base.presentRare]!
const word = (view: FlowView, index: number): number => view.base[view.baseWord + index]!
const number = (view: FlowView, index: number): number => swap32(word(view, index)) >>> 0

/** Tuple, protocol state, and the rest that both caches keep alike. */
const putAlike = (view: FlowView, flow: WireFlow, isTold: boolean): void => {
  const present = presentOf(view)
  const protocol = (word(view, Base.protocols) >>> 8) & 0xff
  const isIpv6 = (present & Has.originalIpv6) !== 0
  flow.addresses = {
    source: addressOf(view, isIpv6, Base.originalSource, Address.originalSource),
    destination: addressOf(view, isIpv6, Base.originalDestination, Address.originalDestination)
  }
  flow.protocol = protocol
  const ports = word(view, Base.originalPorts)
  const hasPorts = [tcp, udp, sctp, dccp].includes(protocol)
  if (hasPorts && (isTold || (present & Has.originalPorts) !== 0)) {
    flow.ports = { source: low16Of(ports), destination: high16Of(ports) }
  }
  if (isTold ? isIcmp(protocol) && (present & Has.icmpType) !== 0 : true) {
    if (isTold || (present & Has.icmpType) !== 0) flow.icmpType = (ports >>> 16) & 0xff
    if (isTold || (present & Has.icmpCode) !== 0) flow.icmpCode = ports >>> 24
    if (isTold || (present & Has.icmpId) !== 0) flow.icmpId = low16Of(ports)
  }
  putState(view, flow, protocol, present, isTold)
  if ((present & Has.mark) !== 0) flow.mark = number(view, Base.mark)
  if ((present & Has.zone) !== 0) flow.zone = low16Of(word(view, Base.zone))
  const rare = rareOf(view)
  const seqAdj = HasRare.seqAdjOriginal | HasRare.seqAdjReply
  if ((rare & seqAdj) === seqAdj) {
    const at = view.rareWord + Rare.seqAdjOriginal
    flow.seqAdj = [0, 1, 2, 3, 4, 5].map((i) => swap32(view.rare[at + i]!) >>> 0)
  }
  if ((rare & HasRare.helperName) !== 0) flow.helper = helperOf(view)
  putLabels(view, flow, rare)
  const synproxy = HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff
  if ((rare & synproxy) === synproxy) {
    flow.synproxy = [Rare.synproxyIts, Rare.synproxyIsn, Rare.synproxyTsoff].map((at) =>
      swap32(view.rare[view.rareWord + at]!) >>> 0
    )
  }
  putMaster(view, flow, rare)
}

const putState = (
  view: FlowView,
  flow: WireFlow,
  protocol: number,
  present: number,
  isTold: boolean
): void => {
  if ((present & Has.state) === 0) return
  const state = (word(view, Base.protocols) >>> 16) & 0xff
  if (protocol === tcp) flow.tcpState = state
  if (protocol === sctp) {
    flow.sctpState = state
    if (isTold || (present & Has.sctpTagOriginal) !== 0) {
      flow.sctpTagOriginal = number(view, Base.sctpTagOriginal)
    }
    if (isTold || (present & Has.sctpTagReply) !== 0) {
      flow.sctpTagReply = number(view, Base.sctpTagReply)
    }
  }
  if (protocol === dccp) {
    flow.dccpState = state
    if (isTold || (present & Has.dccpRole) !== 0) {
      flow.dccpRole = word(view, Base.protocols) >>> 24
    }
  }
}

/** A set of labels without any label is not sent. */
const putLabels = (view: FlowView, flow: WireFlow, rare: number): void => {
  if ((rare & HasRare.labels) === 0) return
  const count = Math.min(view.rare[view.rareWord + Rare.misc]! & 0xff, 4)
  const labels: Array<number> = []
  for (let i = 0; i < count; i++) labels.push(view.rare[view.rareWord + Rare.labels + i]! >>> 0)
  if (labels.some((value) => value !== 0)) flow.labels = labels
}

const putMaster = (view: FlowView, flow: WireFlow, rare: number): void => {
  if ((rare & (HasRare.masterIpv4 | HasRare.masterIpv6)) === 0) return
  const isIpv6 = (rare & HasRare.masterIpv4) === 0
  flow.masterAddresses = {
    source: masterAddress(view, isIpv6, Rare.masterSource),
    destination: masterAddress(view, isIpv6, Rare.masterDestination)
  }
  flow.masterProtocol = (view.rare[view.rareWord + Rare.misc]! >>> 16) & 0xff
  if ((rare & HasRare.masterPorts) === 0) return
  const ports = view.rare[view.rareWord + Rare.masterPorts]!
  flow.masterPorts = { source: low16Of(ports), destination: high16Of(ports) }
}

/** What a message about this entry of an internal cache must say. */
export const toldOf = (view: FlowView, options: ToldOptions): ReferenceFlow => {
  const flow: WireFlow = {}
  const present = presentOf(view)
  putAlike(view, flow, true)
  flow.status = number(view, Base.status)
  if (options.timeout && (present & Has.timeout) !== 0) {
    flow.timeout = number(view, Base.timeoutSeconds)
  }
  if (options.windowTracking && flow.tcpState !== undefined) {
    const scales = word(view, Base.zone)
    if ((present & Has.windowScaleOriginal) !== 0) flow.tcpScaleOriginal = (scales >>> 16) & 0xff
    if ((present & Has.windowScaleReply) !== 0) flow.tcpScaleReply = scales >>> 24
  }
  putTranslation(view, flow, present)
  return flow
}

/** A difference between the tuples is a translation, if the kernel says that it set one up. */
const putTranslation = (view: FlowView, flow: WireFlow, present: number): void => {
  if ((present & (Has.replyIpv4 | Has.replyIpv6)) === 0) return
  const isKnown = (present & Has.status) !== 0
  const isSource = !isKnown || (flow.status! & Done.source) !== 0
  const isDestination = !isKnown || (flow.status! & Done.destination) !== 0
  const isIpv6 = (present & Has.replyIpv6) !== 0
  const replySource = addressOf(view, isIpv6, Base.replySource, Address.replySource)
  const replyDestination = addressOf(view, isIpv6, Base.replyDestination, Address.replyDestination)
  const { destination, source } = flow.addresses!
  if (isSource && replyDestination !== source) flow.snatAddress = replyDestination
  if (isDestination && replySource !== destination) flow.dnatAddress = replySource
  if (isIcmp(flow.protocol!)) return
  const original = word(view, Base.originalPorts)
  const reply = word(view, Base.replyPorts)
  if (isSource && high16Of(reply) !== low16Of(original)) flow.snatPort = high16Of(reply)
  if (isDestination && low16Of(reply) !== high16Of(original)) flow.dnatPort = low16Of(reply)
}

/** What an entry of an external cache was told. */
export const learnedOf = (view: FlowView): ReferenceFlow => {
  const flow: WireFlow = {}
  const present = presentOf(view)
  putAlike(view, flow, false)
  if ((present & Has.status) !== 0) flow.status = number(view, Base.status)
  if ((present & Has.timeout) !== 0) flow.timeout = number(view, Base.timeoutSeconds)
  const scales = word(view, Base.zone)
  if ((present & Has.windowScaleOriginal) !== 0) flow.tcpScaleOriginal = (scales >>> 16) & 0xff
  if ((present & Has.windowScaleReply) !== 0) flow.tcpScaleReply = scales >>> 24
  if ((present & (Has.snatIpv4 | Has.snatIpv6)) !== 0) {
    const isIpv6 = (present & Has.snatIpv6) !== 0
    flow.snatAddress = addressOf(view, isIpv6, Base.replyDestination, Address.replyDestination)
  }
  if ((present & (Has.dnatIpv4 | Has.dnatIpv6)) !== 0) {
    const isIpv6 = (present & Has.dnatIpv6) !== 0
    flow.dnatAddress = addressOf(view, isIpv6, Base.replySource, Address.replySource)
  }
  const reply = word(view, Base.replyPorts)
  if ((present & Has.snatPort) !== 0) flow.snatPort = high16Of(reply)
  if ((present & Has.dnatPort) !== 0) flow.dnatPort = low16Of(reply)
  return flow
}

/** A message's flow as a receiver keeps it: the ports of a translated ICMP flow mean nothing. */
export const asKept = (flow: ReferenceFlow): ReferenceFlow => {
  if (!isIcmp(flow.protocol ?? 0)) return flow
  if (flow.snatPort === undefined && flow.dnatPort === undefined) return flow
  const { dnatPort: _d, snatPort: _s, ...kept } = flow
  return kept
}

// ------------------------------------------------------------------------------------ keys

export const isIcmp = (protocol: number): boolean => protocol === icmp || protocol === icmpv6

/**
 * The ports, or keys, of these protocols do not travel: several flows between two hosts share one
 * entry at the peer, as upstream has it, and nothing can be said about that entry.
 */
const isVague = (protocol: number): boolean => protocol === gre || protocol === udplite

/** What identifies a flow on the wire; undefined when the wire cannot tell it from others. */
export const keyOf = (flow: ReferenceFlow): string | undefined => {
  const { addresses, icmpCode = 0, icmpId = 0, icmpType = 0, ports, protocol = 0, zone = 0 } = flow
  if (addresses === undefined || isVague(protocol)) return undefined
  const a = ports?.source ?? icmpId
  const b = ports?.destination ?? (icmpType << 8 | icmpCode)
  return `${protocol}/${zone}/${addresses.source}/${addresses.destination}/${a}/${b}`
}

const pairProtocols = [icmp, tcp, udp, dccp, icmpv6, sctp]

export const keyOfKernelFlow = (flow: KernelFlow): string | undefined => {
  const { a, b, dst, l4, src } = flow.original
  if (isVague(l4) || flow.zoneIn !== "both") return undefined
  const zone = zoneOf(flow, Direction.original)
  const hasPair = pairProtocols.includes(l4)
  return `${l4}/${zone}/${src}/${dst}/${hasPair ? a : 0}/${hasPair ? b : 0}`
}

/** The key of an entry of a cache, without the rest. */
export const keyOfView = (view: FlowView): string | undefined => {
  const present = presentOf(view)
  if ((present & (Has.originalZone | Has.replyZone)) !== 0) return undefined
  const protocol = (word(view, Base.protocols) >>> 8) & 0xff
  if (isVague(protocol)) return undefined
  const isIpv6 = (present & Has.originalIpv6) !== 0
  const source = addressOf(view, isIpv6, Base.originalSource, Address.originalSource)
  const destination = addressOf(view, isIpv6, Base.originalDestination, Address.originalDestination)
  const ports = word(view, Base.originalPorts)
  const zone = (present & Has.zone) === 0 ? 0 : low16Of(word(view, Base.zone))
  let [a, b] = [0, 0]
  if (isIcmp(protocol)) [a, b] = [low16Of(ports), ((ports >>> 8) & 0xff00) | (ports >>> 24)]
  else if (pairProtocols.includes(protocol)) [a, b] = [low16Of(ports), high16Of(ports)]
  return `${protocol}/${zone}/${source}/${destination}/${a}/${b}`
}

// ----------------------------------------------------------------------------- comparison

const fields = [
  "addresses",
  "protocol",
  "ports",
  "tcpState",
  "tcpScaleOriginal",
  "tcpScaleReply",
  "sctpState",
  "sctpTagOriginal",
  "sctpTagReply",
  "dccpState",
  "dccpRole",
  "icmpType",
  "icmpCode",
  "icmpId",
  "status",
  "timeout",
  "mark",
  "masterAddresses",
  "masterProtocol",
  "masterPorts",
  "snatAddress",
  "dnatAddress",
  "snatPort",
  "dnatPort",
  "seqAdj",
  "helper",
  "labels",
  "synproxy",
  "zone"
] as const satisfies ReadonlyArray<keyof ReferenceFlow>

export type Field = (typeof fields)[number]

const isSame = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (typeof a !== "object" || typeof b !== "object") return false
  return JSON.stringify(a) === JSON.stringify(b)
}

/** The fields that differ. Empty almost always, so no text is made. */
export const differingFields = (a: ReferenceFlow, b: ReferenceFlow): ReadonlyArray<Field> => {
  let differing: Array<Field> | undefined
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!
    if (!isSame(a[field], b[field])) (differing ??= []).push(field)
  }
  return differing ?? none
}
const none: ReadonlyArray<Field> = []

/** What an entry is after an update: fields that the message lacks stay. */
export const merged = (old: ReferenceFlow, update: ReferenceFlow): ReferenceFlow => ({
  ...old,
  ...update
})

const textOf = (value: unknown): string =>
  value === undefined ? "absent" : typeof value === "object" ? JSON.stringify(value) : String(value)

/** "mark 7 instead of absent", … */
export const differenceLines = (
  is: ReferenceFlow,
  wanted: ReferenceFlow
): ReadonlyArray<string> =>
  differingFields(is, wanted).map((field) =>
    `${field} is ${textOf(is[field])}, not ${textOf(wanted[field])}`
  )

// ------------------------------------------------------------------------------------ text

const protocolNames: Readonly<Record<number, string>> = {
  [icmp]: "icmp",
  [tcp]: "tcp",
  [udp]: "udp",
  [dccp]: "dccp",
  [gre]: "gre",
  [icmpv6]: "icmpv6",
  [sctp]: "sctp",
  [udplite]: "udplite"
}

const tcpNames = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2"
]

const addressText = (hex: string): string =>
  hex.length === 8
    ? (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).join(".")
    : (hex.match(/.{4}/g) ?? []).map((part) => parseInt(part, 16).toString(16)).join(":")

/** A flow in the manner of `conntrack -L`. For messages; entries of caches have `formatFlow`. */
export const lineOfFlow = (flow: ReferenceFlow): string => {
  const { addresses = {} as Partial<Addresses>, protocol = 0 } = flow
  const words = [protocolNames[protocol] ?? "unknown", String(protocol)]
  if (flow.timeout !== undefined) words.push(String(flow.timeout))
  if (flow.tcpState !== undefined) words.push(tcpNames[flow.tcpState] ?? String(flow.tcpState))
  words.push(`src=${addressText(addresses.source ?? "")}`)
  words.push(`dst=${addressText(addresses.destination ?? "")}`)
  if (flow.ports !== undefined) {
    words.push(`sport=${flow.ports.source}`, `dport=${flow.ports.destination}`)
  }
  if (flow.icmpType !== undefined) {
    words.push(`type=${flow.icmpType}`, `code=${flow.icmpCode}`, `id=${flow.icmpId}`)
  }
  if (flow.snatAddress !== undefined) words.push(`snat=${addressText(flow.snatAddress)}`)
  if (flow.dnatAddress !== undefined) words.push(`dnat=${addressText(flow.dnatAddress)}`)
  const status = flow.status ?? 0
  if ((status & 2) === 0) words.push("[UNREPLIED]")
  if ((status & 4) !== 0) words.push("[ASSURED]")
  if (flow.mark !== undefined) words.push(`mark=${flow.mark}`)
  if (flow.zone !== undefined) words.push(`zone=${flow.zone}`)
  return words.join(" ")
}

/** A key in the manner of `conntrack -L`, when nothing else is known of the flow. */
export const lineOfKey = (key: string): string => {
  const [l4, zone, source, destination, a, b] = key.split("/")
  const protocol = Number(l4)
  const pair = isIcmp(protocol)
    ? `id=${a} type=${Number(b) >> 8} code=${Number(b) & 0xff}`
    : `sport=${a} dport=${b}`
  return `${protocolNames[protocol] ?? "unknown"} ${l4} src=${addressText(source!)} ` +
    `dst=${addressText(destination!)} ${pair}${zone === "0" ? "" : ` zone=${zone}`}`
}
