/**
 * Writes netlink messages as a kernel does. Independent of the codec under test: bytes one by one.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1.
 */

/** Bytes of a value: big-endian, `width` bytes. */
export const bigEndian = (value: number | bigint, width: number): Array<number> => {
  const out: Array<number> = []
  if (typeof value === "number" && width <= 4) {
    for (let shift = 8 * width - 8; shift >= 0; shift -= 8) out.push((value >>> shift) & 0xff)
    return out
  }
  const rest = BigInt.asUintN(64, BigInt(value))
  for (let shift = 8 * width - 8; shift >= 0; shift -= 8) {
    out.push(Number((rest >> BigInt(shift)) & 0xffn))
  }
  return out
}

/** Little-endian: what "host order" means on the machines that we run on. Up to 4 bytes. */
export const hostOrder = (value: number, width: number): Array<number> => {
  const out: Array<number> = []
  for (let shift = 0; shift < 8 * width; shift += 8) out.push((value >>> shift) & 0xff)
  return out
}

/** One attribute with its padding. */
export const attribute = (type: number, value: ReadonlyArray<number>): Array<number> => {
  const length = value.length + 4
  const out = [length & 0xff, length >> 8, type & 0xff, type >> 8]
  for (let i = 0; i < value.length; i++) out.push(value[i]!)
  while ((out.length & 3) !== 0) out.push(0)
  return out
}

export const u8 = (type: number, value: number) => attribute(type, [value & 0xff])
export const u16 = (type: number, value: number) => attribute(type, bigEndian(value, 2))
export const u32 = (type: number, value: number) => attribute(type, bigEndian(value, 4))
export const u64 = (type: number, value: bigint) => attribute(type, bigEndian(value, 8))
export const text = (type: number, value: string) =>
  attribute(type, [...Array.from(value, (letter) => letter.charCodeAt(0)), 0])

/** A nest: kernels since 5.2 set bit 15. */
export const nest = (type: number, ...children: ReadonlyArray<ReadonlyArray<number>>) => {
  const value: Array<number> = []
  for (let i = 0; i < children.length; i++) {
    const child = children[i]!
    for (let j = 0; j < child.length; j++) value.push(child[j]!)
  }
  return attribute(type | 0x8000, value)
}

export interface NlmsgFields {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly pid: number
}

const headerBytes = 16

const putWord = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value & 0xff
  bytes[at + 1] = (value >>> 8) & 0xff
  bytes[at + 2] = (value >>> 16) & 0xff
  bytes[at + 3] = value >>> 24
}

/** The header, and room for what follows it. */
const messageOf = ({ flags, pid, seq, type }: NlmsgFields, length: number): Uint8Array => {
  const bytes = new Uint8Array((length + 3) & ~3)
  putWord(bytes, 0, length)
  putWord(bytes, 4, type | (flags << 16))
  putWord(bytes, 8, seq)
  putWord(bytes, 12, pid)
  return bytes
}

/** A message with any body, padded. */
export const nlmsg = (fields: NlmsgFields, body: ReadonlyArray<number>): Uint8Array => {
  const bytes = messageOf(fields, headerBytes + body.length)
  bytes.set(body, headerBytes)
  return bytes
}

/** A netfilter message. */
export const nfmsg = (
  fields: NlmsgFields,
  family: number,
  attributes: ArrayLike<number>
): Uint8Array => {
  const bytes = messageOf(fields, headerBytes + 4 + attributes.length)
  bytes[headerBytes] = family
  bytes.set(attributes, headerBytes + 4)
  return bytes
}
