/**
 * Hot. The record that the kernel holds after it created a peer's entry.
 *
 * So the internal cache can be filled without reading our own events. Not foreseen: the port or
 * identifier that the kernel chose (`isTranslationExact`, `withoutKeptPort`); labels that no rule
 * uses, which the kernel drops; the id.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 4.1 and 5.
 */
import { Address, Base, Has, HasRare, Rare, swap32 } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import {
  clearHas,
  copyToScratch,
  has,
  hasRare,
  l4Of,
  setHas,
  setHasRare
} from "../model/FlowView.ts"
import { Protocol } from "../model/Protocol.ts"
import { Status } from "../model/Status.ts"
import { TcpFlag } from "./CtnetlinkAttributes.ts"
import type { RequestOptions } from "./CtnetlinkEncode.ts"
import { createdStatus, isMasterUsable } from "./CtnetlinkEncode.ts"
import { hasPorts, isIcmp, mirroredPorts, Translation, translationOf } from "./CtnetlinkNat.ts"
import {
  areScalesKnown,
  scaleOriginalOf,
  scaleReplyOf,
  sctpStateSent,
  tcpFlagsSent,
  tcpStateSent
} from "./CtnetlinkProtoInfo.ts"

const learnedBits = Has.snatIpv4 | Has.snatIpv6 | Has.dnatIpv4 | Has.dnatIpv6 | Has.snatPort |
  Has.dnatPort
const masterBits = HasRare.masterIpv4 | HasRare.masterIpv6 | HasRare.masterL4Protocol |
  HasRare.masterPorts
const scaleBits = Has.windowScaleOriginal | Has.windowScaleReply
const sctpBits = Has.state | Has.sctpTagOriginal | Has.sctpTagReply

/**
 * Fills the scratch record `out` from `view` and the options with which the request was encoded
 * (`encodeCreate`).
 */
export const deriveCommitted = (
  view: FlowView,
  options: RequestOptions,
  out: FlowView
): void => {
  const translation = translationOf(view)
  copyToScratch(view, out)
  putReply(view, translation, out)
  const keepsMaster = !options.withoutMaster && isMasterUsable(view)
  const keepsHelper = !options.withoutHelper && hasRare(view, HasRare.helperName) &&
    view.rare[view.rareWord + Rare.helperName] !== 0
  if (!keepsMaster) clearRare(out, masterBits)
  if (!keepsHelper) clearRare(out, HasRare.helperName | HasRare.helperInfo)
  putStatus(view, translation, keepsMaster, keepsHelper, out)
  out.base[Base.timeoutSeconds] = swap32(Math.max(options.timeoutSeconds, 0))
  clearHas(out, learnedBits | Has.id | scaleBits | Has.tcpFlagsOriginal | Has.tcpFlagsReply)
  setHas(out, Has.status | Has.timeout | Has.mark)
  out.base[Base.id] = 0
  // Counters, use and the like are the kernel's own; the start is the moment of the creation.
  clearRare(out, ~(masterBits | keptRareBits))
  putExtensions(out)
  putProtocol(view, options, out)
}

const keptRareBits = HasRare.labels | HasRare.helperName | HasRare.seqAdjOriginal |
  HasRare.seqAdjReply | HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff

const synproxyBits = HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff

/** Labels have their full width, zone 0 is no zone, and SYNPROXY is there, if only with zeros. */
const putExtensions = (out: FlowView): void => {
  if (has(out, Has.zone) && (out.base[Base.zone]! & 0xffff) === 0) clearHas(out, Has.zone)
  if (!hasRare(out, synproxyBits)) {
    for (let i = 0; i < 3; i++) out.rare[out.rareWord + Rare.synproxyIsn + i] = 0
    setHasRare(out, synproxyBits)
  }
  if (!hasRare(out, HasRare.labels)) return
  const at = out.rareWord + Rare.labels
  let any = 0
  for (let i = 0; i < 4; i++) any |= out.rare[at + i]!
  if (any === 0) clearRare(out, HasRare.labels)
  else out.rare[out.rareWord + Rare.misc] = (out.rare[out.rareWord + Rare.misc]! & ~0xff) | 4
}

const clearRare = (view: FlowView, bits: number): void => {
  const at = view.baseWord + Base.presentRare
  view.base[at] = view.base[at]! & ~bits
}

