/**
 * Hot. The attributes of a flow inside a sync message, to and from a flow record.
 *
 * ```text
 *  0 - 1   length, big-endian: 4 + bytes of the value, padding not included
 *  2 - 3   identifier, big-endian
 *  4 …     value, then zeros up to a multiple of four
 * ```
 *
 * Records keep network byte order, so values are copied. Three attributes (`sourceNatPort`,
 * `destinationNatPort`, `icmpId`) travel with their two bytes swapped: what a little-endian sender
 * has always written. Messages are built from records with both tuples (internal cache); what is
 * read describes the original tuple and the translation, never the reply tuple (external cache).
 *
 * Source: specification, "The replication protocol", sections 7, 8 and 12.3.
 */
import { assert } from "../assert.ts"
import { Fault } from "../model/Fault.ts"
import { Address, Base, Has, HasRare, swap32 } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import {
  FlowAttribute,
  headerBytes,
  headers,
  L3,
  L4,
  putByte,
  putHalf,
  putWord,
  swapHalf,
  valueBytes
} from "./FlowAttribute.ts"
import { putMaster, putRare, takeRare, takeVariable } from "./RareAttributes.ts"

/** Status bits of the kernel: translation of the source, of the destination, is set up. */
const Status = { sourceNatDone: 0x80, destinationNatDone: 0x100 } as const

/**
 * Bytes of the longest list of attributes that `encode` writes. Section 10: 308 with the header.
 */
export const flowAttributesBytesMax = 300

export interface EncodeOptions {
  /** `TCPWindowTracking`: window scales are sent. */
  readonly windowTracking: boolean
  /** False when `CommitTimeout` is set: the timeout is not sent. */
  readonly timeout: boolean
}

/** Counts what a newer peer sends and we do not know. */
export interface AttributeCounters {
  unknownAttributes: number
}

/** The words of a buffer that is used again and again, without garbage. */
class Words {
  #bytes: Uint8Array = new Uint8Array(0)
  #words: Int32Array = new Int32Array(0)

  of(bytes: Uint8Array): Int32Array {
    if (bytes !== this.#bytes) {
      assert((bytes.byteOffset & 3) === 0, "messages are written to aligned memory")
      this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2)
      this.#bytes = bytes
    }
    return this.#words
  }
}

const written = new Words()
const received = new Words()

/** Where messages go that do not lie on words. As long as the longest message. */
const aligned = new Uint8Array(0x1_0000)
const alignedWords = new Int32Array(aligned.buffer)

// ---------------------------------------------------------------------------------- writing

/**
 * Writes the attributes of `view` into `out` at `at`, which is a multiple of four; returns the end,
 * at most `flowAttributesBytesMax` further.
 */
export const encode = (
  view: FlowView,
  out: Uint8Array,
  at: number,
  options: EncodeOptions
): number => {
  const words = written.of(out)
  const { base, baseWord } = view
  const present = base[baseWord + Base.present]!
  const presentRare = base[baseWord + Base.presentRare]!
  let to = at >>> 2
  if ((present & Has.originalIpv4) !== 0) {
    words[to] = headers[FlowAttribute.ipv4]!
    words[to + 1] = base[baseWord + Base.originalSource]!
    words[to + 2] = base[baseWord + Base.originalDestination]!
    to += 3
  } else if ((present & Has.originalIpv6) !== 0) {
    words[to] = headers[FlowAttribute.ipv6]!
    to = putIpv6(words, to + 1, view, Base.originalSource, Address.originalSource)
    to = putIpv6(words, to, view, Base.originalDestination, Address.originalDestination)
  }
  to = putWord(words, to, FlowAttribute.status, base[baseWord + Base.status]!)
  const l4 = (base[baseWord + Base.protocols]! >>> 8) & 0xff
  to = putByte(words, to, FlowAttribute.l4Protocol, l4)
  to = putL4(words, to, view, l4, present, options)
  if (options.timeout && (present & Has.timeout) !== 0) {
    to = putWord(words, to, FlowAttribute.timeout, base[baseWord + Base.timeoutSeconds]!)
  }
  if ((present & Has.mark) !== 0) {
    to = putWord(words, to, FlowAttribute.mark, base[baseWord + Base.mark]!)
  }
  if ((presentRare & (HasRare.masterIpv4 | HasRare.masterIpv6)) !== 0) {
    to = putMaster(words, to, view, presentRare)
  }
  to = putNat(words, to, view, l4, present)
  if (presentRare !== 0) to = putRare(words, to, view, presentRare)
  if ((present & Has.zone) !== 0) {
    to = putHalf(words, to, FlowAttribute.zone, base[baseWord + Base.zone]!)
  }
  return to << 2
}

