/**
 * Where every field of a flow record lies. The only module that knows it.
 *
 * A record has three stored parts, each a whole number of 32-bit words: the **base** that every
 * flow has, the **address** part (the rest of four IPv6 addresses, only flows that need it) and the
 * **rare** part (labels, helper, sequence adjustment, SYNPROXY, master, start time; only flows that
 * carry a non-zero one). A scratch record has a fourth, the **detail** part: what the kernel
 * reports and no cache keeps (counters, use, security context, masks).
 *
 * Values keep network byte order, so that decoding and encoding are copies; exceptions are named
 * below. Which fields are known is told by two words of presence bits at the start of the base. A
 * part that a flow does not have reads as zeros: a present field whose value is zero needs no
 * storage.
 *
 * The machine is little-endian (x86-64, arm64); `assertLittleEndian` says so once, at start.
 */
import { assert } from "../assert.ts"

/** Words of the base part, by index. */
export const Base = {
  /** Presence bits of the base and address fields (`Has`). */
  present: 0,
  /** Presence bits of the rare and detail fields (`HasRare`). */
  presentRare: 1,
  /**
   * Bytes: layer-3 protocol (2 IPv4, 10 IPv6), layer-4 protocol, TCP/SCTP/DCCP state, DCCP role.
   */
  protocols: 2,
  /** Bytes 0–1: zone of the original tuple; byte 2, 3: TCP window scale original, reply. */
  zone: 3,
  /** IPv4 address, or the first word of the IPv6 address. */
  originalSource: 4,
  originalDestination: 5,
  /** For a flow learned from a peer: the address that destination NAT translates to. */
  replySource: 6,
  /** For a flow learned from a peer: the address that source NAT translates to. */
  replyDestination: 7,
  /** Bytes 0–1 source port, 2–3 destination port; ICMP: identifier, type, code; GRE: the keys. */
  originalPorts: 8,
  /** As above. For a flow learned from a peer: bytes 0–1 the DNAT port, 2–3 the SNAT port. */
  replyPorts: 9,
  status: 10,
  timeoutSeconds: 11,
  mark: 12,
  id: 13,
  sctpTagOriginal: 14,
  sctpTagReply: 15,
  /** Bytes: TCP flags original, their mask, flags reply, their mask. */
  tcpFlags: 16,
  /** Bytes 0–1: zone of the reply tuple alone. */
  replyZone: 17,
  /** Table's own, host order: hash of the key (free slots: the next free slot). */
  hash: 18,
  /** Table's own: slot of the address part plus one, 0 for none. */
  addressSlot: 19,
  /** Table's own: slot of the rare part plus one, 0 for none. */
  rareSlot: 20,
  /** Cache's own: `Life` bits. */
  life: 21,
  /** Cache's own: monotonic second of the entry's creation. */
  createdSeconds: 22,
  /** Cache's own: monotonic second of its last add or update. */
  updatedSeconds: 23
} as const
export const baseWords = 24

/** Words of the address part: words 1 to 3 of each IPv6 address. */
export const Address = {
  originalSource: 0,
  originalDestination: 3,
  replySource: 6,
  replyDestination: 9
} as const
export const addressWords = 12

/** Words of the rare part. */
export const Rare = {
  /** The kernel's native bitmap: bit n is bit n % 8 of byte n / 8. Four words. */
  labels: 0,
  /**
   * Bytes: number of label words known (0 to 4), master's layer-3 protocol, master's layer-4
   * protocol, unused.
   */
  misc: 4,
  /** NUL-padded name, at most 15 characters. Four words. */
  helperName: 5,
  /** Correction position, offset before, offset after: original direction, then reply. */
  seqAdjOriginal: 9,
  seqAdjReply: 12,
  /** Initial sequence number, initial timestamp, timestamp offset. */
  synproxyIsn: 15,
  synproxyIts: 16,
  synproxyTsoff: 17,
  masterSource: 18,
  masterDestination: 22,
  masterPorts: 26,
  /** Nanoseconds since the epoch, 64 bits. Two words. */
  timestampStart: 27
} as const
export const rareWords = 30

