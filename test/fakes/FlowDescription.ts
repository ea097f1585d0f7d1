/**
 * A flow in plain terms, for tests: what a record says, and a record that says it.
 *
 * The shape is that of `flow` in the recorded ctnetlink messages (test/golden/ctnetlink/README.md):
 * numbers in host terms, addresses as text, 64-bit numbers as decimal text. A field that is absent
 * is one that the record does not know. `translation` is what a peer announces.
 */
import {
  Address,
  Base,
  Detail,
  Has,
  HasRare,
  Rare,
  swap32
} from "../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import {
  has,
  hasRare,
  l4Of,
  scratchView,
  securityContextOf,
  setHas,
  setHasRare,
  setL3,
  setL4,
  setState,
  stateOf
} from "../../src/core/model/FlowView.ts"
import { addressTextOf, addressWordsOf } from "./Address.ts"

export interface TupleDescription {
  src?: string
  dst?: string
  proto?: number
  sport?: number
  dport?: number
  icmpId?: number
  icmpType?: number
  icmpCode?: number
  /** A zone of this direction alone. */
  zone?: number
}

export interface SeqAdjDescription {
  correctionPos: number
  offsetBefore: number
  offsetAfter: number
}

export interface FlowDescription {
  orig?: TupleDescription
  reply?: TupleDescription
  master?: TupleDescription
  zone?: number
  status?: number
  timeout?: number
  mark?: number
  id?: number
  use?: number
  tcp?: {
    state?: number
    wscaleOrig?: number
    wscaleReply?: number
    flagsOrig?: number
    flagsReply?: number
    /** Only when not 0: what a request wants changed. */
    maskOrig?: number
    maskReply?: number
  }
  sctp?: { state?: number; vtagOrig?: number; vtagReply?: number }
  dccp?: { state?: number; role?: number; handshakeSeq?: string }
  countersOrig?: { packets: string; bytes: string }
  countersReply?: { packets: string; bytes: string }
  timestamp?: { start?: string; stop?: string }
  timestampEvent?: string
  helper?: string
  /** Hexadecimal. */
  helperInfo?: string
  /** The bitmap in memory order, hexadecimal. */
  labels?: string
  labelsMask?: string
  seqAdjOrig?: SeqAdjDescription
  seqAdjReply?: SeqAdjDescription
  synproxy?: { isn?: number; its?: number; tsoff?: number }
  securityContext?: string
  secmark?: number
  markMask?: number
  statusMask?: number
  translation?: { snat?: string; dnat?: string; snatPort?: number; dnatPort?: number }
}

const swap16 = (half: number): number => ((half & 0xff) << 8) | ((half >>> 8) & 0xff)

const hexOf = (words: Int32Array, at: number, count: number): string =>
  Array.from(
    { length: count },
    (_, i) => (swap32(words[at + i]!) >>> 0).toString(16).padStart(8, "0")
  ).join("")

const number64 = (words: Int32Array, at: number): string =>
  ((BigInt(swap32(words[at]!) >>> 0) << 32n) | BigInt(swap32(words[at + 1]!) >>> 0)).toString()

const isIcmp = (l4: number) => l4 === 1 || l4 === 58
const hasPortPair = (l4: number) => [6, 17, 33, 47, 132, 136].includes(l4)

const addressOf = (view: FlowView, isIpv6: boolean, first: number, rest: number): string => {
  const word = view.base[view.baseWord + first]!
  if (!isIpv6) return addressTextOf([word])
  const at = view.addressWord + rest
  return addressTextOf([word, view.address[at]!, view.address[at + 1]!, view.address[at + 2]!])
}

