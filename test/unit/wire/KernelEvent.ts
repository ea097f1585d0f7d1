/**
 * Reads a recorded kernel event into a flow record: a plain second reading of the format, apart
 * from the daemon's own decoder, for tests that start at the kernel.
 *
 * Source: specification, "ctnetlink"; linux/netfilter/nfnetlink_conntrack.h.
 */
import { Change } from "../../../src/core/model/Change.ts"
import { Address, Base, Has, HasRare, Rare } from "../../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../../src/core/model/FlowView.ts"
import { clearScratch, setHas, setHasRare } from "../../../src/core/model/FlowView.ts"

type Attributes = ReadonlyMap<number, Uint8Array>

const attributesOf = (bytes: Uint8Array): Attributes => {
  const attributes = new Map<number, Uint8Array>()
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes[at]! | (bytes[at + 1]! << 8)
    const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
    attributes.set(type, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return attributes
}

const nested = (attributes: Attributes, type: number): Attributes =>
  attributesOf(attributes.get(type) ?? new Uint8Array(0))

/** Puts bytes into the base or the rare part. */
const poke = (view: FlowView, word: number, from: number, bytes: Uint8Array) =>
  view.baseBytes.set(bytes, (view.baseWord + word) * 4 + from)

const pokeRare = (view: FlowView, word: number, from: number, bytes: Uint8Array) =>
  view.rareBytes.set(bytes, (view.rareWord + word) * 4 + from)

/** Address part: the stored words 1 to 3 of an IPv6 address. */
const pokeAddress = (view: FlowView, first: number, rest: number, bytes: Uint8Array) => {
  poke(view, first, 0, bytes.subarray(0, 4))
  const target = new Uint8Array(view.address.buffer)
  target.set(bytes.subarray(4), (view.addressWord + rest) * 4)
}

const readTuple = (view: FlowView, tuple: Attributes, isReply: boolean): void => {
  const addresses = nested(tuple, 1)
  const source = addresses.get(1) ?? addresses.get(3)
  const destination = addresses.get(2) ?? addresses.get(4)
  if (source === undefined || destination === undefined) return
  const isIpv4 = source.length === 4
  const [toSource, toDestination] = isReply
    ? [Base.replySource, Base.replyDestination]
    : [Base.originalSource, Base.originalDestination]
  pokeAddress(view, toSource, isReply ? Address.replySource : Address.originalSource, source)
  pokeAddress(
    view,
    toDestination,
    isReply ? Address.replyDestination : Address.originalDestination,
    destination
  )
  if (isReply) setHas(view, isIpv4 ? Has.replyIpv4 : Has.replyIpv6)
  else {
    setHas(view, isIpv4 ? Has.originalIpv4 : Has.originalIpv6)
    poke(view, Base.protocols, 0, Uint8Array.of(isIpv4 ? 2 : 10))
  }
  const protocol = nested(tuple, 2)
  if (!isReply && protocol.has(1)) {
    poke(view, Base.protocols, 1, protocol.get(1)!)
    setHas(view, Has.l4Protocol)
  }
  const word = isReply ? Base.replyPorts : Base.originalPorts
  if (protocol.has(2)) {
    poke(view, word, 0, protocol.get(2)!)
    poke(view, word, 2, protocol.get(3)!)
    setHas(view, isReply ? Has.replyPorts : Has.originalPorts)
  }
  // ICMP: identifier, type, code; then the same of ICMPv6.
  for (const first of [4, 7]) {
    if (!protocol.has(first)) continue
    poke(view, word, 0, protocol.get(first)!)
    poke(view, word, 2, protocol.get(first + 1)!)
    poke(view, word, 3, protocol.get(first + 2)!)
    setHas(view, isReply ? Has.replyPorts : Has.icmpId | Has.icmpType | Has.icmpCode)
  }
  if (!isReply && tuple.has(3)) {
    poke(view, Base.zone, 0, tuple.get(3)!)
    setHas(view, Has.originalZone)
  }
}

const readProtocolInfo = (view: FlowView, info: Attributes): void => {
  const tcp = nested(info, 1)
  const dccp = nested(info, 2)
  const sctp = nested(info, 3)
  const state = tcp.get(1) ?? dccp.get(1) ?? sctp.get(1)
  if (state !== undefined) {
    poke(view, Base.protocols, 2, state)
    setHas(view, Has.state)
  }
  const put = (value: Uint8Array | undefined, word: number, from: number, bit: number) => {
    if (value === undefined) return
    poke(view, word, from, value)
    setHas(view, bit)
  }
  put(tcp.get(2), Base.zone, 2, Has.windowScaleOriginal)
  put(tcp.get(3), Base.zone, 3, Has.windowScaleReply)
  put(dccp.get(2), Base.protocols, 3, Has.dccpRole)
  put(sctp.get(2), Base.sctpTagOriginal, 0, Has.sctpTagOriginal)
  put(sctp.get(3), Base.sctpTagReply, 0, Has.sctpTagReply)
}

const readMaster = (view: FlowView, master: Attributes): void => {
  const addresses = nested(master, 1)
  const source = addresses.get(1) ?? addresses.get(3)
  const destination = addresses.get(2) ?? addresses.get(4)
  if (source === undefined || destination === undefined) return
  pokeRare(view, Rare.masterSource, 0, source)
  pokeRare(view, Rare.masterDestination, 0, destination)
  setHasRare(view, source.length === 4 ? HasRare.masterIpv4 : HasRare.masterIpv6)
  const protocol = nested(master, 2)
  if (protocol.has(1)) {
    pokeRare(view, Rare.misc, 2, protocol.get(1)!)
    setHasRare(view, HasRare.masterL4Protocol)
  }
  if (!protocol.has(2)) return
  pokeRare(view, Rare.masterPorts, 0, protocol.get(2)!)
  pokeRare(view, Rare.masterPorts, 2, protocol.get(3)!)
  setHasRare(view, HasRare.masterPorts)
}

const readRare = (view: FlowView, flow: Attributes): void => {
  if (flow.has(14)) readMaster(view, nested(flow, 14))
  const words = (type: number, targets: ReadonlyArray<number>, bits: number) => {
    const values = nested(flow, type)
    if (values.size === 0) return
    targets.forEach((word, i) => pokeRare(view, word, 0, values.get(i + 1)!))
    setHasRare(view, bits)
  }
  const run = (first: number) => [first, first + 1, first + 2]
  words(15, run(Rare.seqAdjOriginal), HasRare.seqAdjOriginal)
  words(16, run(Rare.seqAdjReply), HasRare.seqAdjReply)
  words(
    24,
    [Rare.synproxyIsn, Rare.synproxyIts, Rare.synproxyTsoff],
    HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff
  )
  const name = nested(flow, 5).get(1)
  if (name !== undefined) {
    const characters = name.subarray(0, Math.min(15, name.indexOf(0)))
    pokeRare(view, Rare.helperName, 0, characters)
    setHasRare(view, HasRare.helperName)
  }
  const labels = flow.get(22)
  if (labels !== undefined) {
    pokeRare(view, Rare.labels, 0, labels)
    pokeRare(view, Rare.misc, 0, Uint8Array.of(labels.length / 4))
    setHasRare(view, HasRare.labels)
  }
}

/** What happened. The flow is in `view`, a scratch record. */
export const readKernelEvent = (bytes: Uint8Array, view: FlowView): Change => {
  clearScratch(view)
  const flow = attributesOf(bytes.subarray(20))
  readTuple(view, nested(flow, 1), false)
  readTuple(view, nested(flow, 2), true)
  const put = (type: number, word: number, bit: number) => {
    const value = flow.get(type)
    if (value === undefined) return
    poke(view, word, 0, value)
    setHas(view, bit)
  }
  put(3, Base.status, Has.status)
  put(7, Base.timeoutSeconds, Has.timeout)
  put(8, Base.mark, Has.mark)
  put(18, Base.zone, Has.zone)
  readProtocolInfo(view, nested(flow, 4))
  readRare(view, flow)
  const isDelete = bytes[4] === 2
  const isCreated = (bytes[7]! & 0x04) !== 0
  return isDelete ? Change.destroyed : isCreated ? Change.created : Change.updated
}
