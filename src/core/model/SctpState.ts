/**
 * States of a SCTP flow as the kernel numbers them, and their names.
 *
 * Source: specification, "The kernel's connection-tracking interface", protocol information.
 */

/** Index = number. */
const names: ReadonlyArray<string> = [
  "NONE",
  "CLOSED",
  "COOKIE_WAIT",
  "COOKIE_ECHOED",
  "ESTABLISHED",
  "SHUTDOWN_SENT",
  "SHUTDOWN_RECD",
  "SHUTDOWN_ACK_SENT",
  "HEARTBEAT_SENT",
  "HEARTBEAT_ACKED"
]

/** The name of a state. A number without a name shows as `NONE`, as peers may send anything. */
export const nameOf = (state: number): string => names[state] ?? "NONE"

/** The number of a state, or -1. */
export const numberOf = (name: string): number => names.indexOf(name)
