/**
 * Reads what a request asks of a flow, and refuses what a kernel refuses.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2, 4 and 12.
 */
import type { KernelTuple } from "./KernelFlow.ts"
import { hasPair, icmpAnswer, Ip4, Ip6, isIcmp } from "./KernelFlow.ts"
import type { Policy } from "./NetlinkPolicy.ts"
import type { Attributes, Request, Sizes } from "./NetlinkReader.ts"
import { EINVAL, EOPNOTSUPP, ERANGE, nestSize, Refused } from "./NetlinkReader.ts"

/** What is demanded of attributes before anything else is looked at. */
export const flowPolicy: Policy = {
  1: "nest",
  2: "nest",
  3: 4,
  4: "nest",
  5: "nest",
  6: "nest",
  7: 4,
  8: 4,
  12: 4,
  13: "nest",
  14: "nest",
  15: "nest",
  16: "nest",
  18: 2,
  21: 4,
  22: "bitmap",
  23: "bitmap",
  25: "nest",
  26: 4,
  27: "reject"
}

/** Sizes inside the nests, also of what does not count. */
const tupleSizes: Sizes = { 1: nestSize, 2: nestSize, 3: 2 }
const ipSizes: Sizes = { 1: 4, 2: 4, 3: 16, 4: 16 }
const protoSizes: Sizes = { 1: 1 }
const portSizes: Sizes = { 2: 2, 3: 2 }
const icmpSizes: Sizes = { 4: 2, 5: 1, 6: 1 }
const icmp6Sizes: Sizes = { 7: 2, 8: 1, 9: 1 }
const protoInfoSizes: Sizes = { 1: nestSize, 2: nestSize, 3: nestSize }
const tcpSizes: Sizes = { 1: 1, 2: 1, 3: 1, 4: 2, 5: 2 }
const sctpSizes: Sizes = { 1: 1, 2: 4, 3: 4 }
const natSizes: Sizes = { 1: 4, 2: 4, 3: nestSize, 4: 16, 5: 16 }
const rangeSizes: Sizes = { 1: 2, 2: 2 }
/** SEQ_ADJ and SYNPROXY. */
export const tripleSizes: Sizes = { 1: 4, 2: 4, 3: 4 }