/** What the record says. */
export const describeFlow = (view: FlowView): FlowDescription => {
  const flow: FlowDescription = {}
  const { base, baseWord, detail, rare, rareWord } = view
  const number = (word: number) => swap32(base[baseWord + word]!) >>> 0
  const rareNumber = (word: number) => swap32(rare[rareWord + word]!) >>> 0
  const l4 = l4Of(view)
  if (has(view, Has.originalIpv4) || has(view, Has.originalIpv6)) {
    const v6 = has(view, Has.originalIpv6)
    const tuple: TupleDescription = {
      src: addressOf(view, v6, Base.originalSource, Address.originalSource),
      dst: addressOf(view, v6, Base.originalDestination, Address.originalDestination)
    }
    const ports = base[baseWord + Base.originalPorts]!
    if (has(view, Has.l4Protocol)) tuple.proto = l4
    if (has(view, Has.originalPorts)) {
      tuple.sport = swap16(ports)
      tuple.dport = swap16(ports >>> 16)
    }
    if (has(view, Has.icmpId)) tuple.icmpId = swap16(ports)
    if (has(view, Has.icmpType)) tuple.icmpType = (ports >>> 16) & 0xff
    if (has(view, Has.icmpCode)) tuple.icmpCode = ports >>> 24
    if (has(view, Has.originalZone)) tuple.zone = swap16(base[baseWord + Base.zone]!)
    flow.orig = tuple
  }
  if (has(view, Has.replyIpv4) || has(view, Has.replyIpv6)) {
    const v6 = has(view, Has.replyIpv6)
    const tuple: TupleDescription = {
      src: addressOf(view, v6, Base.replySource, Address.replySource),
      dst: addressOf(view, v6, Base.replyDestination, Address.replyDestination)
    }
    const ports = base[baseWord + Base.replyPorts]!
    if (has(view, Has.l4Protocol)) tuple.proto = l4
    if (has(view, Has.replyPorts)) {
      if (isIcmp(l4)) {
        tuple.icmpId = swap16(ports)
        tuple.icmpType = (ports >>> 16) & 0xff
        tuple.icmpCode = ports >>> 24
      } else {
        tuple.sport = swap16(ports)
        tuple.dport = swap16(ports >>> 16)
      }
    }
    if (has(view, Has.replyZone)) tuple.zone = swap16(base[baseWord + Base.replyZone]!)
    flow.reply = tuple
  }
  describeTranslation(view, flow)
  if (has(view, Has.zone)) flow.zone = swap16(base[baseWord + Base.zone]!)
  if (has(view, Has.status)) flow.status = number(Base.status)
  if (has(view, Has.timeout)) flow.timeout = number(Base.timeoutSeconds)
  if (has(view, Has.mark)) flow.mark = number(Base.mark)
  if (has(view, Has.id)) flow.id = number(Base.id)
  describeProtocol(view, flow)
  const isMasterV6 = hasRare(view, HasRare.masterIpv6)
  if (isMasterV6 || hasRare(view, HasRare.masterIpv4)) {
    const count = isMasterV6 ? 4 : 1
    const take = (word: number) =>
      addressTextOf(Array.from(rare.slice(rareWord + word, rareWord + word + count)))
    const master: TupleDescription = {
      src: take(Rare.masterSource),
      dst: take(Rare.masterDestination)
    }
    if (hasRare(view, HasRare.masterL4Protocol)) {
      master.proto = (rare[rareWord + Rare.misc]! >>> 16) & 0xff
    }
    if (hasRare(view, HasRare.masterPorts)) {
      master.sport = swap16(rare[rareWord + Rare.masterPorts]!)
      master.dport = swap16(rare[rareWord + Rare.masterPorts]! >>> 16)
    }
    flow.master = master
  }
  if (hasRare(view, HasRare.labels)) {
    const words = rare[rareWord + Rare.misc]! & 0xff
    flow.labels = hexOf(rare, rareWord + Rare.labels, words)
  }
  if (hasRare(view, HasRare.helperName)) {
    let name = ""
    for (let at = (rareWord + Rare.helperName) * 4; view.rareBytes[at] !== 0; at++) {
      name += String.fromCharCode(view.rareBytes[at]!)
    }
    flow.helper = name
  }
  const seqAdj = (word: number): SeqAdjDescription => ({
    correctionPos: rareNumber(word),
    offsetBefore: rareNumber(word + 1),
    offsetAfter: rareNumber(word + 2)
  })
  if (hasRare(view, HasRare.seqAdjOriginal)) flow.seqAdjOrig = seqAdj(Rare.seqAdjOriginal)
  if (hasRare(view, HasRare.seqAdjReply)) flow.seqAdjReply = seqAdj(Rare.seqAdjReply)
  const synproxy: NonNullable<FlowDescription["synproxy"]> = {}
  if (hasRare(view, HasRare.synproxyIsn)) synproxy.isn = rareNumber(Rare.synproxyIsn)
  if (hasRare(view, HasRare.synproxyIts)) synproxy.its = rareNumber(Rare.synproxyIts)
  if (hasRare(view, HasRare.synproxyTsoff)) synproxy.tsoff = rareNumber(Rare.synproxyTsoff)
  if (Object.keys(synproxy).length > 0) flow.synproxy = synproxy
  const counters = (word: number) => ({
    packets: number64(detail, word),
    bytes: number64(detail, word + 2)
  })
  if (hasRare(view, HasRare.countersOriginal)) {
    flow.countersOrig = counters(Detail.countersOriginal)
  }
  if (hasRare(view, HasRare.countersReply)) flow.countersReply = counters(Detail.countersReply)
  const timestamp: NonNullable<FlowDescription["timestamp"]> = {}
  if (hasRare(view, HasRare.timestampStart)) {
    timestamp.start = number64(rare, rareWord + Rare.timestampStart)
  }
  if (hasRare(view, HasRare.timestampStop)) {
    timestamp.stop = number64(detail, Detail.timestampStop)
  }
  if (Object.keys(timestamp).length > 0) flow.timestamp = timestamp
  if (hasRare(view, HasRare.timestampEvent)) {
    flow.timestampEvent = number64(detail, Detail.timestampEvent)
  }
  const detailNumber = (word: number) => swap32(detail[word]!) >>> 0
  if (hasRare(view, HasRare.use)) flow.use = detailNumber(Detail.use)
  if (hasRare(view, HasRare.secmark)) flow.secmark = detailNumber(Detail.secmark)
  if (hasRare(view, HasRare.markMask)) flow.markMask = detailNumber(Detail.markMask)
  if (hasRare(view, HasRare.statusMask)) flow.statusMask = detailNumber(Detail.statusMask)
  if (hasRare(view, HasRare.labelsMask)) flow.labelsMask = hexOf(detail, Detail.labelsMask, 4)
  if (hasRare(view, HasRare.securityContext)) flow.securityContext = securityContextOf(view)
  if (hasRare(view, HasRare.helperInfo)) {
    const from = Detail.helperInfo * 4
    const info = view.detailBytes.slice(from, from + detail[Detail.helperInfoBytes]!)
    flow.helperInfo = Array.from(info, (byte) => byte.toString(16).padStart(2, "0")).join("")
  }
  return flow
}

