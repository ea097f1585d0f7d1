/**
 * Bits of a flow's status word, in host order.
 *
 * Source: specification, "The kernel's connection-tracking interface", table of status bits.
 */

export const Status = {
  /** The flow was expected: it has a master. */
  expected: 1 << 0,
  seenReply: 1 << 1,
  /** Not removed early when the table is full. */
  assured: 1 << 2,
  confirmed: 1 << 3,
  srcNat: 1 << 4,
  dstNat: 1 << 5,
  seqAdjust: 1 << 6,
  srcNatDone: 1 << 7,
  dstNatDone: 1 << 8,
  dying: 1 << 9,
  fixedTimeout: 1 << 10,
  template: 1 << 11,
  natClash: 1 << 12,
  /** The helper was attached by a rule. */
  helper: 1 << 13,
  offload: 1 << 14,
  hwOffload: 1 << 15
} as const
export type StatusName = keyof typeof Status

/** Names as users of the tools write them, in the order in which they are tried. */
const words: ReadonlyArray<readonly [string, number]> = [
  ["ASSURED", Status.assured],
  ["SEEN_REPLY", Status.seenReply],
  ["UNSET", 0],
  ["FIXED_TIMEOUT", Status.fixedTimeout],
  ["EXPECTED", Status.expected],
  ["OFFLOAD", Status.offload],
  ["HW_OFFLOAD", Status.hwOffload]
]

/** The bit that `word` names (`UNSET` names none: 0), or -1. */
export const bitOf = (word: string): number => words.find(([name]) => name === word)?.[1] ?? -1

/** Words of all set bits that have one, by the order of the bits. */
export const wordsOf = (status: number): ReadonlyArray<string> =>
  words
    .filter(([, bit]) => (status & bit) !== 0)
    .toSorted(([, a], [, b]) => a - b)
    .map(([name]) => name)
