/**
 * Hot. What the kernel says of a flow (events, dumps, answers), into a scratch record.
 *
 * Attributes are told by their type, never by their position; unknown ones are skipped. Values keep
 * network byte order, so most of this is copying words. The attributes that ask for translation
 * (requests only) are skipped: the record has the translated reply tuple instead.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 3.
 */
import { Fault } from "../model/Fault.ts"
import { Address, Base, Detail, Has, HasRare } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { setHas, setHasRare } from "../model/FlowView.ts"
import { Cta, Dccp, Ip, Proto, ProtoInfo, Sctp, Tcp, Tuple } from "./CtnetlinkAttributes.ts"
import { decodeRare } from "./CtnetlinkDecodeRare.ts"

const l3Ipv4 = 2
const l3Ipv6 = 10

/**
 * Reads the flow in the netfilter message whose body is `[at, end)` into `view`, a cleared scratch
 * record. `words` and `bytes` are the same memory; `at` is a multiple of four.
 *
 * An attribute shorter than its fixed size is `wrongLength`; a longer one is read as far as we know
 * it. What `view` holds after a fault is of no use. A message without an original tuple is no
 * fault: it leaves `Has.originalIpv4` and `Has.originalIpv6` unset, and such a flow has no key.
 */
export const decodeFlow = (
  words: Int32Array,
  bytes: Uint8Array,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  const fault = decode(words, bytes, at, end, view)
  if (fault !== Fault.none) {
    // Clearing a record wipes the parts that its presence bits name; these name them all.
    setHas(view, Has.originalIpv6)
    setHasRare(view, HasRare.labels | HasRare.use)
  }
  return fault
}

const decode = (
  words: Int32Array,
  bytes: Uint8Array,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  if (end - at < 4) return Fault.truncated
  const { base, baseWord } = view
  let present = 0
  let fault: Fault = Fault.none
  let next = 0
  for (let from = at + 4; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const word = from >> 2
    const head = words[word]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    const type = (head >>> 16) & 0x3fff
    switch (type) {
      case Cta.tupleOriginal:
        fault = decodeOriginal(words, from + 4, from + length, view)
        if (fault !== Fault.none) return fault
        break
      case Cta.tupleReply:
        fault = decodeReply(words, from + 4, from + length, view)
        if (fault !== Fault.none) return fault
        break
      case Cta.status:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.status] = words[word + 1]!
        present |= Has.status
        break
      case Cta.timeout:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.timeoutSeconds] = words[word + 1]!
        present |= Has.timeout
        break
      case Cta.mark:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.mark] = words[word + 1]!
        present |= Has.mark
        break
      case Cta.id:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.id] = words[word + 1]!
        present |= Has.id
        break
      case Cta.zone: {
        if (length < 6) return Fault.wrongLength
        const zone = base[baseWord + Base.zone]! & ~0xffff
        base[baseWord + Base.zone] = zone | (words[word + 1]! & 0xffff)
        present |= Has.zone
        break
      }
      case Cta.protoInfo:
        fault = decodeProtoInfo(words, from + 4, from + length, view)
        if (fault !== Fault.none) return fault
        break
      default:
        fault = decodeRare(words, bytes, type, from + 4, from + length, view)
        if (fault !== Fault.none) return fault
    }
  }
  base[baseWord + Base.present] = base[baseWord + Base.present]! | present
  return Fault.none
}

/** The two nests of a tuple and its zone; the three functions below differ in where values go. */
const decodeOriginal = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const { base, baseWord } = view
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    let fault: Fault = Fault.none
    switch ((head >>> 16) & 0x3fff) {
      case Tuple.ip:
        fault = decodeAddresses(
          words,
          from + 4,
          from + length,
          view,
          Base.originalSource,
          Address.originalSource,
          Has.originalIpv4
        )
        break
      case Tuple.proto:
        fault = decodeProto(words, from + 4, from + length, view, Base.originalPorts, true)
        break
      case Tuple.zone:
        if (length < 6) return Fault.wrongLength
        base[baseWord + Base.zone] = (base[baseWord + Base.zone]! & ~0xffff) |
          (words[(from >> 2) + 1]! & 0xffff)
        base[baseWord + Base.present] = base[baseWord + Base.present]! | Has.originalZone
        break
    }
    if (fault !== Fault.none) return fault
  }
  return Fault.none
}

