/**
 * How one attribute of a request changes a flow. What it refuses is thrown as `Refused`, and what
 * was changed before stays changed, as in a kernel.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 4.2.
 */
import { sctpIn, tcpIn, tripleSizes } from "./FlowRequest.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { StatusBit } from "./KernelFlow.ts"
import type { Request } from "./NetlinkReader.ts"
import { EBUSY, EINVAL, ENOSPC, Refused } from "./NetlinkReader.ts"

/** Bits are added, never removed; some must be as they are. */
export const changeStatus = (flow: KernelFlow, status: number | undefined): void => {
  if (status === undefined) return
  const mustBeSame = StatusBit.expected | StatusBit.confirmed | StatusBit.dying
  if (((status ^ flow.status) & mustBeSame) !== 0) throw new Refused(EBUSY)
  const mayNotGo = flow.status & (StatusBit.seenReply | StatusBit.assured)
  if ((status & mayNotGo) !== mayNotGo) throw new Refused(EBUSY)
  const mayBeAdded = StatusBit.seenReply | StatusBit.assured | StatusBit.fixedTimeout |
    StatusBit.helper
  flow.status |= status & mayBeAdded
}

/** Both directions, each if it is there; number by number, until one is missing. */
export const changeSeqAdj = (flow: KernelFlow, { attributes }: Request): void => {
  for (const [type, direction] of [[15, 0], [16, 1]] as const) {
    const nest = attributes.nest(type, tripleSizes)
    // Packet-made flows lack the room: silently ignored.
    if (nest === undefined || flow.seqAdj === undefined) continue
    const values = [...flow.seqAdj[direction]]
    flow.seqAdj[direction] = values
    for (let i = 0; i < 3; i++) values[i] = nest.required(i + 1, 4)
    flow.status |= StatusBit.seqAdjust
  }
}

/** State, window scales, flags; of SCTP the tags. */
export const changeProtocol = (flow: KernelFlow, request: Request): void => {
  if (flow.tcp !== undefined) {
    const change = tcpIn(request)
    if (change === undefined) return
    const { tcp } = flow
    if (change.state !== undefined) tcp.state = change.state
    for (const [direction, [value, mask]] of [change.flags, change.replyFlags].entries()) {
      tcp.flags[direction] = (tcp.flags[direction]! & ~mask) | (value & mask)
    }
    const isScaled = ((tcp.flags[0] & tcp.flags[1]) & 0x01) !== 0
    if (isScaled && change.scales !== undefined) tcp.scales = [...change.scales]
  } else if (flow.sctp !== undefined) {
    const change = sctpIn(request)
    if (change !== undefined) flow.sctp = { state: change.state, tags: change.tags }
  }
}

/** What a creation says of labels, if it can be done; else nothing is said of that. */
export const setLabels = (flow: KernelFlow, labels: Uint8Array, mask: Uint8Array | undefined) => {
  if (labels.length % 4 !== 0) return
  if (mask === undefined || mask.length === labels.length) changeLabels(flow, labels, mask)
}

/**
 * Masked bits are cleared, then all bits sent are turned over. Words that were not sent are
 * cleared.
 */
export const changeLabels = (
  flow: KernelFlow,
  labels: Uint8Array | undefined,
  mask: Uint8Array | undefined
): void => {
  if (labels === undefined) return
  if (labels.length % 4 !== 0) throw new Refused(EINVAL)
  if (mask !== undefined && mask.length !== labels.length) throw new Refused(EINVAL)
  if (flow.labels === undefined) throw new Refused(ENOSPC)
  for (let i = 0; i < 16; i++) {
    const bits = i < labels.length ? mask?.[i] ?? 0xff : 0xff
    flow.labels[i] = (flow.labels[i]! & ~bits) ^ (labels[i] ?? 0)
  }
}
