/**
 * Hot. Requests to the kernel about flows: create, update, delete, get, dump, flush.
 *
 * Each encoder writes one message at byte `at` (a multiple of four) of a lent buffer and returns
 * its end, or -1 when fewer than `requestBytesMax` bytes are left. `seq` names the request in the
 * kernel's answer.
 *
 * What cannot be restored must not break the rest: groups of attributes that the kernel wants
 * complete are left out when they are not.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2, 4 and 5;
 * "The synchronisation engines", sections 14.2 and 17.
 */
import { Address, Base, Detail, Has, HasRare, Rare, swap32 } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { has, hasRare, l3Of, l4Of, presentOf, presentRareOf } from "../model/FlowView.ts"
import { Protocol } from "../model/Protocol.ts"
import { Status } from "../model/Status.ts"
import { Cta, Help, Ip, Nat, NatProto, Proto, Tuple } from "./CtnetlinkAttributes.ts"
import { hasPorts, isIcmp, mirroredPorts, Translation, translationOf } from "./CtnetlinkNat.ts"
import { putProtoInfo } from "./CtnetlinkProtoInfo.ts"
import { closeNest, putByte, putHalf, putWord, putWords } from "./Nlattr.ts"
import { beginMessage, CtType, finishMessage, Flag } from "./Nlmsg.ts"

/** Bytes of the longest request: a create of a TCP flow over IPv6 with every attribute. */
export const requestBytesMax = 620

export interface RequestOptions {
  /** Lifetime that the kernel shall give the flow; -1: not sent, and a create is then refused. */
  timeoutSeconds: number
  /** `TCPWindowTracking`: the kernel checks sequence numbers of the restored flow. */
  windowTracking: boolean
  /** After the kernel did not know the helper: the flow without it. */
  withoutHelper: boolean
  /** After the kernel did not have the master: the flow as one of its own. */
  withoutMaster: boolean
  /** After another flow had the port that the source kept: whichever port the kernel chooses. */
  withoutKeptPort: boolean
  /**
   * The record has all there is of the flow: an update takes a mark away that the record has not.
   * Peers send no mark of 0.
   */
  isWhole: boolean
  /** Ask for an answer also when the request succeeds. */
  ack: boolean
}

export const requestOptions = (): RequestOptions => ({
  timeoutSeconds: -1,
  windowTracking: false,
  withoutHelper: false,
  withoutMaster: false,
  withoutKeptPort: false,
  isWhole: false,
  ack: false
})

/**
 * Creates the flow, or fails with EEXIST. `view` is a peer's entry or one of the kernel; see
 * `CtnetlinkNat` for the translation.
 */
export const encodeCreate = (
  words: Int32Array,
  at: number,
  seq: number,
  view: FlowView,
  options: RequestOptions
): number => {
  if (!fits(words, at)) return -1
  const flags = Flag.request | Flag.create | Flag.exclusive | (options.ack ? Flag.ack : 0)
  let to = beginMessage(words, at, CtType.new, flags, seq, l3Of(view)) >> 2
  to = putOriginal(words, to, view)
  to = putMirrored(words, to, view)
  const presentRare = presentRareOf(view)
  if (!options.withoutMaster && isMasterUsable(view)) to = putMaster(words, to, view)
  to = putWord(words, to, Cta.status, createdStatus(view))
  if (options.timeoutSeconds >= 0) {
    to = putWord(words, to, Cta.timeout, swap32(options.timeoutSeconds))
  }
  if (has(view, Has.mark)) to = putWord(words, to, Cta.mark, view.base[view.baseWord + Base.mark]!)
  to = putProtoInfo(words, to, view, options.windowTracking)
  const translation = translationOf(view)
  if (translation !== 0) to = putNat(words, to, view, translation, !options.withoutKeptPort)
  if (has(view, Has.zone)) to = putZone(words, to, view)
  if (presentRare !== 0) {
    to = putSeqAdj(words, to, view, presentRare)
    if (!options.withoutHelper) to = putHelper(words, to, view, presentRare)
    to = putLabels(words, to, view, presentRare)
    // Every flow that is created this way gets a block of zeros by itself.
    if (isSynproxyNonZero(view)) to = putSynproxy(words, to, view, presentRare)
  }
  return finishMessage(words, at, to << 2)
}

/**
 * Changes an existing flow, or fails with ENOENT. Without what only a creation may set: the
 * translation, the master and the helper. Status bits can be added, never removed (EBUSY).
 */
