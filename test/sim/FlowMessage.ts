/**
 * What the simulated kernel says of a flow: attributes in the order in which a kernel emits them.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 3 and 7.1.
 */
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, hasPair, Ip6, isIcmp, StatusBit, zoneOf } from "./KernelFlow.ts"
import { attribute, nest, text, u16, u32, u64, u8 } from "./NetlinkWriter.ts"

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
const head = (flow: KernelFlow): Array<number> => {
  const inTuple = flow.zoneIn !== "both"
  return [
    ...tuple(1, flow.family, flow.original, inTuple ? zoneOf(flow, Direction.original) : 0),
    ...tuple(2, flow.family, flow.reply, inTuple ? zoneOf(flow, Direction.reply) : 0),
    ...(flow.zoneIn === "both" && flow.zone !== 0 ? u16(18, flow.zone) : [])
  ]
}

const protoInfo = (flow: KernelFlow, stateOnly: boolean): Array<number> => {
  if (flow.tcp !== undefined) {
    const { flags, scales, state } = flow.tcp
    const rest = stateOnly
      ? []
      : [
        ...u8(2, scales[0]),
        ...u8(3, scales[1]),
        ...attribute(4, [flags[0], 0]),
        ...attribute(5, [flags[1], 0])
      ]
    return nest(4, nest(1, u8(1, state), rest))
  }
  if (flow.sctp !== undefined) {
    const { state, tags } = flow.sctp
    const rest = stateOnly ? [] : [...u32(2, tags[0]), ...u32(3, tags[1])]
    return nest(4, nest(3, u8(1, state), rest))
  }
  return []
}

const triple = (type: number, values: ReadonlyArray<number>): Array<number> =>
  nest(type, ...values.map((value, i) => u32(i + 1, value)))

const help = (flow: KernelFlow) => flow.helper === undefined ? [] : nest(5, text(1, flow.helper))

const labels = (flow: KernelFlow) =>
  flow.labels?.some((byte) => byte !== 0) === true ? attribute(22, [...flow.labels]) : []

const seqAdj = (flow: KernelFlow): Array<number> =>
  (flow.status & StatusBit.seqAdjust) !== 0 && flow.seqAdj !== undefined
    ? [...triple(15, flow.seqAdj[0]), ...triple(16, flow.seqAdj[1])]
    : []

const synproxy = (flow: KernelFlow) => flow.synproxy === undefined ? [] : triple(24, flow.synproxy)

const master = (flow: KernelFlow) =>
  flow.master === undefined ? [] : tuple(14, flow.master.family, flow.master.original, 0)

const counters = (flow: KernelFlow): Array<number> =>
  flow.counters === undefined
    ? []
    : flow.counters.flatMap(({ bytes, packets }, i) => nest(9 + i, u64(1, packets), u64(2, bytes)))

/** Remaining seconds, as the kernel rounds them: down. */
export const remainingSeconds = (flow: KernelFlow, nowMs: number): number =>
  Math.max(0, Math.floor((flow.expiresAtMs - nowMs) / 1000))

/** An entry of a dump, or the answer to a get, which holds one reference more. */
export const entryAttributes = (
  flow: KernelFlow,
  nowMs: number,
  isGet: boolean
): Array<number> => [
  ...head(flow),
  ...u32(3, flow.status),
  ...u32(8, flow.mark),
  ...u32(12, flow.id),
  ...u32(11, flow.children + (isGet ? 2 : 1)),
  ...master(flow),
  ...u32(7, remainingSeconds(flow, nowMs)),
  ...protoInfo(flow, false),
  ...counters(flow),
  ...(flow.startNs === undefined ? [] : nest(20, u64(1, flow.startNs))),
  ...help(flow),
  ...labels(flow),
  ...seqAdj(flow),
  ...synproxy(flow)
]

/** A NEW or UPDATE event; `stampNs` when timestamps are on. */
export const eventAttributes = (
  flow: KernelFlow,
  nowMs: number,
  content: EventContent,
  stampNs: bigint | undefined
): Array<number> => [
  ...head(flow),
  ...u32(12, flow.id),
  ...u32(3, flow.status),
  ...u32(7, remainingSeconds(flow, nowMs)),
  ...(content.protoInfo ? protoInfo(flow, false) : []),
  ...help(flow),
  ...(content.labels ? labels(flow) : []),
  ...(content.master ? master(flow) : []),
  ...(content.seqAdj ? seqAdj(flow) : []),
  ...(content.synproxy ? synproxy(flow) : []),
  ...(flow.mark !== 0 || content.mark ? u32(8, flow.mark) : []),
  ...(stampNs === undefined ? [] : u64(27, stampNs))
]

/** A DESTROY event; `stopNs` when timestamps are on. */
export const destroyAttributes = (
  flow: KernelFlow,
  nowMs: number,
  stopNs: bigint | undefined
): Array<number> => {
  const left = remainingSeconds(flow, nowMs)
  return [
    ...head(flow),
    ...u32(12, flow.id),
    ...u32(3, flow.status),
    ...(left === 0 ? [] : u32(7, left)),
    ...counters(flow),
    ...(flow.startNs === undefined || stopNs === undefined
      ? []
      : nest(20, u64(1, flow.startNs), u64(2, stopNs))),
    ...protoInfo(flow, true),
    ...(flow.mark === 0 ? [] : u32(8, flow.mark)),
    ...(stopNs === undefined ? [] : u64(27, stopNs))
  ]
}
