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
