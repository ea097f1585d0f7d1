/**
 * Requests about flows as raw bytes: also those that no sane program sends.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1, 2 and 4.
 */
import { addressWordsOf } from "../fakes/Address.ts"
import { icmpAnswer, isIcmp } from "../sim/kernel/KernelFlow.ts"
import {
  attribute,
  bigEndian,
  hostOrder,
  nest,
  nfmsg,
  text,
  u16,
  u32,
  u8
} from "../sim/kernel/NetlinkWriter.ts"

export type Attribute = ReadonlyArray<number>

export const Type = {
  new: 0x0100,
  get: 0x0101,
  delete: 0x0102,
  getZero: 0x0103,
  statsCpu: 0x0104,
  stats: 0x0105,
  dying: 0x0106,
  unconfirmed: 0x0107
} as const

export const Flag = {
  request: 0x1,
  ack: 0x4,
  echo: 0x8,
  dump: 0x300,
  replace: 0x100,
  excl: 0x200,
  create: 0x400
} as const

/** A tuple as a statement names it. Addresses are text, the family is that of the source. */
export interface Tuple {
  readonly src: string
  readonly dst: string
  readonly l4: number
  /** Left out: the attribute is left out. */
  readonly sport?: number | undefined
  readonly dport?: number | undefined
  readonly icmp?: { readonly id?: number; readonly type: number; readonly code: number }
  readonly zone?: number
}

export const tcp = (sport: number, dport = 80): Tuple => ({
  src: "10.0.0.1",
  dst: "10.0.0.2",
  l4: 6,
  sport,
  dport
})

export const udp = (sport: number, dport = 53): Tuple => ({ ...tcp(sport, dport), l4: 17 })

export const tcp6 = (sport: number, src = "fd00::1"): Tuple => ({
  src,
  dst: "fd00::2",
  l4: 6,
  sport,
  dport: 80
})

export const isV6 = ({ src }: Tuple): boolean => src.includes(":")
export const familyOf = (tuple: Tuple): number => isV6(tuple) ? 10 : 2

export const addressBytes = (text: string): Array<number> =>
  [
    ...new Uint8Array(Int32Array.from(addressWordsOf(text)).buffer)
  ].slice(0, text.includes(":") ? 16 : 4)

/** The tuple of the answer. */
export const inverse = (tuple: Tuple): Tuple => ({
  ...tuple,
  src: tuple.dst,
  dst: tuple.src,
  sport: tuple.dport,
  dport: tuple.sport,
  ...(tuple.icmp === undefined ? {} : {
    icmp: { ...tuple.icmp, type: icmpAnswer(tuple.l4, tuple.icmp.type) ?? tuple.icmp.type }
  })
})

export const ipNest = (tuple: Tuple): Attribute => {
  const first = isV6(tuple) ? 3 : 1
  return nest(
    1,
    attribute(first, addressBytes(tuple.src)),
    attribute(first + 1, addressBytes(tuple.dst))
  )
}

export const protoNest = (tuple: Tuple): Attribute => {
  const { dport, icmp, l4, sport } = tuple
  const first = l4 === 58 ? 7 : 4
  return nest(
    2,
    u8(1, l4),
    sport === undefined || isIcmp(l4) ? [] : u16(2, sport),
    dport === undefined || isIcmp(l4) ? [] : u16(3, dport),
    icmp?.id === undefined ? [] : u16(first, icmp.id),
    icmp === undefined ? [] : [...u8(first + 1, icmp.type), ...u8(first + 2, icmp.code)]
  )
}

/** A nest that is a tuple: 1 original, 2 reply, 14 master. */
export const tupleNest = (type: number, tuple: Tuple): Attribute =>
  nest(
    type,
    ipNest(tuple),
    protoNest(tuple),
    tuple.zone === undefined ? [] : u16(3, tuple.zone)
  )

export const orig = (tuple: Tuple): Attribute => tupleNest(1, tuple)
export const reply = (tuple: Tuple): Attribute => tupleNest(2, tuple)
export const master = (tuple: Tuple): Attribute => tupleNest(14, tuple)

/** The original tuple and its inverse. A zone of the original direction is its alone. */
export const both = (tuple: Tuple): ReadonlyArray<Attribute> => {
  const { zone: _, ...answer } = inverse(tuple)
  return [orig(tuple), reply(answer)]
}