const describeTranslation = (view: FlowView, flow: FlowDescription): void => {
  const ports = view.base[view.baseWord + Base.replyPorts]!
  const translation: NonNullable<FlowDescription["translation"]> = {}
  if (has(view, Has.snatIpv4) || has(view, Has.snatIpv6)) {
    translation.snat = addressOf(
      view,
      has(view, Has.snatIpv6),
      Base.replyDestination,
      Address.replyDestination
    )
  }
  if (has(view, Has.dnatIpv4) || has(view, Has.dnatIpv6)) {
    translation.dnat = addressOf(
      view,
      has(view, Has.dnatIpv6),
      Base.replySource,
      Address.replySource
    )
  }
  if (has(view, Has.snatPort)) translation.snatPort = swap16(ports >>> 16)
  if (has(view, Has.dnatPort)) translation.dnatPort = swap16(ports)
  if (Object.keys(translation).length > 0) flow.translation = translation
}

const describeProtocol = (view: FlowView, flow: FlowDescription): void => {
  const { base, baseWord } = view
  const l4 = l4Of(view)
  const state = has(view, Has.state) ? { state: stateOf(view) } : {}
  const zone = base[baseWord + Base.zone]!
  const flags = base[baseWord + Base.tcpFlags]!
  const tcp: NonNullable<FlowDescription["tcp"]> = l4 === 132 || l4 === 33 ? {} : state
  if (has(view, Has.windowScaleOriginal)) tcp.wscaleOrig = (zone >>> 16) & 0xff
  if (has(view, Has.windowScaleReply)) tcp.wscaleReply = zone >>> 24
  if (has(view, Has.tcpFlagsOriginal)) {
    tcp.flagsOrig = flags & 0xff
    if ((flags & 0xff00) !== 0) tcp.maskOrig = (flags >>> 8) & 0xff
  }
  if (has(view, Has.tcpFlagsReply)) {
    tcp.flagsReply = (flags >>> 16) & 0xff
    if (flags >>> 24 !== 0) tcp.maskReply = flags >>> 24
  }
  if (Object.keys(tcp).length > 0) flow.tcp = tcp
  const sctp: NonNullable<FlowDescription["sctp"]> = l4 === 132 ? state : {}
  if (has(view, Has.sctpTagOriginal)) {
    sctp.vtagOrig = swap32(base[baseWord + Base.sctpTagOriginal]!) >>> 0
  }
  if (has(view, Has.sctpTagReply)) {
    sctp.vtagReply = swap32(base[baseWord + Base.sctpTagReply]!) >>> 0
  }
  if (Object.keys(sctp).length > 0) flow.sctp = sctp
  const dccp: NonNullable<FlowDescription["dccp"]> = l4 === 33 ? state : {}
  if (has(view, Has.dccpRole)) dccp.role = base[baseWord + Base.protocols]! >>> 24
  if (hasRare(view, HasRare.dccpHandshakeSeq)) {
    dccp.handshakeSeq = number64(view.detail, Detail.dccpHandshakeSeq)
  }
  if (Object.keys(dccp).length > 0) flow.dccp = dccp
}

