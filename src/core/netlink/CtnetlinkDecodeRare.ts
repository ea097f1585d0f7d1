/**
 * Hot. Attributes that few messages have: helper, counters, timestamps, labels, sequence
 * adjustment, SYNPROXY, master, security context, and what only requests carry.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 2.
 */
import { Fault } from "../model/Fault.ts"
import { Detail, HasRare, Rare } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { setHasRare } from "../model/FlowView.ts"
import {
  Counters,
  Cta,
  Help,
  Ip,
  Proto,
  SecurityContext,
  SeqAdj,
  Synproxy,
  Timestamp,
  Tuple
} from "./CtnetlinkAttributes.ts"

/** The kernel's limits: 16 bytes of name with its NUL, 128 label bits. */
const helperNameBytesMax = 15
const labelsBytesMax = 16
/** What the record has room for. More is cut off: nobody but the helper itself reads it. */
const helperInfoBytesMax = 64
const securityContextBytesMax = 127

/** Reads the attribute `type` with the value `[at, end)`; skips what it does not know. */
export const decodeRare = (
  words: Int32Array,
  bytes: Uint8Array,
  type: number,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  switch (type) {
    case Cta.synproxy:
    case Cta.seqAdjOriginal:
    case Cta.seqAdjReply:
      return decodeTriple(words, type, at, end, view)
    case Cta.labels:
      return decodeLabels(words, at, end, view)
    case Cta.help:
      return decodeHelp(words, bytes, at, end, view)
    case Cta.tupleMaster:
      return decodeMaster(words, at, end, view)
    case Cta.countersOriginal:
      return decodeCounters(
        words,
        at,
        end,
        view,
        Detail.countersOriginal,
        HasRare.countersOriginal
      )
    case Cta.countersReply:
      return decodeCounters(words, at, end, view, Detail.countersReply, HasRare.countersReply)
    case Cta.timestamp:
      return decodeTimestamp(words, at, end, view)
    case Cta.timestampEvent:
      return copyDetail(words, at, end, view, Detail.timestampEvent, 2, HasRare.timestampEvent)
    case Cta.use:
      return copyDetail(words, at, end, view, Detail.use, 1, HasRare.use)
    case Cta.secmark:
      return copyDetail(words, at, end, view, Detail.secmark, 1, HasRare.secmark)
    case Cta.markMask:
      return copyDetail(words, at, end, view, Detail.markMask, 1, HasRare.markMask)
    case Cta.statusMask:
      return copyDetail(words, at, end, view, Detail.statusMask, 1, HasRare.statusMask)
    case Cta.labelsMask:
      return decodeLabelsMask(words, at, end, view)
    case Cta.securityContext:
      return decodeSecurityContext(words, bytes, at, end, view)
    default:
      return Fault.none
  }
}

const copyDetail = (
  words: Int32Array,
  at: number,
  end: number,
  view: FlowView,
  word: number,
  count: number,
  bit: number
): Fault => {
  if (end - at < count * 4) return Fault.wrongLength
  for (let i = 0; i < count; i++) view.detail[word + i] = words[(at >> 2) + i]!
  setHasRare(view, bit)
  return Fault.none
}

/** SYNPROXY and SEQ_ADJ: three numbers each, with types 1 to 3. */
const decodeTriple = (
  words: Int32Array,
  type: number,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  const first = type === Cta.synproxy
    ? Rare.synproxyIsn
    : type === Cta.seqAdjOriginal
    ? Rare.seqAdjOriginal
    : Rare.seqAdjReply
  let seen = 0
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    const member = (head >>> 16) & 0x3fff
    if (member < SeqAdj.correctionPos || member > SeqAdj.offsetAfter) continue
    if (length < 8) return Fault.wrongLength
    view.rare[view.rareWord + first + member - 1] = words[(from >> 2) + 1]!
    seen |= 1 << member
  }
  if (type === Cta.synproxy) {
    setHasRare(
      view,
      ((seen >> Synproxy.isn) & 1) * HasRare.synproxyIsn |
        ((seen >> Synproxy.its) & 1) * HasRare.synproxyIts |
        ((seen >> Synproxy.tsoff) & 1) * HasRare.synproxyTsoff
    )
  } else if (seen !== 0) {
    setHasRare(view, type === Cta.seqAdjOriginal ? HasRare.seqAdjOriginal : HasRare.seqAdjReply)
  }
  return Fault.none
}

const decodeLabels = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  if (end - at > labelsBytesMax) return Fault.wrongLength
  const count = (end - at + 3) >> 2
  const { rare, rareWord } = view
  for (let i = 0; i < count; i++) rare[rareWord + Rare.labels + i] = words[(at >> 2) + i]!
  rare[rareWord + Rare.misc] = (rare[rareWord + Rare.misc]! & ~0xff) | count
  setHasRare(view, HasRare.labels)
  return Fault.none
}

const decodeLabelsMask = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  if (end - at > labelsBytesMax) return Fault.wrongLength
  const count = (end - at + 3) >> 2
  for (let i = 0; i < count; i++) view.detail[Detail.labelsMask + i] = words[(at >> 2) + i]!
  setHasRare(view, HasRare.labelsMask)
  return Fault.none
}