export const encodeUpdate = (
  words: Int32Array,
  at: number,
  seq: number,
  view: FlowView,
  options: RequestOptions
): number => {
  if (!fits(words, at)) return -1
  const flags = Flag.request | (options.ack ? Flag.ack : 0)
  const presentRare = presentRareOf(view)
  let to = beginMessage(words, at, CtType.new, flags, seq, l3Of(view)) >> 2
  to = putOriginal(words, to, view)
  if (has(view, Has.status)) {
    to = putWord(words, to, Cta.status, updatedStatus(view, options.withoutMaster))
  }
  // The kernel refuses to change a fixed timeout (EPERM), and with it everything after.
  if (options.timeoutSeconds >= 0 && !isTimeoutFixed(view)) {
    to = putWord(words, to, Cta.timeout, swap32(options.timeoutSeconds))
  }
  if (has(view, Has.mark)) {
    to = putWord(words, to, Cta.mark, view.base[view.baseWord + Base.mark]!)
    if ((presentRare & HasRare.markMask) !== 0) {
      to = putWord(words, to, Cta.markMask, view.detail[Detail.markMask]!)
    }
  } else if (options.isWhole) to = putWord(words, to, Cta.mark, 0)
  to = putProtoInfo(words, to, view, options.windowTracking)
  if (has(view, Has.zone)) to = putZone(words, to, view)
  if (presentRare !== 0) {
    to = putSeqAdj(words, to, view, presentRare)
    to = putLabels(words, to, view, presentRare)
    to = putSynproxy(words, to, view, presentRare)
  }
  return finishMessage(words, at, to << 2)
}

/**
 * Deletes the flow with the original tuple and zone of `view`, or fails with ENOENT. `withId`: only
 * if it still is the flow whose id the record has.
 */
export const encodeDelete = (
  words: Int32Array,
  at: number,
  seq: number,
  view: FlowView,
  withId: boolean,
  ack = false
): number => {
  if (!fits(words, at)) return -1
  const flags = Flag.request | (ack ? Flag.ack : 0)
  let to = beginMessage(words, at, CtType.delete, flags, seq, l3Of(view)) >> 2
  to = putOriginal(words, to, view)
  if (has(view, Has.zone)) to = putZone(words, to, view)
  if (withId && has(view, Has.id)) {
    to = putWord(words, to, Cta.id, view.base[view.baseWord + Base.id]!)
  }
  return finishMessage(words, at, to << 2)
}

/** Asks for the flow with the original tuple and zone of `view`. */
export const encodeGet = (
  words: Int32Array,
  at: number,
  seq: number,
  view: FlowView
): number => {
  if (!fits(words, at)) return -1
  let to = beginMessage(words, at, CtType.get, Flag.request, seq, l3Of(view)) >> 2
  to = putOriginal(words, to, view)
  if (has(view, Has.zone)) to = putZone(words, to, view)
  return finishMessage(words, at, to << 2)
}

/**
 * Asks for the whole table of an address family (2 IPv4, 10 IPv6, 0 both); `zeroing` resets the
 * counters of what is dumped.
 */
export const encodeDump = (
  words: Int32Array,
  at: number,
  seq: number,
  family: number,
  zeroing = false
): number => {
  if (!fits(words, at)) return -1
  const type = zeroing ? CtType.getZeroing : CtType.get
  const end = beginMessage(words, at, type, Flag.request | Flag.dump, seq, family)
  return finishMessage(words, at, end)
}

/** Empties the table; of one family only if `family` is not 0 (kernels since 5.3). */
export const encodeFlush = (
  words: Int32Array,
  at: number,
  seq: number,
  family = 0,
  ack = false
): number => {
  if (!fits(words, at)) return -1
  // The family counts only in version 1.
  const version = family === 0 ? 0 : 1
  const flags = Flag.request | (ack ? Flag.ack : 0)
  return finishMessage(
    words,
    at,
    beginMessage(words, at, CtType.delete, flags, seq, family, version)
  )
}

/** The kernel sets EXPECTED itself, wants CONFIRMED, and refuses DYING. Network byte order. */
export const createdStatus = (view: FlowView): number =>
  (view.base[view.baseWord + Base.status]! & swap32(~(Status.expected | Status.dying))) |
  swap32(Status.confirmed)

const updatedStatus = (view: FlowView, withoutMaster: boolean): number => {
  // EXPECTED must be as it is in the kernel, so as the flow was created.
  const expected = withoutMaster || !isMasterUsable(view) ? Status.expected : 0
  const cleared = Status.dying | Status.srcNat | Status.dstNat | expected
  return (view.base[view.baseWord + Base.status]! & swap32(~cleared)) | swap32(Status.confirmed)
}

const isTimeoutFixed = (view: FlowView): boolean =>
  (view.base[view.baseWord + Base.status]! & swap32(Status.fixedTimeout)) !== 0

/** The master can be named: complete, and of the flow's family. */
export const isMasterUsable = (view: FlowView): boolean => {
  if (!hasRare(view, HasRare.masterL4Protocol | HasRare.masterPorts)) return false
  const wanted = l3Of(view) === 10 ? HasRare.masterIpv6 : HasRare.masterIpv4
  return hasRare(view, wanted)
}