/** Words of the detail part (scratch records only). */
export const Detail = {
  /** Packets, bytes: 64 bits each. */
  countersOriginal: 0,
  countersReply: 4,
  timestampStop: 8,
  timestampEvent: 10,
  use: 12,
  secmark: 13,
  markMask: 14,
  statusMask: 15,
  labelsMask: 16,
  dccpHandshakeSeq: 20,
  /** NUL-terminated text, at most 127 bytes. */
  securityContext: 22,
  /** Helper-private bytes, at most 64; their number is `helperInfoBytes`. Host order. */
  helperInfoBytes: 54,
  helperInfo: 55
} as const
export const detailWords = 72

/** Presence bits of word `Base.present`. */
export const Has = {
  originalIpv4: 1 << 0,
  originalIpv6: 1 << 1,
  replyIpv4: 1 << 2,
  replyIpv6: 1 << 3,
  l4Protocol: 1 << 4,
  /** Ports or GRE keys of the original tuple. ICMP has bits of its own. */
  originalPorts: 1 << 5,
  /** Ports, keys or ICMP information of the reply tuple. */
  replyPorts: 1 << 6,
  state: 1 << 7,
  windowScaleOriginal: 1 << 8,
  windowScaleReply: 1 << 9,
  status: 1 << 10,
  timeout: 1 << 11,
  mark: 1 << 12,
  /** A zone of both directions. */
  zone: 1 << 13,
  id: 1 << 14,
  /** A zone of the original direction alone; its value lies where `zone` lies. */
  originalZone: 1 << 15,
  replyZone: 1 << 16,
  snatIpv4: 1 << 17,
  snatIpv6: 1 << 18,
  dnatIpv4: 1 << 19,
  dnatIpv6: 1 << 20,
  snatPort: 1 << 21,
  dnatPort: 1 << 22,
  sctpTagOriginal: 1 << 23,
  sctpTagReply: 1 << 24,
  dccpRole: 1 << 25,
  tcpFlagsOriginal: 1 << 26,
  tcpFlagsReply: 1 << 27,
  icmpType: 1 << 28,
  icmpCode: 1 << 29,
  icmpId: 1 << 30
} as const

/** Presence bits of word `Base.presentRare`. */
export const HasRare = {
  labels: 1 << 0,
  helperName: 1 << 1,
  seqAdjOriginal: 1 << 2,
  seqAdjReply: 1 << 3,
  synproxyIsn: 1 << 4,
  synproxyIts: 1 << 5,
  synproxyTsoff: 1 << 6,
  masterIpv4: 1 << 7,
  masterIpv6: 1 << 8,
  masterL4Protocol: 1 << 9,
  masterPorts: 1 << 10,
  timestampStart: 1 << 11,
  countersOriginal: 1 << 12,
  countersReply: 1 << 13,
  timestampStop: 1 << 14,
  timestampEvent: 1 << 15,
  use: 1 << 16,
  secmark: 1 << 17,
  securityContext: 1 << 18,
  markMask: 1 << 19,
  statusMask: 1 << 20,
  labelsMask: 1 << 21,
  dccpHandshakeSeq: 1 << 22,
  helperInfo: 1 << 23
} as const

/** Rare fields that a cache keeps; the others live in scratch records only. */
export const storedRareBits = (1 << 12) - 1

/** Fields that need the address part. */
export const addressBits = Has.originalIpv6 | Has.replyIpv6 | Has.snatIpv6 | Has.dnatIpv6

/** Bits of `Base.life`: what the cache knows of an entry. */
export const Life = {
  /** The slot holds a flow. */
  used: 1,
  /** Updated at least once since it was added. */
  updated: 2,
  /** Destroyed; kept because peers must still be told. */
  dead: 4,
  /** From this bit on, twelve bits: the resync with the kernel that saw the entry last. */
  resyncShift: 8,
  /**
   * From this bit on, twelve bits: the number of flushes that had begun when the entry was added.
   */
  flushShift: 20
} as const

/** Width of the two counters in `Base.life`. */
export const lifeCounterMask = 0xfff

/** One run of words that belongs to a presence bit. `mask` selects the bits of each word. */
export interface FieldRun {
  readonly part: "base" | "address" | "rare" | "detail"
  readonly word: number
  readonly words: number
  readonly mask: number
}

