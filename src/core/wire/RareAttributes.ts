/**
 * Hot. Attributes that few flows have: master, sequence adjustment, helper, labels, SYNPROXY. Their
 * fields lie in the rare part of a record.
 *
 * Source: specification, "The replication protocol", section 8.
 */
import { assert } from "../assert.ts"
import { Fault } from "../model/Fault.ts"
import { Base, HasRare, Rare, swap32 } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { FlowAttribute, header, headers, L3, putByte, putWord } from "./FlowAttribute.ts"

/** Characters of a helper's name, and bytes of an attribute with its NUL. */
const helperNameMax = 15
const helperNameBytesMax = helperNameMax + 1

/** Longest label value accepted, in bytes: what peers accept. The kernel has room for 128 bits. */
const labelsBytesMax = 1024
const labelWordsKept = 4

/** The master's addresses are known. */
export const putMaster = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number => {
  const { rare, rareWord } = view
  if ((presentRare & HasRare.masterIpv4) !== 0) {
    words[to] = headers[FlowAttribute.masterIpv4]!
    words[to + 1] = rare[rareWord + Rare.masterSource]!
    words[to + 2] = rare[rareWord + Rare.masterDestination]!
    to += 3
  } else {
    words[to] = headers[FlowAttribute.masterIpv6]!
    for (let i = 0; i < 4; i++) {
      words[to + 1 + i] = rare[rareWord + Rare.masterSource + i]!
      words[to + 5 + i] = rare[rareWord + Rare.masterDestination + i]!
    }
    to += 9
  }
  const l4 = rare[rareWord + Rare.misc]! >>> 16
  to = putByte(words, to, FlowAttribute.masterL4Protocol, l4)
  if ((presentRare & HasRare.masterPorts) === 0) return to
  return putWord(words, to, FlowAttribute.masterPorts, rare[rareWord + Rare.masterPorts]!)
}

const seqAdjBits = HasRare.seqAdjOriginal | HasRare.seqAdjReply
const synproxyBits = HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff

/** Whatever of the rest is known, in the order of section 8.1. */
export const putRare = (
  words: Int32Array,
  to: number,
  view: FlowView,
  presentRare: number
): number => {
  const { rare, rareWord } = view
  if ((presentRare & seqAdjBits) === seqAdjBits) {
    words[to] = headers[FlowAttribute.sequenceAdjustment]!
    for (let i = 0; i < 3; i++) {
      words[to + 1 + i] = rare[rareWord + Rare.seqAdjOriginal + i]!
      words[to + 4 + i] = rare[rareWord + Rare.seqAdjReply + i]!
    }
    to += 7
  }
  if ((presentRare & HasRare.helperName) !== 0) to = putHelperName(words, to, view)
  if ((presentRare & HasRare.labels) !== 0) to = putLabels(words, to, view)
  if ((presentRare & synproxyBits) === synproxyBits) {
    words[to] = headers[FlowAttribute.synproxy]!
    words[to + 1] = rare[rareWord + Rare.synproxyIts]!
    words[to + 2] = rare[rareWord + Rare.synproxyIsn]!
    words[to + 3] = rare[rareWord + Rare.synproxyTsoff]!
    to += 4
  }
  return to
}

const putHelperName = (words: Int32Array, to: number, view: FlowView): number => {
  const from = (view.rareWord + Rare.helperName) * 4
  let characters = 0
  while (characters < helperNameMax && view.rareBytes[from + characters] !== 0) characters++
  words[to] = header(FlowAttribute.helperName, characters + 1)
  // The name is padded with NULs in the record, so whole words carry the NUL and the padding.
  const count = (characters + 4) >>> 2
  for (let i = 0; i < count; i++) {
    words[to + 1 + i] = view.rare[view.rareWord + Rare.helperName + i]!
  }
  return to + 1 + count
}

const putLabels = (words: Int32Array, to: number, view: FlowView): number => {
  const { rare, rareWord } = view
  const count = Math.min(rare[rareWord + Rare.misc]! & 0xff, labelWordsKept)
  let any = 0
  for (let i = 0; i < count; i++) any |= rare[rareWord + Rare.labels + i]!
  if (any === 0) return to
  words[to] = header(FlowAttribute.labels, count * 4)
  for (let i = 0; i < count; i++) {
    words[to + 1 + i] = swap32(rare[rareWord + Rare.labels + i]!)
  }
  return to + 1 + count
}

