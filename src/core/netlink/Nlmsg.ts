/**
 * Hot. Netlink messages: their header, and a cursor that walks the messages of a datagram in place.
 *
 * ```text
 *  0 - 3   length, header included, padding not      host order, as everything in the header
 *  4 - 5   type: subsystem << 8 | message            below 16: the protocol's own messages
 *  6 - 7   flags
 *  8 - 11  sequence number
 * 12 - 15  port id of the socket that caused the message, 0 for none
 * ```
 *
 * A netfilter message goes on with four bytes (family, version, big-endian resource id), then
 * attributes. Messages begin on multiples of four, so buffers are read as 32-bit words; positions
 * are bytes throughout.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1.
 */
import { Fault } from "../model/Fault.ts"

/** Netlink protocols: what a socket is opened for. */
export const NetlinkProtocol = { route: 0, netfilter: 12 } as const

export const nlmsgHeaderBytes = 16
/** Header and the four bytes that every netfilter message has. */
export const nfHeaderBytes = 20

/** Message types below 16 mean the same for all netlink protocols. */
export const NlmsgType = { noop: 1, error: 2, done: 3, overrun: 4 } as const

export const Subsystem = {
  conntrack: 1,
  expectation: 2,
  queue: 3,
  timeout: 8,
  helper: 9
} as const

/** Complete types (subsystem and message) of what is sent and received about flows. */
export const CtType = {
  new: 0x0100,
  get: 0x0101,
  delete: 0x0102,
  getZeroing: 0x0103,
  getStatsCpu: 0x0104,
  getStats: 0x0105,
  getDying: 0x0106,
  getUnconfirmed: 0x0107
} as const

export const ExpType = { new: 0x0200, get: 0x0201, delete: 0x0202, getStatsCpu: 0x0203 } as const

/** Multicast groups of the netfilter protocol. */
export const Group = {
  ctNew: 1,
  ctUpdate: 2,
  ctDestroy: 3,
  expNew: 4,
  expUpdate: 5,
  expDestroy: 6
} as const

export const Flag = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  echo: 0x8,
  /** On answers: the table changed while it was dumped. ctnetlink never says so. */
  dumpInterrupted: 0x10,
  dumpFiltered: 0x20,
  /** On requests that get. */
  dump: 0x300,
  /** On requests that create. */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400
} as const

/** Socket options of `SOL_NETLINK`. */
export const solNetlink = 270
export const NetlinkOption = {
  broadcastError: 4,
  noEnobufs: 5,
  capAck: 10,
  extAck: 11
} as const

/**
 * Walks messages. One object, reused: `reset`, then `next` until it returns false; then `fault`
 * says whether the datagram was malformed. What was read before a fault is sound.
 */
export class NlmsgCursor {
  type = 0
  flags = 0
  /** Of the message; an answer carries that of its request, an event 0. */
  seq = 0
  pid = 0
  /** Where the message begins, where its body begins, and where it ends. */
  at = 0
  bodyAt = 0
  end = 0
  /** Positive errno of an error or done message, 0 for success (an acknowledgement). */
  errno = 0
  /** Sequence number of the request that an error message answers. */
  requestSeq = 0
  fault: Fault = Fault.none
  #words: Int32Array = new Int32Array(0)
  #next = 0
  #limit = 0

  /** Begins a datagram: `words` holds the bytes `at` (a multiple of four) to `end`. */
  reset(words: Int32Array, at: number, end: number): void {
    this.#words = words
    this.#next = at
    this.#limit = end
    this.fault = Fault.none
  }

  /** Moves to the next message; false at the end, or when the rest is malformed. */
  next(): boolean {
    const at = this.#next
    const left = this.#limit - at
    if (left <= 0) return false
    if (left < nlmsgHeaderBytes) return this.#refuse(Fault.truncated)
    const words = this.#words
    const word = at >> 2
    const length = words[word]! >>> 0
    if (length < nlmsgHeaderBytes || length > left) return this.#refuse(Fault.badSize)
    const kind = words[word + 1]!
    this.type = kind & 0xffff
    this.flags = kind >>> 16
    this.seq = words[word + 2]! >>> 0
    this.pid = words[word + 3]! >>> 0
    this.at = at
    this.bodyAt = at + nlmsgHeaderBytes
    this.end = at + length
    this.errno = 0
    this.requestSeq = 0
    if (this.type === NlmsgType.error) {
      if (length < nlmsgHeaderBytes + 4 + nlmsgHeaderBytes) return this.#refuse(Fault.truncated)
      this.errno = -words[word + 4]! | 0
      this.requestSeq = words[word + 7]! >>> 0
    } else if (this.type === NlmsgType.done && length >= nlmsgHeaderBytes + 4) {
      this.errno = -words[word + 4]! | 0
    }
    this.#next = at + ((length + 3) & ~3)
    return true
  }

  #refuse(fault: Fault): boolean {
    this.fault = fault
    this.#next = this.#limit
    return false
  }
}

/**
 * Writes the header of a netfilter message at byte `at`; returns the position of its attributes.
 * The length is written by `finishMessage`.
 */
export const beginMessage = (
  words: Int32Array,
  at: number,
  type: number,
  flags: number,
  seq: number,
  family: number,
  version = 0
): number => {
  const word = at >> 2
  words[word + 1] = type | (flags << 16)
  words[word + 2] = seq
  words[word + 3] = 0
  words[word + 4] = family | (version << 8)
  return at + nfHeaderBytes
}

/** Writes the length of the message that begins at `at`; returns its end. */
export const finishMessage = (words: Int32Array, at: number, end: number): number => {
  words[at >> 2] = end - at
  return end
}
