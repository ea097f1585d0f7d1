/**
 * Hot. Where the parts of one flow record are: what codecs, filters and formatters work on.
 *
 * A view either owns its memory (a scratch record, made by `scratchView`, with all four parts) or
 * points into a `FlowTable` (positioned by `FlowTable.view`). Readers index `base[baseWord +
 * Base.x]`; they never slice. Views into a table are for reading; a table changes its records
 * itself.
 */
import {
  Address,
  addressBits,
  addressWords,
  Base,
  baseWords,
  Detail,
  detailWords,
  Has,
  Rare,
  rareWords,
  storedRareBits,
  swap32
} from "./FlowLayout.ts"

const nothing = new ArrayBuffer((addressWords + rareWords + detailWords) * 4)
const zeroAddress = new Int32Array(nothing, 0, addressWords)
const zeroRare = new Int32Array(nothing, addressWords * 4, rareWords)
const zeroDetail = new Int32Array(nothing, (addressWords + rareWords) * 4, detailWords)
const zeroRareBytes = new Uint8Array(nothing, addressWords * 4, rareWords * 4)
const zeroDetailBytes = new Uint8Array(nothing, (addressWords + rareWords) * 4, detailWords * 4)

/** `…Bytes` are the same memory as the words, `…Word` is the index of the part's first word. */
export class FlowView {
  base: Int32Array = zeroRare
  baseBytes: Uint8Array = zeroRareBytes
  baseWord = 0
  address: Int32Array = zeroAddress
  addressWord = 0
  rare: Int32Array = zeroRare
  rareBytes: Uint8Array = zeroRareBytes
  rareWord = 0
  detail: Int32Array = zeroDetail
  detailBytes: Uint8Array = zeroDetailBytes

  /** The part the flow does not have reads as zeros. */
  withoutAddress(): void {
    this.address = zeroAddress
    this.addressWord = 0
  }

  withoutRare(): void {
    this.rare = zeroRare
    this.rareBytes = zeroRareBytes
    this.rareWord = 0
  }
}

/**
 * A record with memory of its own and all four parts. Not for per-flow use: make one and reuse it.
 */
export const scratchView = (): FlowView => {
  const words = baseWords + addressWords + rareWords
  const stored = new ArrayBuffer(words * 4)
  const detail = new ArrayBuffer(detailWords * 4)
  const view = new FlowView()
  view.base = new Int32Array(stored)
  view.baseBytes = new Uint8Array(stored)
  view.baseWord = 0
  view.address = view.base
  view.addressWord = baseWords
  view.rare = view.base
  view.rareBytes = view.baseBytes
  view.rareWord = baseWords + addressWords
  view.detail = new Int32Array(detail)
  view.detailBytes = new Uint8Array(detail)
  return view
}

/** Makes a scratch record empty. Only what the last use can have written is wiped. */
export const clearScratch = (view: FlowView): void => {
  const words = view.base
  const hadAddress = (words[Base.present]! & addressBits) !== 0
  const hadRare = words[Base.presentRare]!
  for (let i = 0; i < baseWords; i++) words[i] = 0
  if (hadAddress) {
    for (let i = baseWords; i < baseWords + addressWords; i++) words[i] = 0
  }
  // Loops: `fill` costs more than it saves on so few words.
  if (hadRare !== 0) {
    const end = baseWords + addressWords + rareWords
    for (let i = baseWords + addressWords; i < end; i++) words[i] = 0
  }
  if ((hadRare & ~storedRareBits) !== 0) view.detail.fill(0)
}

/** Copies all stored parts and the detail part of `from` into the scratch record `to`. */
export const copyToScratch = (from: FlowView, to: FlowView): void => {
  for (let i = 0; i < baseWords; i++) to.base[to.baseWord + i] = from.base[from.baseWord + i]!
  for (let i = 0; i < addressWords; i++) {
    to.address[to.addressWord + i] = from.address[from.addressWord + i]!
  }
  for (let i = 0; i < rareWords; i++) to.rare[to.rareWord + i] = from.rare[from.rareWord + i]!
  to.detail.set(from.detail)
}

export const presentOf = (view: FlowView): number => view.base[view.baseWord + Base.present]!

export const presentRareOf = (view: FlowView): number =>
  view.base[view.baseWord + Base.presentRare]!

/** All of `bits` (`Has`) are known. */
export const has = (view: FlowView, bits: number): boolean =>
  (view.base[view.baseWord + Base.present]! & bits) === bits