const putIpv6 = (
  words: Int32Array,
  to: number,
  view: FlowView,
  first: number,
  rest: number
): number => {
  const at = view.addressWord + rest
  words[to] = view.base[view.baseWord + first]!
  words[to + 1] = view.address[at]!
  words[to + 2] = view.address[at + 1]!
  words[to + 3] = view.address[at + 2]!
  return to + 4
}

/** TCP, SCTP and DCCP ports travel also when they are not known; a state only when it is. */
const putL4 = (
  words: Int32Array,
  to: number,
  view: FlowView,
  l4: number,
  present: number,
  options: EncodeOptions
): number => {
  const { base, baseWord } = view
  const ports = base[baseWord + Base.originalPorts]!
  const state = base[baseWord + Base.protocols]! >>> 16
  const hasState = (present & Has.state) !== 0
  switch (l4) {
    case L4.tcp:
      to = putWord(words, to, FlowAttribute.ports, ports)
      if (!hasState) return to
      to = putByte(words, to, FlowAttribute.tcpState, state)
      if (!options.windowTracking) return to
      if ((present & Has.windowScaleOriginal) !== 0) {
        const scale = base[baseWord + Base.zone]! >>> 16
        to = putByte(words, to, FlowAttribute.windowScaleOriginal, scale)
      }
      if ((present & Has.windowScaleReply) !== 0) {
        const scale = base[baseWord + Base.zone]! >>> 24
        to = putByte(words, to, FlowAttribute.windowScaleReply, scale)
      }
      return to
    case L4.udp:
      return putWord(words, to, FlowAttribute.ports, ports)
    case L4.sctp:
      to = putWord(words, to, FlowAttribute.ports, ports)
      if (!hasState) return to
      to = putByte(words, to, FlowAttribute.sctpState, state)
      to = putWord(
        words,
        to,
        FlowAttribute.sctpTagOriginal,
        base[baseWord + Base.sctpTagOriginal]!
      )
      return putWord(words, to, FlowAttribute.sctpTagReply, base[baseWord + Base.sctpTagReply]!)
    case L4.dccp:
      to = putWord(words, to, FlowAttribute.ports, ports)
      if (!hasState) return to
      to = putByte(words, to, FlowAttribute.dccpState, state)
      return putByte(words, to, FlowAttribute.dccpRole, state >>> 8)
    case L4.icmp:
    case L4.icmpv6:
      if ((present & Has.icmpType) === 0) return to
      to = putByte(words, to, FlowAttribute.icmpType, ports >>> 16)
      to = putByte(words, to, FlowAttribute.icmpCode, ports >>> 24)
      return putHalf(words, to, FlowAttribute.icmpId, swapHalf(ports))
    default:
      // Ports of UDPLITE and keys of GRE do not travel: peers know no attribute for them.
      return to
  }
}

const sameIpv6 = (
  view: FlowView,
  first: number,
  rest: number,
  otherFirst: number,
  otherRest: number
): boolean => {
  const { base, baseWord, address, addressWord } = view
  if (base[baseWord + first] !== base[baseWord + otherFirst]) return false
  for (let i = 0; i < 3; i++) {
    if (address[addressWord + rest + i] !== address[addressWord + otherRest + i]) return false
  }
  return true
}

