/**
 * What the simulated kernel says of an expectation: attributes in the order in which a kernel
 * emits them.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6.
 */
import { tuple } from "./FlowMessage.ts"
import type { KernelExpectation } from "./KernelExpectation.ts"
import { isTranslation, writtenMask, writtenTranslation } from "./KernelExpectation.ts"
import { nest, text, u32 } from "./NetlinkWriter.ts"

/** Remaining seconds, as the kernel rounds them: down. */
const remainingSeconds = ({ expiresAtMs }: KernelExpectation, nowMs: number): number =>
  Math.max(0, Math.floor((expiresAtMs - nowMs) / 1000))

export const expectationAttributes = (one: KernelExpectation, nowMs: number): Array<number> => {
  const { family, fn, flags, id, master, policy, translation } = one
  return [
    ...tuple(2, family, one.tuple, 0),
    ...tuple(3, family, writtenMask(one), 0),
    ...tuple(1, master.family, master.original, 0),
    ...(translation === undefined || !isTranslation(translation) ? [] : nest(
      10,
      u32(1, translation.direction),
      tuple(2, family, writtenTranslation(one, translation), 0)
    )),
    ...u32(4, remainingSeconds(one, nowMs)),
    ...u32(5, id),
    ...u32(8, flags),
    ...u32(9, policy),
    ...(master.helper === undefined ? [] : text(6, master.helper)),
    ...(fn === undefined ? [] : text(11, fn))
  ]
}
