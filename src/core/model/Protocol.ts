/**
 * Layer-4 protocols: their numbers, the names that dumps print, and what their tuples hold.
 *
 * Source: specification, "Command line, life cycle …", section 9.8; numbers: IANA.
 */

export const Protocol = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  icmpv6: 58,
  sctp: 132,
  udplite: 136
} as const

/** What a tuple of this protocol holds beside its addresses. */
export type TupleKind = "ports" | "icmp" | "greKeys" | "none"

const names = new Map<number, string>(
  Object.entries(Protocol).map(([name, number]) => [number, name])
)

/** The name in dumps; every protocol that the kernel does not track by itself is `unknown`. */
export const nameOf = (protocol: number): string => names.get(protocol) ?? "unknown"

/** The number of a protocol that dumps name, or -1. */
export const numberOf = (name: string): number =>
  Object.hasOwn(Protocol, name) ? Protocol[name as keyof typeof Protocol] : -1

export const tupleKindOf = (protocol: number): TupleKind => {
  switch (protocol) {
    case Protocol.tcp:
    case Protocol.udp:
    case Protocol.udplite:
    case Protocol.sctp:
    case Protocol.dccp:
      return "ports"
    case Protocol.icmp:
    case Protocol.icmpv6:
      return "icmp"
    case Protocol.gre:
      return "greKeys"
    default:
      return "none"
  }
}

/** The name of a layer-3 protocol (an address family) in XML dumps. */
export const l3NameOf = (l3: number): string => l3 === 2 ? "ipv4" : l3 === 10 ? "ipv6" : "unknown"