/**
 * What the comparison of the tuples says. The identifier of an ICMP flow lies where the source
 * port of others lies, type and code where the destination port lies; peers compare them all the
 * same and send port 0, so ICMP flows on a host with NAT carry ports that mean nothing.
 */
const putNat = (
  words: Int32Array,
  to: number,
  view: FlowView,
  l4: number,
  present: number
): number => {
  if ((present & (Has.replyIpv4 | Has.replyIpv6)) === 0) return to
  const { base, baseWord } = view
  let source = true
  let destination = true
  if ((present & Has.status) !== 0) {
    const status = swap32(base[baseWord + Base.status]!)
    source = (status & Status.sourceNatDone) !== 0
    destination = (status & Status.destinationNatDone) !== 0
    if (!source && !destination) return to
  }
  if ((present & Has.replyIpv4) !== 0) {
    const replyDestination = base[baseWord + Base.replyDestination]!
    if (source && replyDestination !== base[baseWord + Base.originalSource]) {
      to = putWord(words, to, FlowAttribute.sourceNatIpv4, replyDestination)
    }
    const replySource = base[baseWord + Base.replySource]!
    if (destination && replySource !== base[baseWord + Base.originalDestination]) {
      to = putWord(words, to, FlowAttribute.destinationNatIpv4, replySource)
    }
  } else {
    if (
      source &&
      !sameIpv6(
        view,
        Base.replyDestination,
        Address.replyDestination,
        Base.originalSource,
        Address.originalSource
      )
    ) {
      words[to] = headers[FlowAttribute.sourceNatIpv6]!
      to = putIpv6(words, to + 1, view, Base.replyDestination, Address.replyDestination)
    }
    if (
      destination &&
      !sameIpv6(
        view,
        Base.replySource,
        Address.replySource,
        Base.originalDestination,
        Address.originalDestination
      )
    ) {
      words[to] = headers[FlowAttribute.destinationNatIpv6]!
      to = putIpv6(words, to + 1, view, Base.replySource, Address.replySource)
    }
  }
  const original = base[baseWord + Base.originalPorts]!
  const reply = base[baseWord + Base.replyPorts]!
  const isIcmp = l4 === L4.icmp || l4 === L4.icmpv6
  if (source && reply >>> 16 !== (original & 0xffff)) {
    const port = isIcmp ? 0 : swapHalf(reply >>> 16)
    to = putHalf(words, to, FlowAttribute.sourceNatPort, port)
  }
  if (destination && (reply & 0xffff) !== original >>> 16) {
    const port = isIcmp ? 0 : swapHalf(reply)
    to = putHalf(words, to, FlowAttribute.destinationNatPort, port)
  }
  return to
}

// ---------------------------------------------------------------------------------- reading

/**
 * Reads the attributes in `bytes[at, end)` into `view`, a cleared scratch record.
 *
 * A fault makes the whole message void. The loop wants *more than* four bytes: up to four at the
 * end are ignored, as peers do. The padding of the last attribute may be missing. An attribute
 * that came later wins. Unknown identifiers are skipped and counted, since a peer may be newer.
 */
export const decode = (
  bytes: Uint8Array,
  at: number,
  end: number,
  view: FlowView,
  counters: AttributeCounters
): Fault => {
  if (((bytes.byteOffset | at | end) & 3) === 0) {
    return decodeWords(received.of(bytes), at >>> 2, end - at, view, counters)
  }
  // Messages start off a word only after one whose last padding is missing: nobody sends that.
  const left = Math.min(end - at, aligned.length)
  for (let i = 0; i < left; i++) aligned[i] = bytes[at + i]!
  return decodeWords(alignedWords, 0, left, view, counters)
}

