/**
 * A conntrack entry of the fake kernel, and its bytes: written and read here without the daemon's
 * own codecs, IPv4 flows with ports only.
 *
 * Source: linux/netfilter/nfnetlink_conntrack.h.
 */

export interface Tuple {
  readonly src: string
  readonly dst: string
  readonly sport: number
  readonly dport: number
}

export interface KernelFlow {
  readonly protocol: "tcp" | "udp"
  readonly original: Tuple
  reply: Tuple
  id: number
  status: number
  timeout: number
  mark: number
  /** TCP only. */
  state: number
}

/** What a request says of a flow. */
export interface RequestedFlow {
  readonly protocol: "tcp" | "udp"
  readonly original: Tuple
  readonly id: number | undefined
  readonly status: number | undefined
  readonly timeout: number | undefined
  readonly mark: number | undefined
  readonly state: number | undefined
  readonly sourceNat: { readonly address?: string; readonly port?: number } | undefined
  readonly destinationNat: { readonly address?: string; readonly port?: number } | undefined
}

const protocolNumbers = { tcp: 6, udp: 17 } as const

export const mirror = ({ dport, dst, sport, src }: Tuple): Tuple => ({
  src: dst,
  dst: src,
  sport: dport,
  dport: sport
})

const tupleText = ({ dport, dst, sport, src }: Tuple): string => `${src}:${sport}>${dst}:${dport}`

/** What identifies a flow in the kernel's table. */
export const keyOf = (flow: { readonly protocol: string; readonly original: Tuple }): string =>
  `${flow.protocol} ${tupleText(flow.original)}`

/** A flow as one line; the reply tuple only if it is translated. */
export const lineOf = (
  flow: {
    readonly protocol: string
    readonly original: Tuple
    readonly reply: Tuple
    readonly mark: number
  }
): string => {
  const reply = tupleText(flow.reply)
  const nat = reply === tupleText(mirror(flow.original)) ? "" : ` reply ${reply}`
  return `${keyOf(flow)}${nat} mark=${flow.mark}`
}

type Value = ReadonlyArray<number>

const half = (value: number): Value => [(value >>> 8) & 0xff, value & 0xff]
const word = (value: number): Value => [...half(value >>> 16), ...half(value)]
const addressBytes = (text: string): Value => text.split(".").map(Number)

const attribute = (type: number, value: Value): Value => {
  const length = 4 + value.length
  const padding = Array.from({ length: (4 - (length & 3)) & 3 }, () => 0)
  return [length & 0xff, length >>> 8, type & 0xff, type >>> 8, ...value, ...padding]
}

const nest = (type: number, ...inner: ReadonlyArray<Value>): Value =>
  attribute(type | 0x8000, inner.flat())

const tupleValue = (type: number, protocol: number, tuple: Tuple): Value =>
  nest(
    type,
    nest(1, attribute(1, addressBytes(tuple.src)), attribute(2, addressBytes(tuple.dst))),
    nest(
      2,
      attribute(1, [protocol]),
      attribute(2, half(tuple.sport)),
      attribute(3, half(tuple.dport))
    )
  )

const little = (value: number): Value => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  value >>> 24
]

/** A netlink message about `flow`. */
export const messageOf = (
  flow: KernelFlow,
  type: number,
  flags: number,
  seq: number
): Uint8Array => {
  const protocol = protocolNumbers[flow.protocol]
  const body: Value = [
    2,
    0,
    0,
    0,
    ...tupleValue(1, protocol, flow.original),
    ...tupleValue(2, protocol, flow.reply),
    ...attribute(3, word(flow.status)),
    ...attribute(7, word(flow.timeout)),
    ...attribute(8, word(flow.mark)),
    ...attribute(12, word(flow.id)),
    ...(flow.protocol === "tcp" ? nest(4, nest(1, attribute(1, [flow.state]))) : [])
  ]
  const header = [...little(16 + body.length), type & 0xff, type >>> 8]
  return Uint8Array.from([
    ...header,
    flags & 0xff,
    flags >>> 8,
    ...little(seq),
    ...word(0),
    ...body
  ])
}

type Attributes = ReadonlyMap<number, Uint8Array>

const attributesOf = (bytes: Uint8Array): Attributes => {
  const attributes = new Map<number, Uint8Array>()
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes[at]! | (bytes[at + 1]! << 8)
    if (length < 4) break
    const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
    attributes.set(type, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return attributes
}

const nested = (attributes: Attributes, type: number): Attributes =>
  attributesOf(attributes.get(type) ?? new Uint8Array(0))

/** Big-endian number of whatever width. */
const numberIn = (value: Uint8Array | undefined): number | undefined =>
  value?.reduce((sum, byte) => sum * 256 + byte, 0)

const addressIn = (value: Uint8Array | undefined): string | undefined => value?.join(".")

const natIn = (attributes: Attributes, type: number): RequestedFlow["sourceNat"] => {
  if (!attributes.has(type)) return undefined
  const nat = nested(attributes, type)
  const address = addressIn(nat.get(1))
  const port = numberIn(nested(nat, 3).get(1))
  return { ...(address === undefined ? {} : { address }), ...(port === undefined ? {} : { port }) }
}

/** Reads the attributes of a request. */
export const requestedFlowIn = (attributeBytes: Uint8Array): RequestedFlow => {
  const attributes = attributesOf(attributeBytes)
  const tuple = nested(attributes, 1)
  const ip = nested(tuple, 1)
  const proto = nested(tuple, 2)
  const tcp = nested(nested(attributes, 4), 1)
  return {
    protocol: numberIn(proto.get(1)) === 6 ? "tcp" : "udp",
    original: {
      src: addressIn(ip.get(1)) ?? "",
      dst: addressIn(ip.get(2)) ?? "",
      sport: numberIn(proto.get(2)) ?? 0,
      dport: numberIn(proto.get(3)) ?? 0
    },
    id: numberIn(attributes.get(12)),
    status: numberIn(attributes.get(3)),
    timeout: numberIn(attributes.get(7)),
    mark: numberIn(attributes.get(8)),
    state: numberIn(tcp.get(1)),
    sourceNat: natIn(attributes, 6),
    destinationNat: natIn(attributes, 13)
  }
}
