/**
 * Hot. A flow as one line of text, as dumps and flow logs show it.
 *
 * A field that the record does not carry is left out, so the same function serves both caches: a
 * flow learned from a peer has no reply tuple, and no cache keeps counters. The caches do keep the
 * timeout, which dumps hide: the caller decides.
 *
 * Source: specification, "Command line, life cycle …", section 9.8.
 */
import * as DccpState from "../model/DccpState.ts"
import { Address, Base, Detail, Has, HasRare, Rare, swap32 } from "../model/FlowLayout.ts"
import {
  detail64Of,
  type FlowView,
  l4Of,
  numberOf,
  presentOf,
  presentRareOf,
  securityContextOf,
  stateOf,
  timestampStartOf
} from "../model/FlowView.ts"
import { nameOf, Protocol } from "../model/Protocol.ts"
import * as SctpState from "../model/SctpState.ts"
import { Status } from "../model/Status.ts"
import * as TcpState from "../model/TcpState.ts"
import { decimal, hex16, high16Of, low16Of } from "./Decimal.ts"
import { formatIpv4, formatIpv6 } from "./FormatAddress.ts"

export interface FlowLineOptions {
  /** Print the timeout if it is known. Dumps of caches do not. */
  readonly timeout: boolean
  /** Seconds since the epoch, for `delta-time`. */
  readonly wallSeconds: number
}

export interface CacheLineOptions {
  /** Reading of the clock that `Base.createdSeconds` was read from. */
  readonly nowSeconds: number
  /** Seconds since the epoch, for `delta-time`. */
  readonly wallSeconds: number
}

/** The line without a line feed. */
export const formatFlow = (view: FlowView, options: FlowLineOptions): string =>
  formatLine(view, options.timeout, options.wallSeconds).slice(0, -1)

/** A line of `-i` and `-e`, with its line feed. */
export const formatCachedFlow = (view: FlowView, options: CacheLineOptions): string =>
  formatLine(view, false, options.wallSeconds) + activeSuffix(view, options.nowSeconds)

/** The same for a cache whose entries expire by themselves (mode ALARM, external cache). */
export const formatExpiringFlow = (
  view: FlowView,
  expiresInSeconds: number,
  options: CacheLineOptions
): string =>
  formatLine(view, false, options.wallSeconds) + "[expires in " + String(expiresInSeconds) + "s] " +
  activeSuffix(view, options.nowSeconds)

const activeSuffix = (view: FlowView, nowSeconds: number): string => {
  // Both clocks are the same monotonic one, so the difference is never negative.
  const seconds = nowSeconds - view.base[view.baseWord + Base.createdSeconds]!
  return "[active since " + (seconds >= 0 ? decimal(seconds) : String(seconds)) + "s]\n"
}

/** `tcp      6 `: name in eight columns, blank, number, blank. Index = protocol number. */
const protocolColumns: ReadonlyArray<string> = Array.from(
  { length: 256 },
  (_, protocol) => `${nameOf(protocol).padEnd(8)} ${protocol} `
)

/** Every field, each followed by the blank that separates it from the next. */
const formatLine = (view: FlowView, withTimeout: boolean, wallSeconds: number): string => {
  const { base, baseWord } = view
  const present = presentOf(view)
  const presentRare = presentRareOf(view)
  const protocol = l4Of(view)
  let line = protocolColumns[protocol]!
  if (withTimeout && (present & Has.timeout) !== 0) {
    line += decimal(numberOf(view, Base.timeoutSeconds)) + " "
  }
  if ((present & Has.state) !== 0) line += stateColumn(protocol, stateOf(view))

  if ((present & (Has.originalIpv4 | Has.originalIpv6)) !== 0) {
    line += formatAddresses(view, 0)
  }
  line += formatPorts(protocol, base[baseWord + Base.originalPorts]!)
  if ((present & Has.originalZone) !== 0) {
    line += "zone-orig=" + decimal(low16Of(base[baseWord + Base.zone]!)) + " "
  }
  if ((presentRare & HasRare.countersOriginal) !== 0) {
    line += formatCounters(view, Detail.countersOriginal)
  }

  const statusKnown = (present & Has.status) !== 0
  const status = statusKnown ? swap32(base[baseWord + Base.status]!) : 0
  if (statusKnown && (status & Status.seenReply) === 0) line += "[UNREPLIED] "

  if ((present & (Has.replyIpv4 | Has.replyIpv6)) !== 0) {
    line += formatAddresses(view, 1) + formatPorts(protocol, base[baseWord + Base.replyPorts]!)
  }
  if ((present & Has.replyZone) !== 0) {
    line += "zone-reply=" + decimal(low16Of(base[baseWord + Base.replyZone]!)) + " "
  }
  if ((presentRare & HasRare.countersReply) !== 0) {
    line += formatCounters(view, Detail.countersReply)
  }

  if ((status & (Status.hwOffload | Status.offload | Status.assured)) !== 0) {
    if ((status & Status.hwOffload) !== 0) line += "[HW_OFFLOAD] "
    else if ((status & Status.offload) !== 0) line += "[OFFLOAD] "
    else line += "[ASSURED] "
  }
  if ((present & Has.mark) !== 0) line += "mark=" + decimal(numberOf(view, Base.mark)) + " "
  if ((presentRare & markedBits) !== 0) line += formatMarks(view, presentRare)
  if ((present & Has.zone) !== 0) {
    line += "zone=" + decimal(low16Of(base[baseWord + Base.zone]!)) + " "
  }
  if ((presentRare & trailingBits) !== 0) line += formatTrailing(view, presentRare, wallSeconds)
  return line
}

