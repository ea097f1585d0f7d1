/**
 * What happened to a flow or an expectation: what the kernel's events say, and what data messages
 * tell peers.
 *
 * Source: specification, "The replication protocol", section 3.
 */

/** The numbers are those of the message types of flows on the wire. */
export const Change = { created: 0, updated: 1, destroyed: 2 } as const
export type Change = (typeof Change)[keyof typeof Change]
