/**
 * What the simulated kernel says of a flow: attributes in the order in which a kernel emits them.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 3 and 7.1.
 */
import { AttributeBuffer } from "./AttributeBuffer.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, hasPair, Ip6, isIcmp, StatusBit, zoneOf } from "./KernelFlow.ts"
import { attribute, nest, text, u16, u8 } from "./NetlinkWriter.ts"

export const bytesOfHex = (hex: string): Array<number> =>
  (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16))

/** What changed: decides which attributes an event has. */
export interface EventContent {
  /** State, flags or anything else of the protocol. */
  readonly protoInfo: boolean
  /** The mark, also when it is 0 now. */
  readonly mark: boolean
  readonly labels: boolean
  readonly seqAdj: boolean
  readonly synproxy: boolean
  readonly master: boolean
}

export const everything: EventContent = {
  protoInfo: true,
  mark: true,
  labels: true,
  seqAdj: true,
  synproxy: true,
  master: true
}

export const nothing: EventContent = {
  protoInfo: false,
  mark: false,
  labels: false,
  seqAdj: false,
  synproxy: false,
  master: false
}

/** A nest that is a tuple. */
export const tuple = (
  type: number,
  family: number,
  value: KernelTuple,
  zone: number
): Array<number> => {
  const [source, destination] = family === Ip6 ? [3, 4] : [1, 2]
  const proto = [u8(1, value.l4)]
  if (isIcmp(value.l4)) {
    const first = value.l4 === 1 ? 4 : 7
    proto.push(u16(first, value.a), u8(first + 1, value.b >> 8), u8(first + 2, value.b & 0xff))
  } else if (hasPair(value.l4)) proto.push(u16(2, value.a), u16(3, value.b))
  return nest(
    type,
    nest(
      1,
      attribute(source!, bytesOfHex(value.src)),
      attribute(destination!, bytesOfHex(value.dst))
    ),
    nest(2, ...proto),
    zone === 0 ? [] : u16(3, zone)
  )
}

/** Both tuples and the zone. A zone of one direction is inside the tuple of that direction. */
const headOf = (flow: KernelFlow): Uint8Array => {
  const inTuple = flow.zoneIn !== "both"
  return Uint8Array.from([
    ...tuple(1, flow.family, flow.original, inTuple ? zoneOf(flow, Direction.original) : 0),
    ...tuple(2, flow.family, flow.reply, inTuple ? zoneOf(flow, Direction.reply) : 0),
    ...(flow.zoneIn === "both" && flow.zone !== 0 ? u16(18, flow.zone) : [])
  ])
}

const heads = new WeakMap<KernelFlow, Uint8Array>()

/** Every message of a flow begins like this: its tuples do not change once it is there. */
const head = (flow: KernelFlow): Uint8Array => {
  const known = heads.get(flow)
  if (known !== undefined) return known
  const bytes = headOf(flow)
  heads.set(flow, bytes)
  return bytes
}

/** What the functions below write to. */
const out = new AttributeBuffer()

const putProtoInfo = (flow: KernelFlow, stateOnly: boolean): void => {
  if (flow.tcp !== undefined) {
    const { flags, scales, state } = flow.tcp
    const outer = out.open(4)
    const inner = out.open(1)
    out.u8(1, state)
    if (!stateOnly) {
      out.u8(2, scales[0])
      out.u8(3, scales[1])
      out.pair(4, flags[0], 0)
      out.pair(5, flags[1], 0)
    }
    out.close(inner)
    out.close(outer)
  } else if (flow.sctp !== undefined) {
    const { state, tags } = flow.sctp
    const outer = out.open(4)
    const inner = out.open(3)
    out.u8(1, state)
    if (!stateOnly) {
      out.u32(2, tags[0])
      out.u32(3, tags[1])
    }
    out.close(inner)
    out.close(outer)
  }
}

const putTriple = (type: number, values: ReadonlyArray<number>): void => {
  const at = out.open(type)
  for (let i = 0; i < 3; i++) out.u32(i + 1, values[i] ?? 0)
  out.close(at)
}

