/**
 * Requests about expectations as raw bytes: also those that no sane program sends.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6.
 */
import { attribute, bigEndian, nest, text, u16, u32 } from "../sim/kernel/NetlinkWriter.ts"
import type { Attribute, Header, Tuple } from "./Requests.ts"
import { create, familyOf, Flag, helper, isV6, request, tcp, tupleNest, udp } from "./Requests.ts"

export const ExpectType = { new: 0x0200, get: 0x0201, delete: 0x0202, stats: 0x0203 } as const

/** A control connection, and the request that makes it, with its helper. */
export const ftpMaster = tcp(1000, 21)
export const sipMaster = udp(1001, 5060)
export const plainMaster = tcp(1002, 21)
export const withHelper = (tuple: Tuple, name: string, ...more: ReadonlyArray<Attribute>) =>
  create(tuple, helper(name), ...more)
export const createFtp = withHelper(ftpMaster, "ftp")
export const createSip = withHelper(sipMaster, "sip")

/** What is expected: from the client to this port of the server; any source port. */
export const data = (dport: number, l4 = 6): Tuple => ({ ...tcp(0, dport), l4 })

export const fullMask: Tuple = {
  src: "255.255.255.255",
  dst: "255.255.255.255",
  l4: 6,
  sport: 0,
  dport: 0xffff
}
const fullMask6: Tuple = {
  ...fullMask,
  src: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  dst: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
}

export const masterAttribute = (tuple: Tuple) => tupleNest(1, tuple)
export const tupleAttribute = (tuple: Tuple) => tupleNest(2, tuple)
export const maskAttribute = (mask: Tuple) => tupleNest(3, mask)
export const timeoutAttribute = (seconds: number) => u32(4, seconds)
export const idAttribute = (value: number | Uint8Array) =>
  attribute(5, typeof value === "number" ? bigEndian(value, 4) : [...value])
export const helpName = (name: string) => text(6, name)
export const zoneAttribute = (value: number) => u16(7, value)
export const flagsAttribute = (bits: number) => u32(8, bits)
export const classAttribute = (number: number) => u32(9, number)
export const natAttribute = (direction: number | undefined, tuple: Tuple | undefined) =>
  nest(
    10,
    direction === undefined ? [] : u32(1, direction),
    tuple === undefined ? [] : tupleNest(2, tuple)
  )
export const fnAttribute = (name: string) => text(11, name)

/** A request about expectations with these attributes alone. */
export const expectRequest = (
  type: number,
  flags: number,
  attributes: ReadonlyArray<Attribute>,
  header?: Header
): Uint8Array => request(type, flags, attributes, header)

export interface Wanted {
  readonly master?: Tuple
  readonly mask?: Tuple
  readonly flags?: number
}

/** MASTER, TUPLE, MASK and more, acknowledged; CREATE and EXCL. */
export const expect = (
  tuple: Tuple,
  wanted: Wanted = {},
  ...more: ReadonlyArray<Attribute>
): Uint8Array => {
  const { flags = Flag.create | Flag.excl, mask, master = ftpMaster } = wanted
  const full = isV6(tuple) ? fullMask6 : fullMask
  return expectRequest(ExpectType.new, flags | Flag.ack, [
    masterAttribute(master),
    tupleAttribute(tuple),
    maskAttribute(mask ?? { ...full, l4: tuple.l4 }),
    ...more
  ], { family: familyOf(tuple) })
}

/** Of the sip helper: the class of media. */
export const expectMedia = (dport: number, mask?: Tuple, source?: Partial<Tuple>): Uint8Array =>
  expect(
    { ...data(dport, 17), ...source },
    { master: sipMaster, ...(mask === undefined ? {} : { mask }) },
    classAttribute(1)
  )

/** A get by tuple, not acknowledged. */
export const getExpected = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  expectRequest(ExpectType.get, 0, [tupleAttribute(tuple), ...more])

/** A deletion by tuple, acknowledged. */
export const removeExpected = (tuple: Tuple, ...more: ReadonlyArray<Attribute>): Uint8Array =>
  expectRequest(ExpectType.delete, Flag.ack, [tupleAttribute(tuple), ...more])

/** A deletion of all, or of those that the attributes say, acknowledged. */
export const flushExpected = (header: Header, ...attributes: ReadonlyArray<Attribute>) =>
  expectRequest(ExpectType.delete, Flag.ack, attributes, header)

export const dumpExpected = (header: Header, ...attributes: ReadonlyArray<Attribute>) =>
  expectRequest(ExpectType.get, Flag.dump, attributes, header)
