/**
 * The replication protocol, read and written a second time: from the specification alone, with
 * plain objects and a table, sharing nothing with `src`. It is the reference peer's codec, and the
 * judge's: `decodeDatagram` says whether a datagram is one that a careful sender may send.
 *
 * An attribute of a message is a field of a flow, present exactly when the attribute is. Addresses
 * are hexadecimal: 8 digits for IPv4, 32 for IPv6.
 *
 * Source: specification, "The replication protocol", sections 2 to 9 and 12.
 */

/** Bytes that are no valid message; the text says what is wrong where. */
export class BadWire extends Error {
  override readonly name = "BadWire"
}

export const Flag = {
  resync: 0x02,
  nack: 0x04,
  ack: 0x08,
  alive: 0x10,
  hello: 0x20,
  helloBack: 0x40
} as const

export const messageTypes = [
  "CT_NEW",
  "CT_UPD",
  "CT_DEL",
  "EXP_NEW",
  "EXP_UPD",
  "EXP_DEL"
] as const
export type MessageType = (typeof messageTypes)[number] | "CTL"
const controlType = 10

export interface Addresses {
  readonly source: string
  readonly destination: string
}
export interface Ports {
  readonly source: number
  readonly destination: number
}

/** A flow as the wire carries it. */
export interface ReferenceFlow {
  readonly addresses?: Addresses
  readonly protocol?: number
  readonly ports?: Ports
  readonly tcpState?: number
  readonly tcpScaleOriginal?: number
  readonly tcpScaleReply?: number
  readonly sctpState?: number
  readonly sctpTagOriginal?: number
  readonly sctpTagReply?: number
  readonly dccpState?: number
  readonly dccpRole?: number
  readonly icmpType?: number
  readonly icmpCode?: number
  readonly icmpId?: number
  readonly status?: number
  /** Seconds. */
  readonly timeout?: number
  readonly mark?: number
  readonly masterAddresses?: Addresses
  readonly masterProtocol?: number
  readonly masterPorts?: Ports
  readonly snatAddress?: string
  readonly dnatAddress?: string
  readonly snatPort?: number
  readonly dnatPort?: number
  /** Position, offset before, offset after: of the original direction, then of the reply. */
  readonly seqAdj?: ReadonlyArray<number>
  readonly helper?: string
  /** Words of 32 bits. */
  readonly labels?: ReadonlyArray<number>
  /** its, isn, tsoff. */
  readonly synproxy?: ReadonlyArray<number>
  readonly zone?: number
}

/** An expectation as the wire carries it. */
export interface ReferenceExpectation {
  readonly masterAddresses?: Addresses
  readonly masterProtocol?: number
  readonly masterPorts?: Ports
  readonly expectAddresses?: Addresses
  readonly expectProtocol?: number
  readonly expectPorts?: Ports
  readonly maskAddresses?: Addresses
  readonly maskProtocol?: number
  readonly maskPorts?: Ports
  readonly timeout?: number
  readonly flags?: number
  readonly class?: number
  readonly natAddresses?: Addresses
  readonly natProtocol?: number
  readonly natPorts?: Ports
  readonly natDirection?: number
  readonly helper?: string
  readonly function?: string
}

/** One message. `from` and `to` are there with ACK, NACK and RESYNC. */
export interface ReferenceMessage {
  readonly type: MessageType
  readonly flags: number
  readonly sequence: number
  readonly from?: number
  readonly to?: number
  readonly flow?: ReferenceFlow
  readonly expectation?: ReferenceExpectation
}

// ---------------------------------------------------------------------------------- values

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
const bytesOf = (hex: string): Array<number> =>
  (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16))
/** Up to 32 bits, unsigned. */
const numberOf = (bytes: Uint8Array): number => {
  let value = 0
  for (const byte of bytes) value = value * 256 + byte
  return value
}
const big = (value: number, width: number): Array<number> => {
  const out: Array<number> = []
  for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) out.push((value >>> shift) & 0xff)
  return out
}

interface Codec<T> {
  /** Bytes of the value; `max`: any number up to it. */
  readonly size: number | { readonly max: number }
  /** Undefined: as if the attribute were not there. */
  readonly get: (bytes: Uint8Array) => T | undefined
  /** Undefined: another attribute carries this value. */
  readonly put: (value: T) => ReadonlyArray<number> | undefined
}