const decodeWords = (
  words: Int32Array,
  at: number,
  left: number,
  view: FlowView,
  counters: AttributeCounters
): Fault => {
  while (left > headerBytes) {
    const head = words[at]!
    const length = ((head & 0xff) << 8) | ((head >>> 8) & 0xff)
    const id = ((head >>> 8) & 0xff00) | (head >>> 24)
    if (length > left || length < headerBytes) return Fault.badSize
    if (id >= headers.length) counters.unknownAttributes++
    else if (head === headers[id]) take(words, at + 1, id, view)
    else if (valueBytes[id] !== 0) return Fault.wrongLength
    else {
      const fault = takeVariable(words, at + 1, length - headerBytes, id, view)
      if (fault !== Fault.none) return fault
    }
    const step = (length + 3) >>> 2
    at += step
    left -= step * 4
  }
  finish(view)
  return Fault.none
}

/** Ports of a translated ICMP flow mean nothing, see `putNat`. */
const finish = (view: FlowView): void => {
  const { base } = view
  const l4 = (base[Base.protocols]! >>> 8) & 0xff
  if (l4 !== L4.icmp && l4 !== L4.icmpv6) return
  base[Base.present] = base[Base.present]! & ~(Has.snatPort | Has.dnatPort)
  base[Base.replyPorts] = 0
}

const take = (words: Int32Array, at: number, id: number, view: FlowView): void => {
  const { base } = view
  switch (id) {
    case FlowAttribute.ipv4:
      base[Base.originalSource] = words[at]!
      base[Base.originalDestination] = words[at + 1]!
      setFamily(view, L3.ipv4, Has.originalIpv4, Has.originalIpv6)
      return
    case FlowAttribute.ipv6:
      takeIpv6(words, at, view, Base.originalSource, Address.originalSource)
      takeIpv6(words, at + 4, view, Base.originalDestination, Address.originalDestination)
      setFamily(view, L3.ipv6, Has.originalIpv6, Has.originalIpv4)
      return
    case FlowAttribute.l4Protocol:
      base[Base.protocols] = (base[Base.protocols]! & ~0xff00) | ((words[at]! & 0xff) << 8)
      base[Base.present] = base[Base.present]! | Has.l4Protocol
      return
    case FlowAttribute.ports:
      base[Base.originalPorts] = words[at]!
      base[Base.present] = base[Base.present]! | Has.originalPorts
      return
    case FlowAttribute.tcpState:
    case FlowAttribute.sctpState:
    case FlowAttribute.dccpState:
      base[Base.protocols] = (base[Base.protocols]! & ~0xff_0000) | ((words[at]! & 0xff) << 16)
      base[Base.present] = base[Base.present]! | Has.state
      return
    case FlowAttribute.status:
      base[Base.status] = words[at]!
      base[Base.present] = base[Base.present]! | Has.status
      return
    case FlowAttribute.timeout:
      base[Base.timeoutSeconds] = words[at]!
      base[Base.present] = base[Base.present]! | Has.timeout
      return
    case FlowAttribute.mark:
      base[Base.mark] = words[at]!
      base[Base.present] = base[Base.present]! | Has.mark
      return
    case FlowAttribute.sctpTagOriginal:
      base[Base.sctpTagOriginal] = words[at]!
      base[Base.present] = base[Base.present]! | Has.sctpTagOriginal
      return
    case FlowAttribute.sctpTagReply:
      base[Base.sctpTagReply] = words[at]!
      base[Base.present] = base[Base.present]! | Has.sctpTagReply
      return
    case FlowAttribute.dccpRole:
      base[Base.protocols] = (base[Base.protocols]! & 0x00ff_ffff) | (words[at]! << 24)
      base[Base.present] = base[Base.present]! | Has.dccpRole
      return
    case FlowAttribute.icmpType:
      base[Base.originalPorts] = (base[Base.originalPorts]! & ~0xff_0000) |
        ((words[at]! & 0xff) << 16)
      base[Base.present] = base[Base.present]! | Has.icmpType
      return
    case FlowAttribute.icmpCode:
      base[Base.originalPorts] = (base[Base.originalPorts]! & 0x00ff_ffff) | (words[at]! << 24)
      base[Base.present] = base[Base.present]! | Has.icmpCode
      return
    case FlowAttribute.icmpId:
      base[Base.originalPorts] = (base[Base.originalPorts]! & ~0xffff) |
        swapHalf(words[at]!)
      base[Base.present] = base[Base.present]! | Has.icmpId
      return
    case FlowAttribute.windowScaleOriginal:
      base[Base.zone] = (base[Base.zone]! & ~0xff_0000) | ((words[at]! & 0xff) << 16)
      base[Base.present] = base[Base.present]! | Has.windowScaleOriginal
      return
    case FlowAttribute.windowScaleReply:
      base[Base.zone] = (base[Base.zone]! & 0x00ff_ffff) | (words[at]! << 24)
      base[Base.present] = base[Base.present]! | Has.windowScaleReply
      return
    case FlowAttribute.zone:
      base[Base.zone] = (base[Base.zone]! & ~0xffff) | (words[at]! & 0xffff)
      base[Base.present] = base[Base.present]! | Has.zone
      return
    default:
      takeSeldom(words, at, id, view)
  }
}

