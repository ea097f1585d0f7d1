/**
 * States of a DCCP flow as the kernel numbers them, and their names.
 *
 * Source: specification, "The kernel's connection-tracking interface", protocol information.
 */

/** Index = number. */
const names: ReadonlyArray<string> = [
  "NONE",
  "REQUEST",
  "RESPOND",
  "PARTOPEN",
  "OPEN",
  "CLOSEREQ",
  "CLOSING",
  "TIMEWAIT",
  "IGNORE",
  "INVALID"
]

/** The name of a state. A number without a name shows as `NONE`, as peers may send anything. */
export const nameOf = (state: number): string => names[state] ?? "NONE"

/** The number of a state, or -1. */
export const numberOf = (name: string): number => names.indexOf(name)

/** Which side opened the connection, seen from the original direction. */
export const DccpRole = { client: 0, server: 1 } as const