const putReply = (view: FlowView, translation: number, out: FlowView): void => {
  const { base, address } = out
  if ((translation & Translation.destinationAddress) === 0) {
    base[Base.replySource] = base[Base.originalDestination]!
    copyRest(address, out.addressWord, Address.originalDestination, Address.replySource)
  }
  if ((translation & Translation.sourceAddress) === 0) {
    base[Base.replyDestination] = base[Base.originalSource]!
    copyRest(address, out.addressWord, Address.originalSource, Address.replyDestination)
  }
  const mirrored = mirroredPorts(view)
  const reply = view.base[view.baseWord + Base.replyPorts]!
  const destinationPort = (translation & Translation.destinationPort) !== 0 ? reply : mirrored
  const sourcePort = (translation & Translation.sourcePort) !== 0 ? reply : mirrored
  base[Base.replyPorts] = (destinationPort & 0xffff) | (sourcePort & ~0xffff)
  clearHas(out, Has.replyIpv4 | Has.replyIpv6 | Has.replyPorts)
  setHas(
    out,
    (has(view, Has.originalIpv6) ? Has.replyIpv6 : Has.replyIpv4) | portBits(l4Of(view))
  )
}

/** What the kernel shows beside the addresses, also when the peer did not say it. */
const portBits = (l4: number): number =>
  isIcmp(l4)
    ? Has.icmpId | Has.icmpType | Has.icmpCode | Has.replyPorts
    : hasPorts(l4) || l4 === Protocol.gre
    ? Has.originalPorts | Has.replyPorts
    : 0

const copyRest = (address: Int32Array, at: number, from: number, to: number): void => {
  for (let i = 0; i < 3; i++) address[at + to + i] = address[at + from + i]!
}

const translatedBits = Status.srcNat | Status.dstNat | Status.srcNatDone | Status.dstNatDone
/** What the kernel sets by itself, whatever is sent. */
const ignoredBits = translatedBits | Status.seqAdjust | Status.template | Status.natClash |
  Status.offload | Status.hwOffload

const putStatus = (
  view: FlowView,
  translation: number,
  hasMaster: boolean,
  hasHelper: boolean,
  out: FlowView
): void => {
  let status = swap32(createdStatus(view)) & 0xffff & ~ignoredBits
  if ((translation & Translation.source) !== 0) status |= Status.srcNat
  if ((translation & Translation.destination) !== 0) status |= Status.dstNat
  if (translation !== 0) status |= Status.srcNatDone | Status.dstNatDone
  if (hasMaster) status |= Status.expected
  if (hasHelper) status |= Status.helper
  if (hasRare(view, HasRare.seqAdjOriginal) || hasRare(view, HasRare.seqAdjReply)) {
    status |= Status.seqAdjust
  }
  out.base[Base.status] = swap32(status)
}

const putProtocol = (view: FlowView, options: RequestOptions, out: FlowView): void => {
  const l4 = l4Of(view)
  const protocols = out.base[Base.protocols]! & 0xffff
  const zone = out.base[Base.zone]! & 0xffff
  out.base[Base.zone] = zone
  out.base[Base.tcpFlags] = 0
  if (l4 === Protocol.tcp) {
    const state = has(view, Has.state) ? tcpStateSent(view) : 0
    const flags = tcpFlagsSent(view, options.windowTracking)
    out.base[Base.protocols] = protocols | (state << 16)
    out.base[Base.tcpFlags] = flags | (flags << 16)
    if ((flags & TcpFlag.windowScale) !== 0 && areScalesKnown(view)) {
      out.base[Base.zone] = zone | (scaleOriginalOf(view) << 16) | (scaleReplyOf(view) << 24)
    }
    setHas(out, Has.state | scaleBits | Has.tcpFlagsOriginal | Has.tcpFlagsReply)
  } else if (l4 === Protocol.sctp) {
    const state = sctpStateSent(view)
    out.base[Base.protocols] = protocols | (Math.max(state, 0) << 16)
    if (state < 0) {
      // A flow without protocol information has the state and the tags of a fresh one.
      out.base[Base.sctpTagOriginal] = 0
      out.base[Base.sctpTagReply] = 0
    }
    setHas(out, sctpBits)
  }
}