/** What translated flows have, and those with a rare part. */
const takeSeldom = (words: Int32Array, at: number, id: number, view: FlowView): void => {
  const { base } = view
  switch (id) {
    case FlowAttribute.sourceNatIpv4:
      base[Base.replyDestination] = words[at]!
      setTranslated(view, Address.replyDestination, Has.snatIpv4, Has.snatIpv6)
      return
    case FlowAttribute.destinationNatIpv4:
      base[Base.replySource] = words[at]!
      setTranslated(view, Address.replySource, Has.dnatIpv4, Has.dnatIpv6)
      return
    case FlowAttribute.sourceNatIpv6:
      base[Base.present] = (base[Base.present]! | Has.snatIpv6) & ~Has.snatIpv4
      takeIpv6(words, at, view, Base.replyDestination, Address.replyDestination)
      return
    case FlowAttribute.destinationNatIpv6:
      base[Base.present] = (base[Base.present]! | Has.dnatIpv6) & ~Has.dnatIpv4
      takeIpv6(words, at, view, Base.replySource, Address.replySource)
      return
    case FlowAttribute.sourceNatPort:
      base[Base.replyPorts] = (base[Base.replyPorts]! & 0xffff) |
        (swapHalf(words[at]!) << 16)
      base[Base.present] = base[Base.present]! | Has.snatPort
      return
    case FlowAttribute.destinationNatPort:
      base[Base.replyPorts] = (base[Base.replyPorts]! & ~0xffff) | swapHalf(words[at]!)
      base[Base.present] = base[Base.present]! | Has.dnatPort
      return
    default:
      takeRare(words, at, id, view)
  }
}

const takeIpv6 = (
  words: Int32Array,
  at: number,
  view: FlowView,
  first: number,
  rest: number
): void => {
  view.base[first] = words[at]!
  const to = view.addressWord + rest
  view.address[to] = words[at + 1]!
  view.address[to + 1] = words[at + 2]!
  view.address[to + 2] = words[at + 3]!
}

/** The family of the original addresses; those of the other family are gone. */
const setFamily = (view: FlowView, l3: number, bit: number, otherBit: number): void => {
  const { base } = view
  const present = base[Base.present]!
  if (bit === Has.originalIpv4 && (present & otherBit) !== 0) {
    for (let i = 0; i < 6; i++) view.address[view.addressWord + Address.originalSource + i] = 0
  }
  base[Base.present] = (present | bit) & ~otherBit
  base[Base.protocols] = (base[Base.protocols]! & ~0xff) | l3
}

const setTranslated = (view: FlowView, rest: number, bit: number, otherBit: number): void => {
  const { base } = view
  const present = base[Base.present]!
  if ((present & otherBit) !== 0) {
    for (let i = 0; i < 3; i++) view.address[view.addressWord + rest + i] = 0
  }
  base[Base.present] = (present | bit) & ~otherBit
}