const markedBits = HasRare.secmark | HasRare.securityContext
const trailingBits = HasRare.timestampStart | HasRare.helperName | HasRare.use

const stateColumn = (protocol: number, state: number): string => {
  switch (protocol) {
    case Protocol.tcp:
      return TcpState.nameOf(state) + " "
    case Protocol.sctp:
      return SctpState.nameOf(state) + " "
    case Protocol.dccp:
      return DccpState.nameOf(state) + " "
    default:
      return ""
  }
}

/** `src=A dst=A ` of the original (0) or reply (1) direction. */
const formatAddresses = (view: FlowView, direction: 0 | 1): string => {
  const { base } = view
  const present = presentOf(view)
  const at = view.baseWord + (direction === 0 ? Base.originalSource : Base.replySource)
  const source = base[at]!
  const destination = base[at + 1]!
  if ((present & (direction === 0 ? Has.originalIpv4 : Has.replyIpv4)) !== 0) {
    return "src=" + formatIpv4(source) + " dst=" + formatIpv4(destination) + " "
  }
  const more = view.address
  const from = view.addressWord + (direction === 0 ? Address.originalSource : Address.replySource)
  return "src=" + formatIpv6(source, more[from]!, more[from + 1]!, more[from + 2]!) +
    " dst=" + formatIpv6(destination, more[from + 3]!, more[from + 4]!, more[from + 5]!) + " "
}

const formatPorts = (protocol: number, word: number): string => {
  switch (protocol) {
    case Protocol.tcp:
    case Protocol.udp:
    case Protocol.udplite:
    case Protocol.sctp:
    case Protocol.dccp:
      return "sport=" + decimal(low16Of(word)) + " dport=" + decimal(high16Of(word)) + " "
    case Protocol.gre:
      return "srckey=0x" + hex16(low16Of(word)) + " dstkey=0x" + hex16(high16Of(word)) + " "
    case Protocol.icmp:
    case Protocol.icmpv6:
      return "type=" + decimal((word >>> 16) & 0xff) + " code=" + decimal(word >>> 24) +
        " id=" + decimal(low16Of(word)) + " "
    default:
      return ""
  }
}

const formatCounters = (view: FlowView, at: number): string =>
  `packets=${detail64Of(view, at)} bytes=${detail64Of(view, at + 2)} `

const formatMarks = (view: FlowView, presentRare: number): string => {
  let text = ""
  if ((presentRare & HasRare.secmark) !== 0) {
    text += `secmark=${swap32(view.detail[Detail.secmark]!) >>> 0} `
  }
  if ((presentRare & HasRare.securityContext) !== 0) text += `secctx=${securityContextOf(view)} `
  return text
}

const formatTrailing = (view: FlowView, presentRare: number, wallSeconds: number): string => {
  let text = ""
  if ((presentRare & HasRare.timestampStart) !== 0) {
    text += `delta-time=${deltaTimeOf(view, wallSeconds)} `
  }
  if ((presentRare & HasRare.helperName) !== 0) text += `helper=${helperNameOf(view)} `
  if ((presentRare & HasRare.use) !== 0) text += `use=${swap32(view.detail[Detail.use]!) >>> 0} `
  return text
}

/** Whole seconds from the flow's start to its end, or to now. */
export const deltaTimeOf = (view: FlowView, wallSeconds: number): number => {
  const start = Number(timestampStartOf(view) / 1_000_000_000n)
  if ((presentRareOf(view) & HasRare.timestampStop) === 0) return Math.max(0, wallSeconds - start)
  return Math.max(0, Number(detail64Of(view, Detail.timestampStop) / 1_000_000_000n) - start)
}

/**
 * The helper's name. It may come from a peer, so a byte that could break a line or an XML element
 * shows as `?`; the names of all existing helpers are letters, digits, `.`, `-` and `_`.
 */
export const helperNameOf = (view: FlowView): string => {
  const from = (view.rareWord + Rare.helperName) * 4
  let text = ""
  for (let i = from; i < from + 16 && view.rareBytes[i] !== 0; i++) {
    const byte = view.rareBytes[i]!
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x26 && byte !== 0x3c && byte !== 0x3e
    text += isPlain ? String.fromCharCode(byte) : "?"
  }
  return text
}