const decodeReply = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const { base, baseWord } = view
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    let fault: Fault = Fault.none
    switch ((head >>> 16) & 0x3fff) {
      case Tuple.ip:
        fault = decodeAddresses(
          words,
          from + 4,
          from + length,
          view,
          Base.replySource,
          Address.replySource,
          Has.replyIpv4
        )
        break
      case Tuple.proto:
        fault = decodeProto(words, from + 4, from + length, view, Base.replyPorts, false)
        break
      case Tuple.zone:
        if (length < 6) return Fault.wrongLength
        base[baseWord + Base.replyZone] = words[(from >> 2) + 1]! & 0xffff
        base[baseWord + Base.present] = base[baseWord + Base.present]! | Has.replyZone
        break
    }
    if (fault !== Fault.none) return fault
  }
  return Fault.none
}

/**
 * `firstWord` and `restWord` are those of the source; the destination follows. `hasIpv4` is the
 * presence bit for IPv4, the next one that for IPv6: set when both addresses are there.
 */
const decodeAddresses = (
  words: Int32Array,
  at: number,
  end: number,
  view: FlowView,
  firstWord: number,
  restWord: number,
  hasIpv4: number
): Fault => {
  const { base, baseWord } = view
  let seen = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const word = from >> 2
    const head = words[word]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    const type = (head >>> 16) & 0x3fff
    switch (type) {
      case Ip.v4Source:
      case Ip.v4Destination:
        if (length < 8) return Fault.wrongLength
        base[baseWord + firstWord + type - Ip.v4Source] = words[word + 1]!
        seen |= type
        break
      case Ip.v6Source:
      case Ip.v6Destination: {
        if (length < 20) return Fault.wrongLength
        const which = type - Ip.v6Source
        const rest = view.addressWord + restWord + which * 3
        base[baseWord + firstWord + which] = words[word + 1]!
        view.address[rest] = words[word + 2]!
        view.address[rest + 1] = words[word + 3]!
        view.address[rest + 2] = words[word + 4]!
        seen |= 4 << which
        break
      }
    }
  }
  if (seen === 3) {
    base[baseWord + Base.present] = base[baseWord + Base.present]! | hasIpv4
    base[baseWord + Base.protocols] = (base[baseWord + Base.protocols]! & ~0xff) | l3Ipv4
  } else if (seen === 12) {
    base[baseWord + Base.present] = base[baseWord + Base.present]! | (hasIpv4 << 1)
    base[baseWord + Base.protocols] = (base[baseWord + Base.protocols]! & ~0xff) | l3Ipv6
  } else if (seen !== 0) {
    // Half a tuple, or one of two families, is no tuple.
    return Fault.truncated
  }
  return Fault.none
}

const decodeProto = (
  words: Int32Array,
  at: number,
  end: number,
  view: FlowView,
  portsWord: number,
  isOriginal: boolean
): Fault => {
  const { base, baseWord } = view
  let ports = base[baseWord + portsWord]!
  let present = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    if (length < 5) return Fault.wrongLength
    const value = words[(from >> 2) + 1]!
    switch ((head >>> 16) & 0x3fff) {
      case Proto.number:
        base[baseWord + Base.protocols] = (base[baseWord + Base.protocols]! & ~0xff00) |
          ((value & 0xff) << 8)
        present |= Has.l4Protocol
        break
      case Proto.sourcePort:
        if (length < 6) return Fault.wrongLength
        ports = (ports & ~0xffff) | (value & 0xffff)
        present |= Has.originalPorts
        break
      case Proto.destinationPort:
        if (length < 6) return Fault.wrongLength
        ports = (ports & 0xffff) | (value << 16)
        present |= Has.originalPorts
        break
      case Proto.icmpId:
      case Proto.icmpv6Id:
        if (length < 6) return Fault.wrongLength
        ports = (ports & ~0xffff) | (value & 0xffff)
        present |= Has.icmpId
        break
      case Proto.icmpType:
      case Proto.icmpv6Type:
        ports = (ports & ~0xff_0000) | ((value & 0xff) << 16)
        present |= Has.icmpType
        break
      case Proto.icmpCode:
      case Proto.icmpv6Code:
        ports = (ports & 0xff_ffff) | (value << 24)
        present |= Has.icmpCode
        break
    }
  }
  base[baseWord + portsWord] = ports
  if (!isOriginal) {
    const known = present & ~Has.l4Protocol
    present = (present & Has.l4Protocol) | (known !== 0 ? Has.replyPorts : 0)
  }
  base[baseWord + Base.present] = base[baseWord + Base.present]! | present
  return Fault.none
}