const fits = (words: Int32Array, at: number): boolean => at + requestBytesMax <= words.length * 4

const putZone = (words: Int32Array, to: number, view: FlowView): number =>
  putHalf(words, to, Cta.zone, view.base[view.baseWord + Base.zone]!)

const putOriginal = (words: Int32Array, to: number, view: FlowView): number => {
  const nest = to
  to = putAddresses(
    words,
    to + 1,
    view,
    Base.originalSource,
    Address.originalSource,
    Base.originalDestination,
    Address.originalDestination
  )
  to = putProto(words, to, l4Of(view), view.base[view.baseWord + Base.originalPorts]!)
  if (has(view, Has.originalZone)) {
    to = putHalf(words, to, Tuple.zone, view.base[view.baseWord + Base.zone]!)
  }
  return closeNest(words, nest, Cta.tupleOriginal, to)
}

/** The reply tuple without translation. */
const putMirrored = (words: Int32Array, to: number, view: FlowView): number => {
  const nest = to
  to = putAddresses(
    words,
    to + 1,
    view,
    Base.originalDestination,
    Address.originalDestination,
    Base.originalSource,
    Address.originalSource
  )
  to = putProto(words, to, l4Of(view), mirroredPorts(view))
  if (has(view, Has.replyZone)) {
    to = putHalf(words, to, Tuple.zone, view.base[view.baseWord + Base.replyZone]!)
  }
  return closeNest(words, nest, Cta.tupleReply, to)
}

const putAddresses = (
  words: Int32Array,
  to: number,
  view: FlowView,
  source: number,
  sourceRest: number,
  destination: number,
  destinationRest: number
): number => {
  const { base, baseWord } = view
  const present = presentOf(view)
  const nest = to
  to += 1
  if ((present & Has.originalIpv6) !== 0) {
    to = putIpv6(words, to, Ip.v6Source, view, source, sourceRest)
    to = putIpv6(words, to, Ip.v6Destination, view, destination, destinationRest)
  } else if ((present & Has.originalIpv4) !== 0) {
    to = putWord(words, to, Ip.v4Source, base[baseWord + source]!)
    to = putWord(words, to, Ip.v4Destination, base[baseWord + destination]!)
  }
  return closeNest(words, nest, Tuple.ip, to)
}

const putIpv6 = (
  words: Int32Array,
  to: number,
  type: number,
  view: FlowView,
  first: number,
  rest: number
): number => {
  const from = view.addressWord + rest
  words[to] = 20 | (type << 16)
  words[to + 1] = view.base[view.baseWord + first]!
  words[to + 2] = view.address[from]!
  words[to + 3] = view.address[from + 1]!
  words[to + 4] = view.address[from + 2]!
  return to + 5
}

const putProto = (words: Int32Array, to: number, l4: number, ports: number): number => {
  const nest = to
  to = putByte(words, to + 1, Proto.number, l4)
  if (isIcmp(l4)) {
    const isV6 = l4 === Protocol.icmpv6
    to = putHalf(words, to, isV6 ? Proto.icmpv6Id : Proto.icmpId, ports)
    to = putByte(words, to, isV6 ? Proto.icmpv6Type : Proto.icmpType, ports >>> 16)
    to = putByte(words, to, isV6 ? Proto.icmpv6Code : Proto.icmpCode, ports >>> 24)
  } else if (hasPorts(l4) || l4 === Protocol.gre) {
    to = putHalf(words, to, Proto.sourcePort, ports)
    to = putHalf(words, to, Proto.destinationPort, ports >>> 16)
  }
  return closeNest(words, nest, Tuple.proto, to)
}

const putMaster = (words: Int32Array, to: number, view: FlowView): number => {
  const { rare, rareWord } = view
  const nest = to
  const ip = to + 1
  to = ip + 1
  if (hasRare(view, HasRare.masterIpv6)) {
    to = putWords(words, to, Ip.v6Source, rare, rareWord + Rare.masterSource, 4)
    to = putWords(words, to, Ip.v6Destination, rare, rareWord + Rare.masterDestination, 4)
  } else {
    to = putWord(words, to, Ip.v4Source, rare[rareWord + Rare.masterSource]!)
    to = putWord(words, to, Ip.v4Destination, rare[rareWord + Rare.masterDestination]!)
  }
  to = closeNest(words, ip, Tuple.ip, to)
  const l4 = (rare[rareWord + Rare.misc]! >>> 16) & 0xff
  to = putProto(words, to, l4, rare[rareWord + Rare.masterPorts]!)
  return closeNest(words, nest, Cta.tupleMaster, to)
}

