/**
 * Which flows a dump or a flush is about.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 4.3 and 4.5.
 */
import { filterTupleIn } from "./FlowRequest.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Ip6 } from "./KernelFlow.ts"
import type { Request } from "./NetlinkReader.ts"
import { EINVAL, hostWord, Refused } from "./NetlinkReader.ts"

/** Fields of a tuple that a filter may name. */
export const FilterBit = {
  src: 0x1,
  dst: 0x2,
  zone: 0x4,
  l4: 0x8,
  sport: 0x10,
  dport: 0x20,
  icmpType: 0x40,
  icmpCode: 0x80,
  icmpId: 0x100,
  icmp6Type: 0x200,
  icmp6Code: 0x400,
  icmp6Id: 0x800
} as const

const known = 0xfff

interface TupleFilter {
  readonly flags: number
  readonly tuple: KernelTuple
}

/** Attributes that make a request one about some flows. Masks alone do not. */
const filters = [3, 8, 18, 25]

/** Not every flow is meant. `family` 0: all of them. */
export const isFiltered = ({ attributes }: Request, family: number): boolean =>
  family !== 0 || filters.some((type) => attributes.has(type))

const everyFlow = (): boolean => true

/** Says of every flow whether it is meant. */
export const matcher = (request: Request, family: number): (flow: KernelFlow) => boolean => {
  if (!isFiltered(request, family)) return everyFlow
  const { attributes } = request
  const mark = attributes.number(8, 4)
  if (mark === undefined && attributes.has(21)) throw new Refused(EINVAL)
  const markMask = attributes.number(21, 4) ?? 0xffff_ffff
  const status = attributes.number(3, 4)
  const statusMask = attributes.number(26, 4) ?? status ?? 0
  const hasStatus = status !== undefined || attributes.has(26)
  if (hasStatus && (status === undefined || statusMask === 0)) throw new Refused(EINVAL)
  const zone = attributes.number(18, 2)
  const [original, reply] = tupleFiltersIn(request)
  return (flow) =>
    (family === 0 || family === flow.family) &&
    (original === undefined || fits(flow.original, original, flow.family)) &&
    (reply === undefined || fits(flow.reply, reply, flow.family)) &&
    (mark === undefined || ((flow.mark & markMask) >>> 0) === mark) &&
    (status === undefined || ((flow.status & statusMask) >>> 0) === status) &&
    // A zone of one direction is the zone of the flow.
    (zone === undefined || flow.zone === zone)
}

/** A filter of either direction; undefined when it names no field. */
const tupleFiltersIn = (
  request: Request
): readonly [original: TupleFilter | undefined, reply: TupleFilter | undefined] => {
  const nest = request.attributes.nest(25)
  if (nest === undefined) return [undefined, undefined]
  // This nest alone is read strictly.
  if (!request.attributes.isMarked(25) || nest.hasLeftover) throw new Refused(EINVAL)
  for (const [type, value] of nest.entries()) {
    if (type < 1 || type > 2 || value.length !== 4) throw new Refused(EINVAL)
    if ((hostWord(value) & ~known) !== 0) throw new Refused(EINVAL)
  }
  const words = ([1, 2] as const).map((type) => nest.hostNumber(type) ?? 0)
  const [original, reply] = words.map((flags, i) => {
    if (flags === 0) return undefined
    return { flags, tuple: filterTupleIn(request, i + 1, flags) }
  })
  return [original, reply]
}

const fits = (tuple: KernelTuple, { flags, tuple: wanted }: TupleFilter, family: number) => {
  // Addresses of IPv6 are compared the wrong way round, as kernels do.
  const isTurned = family === Ip6
  if ((flags & FilterBit.src) !== 0 && (tuple.src === wanted.src) === isTurned) return false
  if ((flags & FilterBit.dst) !== 0 && (tuple.dst === wanted.dst) === isTurned) return false
  if ((flags & FilterBit.l4) !== 0 && tuple.l4 !== wanted.l4) return false
  switch (tuple.l4) {
    case 6:
    case 17:
      return ((flags & FilterBit.sport) === 0 || tuple.a === wanted.a) &&
        ((flags & FilterBit.dport) === 0 || tuple.b === wanted.b)
    case 1:
      return fitsIcmp(tuple, wanted, flags >> 6)
    case 58:
      return fitsIcmp(tuple, wanted, flags >> 9)
    default:
      return true
  }
}

/** Of `bits` the lowest is the type, then code and identifier. */
const fitsIcmp = (tuple: KernelTuple, wanted: KernelTuple, bits: number): boolean =>
  ((bits & 1) === 0 || tuple.b >> 8 === wanted.b >> 8) &&
  ((bits & 2) === 0 || (tuple.b & 0xff) === (wanted.b & 0xff)) &&
  ((bits & 4) === 0 || tuple.a === wanted.a)