/** All of `bits` (`HasRare`) are known. */
export const hasRare = (view: FlowView, bits: number): boolean =>
  (view.base[view.baseWord + Base.presentRare]! & bits) === bits

export const setHas = (view: FlowView, bits: number): void => {
  const at = view.baseWord + Base.present
  view.base[at] = view.base[at]! | bits
}

export const setHasRare = (view: FlowView, bits: number): void => {
  const at = view.baseWord + Base.presentRare
  view.base[at] = view.base[at]! | bits
}

export const clearHas = (view: FlowView, bits: number): void => {
  const at = view.baseWord + Base.present
  view.base[at] = view.base[at]! & ~bits
}

/** Layer-3 protocol: 2 IPv4, 10 IPv6, 0 unknown. */
export const l3Of = (view: FlowView): number => view.base[view.baseWord + Base.protocols]! & 0xff

export const l4Of = (view: FlowView): number =>
  (view.base[view.baseWord + Base.protocols]! >>> 8) & 0xff

/** TCP, SCTP or DCCP state. */
export const stateOf = (view: FlowView): number =>
  (view.base[view.baseWord + Base.protocols]! >>> 16) & 0xff

/** A base word that holds a big-endian 32-bit number, as an unsigned number. */
export const numberOf = (view: FlowView, word: number): number =>
  swap32(view.base[view.baseWord + word]!) >>> 0

/** Stores a 32-bit number into a base word in network order. */
export const setNumber = (view: FlowView, word: number, value: number): void => {
  view.base[view.baseWord + word] = swap32(value)
}

export const setL3 = (view: FlowView, l3: number): void => {
  const at = view.baseWord + Base.protocols
  view.base[at] = (view.base[at]! & ~0xff) | (l3 & 0xff)
}

export const setL4 = (view: FlowView, l4: number): void => {
  const at = view.baseWord + Base.protocols
  view.base[at] = (view.base[at]! & ~0xff00) | ((l4 & 0xff) << 8)
}

export const setState = (view: FlowView, state: number): void => {
  const at = view.baseWord + Base.protocols
  view.base[at] = (view.base[at]! & ~0xff_0000) | ((state & 0xff) << 16)
}

/**
 * True when the kernel translates this flow, told by its tuples (internal cache) or by what a peer
 * announced.
 */
export const isTranslated = (view: FlowView): boolean => {
  const present = presentOf(view)
  if ((present & (Has.snatIpv4 | Has.snatIpv6 | Has.dnatIpv4 | Has.dnatIpv6)) !== 0) return true
  if ((present & (Has.snatPort | Has.dnatPort)) !== 0) return true
  if ((present & (Has.replyIpv4 | Has.replyIpv6)) === 0) return false
  const { base, baseWord, address, addressWord } = view
  if (base[baseWord + Base.replyDestination] !== base[baseWord + Base.originalSource]) return true
  if (base[baseWord + Base.replySource] !== base[baseWord + Base.originalDestination]) return true
  if ((present & Has.originalPorts) !== 0 && (present & Has.replyPorts) !== 0) {
    const reply = base[baseWord + Base.replyPorts]!
    const mirrored = (reply >>> 16) | (reply << 16)
    if (mirrored !== base[baseWord + Base.originalPorts]) return true
  }
  if ((present & Has.replyIpv6) === 0) return false
  for (let i = 0; i < 3; i++) {
    if (
      address[addressWord + Address.replyDestination + i] !==
        address[addressWord + Address.originalSource + i]
    ) return true
    if (
      address[addressWord + Address.replySource + i] !==
        address[addressWord + Address.originalDestination + i]
    ) return true
  }
  return false
}

/**
 * The record's start time in nanoseconds since the epoch, or -1n when unknown. For text, not for
 * hot code.
 */
export const timestampStartOf = (view: FlowView): bigint => {
  const at = view.rareWord + Rare.timestampStart
  return (BigInt(swap32(view.rare[at]!) >>> 0) << 32n) | BigInt(swap32(view.rare[at + 1]!) >>> 0)
}

/** A 64-bit counter of the detail part. For text and totals per batch. */
export const detail64Of = (view: FlowView, word: number): bigint =>
  (BigInt(swap32(view.detail[word]!) >>> 0) << 32n) |
  BigInt(swap32(view.detail[word + 1]!) >>> 0)

/** Security context as text, empty when unknown. */
export const securityContextOf = (view: FlowView): string => {
  const from = Detail.securityContext * 4
  let text = ""
  for (let i = from; i < from + 128 && view.detailBytes[i] !== 0; i++) {
    text += String.fromCharCode(view.detailBytes[i]!)
  }
  return text
}