const run = (part: FieldRun["part"], word: number, words = 1, mask = -1): FieldRun => ({
  part,
  word,
  words,
  mask
})

const b0 = 0x0000_00ff
const b1 = 0x0000_ff00
const b2 = 0x00ff_0000
const b3 = 0xff00_0000 | 0
const low = b0 | b1
const high = b2 | b3

/** What each bit of `Base.present` covers; index = bit number. */
export const baseRuns: ReadonlyArray<ReadonlyArray<FieldRun>> = [
  [run("base", Base.originalSource, 2), run("base", Base.protocols, 1, b0)],
  [
    run("base", Base.originalSource, 2),
    run("base", Base.protocols, 1, b0),
    run("address", Address.originalSource, 6)
  ],
  [run("base", Base.replySource, 2)],
  [run("base", Base.replySource, 2), run("address", Address.replySource, 6)],
  [run("base", Base.protocols, 1, b1)],
  [run("base", Base.originalPorts)],
  [run("base", Base.replyPorts)],
  [run("base", Base.protocols, 1, b2)],
  [run("base", Base.zone, 1, b2)],
  [run("base", Base.zone, 1, b3)],
  [run("base", Base.status)],
  [run("base", Base.timeoutSeconds)],
  [run("base", Base.mark)],
  [run("base", Base.zone, 1, low)],
  [run("base", Base.id)],
  [run("base", Base.zone, 1, low)],
  [run("base", Base.replyZone, 1, low)],
  [run("base", Base.replyDestination)],
  [run("base", Base.replyDestination), run("address", Address.replyDestination, 3)],
  [run("base", Base.replySource)],
  [run("base", Base.replySource), run("address", Address.replySource, 3)],
  [run("base", Base.replyPorts, 1, high)],
  [run("base", Base.replyPorts, 1, low)],
  [run("base", Base.sctpTagOriginal)],
  [run("base", Base.sctpTagReply)],
  [run("base", Base.protocols, 1, b3)],
  [run("base", Base.tcpFlags, 1, low)],
  [run("base", Base.tcpFlags, 1, high)],
  [run("base", Base.originalPorts, 1, b2)],
  [run("base", Base.originalPorts, 1, b3)],
  [run("base", Base.originalPorts, 1, low)]
]

/** What each bit of `Base.presentRare` covers; index = bit number. */
export const rareRuns: ReadonlyArray<ReadonlyArray<FieldRun>> = [
  [run("rare", Rare.labels, 4), run("rare", Rare.misc, 1, b0)],
  [run("rare", Rare.helperName, 4)],
  [run("rare", Rare.seqAdjOriginal, 3)],
  [run("rare", Rare.seqAdjReply, 3)],
  [run("rare", Rare.synproxyIsn)],
  [run("rare", Rare.synproxyIts)],
  [run("rare", Rare.synproxyTsoff)],
  [
    run("rare", Rare.masterSource),
    run("rare", Rare.masterDestination),
    run("rare", Rare.misc, 1, b1)
  ],
  [run("rare", Rare.masterSource, 8), run("rare", Rare.misc, 1, b1)],
  [run("rare", Rare.misc, 1, b2)],
  [run("rare", Rare.masterPorts)],
  [run("rare", Rare.timestampStart, 2)],
  [run("detail", Detail.countersOriginal, 4)],
  [run("detail", Detail.countersReply, 4)],
  [run("detail", Detail.timestampStop, 2)],
  [run("detail", Detail.timestampEvent, 2)],
  [run("detail", Detail.use)],
  [run("detail", Detail.secmark)],
  [run("detail", Detail.securityContext, 32)],
  [run("detail", Detail.markMask)],
  [run("detail", Detail.statusMask)],
  [run("detail", Detail.labelsMask, 4)],
  [run("detail", Detail.dccpHandshakeSeq, 2)],
  [run("detail", Detail.helperInfoBytes, 17)]
]

/** A 32-bit value between network and host order; the result is signed. */
export const swap32 = (word: number): number =>
  ((word & b0) << 24) | ((word & b1) << 8) | ((word >>> 8) & b1) | (word >>> 24)

export const assertLittleEndian = (): void => {
  const probe = new Uint8Array(Uint32Array.of(1).buffer)
  assert(probe[0] === 1, "the machine is little-endian")
}
