/** Makes flow records for tests and benchmarks: flow number n is the same flow every time. */
import { Address, Base, Detail, Has, HasRare, Rare } from "../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import {
  clearScratch,
  setHas,
  setHasRare,
  setL3,
  setL4,
  setNumber,
  setState
} from "../../src/core/model/FlowView.ts"

/** Source port, destination port as the record has them. */
const portsWord = (source: number, destination: number): number =>
  (source >>> 8) | ((source & 0xff) << 8) | ((destination >>> 8) << 16) |
  ((destination & 0xff) << 24)

/** An established TCP flow over IPv4, not translated, as the internal cache has it. */
export const fillIpv4 = (view: FlowView, n: number): FlowView => {
  clearScratch(view)
  setL3(view, 2)
  setNumber(view, Base.originalSource, 0x0a00_0000 + (n >>> 14))
  setNumber(view, Base.originalDestination, 0xc633_6401)
  setNumber(view, Base.replySource, 0xc633_6401)
  setNumber(view, Base.replyDestination, 0x0a00_0000 + (n >>> 14))
  setHas(view, Has.originalIpv4 | Has.replyIpv4)
  return fillRest(view, n)
}

/** The same over IPv6. */
export const fillIpv6 = (view: FlowView, n: number): FlowView => {
  clearScratch(view)
  setL3(view, 10)
  const { address, base } = view
  base[Base.originalSource] = base[Base.replyDestination] = 0x0000_00fd
  base[Base.originalDestination] = base[Base.replySource] = 0x0200_00fd
  address[view.addressWord + Address.originalSource + 2] = n >>> 14
  address[view.addressWord + Address.replyDestination + 2] = n >>> 14
  address[view.addressWord + Address.originalDestination + 2] = 1 << 24
  address[view.addressWord + Address.replySource + 2] = 1 << 24
  setHas(view, Has.originalIpv6 | Has.replyIpv6)
  return fillRest(view, n)
}

const fillRest = (view: FlowView, n: number): FlowView => {
  setL4(view, 6)
  setState(view, 3)
  view.base[Base.originalPorts] = portsWord(1024 + (n & 0x3fff), 443)
  view.base[Base.replyPorts] = portsWord(443, 1024 + (n & 0x3fff))
  setNumber(view, Base.status, 0x0000_000e)
  setNumber(view, Base.timeoutSeconds, 432_000)
  setHas(view, Has.l4Protocol | Has.originalPorts | Has.replyPorts | Has.state)
  setHas(view, Has.status | Has.timeout)
  return view
}

export const withMark = (view: FlowView, mark: number): FlowView => {
  setNumber(view, Base.mark, mark)
  setHas(view, Has.mark)
  return view
}

export const withZone = (view: FlowView, zone: number): FlowView => {
  const word = view.base[Base.zone]! & ~0xffff
  view.base[Base.zone] = word | (zone >>> 8) | ((zone & 0xff) << 8)
  setHas(view, Has.zone)
  return view
}

/** The helper of the flow, at most 15 characters. */
export const withHelper = (view: FlowView, name: string): FlowView => {
  const at = (view.rareWord + Rare.helperName) * 4
  for (let i = 0; i < 16; i++) view.rareBytes[at + i] = i < name.length ? name.charCodeAt(i) : 0
  setHasRare(view, HasRare.helperName)
  return view
}

/** Labels as the kernel has them: number of 32-bit words, and one bit that is set, -1 for none. */
export const withLabels = (view: FlowView, words: number, bit: number): FlowView => {
  for (let i = 0; i < 4; i++) view.rare[view.rareWord + Rare.labels + i] = 0
  if (bit >= 0) view.rare[view.rareWord + Rare.labels + (bit >>> 5)] = 1 << (bit & 31)
  const at = view.rareWord + Rare.misc
  view.rare[at] = (view.rare[at]! & ~0xff) | words
  setHasRare(view, HasRare.labels)
  return view
}

/** Packets and bytes of the original direction, as the kernel has them in a destroy event. */
export const withCounters = (view: FlowView, packets: bigint, bytes: bigint): FlowView => {
  const block = new DataView(view.detail.buffer)
  block.setBigUint64(Detail.countersOriginal * 4, packets)
  block.setBigUint64(Detail.countersOriginal * 4 + 8, bytes)
  setHasRare(view, HasRare.countersOriginal)
  return view
}