const putAddress = (view: FlowView, text: string, first: number, rest: number): boolean => {
  const words = addressWordsOf(text)
  view.base[view.baseWord + first] = words[0]!
  for (let i = 1; i < words.length; i++) view.address[view.addressWord + rest + i - 1] = words[i]!
  return words.length === 4
}

const putHex = (words: Int32Array, at: number, hex: string): number => {
  const count = hex.length / 8
  for (let i = 0; i < count; i++) words[at + i] = swap32(parseInt(hex.slice(8 * i, 8 * i + 8), 16))
  return count
}

const put64 = (words: Int32Array, at: number, text: string): void => {
  words[at] = swap32(Number(BigInt(text) >> 32n))
  words[at + 1] = swap32(Number(BigInt(text) & 0xffff_ffffn))
}

/** Writes the description into `view`, a cleared scratch record. */
export const fillFlow = (view: FlowView, flow: FlowDescription): FlowView => {
  const { base, baseWord, detail, rare, rareWord } = view
  const put = (word: number, value: number, bit: number) => {
    base[baseWord + word] = swap32(value)
    setHas(view, bit)
  }
  const putRare = (word: number, value: number, bit: number) => {
    rare[rareWord + word] = swap32(value)
    setHasRare(view, bit)
  }
  const putDetail = (word: number, value: number, bit: number) => {
    detail[word] = swap32(value)
    setHasRare(view, bit)
  }
  const merge = (word: number, shift: number, mask: number, value: number, bit: number) => {
    const at = baseWord + word
    base[at] = (base[at]! & ~(mask << shift)) | ((value & mask) << shift)
    setHas(view, bit)
  }
  if (flow.orig !== undefined) {
    const { orig } = flow
    if (orig.proto !== undefined) {
      setL4(view, orig.proto)
      setHas(view, Has.l4Protocol)
    }
    putAddress(view, orig.dst!, Base.originalDestination, Address.originalDestination)
    const v6 = putAddress(view, orig.src!, Base.originalSource, Address.originalSource)
    setL3(view, v6 ? 10 : 2)
    setHas(view, v6 ? Has.originalIpv6 : Has.originalIpv4)
    if (orig.sport !== undefined) {
      base[baseWord + Base.originalPorts] = swap16(orig.sport) | (swap16(orig.dport ?? 0) << 16)
      setHas(view, Has.originalPorts)
    }
    if (orig.icmpId !== undefined) {
      merge(Base.originalPorts, 0, 0xffff, swap16(orig.icmpId), Has.icmpId)
    }
    if (orig.icmpType !== undefined) {
      merge(Base.originalPorts, 16, 0xff, orig.icmpType, Has.icmpType)
    }
    if (orig.icmpCode !== undefined) {
      merge(Base.originalPorts, 24, 0xff, orig.icmpCode, Has.icmpCode)
    }
    if (orig.zone !== undefined) merge(Base.zone, 0, 0xffff, swap16(orig.zone), Has.originalZone)
  }
  if (flow.reply !== undefined) {
    const { reply } = flow
    putAddress(view, reply.dst!, Base.replyDestination, Address.replyDestination)
    const v6 = putAddress(view, reply.src!, Base.replySource, Address.replySource)
    setL3(view, v6 ? 10 : 2)
    setHas(view, v6 ? Has.replyIpv6 : Has.replyIpv4)
    const l4 = l4Of(view)
    if (isIcmp(l4) && reply.icmpId !== undefined) {
      base[baseWord + Base.replyPorts] = swap16(reply.icmpId) | (reply.icmpType! << 16) |
        (reply.icmpCode! << 24)
      setHas(view, Has.replyPorts)
    } else if (hasPortPair(l4) && reply.sport !== undefined) {
      base[baseWord + Base.replyPorts] = swap16(reply.sport) | (swap16(reply.dport ?? 0) << 16)
      setHas(view, Has.replyPorts)
    }
    if (reply.zone !== undefined) {
      merge(Base.replyZone, 0, 0xffff, swap16(reply.zone), Has.replyZone)
    }
  }
  if (flow.translation !== undefined) {
    const { dnat, dnatPort, snat, snatPort } = flow.translation
    if (snat !== undefined) {
      const v6 = putAddress(view, snat, Base.replyDestination, Address.replyDestination)
      setHas(view, v6 ? Has.snatIpv6 : Has.snatIpv4)
    }
    if (dnat !== undefined) {
      const v6 = putAddress(view, dnat, Base.replySource, Address.replySource)
      setHas(view, v6 ? Has.dnatIpv6 : Has.dnatIpv4)
    }
    if (snatPort !== undefined) merge(Base.replyPorts, 16, 0xffff, swap16(snatPort), Has.snatPort)
    if (dnatPort !== undefined) merge(Base.replyPorts, 0, 0xffff, swap16(dnatPort), Has.dnatPort)
  }
  if (flow.zone !== undefined) merge(Base.zone, 0, 0xffff, swap16(flow.zone), Has.zone)
  if (flow.status !== undefined) put(Base.status, flow.status, Has.status)
  if (flow.timeout !== undefined) put(Base.timeoutSeconds, flow.timeout, Has.timeout)
  if (flow.mark !== undefined) put(Base.mark, flow.mark, Has.mark)
  if (flow.id !== undefined) put(Base.id, flow.id, Has.id)
  const state = flow.tcp?.state ?? flow.sctp?.state ?? flow.dccp?.state
  if (state !== undefined) {
    setState(view, state)
    setHas(view, Has.state)
  }
  const { dccp, master, sctp, synproxy, tcp, timestamp } = flow
  if (tcp?.wscaleOrig !== undefined) {
    merge(Base.zone, 16, 0xff, tcp.wscaleOrig, Has.windowScaleOriginal)
  }
  if (tcp?.wscaleReply !== undefined) {
    merge(Base.zone, 24, 0xff, tcp.wscaleReply, Has.windowScaleReply)
  }
  if (tcp?.flagsOrig !== undefined) {
    const value = tcp.flagsOrig | ((tcp.maskOrig ?? 0) << 8)
    merge(Base.tcpFlags, 0, 0xffff, value, Has.tcpFlagsOriginal)
  }
  if (tcp?.flagsReply !== undefined) {
    const value = tcp.flagsReply | ((tcp.maskReply ?? 0) << 8)
    merge(Base.tcpFlags, 16, 0xffff, value, Has.tcpFlagsReply)
  }
  if (sctp?.vtagOrig !== undefined) put(Base.sctpTagOriginal, sctp.vtagOrig, Has.sctpTagOriginal)
  if (sctp?.vtagReply !== undefined) put(Base.sctpTagReply, sctp.vtagReply, Has.sctpTagReply)
  if (dccp?.role !== undefined) merge(Base.protocols, 24, 0xff, dccp.role, Has.dccpRole)
  if (dccp?.handshakeSeq !== undefined) {
    put64(detail, Detail.dccpHandshakeSeq, dccp.handshakeSeq)
    setHasRare(view, HasRare.dccpHandshakeSeq)
  }
  if (master !== undefined) fillMaster(view, master)
  if (flow.labels !== undefined) {
    const count = putHex(rare, rareWord + Rare.labels, flow.labels)
    rare[rareWord + Rare.misc] = (rare[rareWord + Rare.misc]! & ~0xff) | count
    setHasRare(view, HasRare.labels)
  }
  if (flow.helper !== undefined) {
    const at = (rareWord + Rare.helperName) * 4
    for (let i = 0; i < flow.helper.length; i++) {
      view.rareBytes[at + i] = flow.helper.charCodeAt(i)
    }
    setHasRare(view, HasRare.helperName)
  }
  const putSeqAdj = (word: number, value: SeqAdjDescription, bit: number) => {
    putRare(word, value.correctionPos, bit)
    putRare(word + 1, value.offsetBefore, bit)
    putRare(word + 2, value.offsetAfter, bit)
  }
  if (flow.seqAdjOrig) putSeqAdj(Rare.seqAdjOriginal, flow.seqAdjOrig, HasRare.seqAdjOriginal)
  if (flow.seqAdjReply) putSeqAdj(Rare.seqAdjReply, flow.seqAdjReply, HasRare.seqAdjReply)
  if (synproxy?.isn !== undefined) putRare(Rare.synproxyIsn, synproxy.isn, HasRare.synproxyIsn)
  if (synproxy?.its !== undefined) putRare(Rare.synproxyIts, synproxy.its, HasRare.synproxyIts)
  if (synproxy?.tsoff !== undefined) {
    putRare(Rare.synproxyTsoff, synproxy.tsoff, HasRare.synproxyTsoff)
  }
  if (timestamp?.start !== undefined) {
    put64(rare, rareWord + Rare.timestampStart, timestamp.start)
    setHasRare(view, HasRare.timestampStart)
  }
  if (timestamp?.stop !== undefined) {
    put64(detail, Detail.timestampStop, timestamp.stop)
    setHasRare(view, HasRare.timestampStop)
  }
  if (flow.timestampEvent !== undefined) {
    put64(detail, Detail.timestampEvent, flow.timestampEvent)
    setHasRare(view, HasRare.timestampEvent)
  }
  const putCounters = (word: number, value: { packets: string; bytes: string }, bit: number) => {
    put64(detail, word, value.packets)
    put64(detail, word + 2, value.bytes)
    setHasRare(view, bit)
  }
  if (flow.countersOrig) {
    putCounters(Detail.countersOriginal, flow.countersOrig, HasRare.countersOriginal)
  }
  if (flow.countersReply) {
    putCounters(Detail.countersReply, flow.countersReply, HasRare.countersReply)
  }
  if (flow.use !== undefined) putDetail(Detail.use, flow.use, HasRare.use)
  if (flow.secmark !== undefined) putDetail(Detail.secmark, flow.secmark, HasRare.secmark)
  if (flow.markMask !== undefined) putDetail(Detail.markMask, flow.markMask, HasRare.markMask)
  if (flow.statusMask !== undefined) {
    putDetail(Detail.statusMask, flow.statusMask, HasRare.statusMask)
  }
  if (flow.labelsMask !== undefined) {
    putHex(detail, Detail.labelsMask, flow.labelsMask)
    setHasRare(view, HasRare.labelsMask)
  }
  if (flow.securityContext !== undefined) {
    for (let i = 0; i < flow.securityContext.length; i++) {
      view.detailBytes[Detail.securityContext * 4 + i] = flow.securityContext.charCodeAt(i)
    }
    setHasRare(view, HasRare.securityContext)
  }
  if (flow.helperInfo !== undefined) {
    const bytes = flow.helperInfo.match(/../g) ?? []
    bytes.forEach((byte, i) => {
      view.detailBytes[Detail.helperInfo * 4 + i] = parseInt(byte, 16)
    })
    detail[Detail.helperInfoBytes] = bytes.length
    setHasRare(view, HasRare.helperInfo)
  }
  return view
}

const fillMaster = (view: FlowView, master: TupleDescription): void => {
  const { rare, rareWord } = view
  const source = addressWordsOf(master.src!)
  const destination = addressWordsOf(master.dst!)
  source.forEach((word, i) => {
    rare[rareWord + Rare.masterSource + i] = word
  })
  destination.forEach((word, i) => {
    rare[rareWord + Rare.masterDestination + i] = word
  })
  const l3 = source.length === 4 ? 10 : 2
  let misc = (rare[rareWord + Rare.misc]! & ~0xff00) | (l3 << 8)
  setHasRare(view, l3 === 10 ? HasRare.masterIpv6 : HasRare.masterIpv4)
  if (master.proto !== undefined) {
    misc = (misc & ~0xff_0000) | (master.proto << 16)
    setHasRare(view, HasRare.masterL4Protocol)
  }
  rare[rareWord + Rare.misc] = misc
  if (master.sport !== undefined) {
    rare[rareWord + Rare.masterPorts] = swap16(master.sport) | (swap16(master.dport ?? 0) << 16)
    setHasRare(view, HasRare.masterPorts)
  }
}

/** A scratch record of its own with the description in it. */
export const flowOf = (flow: FlowDescription): FlowView => fillFlow(scratchView(), flow)