const putHelp = (flow: KernelFlow): void => {
  if (flow.helper !== undefined) out.all(nest(5, text(1, flow.helper)))
}

const putLabels = (flow: KernelFlow): void => {
  if (flow.labels?.some((byte) => byte !== 0) === true) out.bytes(22, flow.labels)
}

const putSeqAdj = (flow: KernelFlow): void => {
  if ((flow.status & StatusBit.seqAdjust) === 0 || flow.seqAdj === undefined) return
  putTriple(15, flow.seqAdj[0])
  putTriple(16, flow.seqAdj[1])
}

const putSynproxy = (flow: KernelFlow): void => {
  if (flow.synproxy !== undefined) putTriple(24, flow.synproxy)
}

const putMaster = ({ master }: KernelFlow): void => {
  if (master !== undefined) out.all(tuple(14, master.family, master.original, 0))
}

const putCounters = ({ counters }: KernelFlow): void => {
  if (counters === undefined) return
  for (let i = 0; i < 2; i++) {
    const at = out.open(9 + i)
    out.u64(1, counters[i]!.packets)
    out.u64(2, counters[i]!.bytes)
    out.close(at)
  }
}

const putTimestamp = ({ startNs }: KernelFlow, stopNs: bigint | undefined): void => {
  if (startNs === undefined) return
  const at = out.open(20)
  out.u64(1, startNs)
  if (stopNs !== undefined) out.u64(2, stopNs)
  out.close(at)
}

/** Remaining seconds, as the kernel rounds them: down. */
export const remainingSeconds = (flow: KernelFlow, nowMs: number): number =>
  Math.max(0, Math.floor((flow.expiresAtMs - nowMs) / 1000))

/** An entry of a dump, or the answer to a get, which holds one reference more. */
export const entryAttributes = (flow: KernelFlow, nowMs: number, isGet: boolean): Uint8Array => {
  out.all(head(flow))
  out.u32(3, flow.status)
  out.u32(8, flow.mark)
  out.u32(12, flow.id)
  out.u32(11, flow.children + (isGet ? 2 : 1))
  putMaster(flow)
  out.u32(7, remainingSeconds(flow, nowMs))
  putProtoInfo(flow, false)
  putCounters(flow)
  putTimestamp(flow, undefined)
  putHelp(flow)
  putLabels(flow)
  putSeqAdj(flow)
  putSynproxy(flow)
  return out.take()
}

/** A NEW or UPDATE event; `stampNs` when timestamps are on. */
export const eventAttributes = (
  flow: KernelFlow,
  nowMs: number,
  content: EventContent,
  stampNs: bigint | undefined
): Uint8Array => {
  out.all(head(flow))
  out.u32(12, flow.id)
  out.u32(3, flow.status)
  out.u32(7, remainingSeconds(flow, nowMs))
  if (content.protoInfo) putProtoInfo(flow, false)
  putHelp(flow)
  if (content.labels) putLabels(flow)
  if (content.master) putMaster(flow)
  if (content.seqAdj) putSeqAdj(flow)
  if (content.synproxy) putSynproxy(flow)
  if (flow.mark !== 0 || content.mark) out.u32(8, flow.mark)
  if (stampNs !== undefined) out.u64(27, stampNs)
  return out.take()
}

/** A DESTROY event; `stopNs` when timestamps are on. */
export const destroyAttributes = (
  flow: KernelFlow,
  nowMs: number,
  stopNs: bigint | undefined
): Uint8Array => {
  const left = remainingSeconds(flow, nowMs)
  out.all(head(flow))
  out.u32(12, flow.id)
  out.u32(3, flow.status)
  if (left !== 0) out.u32(7, left)
  putCounters(flow)
  if (stopNs !== undefined) putTimestamp(flow, stopNs)
  putProtoInfo(flow, true)
  if (flow.mark !== 0) out.u32(8, flow.mark)
  if (stopNs !== undefined) out.u64(27, stopNs)
  return out.take()
}
