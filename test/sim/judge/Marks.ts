/**
 * Events that a run of many seeds must have seen at least once (M1): a simulation that never
 * overflows a queue proves nothing about overflows.
 */

/** Marks of the judge that a run of seeds fails without. */
export const marksExpected: ReadonlyArray<string> = [
  "resend queue overflow",
  "nack resend",
  "sequence wrap",
  "hello reset",
  "overrun repair",
  "commit with refusals",
  "slot exhaustion"
]

/** Log lines that are marks: how they begin, and the mark. */
export const loggedMarks: ReadonlyArray<readonly [begin: string, mark: string]> = [
  ["sending bulk update", "bulk send"],
  ["resync requested by other node", "resync for the peer"],
  ["flushing conntrack table in", "purge scheduled"],
  ["flushing kernel conntrack table (scheduled)", "purge"],
  ["device `", "link change"],
  ["ignoring flush command", "flush refused"],
  ["the kernel resync failed", "kernel resync failed"]
]
