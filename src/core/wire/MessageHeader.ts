/**
 * Hot. The 8-byte header of a sync message, and the 8 bytes of range that ACK, NACK and RESYNC add.
 *
 * ```text
 *  0       version (high nibble), type (low nibble)
 *  1       flags
 *  2 - 3   length of the whole message, big-endian
 *  4 - 7   sequence number, big-endian
 *  8 - 11  from, 12 - 15  to            (control messages with ACK, NACK or RESYNC only)
 * ```
 *
 * Decoding checks sizes only. The version is read but not judged: a message of another version is
 * counted and skipped by its length, so the reader compares `header.version` with `version` after
 * `Fault.none` and goes on behind the message.
 *
 * Source: specification, "The replication protocol", sections 2 to 6, 11 and 12.1.
 */
import { Fault } from "../model/Fault.ts"

/** The only version there is. */
export const version = 1

/** Bytes of a header without range. */
export const headerBytes = 8

/** Bytes of a control message that carries a range. */
export const rangedBytes = 16

/** Low nibble of the first byte. 6 to 9 and 11 to 15 are unassigned. */
export const MessageType = {
  flowNew: 0,
  flowUpdate: 1,
  flowDestroy: 2,
  expectNew: 3,
  expectUpdate: 4,
  expectDestroy: 5,
  control: 10
} as const
export type MessageType = (typeof MessageType)[keyof typeof MessageType]

/** Bits of the second byte. 0x01 and 0x80 are never sent. */
export const Flag = {
  resync: 0x02,
  nack: 0x04,
  ack: 0x08,
  alive: 0x10,
  hello: 0x20,
  helloBack: 0x40
} as const
export type Flag = (typeof Flag)[keyof typeof Flag]

/** Flags that any message may carry. */
export const helloFlags = Flag.hello | Flag.helloBack

/** Flags of a control message that is followed by a range. */
export const rangeFlags = Flag.ack | Flag.nack | Flag.resync

/** One object, reused by the caller. */
export interface MessageHeader {
  version: number
  type: number
  flags: number
  /** Bytes of the whole message, header and padding included. */
  length: number
  seq: number
  /** Range of a control message with ACK, NACK or RESYNC; zero otherwise. Inclusive. */
  ackFrom: number
  ackTo: number
}

export const emptyHeader = (): MessageHeader => ({
  version: 0,
  type: 0,
  flags: 0,
  length: 0,
  seq: 0,
  ackFrom: 0,
  ackTo: 0
})

const readWord = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

const writeWord = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** `short` answers too few bytes for a header, `long` a message longer than what is there. */
const decode = (
  bytes: Uint8Array,
  at: number,
  end: number,
  header: MessageHeader,
  short: Fault,
  long: Fault
): Fault => {
  const left = end - at
  if (left < headerBytes) return short
  const length = (bytes[at + 2]! << 8) | bytes[at + 3]!
  if (length === 0) return Fault.badSize
  if (length > left) return long
  const type = bytes[at]! & 0x0f
  const flags = bytes[at + 1]!
  if (type === MessageType.control && (flags & rangeFlags) !== 0) {
    if (left < rangedBytes) return short
    if (length < rangedBytes) return Fault.badSize
    header.ackFrom = readWord(bytes, at + 8)
    header.ackTo = readWord(bytes, at + 12)
  } else {
    if (length < headerBytes) return Fault.badSize
    header.ackFrom = 0
    header.ackTo = 0
  }
  header.version = bytes[at]! >>> 4
  header.type = type
  header.flags = flags
  header.length = length
  header.seq = readWord(bytes, at + 4)
  return Fault.none
}

/**
 * Reads the header at `at` of a datagram into `header`. After `none` the message is whole:
 * `bytes[at, at + header.length)`. After `truncated` or `badSize` the rest of the datagram is lost.
 */
export const decodeHeader = (
  bytes: Uint8Array,
  at: number,
  end: number,
  header: MessageHeader
): Fault => decode(bytes, at, end, header, Fault.truncated, Fault.badSize)

/** The same for a stream, where missing bytes may follow: `incomplete`, `badSize` or `none`. */
export const decodeStreamHeader = (
  bytes: Uint8Array,
  at: number,
  end: number,
  header: MessageHeader
): Fault => decode(bytes, at, end, header, Fault.incomplete, Fault.incomplete)

/** Writes a header; returns the offset behind it. `length` counts the whole message. */
export const writeHeader = (
  bytes: Uint8Array,
  at: number,
  type: number,
  flags: number,
  length: number,
  seq: number
): number => {
  bytes[at] = (version << 4) | type
  bytes[at + 1] = flags
  bytes[at + 2] = length >>> 8
  bytes[at + 3] = length
  writeWord(bytes, at + 4, seq)
  return at + headerBytes
}

/** Writes the range behind a header; returns the offset behind it. */
export const writeAck = (bytes: Uint8Array, at: number, from: number, to: number): number => {
  writeWord(bytes, at, from)
  writeWord(bytes, at + 4, to)
  return at + rangedBytes - headerBytes
}

/** Writes a whole control message, with a range when its flags ask for one; returns its end. */
export const writeControl = (
  bytes: Uint8Array,
  at: number,
  flags: number,
  seq: number,
  from: number,
  to: number
): number => {
  const ranged = (flags & rangeFlags) !== 0
  const length = ranged ? rangedBytes : headerBytes
  const end = writeHeader(bytes, at, MessageType.control, flags, length, seq)
  return ranged ? writeAck(bytes, end, from, to) : end
}
