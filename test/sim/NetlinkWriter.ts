/**
 * Writes netlink messages as a kernel does. Independent of the codec under test: bytes one by one.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1.
 */

/** Bytes of a value: big-endian, `width` bytes. */
export const bigEndian = (value: number | bigint, width: number): Array<number> => {
  const out: Array<number> = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (let i = 0; i < width; i++) {
    out.unshift(Number(rest & 0xffn))
    rest >>= 8n
  }
  return out
}

/** Little-endian: what "host order" means on the machines that we run on. */
export const hostOrder = (value: number, width: number): Array<number> =>
  bigEndian(value, width).toReversed()

/** One attribute with its padding. */
export const attribute = (type: number, value: ReadonlyArray<number>): Array<number> => {
  const out = [...hostOrder(value.length + 4, 2), ...hostOrder(type, 2), ...value]
  while (out.length % 4 !== 0) out.push(0)
  return out
}

export const u8 = (type: number, value: number) => attribute(type, [value & 0xff])
export const u16 = (type: number, value: number) => attribute(type, bigEndian(value, 2))
export const u32 = (type: number, value: number) => attribute(type, bigEndian(value, 4))
export const u64 = (type: number, value: bigint) => attribute(type, bigEndian(value, 8))
export const text = (type: number, value: string) =>
  attribute(type, [...Array.from(value, (letter) => letter.charCodeAt(0)), 0])

/** A nest: kernels since 5.2 set bit 15. */
export const nest = (type: number, ...children: ReadonlyArray<ReadonlyArray<number>>) =>
  attribute(type | 0x8000, children.flat())

export interface NlmsgFields {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly pid: number
}

/** A message with any body, padded. */
export const nlmsg = (fields: NlmsgFields, body: ReadonlyArray<number>): Uint8Array => {
  const out = [
    ...hostOrder(16 + body.length, 4),
    ...hostOrder(fields.type, 2),
    ...hostOrder(fields.flags, 2),
    ...hostOrder(fields.seq, 4),
    ...hostOrder(fields.pid, 4),
    ...body
  ]
  while (out.length % 4 !== 0) out.push(0)
  return Uint8Array.from(out)
}

/** A netfilter message. */
export const nfmsg = (
  fields: NlmsgFields,
  family: number,
  attributes: ReadonlyArray<number>
): Uint8Array => nlmsg(fields, [family, 0, 0, 0, ...attributes])
