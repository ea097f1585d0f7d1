/**
 * Hot. What requests to the kernel say of a flow's transport protocol: TCP, SCTP, DCCP.
 *
 * What cannot be restored must not break the rest: a state or window scale that the kernel would
 * refuse is sent as one that it takes.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2, 4 and 5;
 * "The synchronisation engines", section 14.2.
 */
import { Base, Detail, Has, HasRare } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { has, hasRare, l4Of } from "../model/FlowView.ts"
import { Protocol } from "../model/Protocol.ts"
import { Cta, Dccp, ProtoInfo, Sctp, Tcp, TcpFlag } from "./CtnetlinkAttributes.ts"
import { closeNest, putByte, putHalf, putWord, putWords } from "./Nlattr.ts"

/** Largest values the kernel takes. Older kernels clamp the scale and do not check the state. */
const tcpStateMax = 9
const sctpStateMax = 8
const sctpEstablished = 4
const sctpHeartbeatAcked = 9
const windowScaleMax = 14

/** Both window scales are known: only then does the kernel store them. */
export const areScalesKnown = (view: FlowView): boolean =>
  has(view, Has.windowScaleOriginal | Has.windowScaleReply)

export const scaleOriginalOf = (view: FlowView): number =>
  Math.min((view.base[view.baseWord + Base.zone]! >>> 16) & 0xff, windowScaleMax)

export const scaleReplyOf = (view: FlowView): number =>
  Math.min(view.base[view.baseWord + Base.zone]! >>> 24, windowScaleMax)

/** A state that the kernel does not have is sent as NONE: traffic then decides. */
export const tcpStateSent = (view: FlowView): number => {
  const state = (view.base[view.baseWord + Base.protocols]! >>> 16) & 0xff
  return state > tcpStateMax ? 0 : state
}

/** TCP flags of both directions, which are also their mask. */
export const tcpFlagsSent = (view: FlowView, windowTracking: boolean): number => {
  let flags = windowTracking ? 0 : TcpFlag.sackPerm | TcpFlag.beLiberal
  if (areScalesKnown(view)) flags |= TcpFlag.windowScale | TcpFlag.sackPerm
  const state = has(view, Has.state) ? tcpStateSent(view) : 0
  // TIME_WAIT, CLOSE: a new SYN shall replace the entry.
  if (state === 7 || state === 8) flags |= TcpFlag.closeInit
  return flags
}

/**
 * The state of a SCTP flow as the kernel takes it, or -1 when the information is not complete or
 * not a state. What older kernels call HEARTBEAT_ACKED is ESTABLISHED in newer ones.
 */
export const sctpStateSent = (view: FlowView): number => {
  if (!has(view, Has.state | Has.sctpTagOriginal | Has.sctpTagReply)) return -1
  const state = (view.base[view.baseWord + Base.protocols]! >>> 16) & 0xff
  if (state === sctpHeartbeatAcked) return sctpEstablished
  return state <= sctpStateMax ? state : -1
}

/** Nothing when nothing is known. */
export const putProtoInfo = (
  words: Int32Array,
  to: number,
  view: FlowView,
  windowTracking: boolean
): number => {
  switch (l4Of(view)) {
    case Protocol.tcp:
      return putTcp(words, to, view, windowTracking)
    case Protocol.sctp:
      return sctpStateSent(view) < 0 ? to : putSctp(words, to, view)
    case Protocol.dccp:
      return has(view, Has.state | Has.dccpRole) ? putDccp(words, to, view) : to
    default:
      return to
  }
}

const putTcp = (
  words: Int32Array,
  to: number,
  view: FlowView,
  windowTracking: boolean
): number => {
  const flags = tcpFlagsSent(view, windowTracking)
  const hasState = has(view, Has.state)
  if (!hasState && flags === 0) return to
  const outer = to
  const inner = to + 1
  to = inner + 1
  if (hasState) to = putByte(words, to, Tcp.state, tcpStateSent(view))
  if (areScalesKnown(view)) {
    to = putByte(words, to, Tcp.windowScaleOriginal, scaleOriginalOf(view))
    to = putByte(words, to, Tcp.windowScaleReply, scaleReplyOf(view))
  }
  if (flags !== 0) {
    to = putHalf(words, to, Tcp.flagsOriginal, flags | (flags << 8))
    to = putHalf(words, to, Tcp.flagsReply, flags | (flags << 8))
  }
  closeNest(words, inner, ProtoInfo.tcp, to)
  return closeNest(words, outer, Cta.protoInfo, to)
}

const putSctp = (words: Int32Array, to: number, view: FlowView): number => {
  const { base, baseWord } = view
  const outer = to
  const inner = to + 1
  to = putByte(words, inner + 1, Sctp.state, sctpStateSent(view))
  to = putWord(words, to, Sctp.tagOriginal, base[baseWord + Base.sctpTagOriginal]!)
  to = putWord(words, to, Sctp.tagReply, base[baseWord + Base.sctpTagReply]!)
  closeNest(words, inner, ProtoInfo.sctp, to)
  return closeNest(words, outer, Cta.protoInfo, to)
}

const putDccp = (words: Int32Array, to: number, view: FlowView): number => {
  const { base, baseWord } = view
  const outer = to
  const inner = to + 1
  to = putByte(words, inner + 1, Dccp.state, base[baseWord + Base.protocols]! >>> 16)
  to = putByte(words, to, Dccp.role, base[baseWord + Base.protocols]! >>> 24)
  if (hasRare(view, HasRare.dccpHandshakeSeq)) {
    to = putWords(words, to, Dccp.handshakeSeq, view.detail, Detail.dccpHandshakeSeq, 2)
  }
  closeNest(words, inner, ProtoInfo.dccp, to)
  return closeNest(words, outer, Cta.protoInfo, to)
}