/** Reads an attribute of fixed size. */
export const takeRare = (words: Int32Array, at: number, id: number, view: FlowView): void => {
  const { base } = view
  switch (id) {
    case FlowAttribute.sequenceAdjustment:
      takeWords(words, at, view, Rare.seqAdjOriginal, 3, seqAdjBits)
      takeWords(words, at + 3, view, Rare.seqAdjReply, 3, seqAdjBits)
      return
    case FlowAttribute.synproxy:
      takeWords(words, at, view, Rare.synproxyIts, 1, synproxyBits)
      takeWords(words, at + 1, view, Rare.synproxyIsn, 1, synproxyBits)
      takeWords(words, at + 2, view, Rare.synproxyTsoff, 1, synproxyBits)
      return
    case FlowAttribute.masterIpv4:
      for (let i = 1; i < 4; i++) {
        view.rare[view.rareWord + Rare.masterSource + i] = 0
        view.rare[view.rareWord + Rare.masterDestination + i] = 0
      }
      takeWords(words, at, view, Rare.masterSource, 1, HasRare.masterIpv4)
      takeWords(words, at + 1, view, Rare.masterDestination, 1, HasRare.masterIpv4)
      base[Base.presentRare] = base[Base.presentRare]! & ~HasRare.masterIpv6
      setMisc(view, 8, L3.ipv4)
      return
    case FlowAttribute.masterIpv6:
      takeWords(words, at, view, Rare.masterSource, 4, HasRare.masterIpv6)
      takeWords(words, at + 4, view, Rare.masterDestination, 4, HasRare.masterIpv6)
      base[Base.presentRare] = base[Base.presentRare]! & ~HasRare.masterIpv4
      setMisc(view, 8, L3.ipv6)
      return
    case FlowAttribute.masterL4Protocol:
      base[Base.presentRare] = base[Base.presentRare]! | HasRare.masterL4Protocol
      setMisc(view, 16, words[at]! & 0xff)
      return
    case FlowAttribute.masterPorts:
      takeWords(words, at, view, Rare.masterPorts, 1, HasRare.masterPorts)
      return
    default:
      assert(false, "every attribute of fixed size is read")
  }
}

/** Reads an attribute of variable size. */
export const takeVariable = (
  words: Int32Array,
  at: number,
  size: number,
  id: number,
  view: FlowView
): Fault => {
  if (id === FlowAttribute.labels) {
    if (size > labelsBytesMax) return Fault.wrongLength
    if (size !== 0 && (size & 3) === 0) takeLabels(words, at, size >>> 2, view)
    return Fault.none
  }
  if (size > helperNameBytesMax) return Fault.wrongLength
  takeHelperName(words, at, size, view)
  return Fault.none
}

const takeLabels = (words: Int32Array, at: number, count: number, view: FlowView): void => {
  const kept = Math.min(count, labelWordsKept)
  for (let i = 0; i < labelWordsKept; i++) {
    const value = i < kept ? swap32(words[at + i]!) : 0
    view.rare[view.rareWord + Rare.labels + i] = value
  }
  view.base[Base.presentRare] = view.base[Base.presentRare]! | HasRare.labels
  setMisc(view, 0, kept)
}

/** Ends at the first NUL, at the end of the attribute, or after 15 characters. */
const takeHelperName = (words: Int32Array, at: number, size: number, view: FlowView): void => {
  const to = (view.rareWord + Rare.helperName) * 4
  let open = true
  for (let i = 0; i < helperNameBytesMax; i++) {
    const character = i < size ? (words[at + (i >>> 2)]! >>> ((i & 3) * 8)) & 0xff : 0
    open = open && i < helperNameMax && character !== 0
    view.rareBytes[to + i] = open ? character : 0
  }
  view.base[Base.presentRare] = view.base[Base.presentRare]! | HasRare.helperName
}

const takeWords = (
  words: Int32Array,
  at: number,
  view: FlowView,
  to: number,
  count: number,
  bits: number
): void => {
  view.base[Base.presentRare] = view.base[Base.presentRare]! | bits
  for (let i = 0; i < count; i++) view.rare[view.rareWord + to + i] = words[at + i]!
}

/** Sets one byte of the rare part's `misc` word. */
const setMisc = (view: FlowView, shift: number, value: number): void => {
  const at = view.rareWord + Rare.misc
  view.rare[at] = (view.rare[at]! & ~(0xff << shift)) | (value << shift)
}