const integer = (width: number): Codec<number> => ({
  size: width,
  get: numberOf,
  put: (value) => big(value, width)
})
const littleEndian16: Codec<number> = {
  size: 2,
  get: (bytes) => bytes[0]! + 256 * bytes[1]!,
  put: (value) => big(value, 2).toReversed()
}
const address = (width: number): Codec<string> => ({
  size: width,
  get: hexOf,
  put: (value) => value.length === 2 * width ? bytesOf(value) : undefined
})
const addresses = (width: number): Codec<Addresses> => ({
  size: 2 * width,
  get: (bytes) => ({
    source: hexOf(bytes.subarray(0, width)),
    destination: hexOf(bytes.subarray(width))
  }),
  put: ({ destination, source }) =>
    source.length === 2 * width ? bytesOf(source + destination) : undefined
})
const ports: Codec<Ports> = {
  size: 4,
  get: (bytes) => ({
    source: numberOf(bytes.subarray(0, 2)),
    destination: numberOf(bytes.subarray(2))
  }),
  put: ({ destination, source }) => [...big(source, 2), ...big(destination, 2)]
}
const wordsOf = (bytes: Uint8Array): Array<number> =>
  Array.from({ length: bytes.length / 4 }, (_, i) => numberOf(bytes.subarray(4 * i, 4 * i + 4)))
const words = (count: number): Codec<ReadonlyArray<number>> => ({
  size: 4 * count,
  get: wordsOf,
  put: (values) => values.flatMap((value) => big(value, 4))
})
const labels: Codec<ReadonlyArray<number>> = {
  size: { max: 1_024 },
  get: (bytes) => bytes.length === 0 || bytes.length % 4 !== 0 ? undefined : wordsOf(bytes),
  put: (values) => values.flatMap((value) => big(value, 4))
}
const text = (max: number): Codec<string> => ({
  size: { max },
  get: (bytes) => {
    const end = bytes.indexOf(0)
    return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)))
  },
  put: (value) => [...Array.from(value, (letter) => letter.charCodeAt(0)), 0]
})

// ------------------------------------------------------------------------------ attributes

interface Attribute {
  readonly id: number
  readonly field: string
  readonly codec: Codec<unknown>
}

const attribute = <F>() =>
<K extends keyof F & string>(
  id: number,
  field: K,
  codec: Codec<NonNullable<F[K]>>
): Attribute => ({ id, field, codec: codec as unknown as Codec<unknown> })

const ct = attribute<ReferenceFlow>()
const exp = attribute<ReferenceExpectation>()

/** In the order of sending. */
const flowAttributes: ReadonlyArray<Attribute> = [
  ct(0, "addresses", addresses(4)),
  ct(1, "addresses", addresses(16)),
  ct(5, "status", integer(4)),
  ct(2, "protocol", integer(1)),
  ct(3, "ports", ports),
  ct(4, "tcpState", integer(1)),
  ct(25, "tcpScaleOriginal", integer(1)),
  ct(26, "tcpScaleReply", integer(1)),
  ct(17, "sctpState", integer(1)),
  ct(18, "sctpTagOriginal", integer(4)),
  ct(19, "sctpTagReply", integer(4)),
  ct(20, "dccpState", integer(1)),
  ct(21, "dccpRole", integer(1)),
  ct(22, "icmpType", integer(1)),
  ct(23, "icmpCode", integer(1)),
  ct(24, "icmpId", littleEndian16),
  ct(6, "timeout", integer(4)),
  ct(7, "mark", integer(4)),
  ct(8, "masterAddresses", addresses(4)),
  ct(9, "masterAddresses", addresses(16)),
  ct(10, "masterProtocol", integer(1)),
  ct(11, "masterPorts", ports),
  ct(12, "snatAddress", address(4)),
  ct(29, "snatAddress", address(16)),
  ct(13, "dnatAddress", address(4)),
  ct(30, "dnatAddress", address(16)),
  ct(14, "snatPort", littleEndian16),
  ct(15, "dnatPort", littleEndian16),
  ct(16, "seqAdj", words(6)),
  ct(27, "helper", text(12)),
  ct(28, "labels", labels),
  ct(31, "synproxy", words(3)),
  ct(32, "zone", integer(2))
]