const decodeProtoInfo = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    let fault: Fault = Fault.none
    switch ((head >>> 16) & 0x3fff) {
      case ProtoInfo.tcp:
        fault = decodeTcp(words, from + 4, from + length, view)
        break
      case ProtoInfo.sctp:
        fault = decodeSctp(words, from + 4, from + length, view)
        break
      case ProtoInfo.dccp:
        fault = decodeDccp(words, from + 4, from + length, view)
        break
    }
    if (fault !== Fault.none) return fault
  }
  return Fault.none
}

const decodeTcp = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const { base, baseWord } = view
  let present = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    if (length < 5) return Fault.wrongLength
    const value = words[(from >> 2) + 1]!
    switch ((head >>> 16) & 0x3fff) {
      case Tcp.state:
        base[baseWord + Base.protocols] = (base[baseWord + Base.protocols]! & ~0xff_0000) |
          ((value & 0xff) << 16)
        present |= Has.state
        break
      case Tcp.windowScaleOriginal:
        base[baseWord + Base.zone] = (base[baseWord + Base.zone]! & ~0xff_0000) |
          ((value & 0xff) << 16)
        present |= Has.windowScaleOriginal
        break
      case Tcp.windowScaleReply:
        base[baseWord + Base.zone] = (base[baseWord + Base.zone]! & 0xff_ffff) | (value << 24)
        present |= Has.windowScaleReply
        break
      case Tcp.flagsOriginal:
        if (length < 6) return Fault.wrongLength
        base[baseWord + Base.tcpFlags] = (base[baseWord + Base.tcpFlags]! & ~0xffff) |
          (value & 0xffff)
        present |= Has.tcpFlagsOriginal
        break
      case Tcp.flagsReply:
        if (length < 6) return Fault.wrongLength
        base[baseWord + Base.tcpFlags] = (base[baseWord + Base.tcpFlags]! & 0xffff) |
          (value << 16)
        present |= Has.tcpFlagsReply
        break
    }
  }
  base[baseWord + Base.present] = base[baseWord + Base.present]! | present
  return Fault.none
}

const decodeSctp = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const { base, baseWord } = view
  let present = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    if (length < 5) return Fault.wrongLength
    const value = words[(from >> 2) + 1]!
    switch ((head >>> 16) & 0x3fff) {
      case Sctp.state:
        base[baseWord + Base.protocols] = (base[baseWord + Base.protocols]! & ~0xff_0000) |
          ((value & 0xff) << 16)
        present |= Has.state
        break
      case Sctp.tagOriginal:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.sctpTagOriginal] = value
        present |= Has.sctpTagOriginal
        break
      case Sctp.tagReply:
        if (length < 8) return Fault.wrongLength
        base[baseWord + Base.sctpTagReply] = value
        present |= Has.sctpTagReply
        break
    }
  }
  base[baseWord + Base.present] = base[baseWord + Base.present]! | present
  return Fault.none
}

const decodeDccp = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const { base, baseWord } = view
  let present = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const word = from >> 2
    const head = words[word]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    if (length < 5) return Fault.wrongLength
    const value = words[word + 1]!
    const protocols = base[baseWord + Base.protocols]!
    switch ((head >>> 16) & 0x3fff) {
      case Dccp.state:
        base[baseWord + Base.protocols] = (protocols & ~0xff_0000) | ((value & 0xff) << 16)
        present |= Has.state
        break
      case Dccp.role:
        base[baseWord + Base.protocols] = (protocols & 0xff_ffff) | (value << 24)
        present |= Has.dccpRole
        break
      case Dccp.handshakeSeq:
        if (length < 12) return Fault.wrongLength
        view.detail[Detail.dccpHandshakeSeq] = value
        view.detail[Detail.dccpHandshakeSeq + 1] = words[word + 2]!
        setHasRare(view, HasRare.dccpHandshakeSeq)
        break
    }
  }
  base[baseWord + Base.present] = base[baseWord + Base.present]! | present
  return Fault.none
}