/** The number of the protocol, and what it asks of the rest. */
const l4In = (proto: Attributes): number => {
  const l4 = proto.required(1, 1)
  if (l4 === 1) proto.check(icmpSizes)
  else if (l4 === 58) proto.check(icmp6Sizes)
  else if (hasPair(l4)) proto.check(portSizes)
  return l4
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

const hex = (bytes: Uint8Array): string => {
  let out = ""
  for (let i = 0; i < bytes.length; i++) out += hexOfByte[bytes[i]!]!
  return out
}

export interface RequestedTuple {
  readonly tuple: KernelTuple
  /** A zone of this direction. */
  readonly zone: number | undefined
}

/** The tuple in the nest of this type. An ICMP tuple is that of a query or its answer. */
export const tupleIn = (
  { attributes, family }: Request,
  type: number
): RequestedTuple | undefined => {
  const outer = attributes.nest(type, tupleSizes)
  if (outer === undefined) return undefined
  if (family !== Ip4 && family !== Ip6) throw new Refused(EOPNOTSUPP)
  const ip = outer.nest(1, ipSizes)
  if (ip === undefined) throw new Refused(EINVAL)
  const bytes = family === Ip6 ? 16 : 4
  const [source, destination] = family === Ip6 ? [3, 4] : [1, 2]
  const src = ip.bytes(source!, bytes)
  const dst = ip.bytes(destination!, bytes)
  if (src === undefined || dst === undefined) throw new Refused(EINVAL)
  const proto = outer.nest(2, protoSizes)
  if (proto === undefined) throw new Refused(EINVAL)
  const l4 = l4In(proto)
  let a = 0
  let b = 0
  if (isIcmp(l4)) {
    const first = l4 === 1 ? 4 : 7
    a = proto.required(first, 2)
    const icmpType = proto.required(first + 1, 1)
    if (icmpAnswer(l4, icmpType) === undefined) throw new Refused(EINVAL)
    b = (icmpType << 8) | proto.required(first + 2, 1)
  } else if (hasPair(l4)) {
    a = proto.required(2, 2)
    b = proto.required(3, 2)
  }
  const tuple = { src: hex(src.subarray(0, bytes)), dst: hex(dst.subarray(0, bytes)), l4, a, b }
  return { tuple, zone: outer.number(3, 2) }
}

/** Of an address or a protocol field that no flag names nothing is asked. */
export const filterTupleIn = (
  { attributes, family }: Request,
  type: number,
  flags: number
): KernelTuple => {
  const outer = attributes.nest(type, tupleSizes)
  if (outer === undefined) throw new Refused(EINVAL)
  if (family !== Ip4 && family !== Ip6) throw new Refused(EOPNOTSUPP)
  const out = { src: "", dst: "", l4: 0, a: 0, b: 0 }
  const bytes = family === Ip6 ? 16 : 4
  const first = family === Ip6 ? 3 : 1
  const hasZone = (flags & 0x4) !== 0 && outer.number(3, 2) !== undefined
  if (hasZone && (attributes.number(18, 2) ?? 0) !== 0) throw new Refused(EINVAL)
  const address = (flag: number, member: number): string => {
    if ((flags & flag) === 0) return ""
    const value = outer.nest(1, ipSizes)?.bytes(member, bytes)
    if (value === undefined) throw new Refused(EINVAL)
    return hex(value.subarray(0, bytes))
  }
  out.src = address(0x1, first)
  out.dst = address(0x2, first + 1)
  if ((flags & 0x8) === 0) {
    if ((flags & 0xff0) !== 0) throw new Refused(EINVAL)
    return out
  }
  const proto = outer.nest(2, protoSizes)
  if (proto === undefined) throw new Refused(EINVAL)
  out.l4 = l4In(proto)
  const field = (flag: number, member: number, width: number): number =>
    (flags & flag) === 0 ? 0 : proto.required(member, width)
  if (isIcmp(out.l4)) {
    const shift = out.l4 === 1 ? 6 : 9
    const member = out.l4 === 1 ? 4 : 7
    const icmpType = field(1 << shift, member + 1, 1)
    const isQuery = icmpAnswer(out.l4, icmpType) !== undefined
    if ((flags & (1 << shift)) !== 0 && !isQuery) throw new Refused(EINVAL)
    out.b = (icmpType << 8) | field(2 << shift, member + 2, 1)
    out.a = field(4 << shift, member, 2)
  } else if (hasPair(out.l4)) {
    out.a = field(0x10, 2, 2)
    out.b = field(0x20, 3, 2)
  }
  return out
}

export interface RequestedZone {
  readonly zone: number
  readonly zoneIn: "both" | "original" | "reply"
}

/** A zone of the flow, or of one of its directions; never two. */
export const zoneIn = (
  request: Request,
  original: RequestedTuple | undefined,
  reply: RequestedTuple | undefined
): RequestedZone => {
  const both = request.attributes.number(18, 2) ?? 0
  const inTuples = [original?.zone, reply?.zone].filter((zone) => zone !== undefined)
  if (inTuples.length > 1 || (both !== 0 && inTuples.length > 0)) throw new Refused(EINVAL)
  if (original?.zone !== undefined) return { zone: original.zone, zoneIn: "original" }
  if (reply?.zone !== undefined) return { zone: reply.zone, zoneIn: "reply" }
  return { zone: both, zoneIn: "both" }
}

/** The three numbers of SEQ_ADJ and SYNPROXY, or undefined. */
export const tripleIn = ({ attributes }: Request, type: number): Array<number> | undefined => {
  const inner = attributes.nest(type, tripleSizes)
  return inner === undefined ? undefined : [1, 2, 3].map((member) => inner.required(member, 4))
}

export interface TcpChange {
  readonly state: number | undefined
  readonly scales: readonly [number, number] | undefined
  readonly flags: readonly [value: number, mask: number]
  readonly replyFlags: readonly [value: number, mask: number]
}

const flagsIn = (tcp: Attributes, type: number): readonly [number, number] => {
  const bytes = tcp.bytes(type, 2)
  return bytes === undefined ? [0, 0] : [bytes[0]!, bytes[1]!]
}

export const tcpIn = ({ attributes }: Request): TcpChange | undefined => {
  const tcp = attributes.nest(4, protoInfoSizes)?.nest(1, tcpSizes)
  if (tcp === undefined) return undefined
  const state = tcp.number(1, 1)
  const original = tcp.number(2, 1)
  const reply = tcp.number(3, 1)
  if ((state ?? 0) > 9 || (original ?? 0) > 14 || (reply ?? 0) > 14) throw new Refused(ERANGE)
  return {
    state,
    scales: original === undefined || reply === undefined ? undefined : [original, reply],
    flags: flagsIn(tcp, 4),
    replyFlags: flagsIn(tcp, 5)
  }
}

export interface SctpChange {
  readonly state: number
  readonly tags: [number, number]
}

export const sctpIn = ({ attributes }: Request): SctpChange | undefined => {
  const sctp = attributes.nest(4, protoInfoSizes)?.nest(3, sctpSizes)
  if (sctp === undefined) return undefined
  const state = sctp.required(1, 1)
  if (state > 8) throw new Refused(ERANGE)
  return { state, tags: [sctp.required(2, 4), sctp.required(3, 4)] }
}

/** The name of the wanted helper; "" takes it away. */
export const helperIn = ({ attributes }: Request): string | undefined => {
  const help = attributes.nest(5)
  if (help === undefined) return undefined
  const name = help.bytes(1)
  if (name === undefined || name.length > 16 || name.at(-1) !== 0) throw new Refused(EINVAL)
  return String.fromCharCode(...name.subarray(0, name.indexOf(0)))
}

export interface NatRange {
  readonly address: string | undefined
  readonly port: number | undefined
}

export const natIn = (request: Request, type: number): NatRange | undefined => {
  const nat = request.attributes.nest(type, natSizes)
  if (nat === undefined) return undefined
  const isV6 = request.family === Ip6
  const address = nat.bytes(isV6 ? 4 : 1, isV6 ? 16 : 4)
  return {
    address: address === undefined ? undefined : hex(address),
    port: nat.nest(3, rangeSizes)?.number(1, 2)
  }
}