const decodeHelp = (
  words: Int32Array,
  bytes: Uint8Array,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    switch ((head >>> 16) & 0x3fff) {
      case Help.name: {
        const to = (view.rareWord + Rare.helperName) << 2
        let i = 0
        for (; i < length - 4 && bytes[from + 4 + i] !== 0; i++) {
          if (i === helperNameBytesMax) return Fault.wrongLength
          view.rareBytes[to + i] = bytes[from + 4 + i]!
        }
        for (; i <= helperNameBytesMax; i++) view.rareBytes[to + i] = 0
        setHasRare(view, HasRare.helperName)
        break
      }
      case Help.info: {
        const count = Math.min(length - 4, helperInfoBytesMax)
        const to = Detail.helperInfo << 2
        for (let i = 0; i < count; i++) view.detailBytes[to + i] = bytes[from + 4 + i]!
        view.detail[Detail.helperInfoBytes] = count
        setHasRare(view, HasRare.helperInfo)
        break
      }
    }
  }
  return Fault.none
}

const decodeSecurityContext = (
  words: Int32Array,
  bytes: Uint8Array,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const head = words[from >> 2]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    if (((head >>> 16) & 0x3fff) !== SecurityContext.name) continue
    const to = Detail.securityContext << 2
    const count = Math.min(length - 4, securityContextBytesMax)
    let i = 0
    for (; i < count && bytes[from + 4 + i] !== 0; i++) {
      view.detailBytes[to + i] = bytes[from + 4 + i]!
    }
    view.detailBytes[to + i] = 0
    setHasRare(view, HasRare.securityContext)
  }
  return Fault.none
}

const decodeCounters = (
  words: Int32Array,
  at: number,
  end: number,
  view: FlowView,
  first: number,
  bit: number
): Fault => {
  const { detail } = view
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const word = from >> 2
    const head = words[word]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    switch ((head >>> 16) & 0x3fff) {
      case Counters.packets:
        if (length < 12) return Fault.wrongLength
        detail[first] = words[word + 1]!
        detail[first + 1] = words[word + 2]!
        setHasRare(view, bit)
        break
      case Counters.bytes:
        if (length < 12) return Fault.wrongLength
        detail[first + 2] = words[word + 1]!
        detail[first + 3] = words[word + 2]!
        setHasRare(view, bit)
        break
      case Counters.packets32:
        if (length < 8) return Fault.wrongLength
        detail[first + 1] = words[word + 1]!
        setHasRare(view, bit)
        break
      case Counters.bytes32:
        if (length < 8) return Fault.wrongLength
        detail[first + 3] = words[word + 1]!
        setHasRare(view, bit)
        break
    }
  }
  return Fault.none
}

const decodeTimestamp = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  let next = 0
  for (let from = at; from < end; from = next) {
    if (end - from < 4) return Fault.truncated
    const word = from >> 2
    const head = words[word]!
    const length = head & 0xffff
    if (length < 4 || length > end - from) return Fault.badSize
    next = from + ((length + 3) & ~3)
    switch ((head >>> 16) & 0x3fff) {
      case Timestamp.start:
        if (length < 12) return Fault.wrongLength
        view.rare[view.rareWord + Rare.timestampStart] = words[word + 1]!
        view.rare[view.rareWord + Rare.timestampStart + 1] = words[word + 2]!
        setHasRare(view, HasRare.timestampStart)
        break
      case Timestamp.stop:
        if (length < 12) return Fault.wrongLength
        view.detail[Detail.timestampStop] = words[word + 1]!
        view.detail[Detail.timestampStop + 1] = words[word + 2]!
        setHasRare(view, HasRare.timestampStop)
        break
    }
  }
  return Fault.none
}

/** The original tuple of the master. Its zone is that of the flow, so it is not kept. */
const decodeMaster = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
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
        fault = decodeMasterAddresses(words, from + 4, from + length, view)
        break
      case Tuple.proto:
        fault = decodeMasterProto(words, from + 4, from + length, view)
        break
    }
    if (fault !== Fault.none) return fault
  }
  return Fault.none
}

const setMisc = (view: FlowView, mask: number, value: number): void => {
  const at = view.rareWord + Rare.misc
  view.rare[at] = (view.rare[at]! & ~mask) | (value & mask)
}

const decodeMasterAddresses = (
  words: Int32Array,
  at: number,
  end: number,
  view: FlowView
): Fault => {
  const { rare, rareWord } = view
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
    if (type < Ip.v4Source || type > Ip.v6Destination) continue
    const count = type <= Ip.v4Destination ? 1 : 4
    if (length < 4 + count * 4) return Fault.wrongLength
    const isSource = type === Ip.v4Source || type === Ip.v6Source
    const to = rareWord + (isSource ? Rare.masterSource : Rare.masterDestination)
    for (let i = 0; i < count; i++) rare[to + i] = words[word + 1 + i]!
    seen |= 1 << type
  }
  if (seen === (1 << Ip.v4Source | 1 << Ip.v4Destination)) {
    setMisc(view, 0xff00, 2 << 8)
    setHasRare(view, HasRare.masterIpv4)
  } else if (seen === (1 << Ip.v6Source | 1 << Ip.v6Destination)) {
    setMisc(view, 0xff00, 10 << 8)
    setHasRare(view, HasRare.masterIpv6)
  } else if (seen !== 0) {
    return Fault.truncated
  }
  return Fault.none
}

const decodeMasterProto = (words: Int32Array, at: number, end: number, view: FlowView): Fault => {
  const to = view.rareWord + Rare.masterPorts
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
        setMisc(view, 0xff_0000, value << 16)
        setHasRare(view, HasRare.masterL4Protocol)
        break
      case Proto.sourcePort:
        if (length < 6) return Fault.wrongLength
        view.rare[to] = (view.rare[to]! & ~0xffff) | (value & 0xffff)
        setHasRare(view, HasRare.masterPorts)
        break
      case Proto.destinationPort:
        if (length < 6) return Fault.wrongLength
        view.rare[to] = (view.rare[to]! & 0xffff) | (value << 16)
        setHasRare(view, HasRare.masterPorts)
        break
    }
  }
  return Fault.none
}
