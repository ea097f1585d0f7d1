/**
 * Address translation of a flow that is created by request: the reply tuple as sent is changed.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1.
 */
import type { NatRange } from "./FlowRequest.ts"
import type { FlowTable } from "./FlowTable.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, hasPorts, inverted, isSameTuple, StatusBit, zoneOf } from "./KernelFlow.ts"

/** Destination first. What is translated is the reply tuple as sent. */
export const translate = (
  table: FlowTable,
  flow: KernelFlow,
  toDst: NatRange | undefined,
  toSrc: NatRange | undefined
): void => {
  if (toDst === undefined && toSrc === undefined) return
  flow.status |= StatusBit.srcNatDone | StatusBit.dstNatDone
  if (toDst !== undefined) alter(table, flow, toDst, "dst")
  if (toSrc !== undefined) alter(table, flow, toSrc, "src")
}

const alter = (
  table: FlowTable,
  flow: KernelFlow,
  range: NatRange,
  side: "src" | "dst"
): void => {
  const current = inverted(flow.reply)
  const member = side === "src" ? "a" : "b"
  const withPort = hasPorts(current.l4) && range.port !== undefined
  let wanted: KernelTuple = {
    ...current,
    [side]: range.address ?? current[side],
    [member]: withPort ? range.port : current[member]
  }
  const isFree = (tuple: KernelTuple) =>
    table.find(inverted(tuple), zoneOf(flow, Direction.reply)) === undefined
  if (!isFree(wanted) && hasPorts(current.l4) && !withPort) {
    for (let port = 1024; port < 0x1_0000 && !isFree(wanted); port++) {
      wanted = { ...wanted, [member]: port }
    }
  }
  if (isSameTuple(wanted, current)) return
  flow.reply = inverted(wanted)
  flow.status |= side === "src" ? StatusBit.srcNat : StatusBit.dstNat
}
