/**
 * The rules of both firewalls: as strict as connection tracking can be.
 *
 * A packet passes only as part of a connection whose state the kernel knows, or as the SYN of a new
 * one. So a connection survives a failover only when its state was there before its packets.
 *
 * Source: nft(8); the kernel's documentation of nf_conntrack sysctls.
 */
import * as Effect from "effect/Effect"
import { DemoFailed, runIn } from "./Command.ts"
import { kinds } from "./Kinds.ts"
import { setSysctls } from "./Topology.ts"

const ports = kinds.map((kind) => kind.port).join(", ")

const familyOf = (address: string): string => (address.includes(":") ? "ip6" : "ip")

/** Rules that give the packets of a kind another source or destination. */
const translations = (what: "snat" | "dnat"): string =>
  kinds.flatMap(({ address, port, [what]: to }) => {
    const family = familyOf(address)
    return to === undefined
      ? []
      : [`${family} daddr ${address} tcp dport ${port} ${what} ${family} to ${to}`]
  }).join("\n    ")

const rules = `
table inet demo {
  counter invalid { }
  counter midstream { }

  chain untracked-in {
    type filter hook prerouting priority raw
    iifname "sync" notrack
  }
  chain untracked-out {
    type filter hook output priority raw
    oifname "sync" notrack
  }

  chain destination {
    type nat hook prerouting priority dstnat
    ${translations("dnat")}
  }
  chain source {
    type nat hook postrouting priority srcnat
    ${translations("snat")}
  }

  chain forward {
    type filter hook forward priority filter; policy drop
    ct state invalid counter name invalid drop
    ct state new tcp flags & (fin | syn | rst | ack) != syn counter name midstream drop
    ct state established,related accept
    ct state new tcp dport { ${ports} } accept
  }

  chain input {
    type filter hook input priority filter; policy drop
    iifname { "lo", "sync" } accept
    meta l4proto ipv6-icmp accept
    ct state invalid counter name invalid drop
    ct state new tcp flags & (fin | syn | rst | ack) != syn counter name midstream drop
  }
}
`

const kernelNeeds =
  "The kernel must have nf_tables with NAT, nf_conntrack and nf_conntrack_netlink."

/** Loads the rules and makes TCP tracking strict. */
export const loadRules = (firewall: string): Effect.Effect<void, DemoFailed> =>
  Effect.gen(function*() {
    yield* Effect.mapError(
      runIn(firewall, "nft", ["-f", "-"], { input: rules }),
      ({ message }) => new DemoFailed({ message: `${message}\n${kernelNeeds}` })
    )
    // These exist only when the rules have made the kernel track connections.
    yield* setSysctls(firewall, [
      "net/netfilter/nf_conntrack_tcp_be_liberal=0",
      "net/netfilter/nf_conntrack_tcp_loose=0"
    ])
  })

/** Packets that were dropped because nothing is known of their connection. */
export const unknownPackets = (firewall: string): Effect.Effect<number, DemoFailed> =>
  Effect.map(
    runIn(firewall, "nft", ["list", "counters", "table", "inet", "demo"]),
    (text) => [...text.matchAll(/packets (\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0)
  )