/**
 * The source port is said even when it stays: otherwise the kernel may give the source the port
 * that another flow of it has, or a free one. (It never changes a destination port by itself.) So
 * the flow is translated as it was, or refused with EEXIST when another flow has the port.
 */
const putNat = (
  words: Int32Array,
  to: number,
  view: FlowView,
  translation: number,
  withKeptPort: boolean
): number => {
  const { base, baseWord } = view
  const ports = base[baseWord + Base.replyPorts]!
  const isPortSaid = withKeptPort && hasPorts(l4Of(view))
  if ((translation & Translation.source) !== 0 || isPortSaid) {
    const nest = to
    to += 1
    if ((translation & Translation.sourceAddress) !== 0) {
      to = putNatAddress(words, to, view, Base.replyDestination, Address.replyDestination)
    }
    if ((translation & Translation.sourcePort) !== 0) to = putNatPort(words, to, ports >>> 16)
    else if (isPortSaid) to = putNatPort(words, to, base[baseWord + Base.originalPorts]!)
    to = closeNest(words, nest, Cta.natSource, to)
  }
  if ((translation & Translation.destination) !== 0) {
    const nest = to
    to += 1
    if ((translation & Translation.destinationAddress) !== 0) {
      to = putNatAddress(words, to, view, Base.replySource, Address.replySource)
    }
    if ((translation & Translation.destinationPort) !== 0) to = putNatPort(words, to, ports)
    to = closeNest(words, nest, Cta.natDestination, to)
  }
  return to
}

const putNatAddress = (
  words: Int32Array,
  to: number,
  view: FlowView,
  first: number,
  rest: number
): number => {
  if (l3Of(view) === 10) {
    to = putIpv6(words, to, Nat.v6MinIp, view, first, rest)
    return putIpv6(words, to, Nat.v6MaxIp, view, first, rest)
  }
  const address = view.base[view.baseWord + first]!
  to = putWord(words, to, Nat.v4MinIp, address)
  return putWord(words, to, Nat.v4MaxIp, address)
}

const putNatPort = (words: Int32Array, to: number, port: number): number => {
  const nest = to
  to = putHalf(words, to + 1, NatProto.portMin, port)
  to = putHalf(words, to, NatProto.portMax, port)
  return closeNest(words, nest, Nat.proto, to)
}

const putSeqAdj = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number => {
  const { rare, rareWord } = view
  if ((presentRare & HasRare.seqAdjOriginal) !== 0) {
    to = putTriple(words, to, Cta.seqAdjOriginal, rare, rareWord + Rare.seqAdjOriginal)
  }
  if ((presentRare & HasRare.seqAdjReply) !== 0) {
    to = putTriple(words, to, Cta.seqAdjReply, rare, rareWord + Rare.seqAdjReply)
  }
  return to
}

/** A nest of three numbers with types 1 to 3. */
const putTriple = (
  words: Int32Array,
  to: number,
  type: number,
  from: Int32Array,
  fromWord: number
): number => {
  const nest = to
  to += 1
  for (let i = 0; i < 3; i++) to = putWord(words, to, i + 1, from[fromWord + i]!)
  return closeNest(words, nest, type, to)
}

const isSynproxyNonZero = (view: FlowView): boolean => {
  const at = view.rareWord + Rare.synproxyIsn
  return (view.rare[at]! | view.rare[at + 1]! | view.rare[at + 2]!) !== 0
}

const synproxyBits = HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff

const putSynproxy = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number =>
  (presentRare & synproxyBits) === synproxyBits
    ? putTriple(words, to, Cta.synproxy, view.rare, view.rareWord + Rare.synproxyIsn)
    : to

const putHelper = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number => {
  const { rare, rareWord } = view
  if ((presentRare & HasRare.helperName) === 0 || rare[rareWord + Rare.helperName] === 0) return to
  const from = (rareWord + Rare.helperName) << 2
  let bytes = 0
  while (bytes < 15 && view.rareBytes[from + bytes] !== 0) bytes++
  const nest = to
  const name = to + 1
  to = putWords(words, name, Help.name, rare, rareWord + Rare.helperName, (bytes >> 2) + 1)
  // The length says where the name ends, with its NUL; the words above are NUL-padded.
  words[name] = (4 + bytes + 1) | (Help.name << 16)
  return closeNest(words, nest, Cta.help, to)
}

const putLabels = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number => {
  if ((presentRare & HasRare.labels) === 0) return to
  const { rare, rareWord } = view
  const count = Math.min(rare[rareWord + Rare.misc]! & 0xff, 4)
  if (count === 0) return to
  to = putWords(words, to, Cta.labels, rare, rareWord + Rare.labels, count)
  if ((presentRare & HasRare.labelsMask) === 0) return to
  return putWords(words, to, Cta.labelsMask, view.detail, Detail.labelsMask, count)
}
