/**
 * States of a TCP flow as the kernel numbers them, and their names.
 *
 * Source: specification, "The kernel's connection-tracking interface", protocol information.
 */

/** Index = number. */
const names: ReadonlyArray<string> = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2"
]

/** The name of a state. A number without a name shows as `NONE`, as peers may send anything. */
export const nameOf = (state: number): string => names[state] ?? "NONE"

/** The number of a state, or -1. `LISTEN` is the old name of `SYN_SENT2`. */
export const numberOf = (name: string): number =>
  names.indexOf(name === "LISTEN" ? "SYN_SENT2" : name)
