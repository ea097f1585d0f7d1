/**
 * How expectations of the simulated kernel come, and what becomes of the flows that fulfil them.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6; the marks, the
 * translation and the order of events as a real kernel (6.18) showed them.
 */
import type { ExpectedTranslation, KernelExpectation } from "./KernelExpectation.ts"
import { ExpectFlag, followMaster, policyOf } from "./KernelExpectation.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { inverted, StatusBit } from "./KernelFlow.ts"
import type { KernelState } from "./KernelState.ts"
import { EBUSY, EINVAL, EMFILE, EOPNOTSUPP, Refused } from "./NetlinkReader.ts"

/** What is expected: by a request, or by a helper that read it in a packet. */
export interface NewExpectation {
  readonly family: number
  readonly master: KernelFlow
  readonly tuple: KernelTuple
  /** Default: any source port, of this source address. */
  readonly mask?: { readonly src: string; readonly a: number }
  readonly flags?: number
  /** Which of the helper's policies counts. Default: the first. */
  readonly policy?: number
  readonly translation?: ExpectedTranslation | undefined
  readonly fn?: string | undefined
}

const expectationsMaxDefault = 4_096

/** Expects a flow. Refused when another expectation is in the way, or there are too many. */
export const expectFlow = (state: KernelState, fields: NewExpectation): KernelExpectation => {
  const { family, flags = 0, fn, mask, master, policy: number = 0, translation, tuple } = fields
  if (master.helper === undefined) throw new Refused(EOPNOTSUPP)
  const policy = policyOf(master.helper, number)
  if (policy === undefined) throw new Refused(EINVAL)
  const { expectations, options } = state
  const one: KernelExpectation = {
    id: expectations.nextId(),
    family,
    master,
    tuple,
    mask: mask ?? { src: "f".repeat(tuple.src.length), a: 0 },
    flags: flags & ~ExpectFlag.userspace,
    policy: number,
    translation,
    fn,
    expiresAtMs: state.nowMs + policy.timeoutSeconds * 1000,
    isGone: false
  }
  if (expectations.hasClash(one)) throw new Refused(EBUSY)
  const surplus = expectations.surplus(one, policy.expectedMax)
  if (surplus !== undefined) state.forget(surplus)
  const { expectationsMax = expectationsMaxDefault } = options
  if (expectations.size >= expectationsMax) throw new Refused(EMFILE)
  state.expect(one)
  return one
}

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
