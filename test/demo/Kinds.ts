/**
 * The kinds of connection that the demo keeps alive, and the addresses they go to.
 *
 * A kind is recognised by the port of the server: by the firewalls' rules, and in the lines of the
 * caches. All addresses are those reserved for documentation (RFC 5737, RFC 3849).
 */

export interface Kind {
  readonly name: string
  /** Where the client connects to. */
  readonly address: string
  readonly port: number
  /** The source that the firewall gives its packets. */
  readonly snat?: string
  /** The destination that the firewall gives its packets. */
  readonly dnat?: string
}

/** Addresses of the client's network; `gateway` and `service` belong to the active firewall. */
export const inside = {
  client4: "192.0.2.10",
  gateway4: "192.0.2.1",
  service4: "192.0.2.80",
  client6: "2001:db8:1::10",
  gateway6: "2001:db8:1::1",
  service6: "2001:db8:1::80"
}

/** Addresses of the server's network; `gateway` and `source` belong to the active firewall. */
export const outside = {
  server4: "198.51.100.10",
  gateway4: "198.51.100.1",
  source4: "198.51.100.99",
  server6: "2001:db8:2::10",
  gateway6: "2001:db8:2::1",
  source6: "2001:db8:2::99"
}

/** Addresses of the dedicated link. */
export const dedicatedLink = { fw1: "203.0.113.1", fw2: "203.0.113.2" }

export const kinds: ReadonlyArray<Kind> = [
  { name: "IPv4 plain", address: outside.server4, port: 9001 },
  { name: "IPv4 SNAT", address: outside.server4, port: 9002, snat: outside.source4 },
  { name: "IPv4 DNAT", address: inside.service4, port: 9003, dnat: outside.server4 },
  { name: "IPv6 plain", address: outside.server6, port: 9004 },
  { name: "IPv6 SNAT", address: outside.server6, port: 9005, snat: outside.source6 },
  { name: "IPv6 DNAT", address: inside.service6, port: 9006, dnat: outside.server6 }
]

/** Connections of each kind when there are `total` of them. */
export const shares = (total: number): ReadonlyArray<number> =>
  kinds.map((_, index) => Math.floor((total + kinds.length - 1 - index) / kinds.length))

/** How many of `ports` go to each kind's port. */
export const countByKind = (ports: Iterable<number>): ReadonlyArray<number> => {
  const counts = kinds.map(() => 0)
  for (const port of ports) {
    const index = kinds.findIndex((kind) => kind.port === port)
    if (index >= 0) counts[index]! += 1
  }
  return counts
}