const expectationAttributes: ReadonlyArray<Attribute> = [
  exp(0, "masterAddresses", addresses(4)),
  exp(1, "masterAddresses", addresses(16)),
  exp(2, "masterProtocol", integer(1)),
  exp(3, "masterPorts", ports),
  exp(4, "expectAddresses", addresses(4)),
  exp(5, "expectAddresses", addresses(16)),
  exp(6, "expectProtocol", integer(1)),
  exp(7, "expectPorts", ports),
  exp(8, "maskAddresses", addresses(4)),
  exp(9, "maskAddresses", addresses(16)),
  exp(10, "maskProtocol", integer(1)),
  exp(11, "maskPorts", ports),
  exp(12, "timeout", integer(4)),
  exp(13, "flags", integer(4)),
  exp(14, "class", integer(4)),
  exp(15, "natAddresses", addresses(4)),
  exp(17, "natProtocol", integer(1)),
  exp(16, "natPorts", ports),
  exp(18, "natDirection", integer(4)),
  exp(19, "helper", text(12)),
  exp(20, "function", text(28))
]

const byId = (table: ReadonlyArray<Attribute>) => new Map(table.map((row) => [row.id, row]))
const flowAttributesById = byId(flowAttributes)
const expectationAttributesById = byId(expectationAttributes)

/** What a careful sender keeps to, and a receiver does not ask for. */
type Care = "careful" | "tolerant"

const parseAttributes = (
  body: Uint8Array,
  table: ReadonlyMap<number, Attribute>,
  care: Care
): Record<string, unknown> => {
  const fields: Record<string, unknown> = {}
  const seen = new Set<number>()
  let at = 0
  while (body.length - at > 4) {
    const length = numberOf(body.subarray(at, at + 2))
    const id = numberOf(body.subarray(at + 2, at + 4))
    const where = `attribute ${id} at body offset ${at}`
    if (length > body.length - at) throw new BadWire(`${where}: length ${length} is beyond the end`)
    if (length < 4) throw new BadWire(`${where}: length ${length} is less than its header`)
    const known = table.get(id)
    if (known === undefined) throw new BadWire(`${where}: unknown identifier`)
    const { codec: { get, size }, field } = known
    const bytes = body.subarray(at + 4, at + length)
    if (typeof size === "number" ? bytes.length !== size : bytes.length > size.max) {
      throw new BadWire(`${where}: ${bytes.length} bytes do not fit ${field}`)
    }
    const value = get(bytes)
    if (value !== undefined) fields[field] = value
    const next = at + ((length + 3) & ~3)
    if (care === "careful") {
      if (seen.has(id)) throw new BadWire(`${where}: it is there twice`)
      if (next > body.length) throw new BadWire(`${where}: it is not padded`)
      if (body.subarray(at + length, next).some((byte) => byte !== 0)) {
        throw new BadWire(`${where}: the padding is not zero`)
      }
      if (value === undefined) throw new BadWire(`${where}: receivers ignore this ${field}`)
      seen.add(id)
    }
    at = next
  }
  if (care === "careful" && at !== body.length) {
    throw new BadWire(`${body.length - at} stray bytes after the last attribute`)
  }
  return fields
}

const putAttributes = (fields: object, table: ReadonlyArray<Attribute>): Array<number> => {
  const out: Array<number> = []
  for (const { codec, field, id } of table) {
    const value = (fields as Record<string, unknown>)[field]
    const bytes = value === undefined ? undefined : codec.put(value)
    if (bytes === undefined) continue
    out.push(...big(bytes.length + 4, 2), ...big(id, 2), ...bytes)
    while (out.length % 4 !== 0) out.push(0)
  }
  return out
}

// -------------------------------------------------------------------------------- messages

/** A message of which only the header was looked at. */
export interface Frame {
  readonly version: number
  /** The low nibble. */
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly from: number
  readonly to: number
  /** What follows the header, and the range if there is one. */
  readonly body: Uint8Array
}

export interface Frames {
  readonly frames: ReadonlyArray<Frame>
  /** Why the rest of the datagram was dropped. */
  readonly fault: "truncated" | "bad size" | undefined
}

const rangeFlags = Flag.ack | Flag.nack | Flag.resync
const hasRange = (type: number, flags: number) => type === controlType && (flags & rangeFlags) !== 0

export const isControl = ({ type }: Frame): boolean => type === controlType

