/**
 * Which flows a dump or a flush is about.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 4.3 and 4.5.
 */
import type { KernelFlow } from "./KernelFlow.ts"
import { Direction, zoneOf } from "./KernelFlow.ts"
import type { Request } from "./NetlinkReader.ts"
import { EINVAL, Refused } from "./NetlinkReader.ts"

/** Says of every flow whether it is meant. `family` 0: all of them. */
export const matcher = (
  { attributes }: Request,
  family: number
): (flow: KernelFlow) => boolean => {
  const mark = attributes.number(8, 4)
  const markMask = attributes.number(21, 4) ?? 0xffff_ffff
  const status = attributes.number(3, 4)
  const statusMask = attributes.number(26, 4) ?? status ?? 0
  const zone = attributes.number(18, 2)
  if (status !== undefined && statusMask === 0) throw new Refused(EINVAL)
  return (flow) =>
    (family === 0 || family === flow.family) &&
    (mark === undefined || ((flow.mark & markMask) >>> 0) === mark) &&
    (status === undefined || ((flow.status & statusMask) >>> 0) === status) &&
    (zone === undefined || zoneOf(flow, Direction.original) === zone ||
      zoneOf(flow, Direction.reply) === zone)
}
