/**
 * Events that must happen somewhere in a long run of seeds, or the simulator is too tame: invariant
 * M1. "link change" and "TCP reconnect" join when there are several links, and TCP.
 *
 * Source: architecture, section 8.3.
 */
export const marksExpected: ReadonlyArray<string> = [
  "resend queue overflow",
  "nack resend",
  "sequence wrap",
  "hello reset",
  "overrun repair",
  "commit with refusals",
  "slot exhaustion"
]