/** Cuts a datagram into messages, as a receiver does: what is in order before a fault counts. */
export const splitDatagram = (bytes: Uint8Array): Frames => {
  const frames: Array<Frame> = []
  let at = 0
  while (at < bytes.length) {
    const left = bytes.length - at
    if (left < 8) return { frames, fault: "truncated" }
    const type = bytes[at]! & 0xf
    const flags = bytes[at + 1]!
    const length = numberOf(bytes.subarray(at + 2, at + 4))
    if (length === 0 || length > left) return { frames, fault: "bad size" }
    const isRanged = hasRange(type, flags)
    const headerBytes = isRanged ? 16 : 8
    if (left < headerBytes) return { frames, fault: "truncated" }
    if (length < headerBytes) return { frames, fault: "bad size" }
    frames.push({
      version: bytes[at]! >> 4,
      type,
      flags,
      sequence: numberOf(bytes.subarray(at + 4, at + 8)),
      from: isRanged ? numberOf(bytes.subarray(at + 8, at + 12)) : 0,
      to: isRanged ? numberOf(bytes.subarray(at + 12, at + 16)) : 0,
      body: bytes.subarray(at + headerBytes, at + length)
    })
    at += length
  }
  return { frames, fault: undefined }
}

/** Throws `BadWire`. */
export const parseFlow = (body: Uint8Array, care: Care = "tolerant"): ReferenceFlow =>
  parseAttributes(body, flowAttributesById, care) as ReferenceFlow

/** Throws `BadWire`. */
export const parseExpectation = (
  body: Uint8Array,
  care: Care = "tolerant"
): ReferenceExpectation =>
  parseAttributes(body, expectationAttributesById, care) as ReferenceExpectation

const knownFlags = Flag.hello | Flag.helloBack

const messageOf = (frame: Frame): ReferenceMessage => {
  const { body, flags, from, sequence, to, type, version } = frame
  if (version !== 1) throw new BadWire(`protocol version ${version}`)
  const kind = flags & ~knownFlags
  if (isControl(frame)) {
    if (![Flag.ack, Flag.nack, Flag.resync, Flag.alive].some((flag) => flag === kind)) {
      throw new BadWire(`control message with flags 0x${flags.toString(16)}`)
    }
    if (body.length > 0) throw new BadWire(`control message with ${body.length} bytes too many`)
    if (kind === Flag.alive) return { type: "CTL", flags, sequence }
    if (((to - from) | 0) < 0) throw new BadWire(`range ${from} to ${to} is reversed`)
    return { type: "CTL", flags, sequence, from, to }
  }
  const name = messageTypes[type]
  if (name === undefined) throw new BadWire(`message type ${type}`)
  if (kind !== 0) throw new BadWire(`${name} with flags 0x${flags.toString(16)}`)
  return type < 3
    ? { type: name, flags, sequence, flow: parseFlow(body, "careful") }
    : { type: name, flags, sequence, expectation: parseExpectation(body, "careful") }
}

/**
 * The messages of a datagram, if every byte of it is what a careful FTFW sender may write.
 *
 * Throws `BadWire`, which says what is wrong in which message.
 */
export const decodeDatagram = (bytes: Uint8Array): ReadonlyArray<ReferenceMessage> => {
  const { fault, frames } = splitDatagram(bytes)
  const messages = frames.map((frame, i) => {
    try {
      return messageOf(frame)
    } catch (reason) {
      if (!(reason instanceof BadWire)) throw reason
      throw new BadWire(`message ${i} (number ${frame.sequence}): ${reason.message}`)
    }
  })
  if (fault !== undefined) throw new BadWire(`message ${frames.length}: ${fault}`)
  return messages
}

export const encodeMessage = (message: ReferenceMessage): Uint8Array => {
  const { expectation, flags, flow, from = 0, sequence, to = 0, type } = message
  const number = type === "CTL" ? controlType : messageTypes.indexOf(type)
  const body = hasRange(number, flags) ? [...big(from, 4), ...big(to, 4)] : [
    ...putAttributes(flow ?? {}, flowAttributes),
    ...putAttributes(expectation ?? {}, expectationAttributes)
  ]
  const length = 8 + body.length
  return Uint8Array.from([0x10 | number, flags, ...big(length, 2), ...big(sequence, 4), ...body])
}

/** Datagrams of less than `limitBytes` bytes each; a message that is larger is sent alone. */
export const packMessages = (
  messages: ReadonlyArray<Uint8Array>,
  limitBytes: number
): ReadonlyArray<Uint8Array> => {
  const datagrams: Array<Array<Uint8Array>> = []
  let used = limitBytes
  for (const message of messages) {
    if (used + message.length < limitBytes) {
      datagrams.at(-1)!.push(message)
      used += message.length
    } else {
      datagrams.push([message])
      used = message.length
    }
  }
  return datagrams.map((parts) => {
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
    let at = 0
    for (const part of parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  })
}
