/**
 * Address translation of a flow that is created by request: the reply tuple as sent is changed.
 *
 * Where a kernel takes a random port this one takes the first that is free. Ranges of addresses and
 * of ports are taken for their first.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1; what happens to
 * a tuple that is taken is as a real kernel (6.18) showed it.
 */
import type { NatRange } from "./FlowRequest.ts"
import type { FlowTable } from "./FlowTable.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import {
  Direction,
  hasPorts,
  inverted,
  isIcmp,
  isSameTuple,
  StatusBit,
  zoneOf
} from "./KernelFlow.ts"

const asItIs: NatRange = { address: undefined, port: undefined }

/**
 * Destination first. What is translated is the reply tuple as sent. A side of which nothing is said
 * stays as it is, unless the tuple is taken: then the source gets another port.
 */
export const translate = (
  table: FlowTable,
  flow: KernelFlow,
  toDst: NatRange | undefined,
  toSrc: NatRange | undefined
): void => {
  if (toDst === undefined && toSrc === undefined) return
  flow.status |= StatusBit.srcNatDone | StatusBit.dstNatDone
  const sent = inverted(flow.reply)
  const isFree = (tuple: KernelTuple) =>
    table.find(inverted(tuple), zoneOf(flow, Direction.reply)) === undefined
  const toTarget = toDst ?? asItIs
  const target = translated(sent, toTarget, "dst")
  // A destination keeps its port, taken or not, but ICMP has no ports.
  const isStuck = toTarget.port !== undefined || !isIcmp(sent.l4) || isFree(target)
  const withDst = isStuck ? target : freePort(target, isFree)
  if (!isSameTuple(withDst, sent)) flow.status |= StatusBit.dstNat
  const withBoth = sourceOf(table, flow, withDst, toSrc ?? asItIs, isFree)
  if (!isSameTuple(withBoth, withDst)) flow.status |= StatusBit.srcNat
  flow.reply = inverted(withBoth)
}

/** Ports, or the identifier of ICMP. */
const translated = (tuple: KernelTuple, range: NatRange, side: "src" | "dst"): KernelTuple => {
  const { address, port } = range
  const moved = { ...tuple, [side]: address ?? tuple[side] }
  if (port === undefined) return moved
  if (hasPorts(tuple.l4)) return { ...moved, [side === "src" ? "a" : "b"]: port }
  return isIcmp(tuple.l4) ? { ...moved, a: port } : moved
}

const sourceOf = (
  table: FlowTable,
  flow: KernelFlow,
  tuple: KernelTuple,
  range: NatRange,
  isFree: (tuple: KernelTuple) => boolean
): KernelTuple => {
  const wanted = translated(tuple, range, "src")
  if (range.port !== undefined) return wanted
  if (!isSameTuple(wanted, tuple)) {
    const known = knownSource(table, flow, tuple, wanted.src)
    if (known !== undefined && isFree(known)) return known
  }
  if (isFree(wanted)) return wanted
  return freePort(wanted, isFree)
}

/** How another flow of the same source is translated to this address. */
const knownSource = (
  table: FlowTable,
  { zone }: KernelFlow,
  tuple: KernelTuple,
  address: string
): KernelTuple | undefined => {
  let found: KernelTuple | undefined
  for (const { reply } of table.withSourceOf(tuple, zone)) {
    const itsSource = inverted(reply)
    if (itsSource.src === address) found = { ...tuple, src: itsSource.src, a: itsSource.a }
  }
  return found
}

/** Source ports stay below 512, below 1024, or above; identifiers are free. */
const freePort = (
  tuple: KernelTuple,
  isFree: (tuple: KernelTuple) => boolean
): KernelTuple => {
  if (!hasPorts(tuple.l4) && !isIcmp(tuple.l4)) return tuple
  const isPort = hasPorts(tuple.l4)
  const first = !isPort ? 0 : tuple.a < 512 ? 1 : tuple.a < 1024 ? 600 : 1024
  const last = !isPort ? 0xffff : tuple.a < 512 ? 511 : tuple.a < 1024 ? 1023 : 0xffff
  for (let a = first; a <= last; a++) {
    const other = { ...tuple, a }
    if (isFree(other)) return other
  }
  return tuple
}