export const status = (bits: number) => u32(3, bits)
export const helper = (name: string) => nest(5, text(1, name))
export const timeout = (seconds: number) => u32(7, seconds)
export const mark = (value: number) => u32(8, value)
export const markMask = (value: number) => u32(21, value)
export const zone = (value: number) => u16(18, value)
export const labels = (...bytes: ReadonlyArray<number>) => attribute(22, bytes)
export const labelsMask = (...bytes: ReadonlyArray<number>) => attribute(23, bytes)
export const statusMask = (bits: number) => u32(26, bits)
export const id = (value: Uint8Array) => attribute(12, [...value])

const triple = (type: number, values: ReadonlyArray<number>) =>
  nest(type, ...values.map((value, i) => u32(i + 1, value)))
export const seqAdjOrig = (...values: ReadonlyArray<number>) => triple(15, values)
export const seqAdjReply = (...values: ReadonlyArray<number>) => triple(16, values)
export const synproxy = (...values: ReadonlyArray<number>) => triple(24, values)

export const protoInfo = (...inner: ReadonlyArray<Attribute>) => nest(4, ...inner)
/** State, scales, flags and their masks of a TCP connection, each if given. */
export const tcpInfo = (fields: {
  readonly state?: number
  readonly scales?: readonly [number | undefined, number | undefined]
  readonly flags?: readonly [value: number, mask: number]
  readonly replyFlags?: readonly [value: number, mask: number]
}) =>
  protoInfo(nest(
    1,
    fields.state === undefined ? [] : u8(1, fields.state),
    fields.scales?.[0] === undefined ? [] : u8(2, fields.scales[0]),
    fields.scales?.[1] === undefined ? [] : u8(3, fields.scales[1]),
    fields.flags === undefined ? [] : attribute(4, fields.flags),
    fields.replyFlags === undefined ? [] : attribute(5, fields.replyFlags)
  ))

export interface Range {
  readonly min?: string
  readonly max?: string
  readonly ports?: readonly [min: number, max?: number]
}

/** NAT_SRC (6) or NAT_DST (13). */
export const nat = (type: number, { max, min, ports }: Range) =>
  nest(
    type,
    min === undefined ? [] : attribute(min.includes(":") ? 4 : 1, addressBytes(min)),
    max === undefined ? [] : attribute(max.includes(":") ? 5 : 2, addressBytes(max)),
    ports === undefined
      ? []
      : nest(3, u16(1, ports[0]), ports[1] === undefined ? [] : u16(2, ports[1]))
  )
export const natSrc = (range: Range) => nat(6, range)
export const natDst = (range: Range) => nat(13, range)

/** FILTER: which fields of the tuples count; the words are in host order. */
export const filter = (origFlags?: number, replyFlags?: number) =>
  nest(
    25,
    origFlags === undefined ? [] : attribute(1, hostOrder(origFlags, 4)),
    replyFlags === undefined ? [] : attribute(2, hostOrder(replyFlags, 4))
  )

export interface Header {
  readonly family?: number
  readonly version?: number
}

/** A request; REQUEST is set, the sequence number comes later. */
export const request = (
  type: number,
  flags: number,
  attributes: ReadonlyArray<Attribute>,
  { family = 2, version = 0 }: Header = {}
): Uint8Array => {
  const bytes = nfmsg(
    { type, flags: flags | Flag.request, seq: 0, pid: 0 },
    family,
    attributes.flat()
  )
  bytes[17] = version
  return bytes
}

/** CREATE|EXCL with a timeout of 100 s, acknowledged. */
export const create = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.new, Flag.create | Flag.excl | Flag.ack, [...both(tuple), timeout(100), ...more], {
    family: familyOf(tuple)
  })

/** An update by original tuple, acknowledged. */
export const update = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.new, Flag.ack, [orig(tuple), ...more], { family: familyOf(tuple) })

/** A get by original tuple, not acknowledged. */
export const get = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.get, 0, [orig(tuple), ...more], { family: familyOf(tuple) })

/** A deletion by original tuple, acknowledged. */
export const remove = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.delete, Flag.ack, [orig(tuple), ...more], { family: familyOf(tuple) })

/** A flush, acknowledged. */
export const flush = (header: Header, ...filters: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.delete, Flag.ack, filters, header)

export const dump = (header: Header, ...filters: ReadonlyArray<Attribute>): Uint8Array =>
  request(Type.get, Flag.dump, filters, header)

/** The bytes of a number of any width, for attributes of the wrong size. */
export const sized = (type: number, width: number, value: number): Attribute =>
  attribute(type, bigEndian(value, width))
