/**
 * What becomes of a new flow of the simulated kernel that was expected.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6; the marks, the
 * translation and the order of events as a real kernel (6.18) showed them.
 */
import { ExpectFlag, followMaster } from "./KernelExpectation.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { inverted, StatusBit } from "./KernelFlow.ts"
import type { KernelState } from "./KernelState.ts"

/**
 * Looks for an expectation that the flow's first packet fulfils. The flow gets a master, and the
 * mark and the translation of that one; the expectation goes, unless it is permanent.
 */
export const fulfil = (state: KernelState, flow: KernelFlow): void => {
  const one = state.expectations.findActive(flow.original, flow.zone)
  if (one === undefined) return
  if ((one.flags & ExpectFlag.permanent) === 0) state.forget(one)
  state.expectationCounts.fulfilled++
  flow.master = one.master
  flow.status |= StatusBit.expected
  if (flow.mark === 0) flow.mark = one.master.mark
  if (one.fn !== "nat-follow-master") return
  const { original } = flow
  const translated = followMaster(one, original)
  flow.reply = inverted(translated)
  flow.status |= StatusBit.srcNatDone | StatusBit.dstNatDone
  if (translated.src !== original.src) flow.status |= StatusBit.srcNat
  if (translated.dst !== original.dst || translated.b !== original.b) {
    flow.status |= StatusBit.dstNat
  }
}
