/**
 * Four machines, as network namespaces, and the wires between them.
 *
 *               inside             outside
 *              ┌────── fw1 ──────┐
 *     client ──┤        ║ sync   ├── server
 *              └────── fw2 ──────┘
 *
 * Both networks are bridges; each bridge is at the same time the interface of the machine that
 * lives there. The active firewall carries, like a VRRP router, the virtual addresses *and* a
 * virtual MAC address: when they move, nobody has to learn a new neighbour, and the bridges forget
 * the old port by themselves since its cable is dead.
 *
 * Source: ip-link(8), ip-netns(8), RFC 9568 (virtual router MAC address).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type DemoFailed, ip, run, runIn } from "./Command.ts"
import { dedicatedLink, inside, outside } from "./Kinds.ts"

export interface Topology {
  readonly client: string
  readonly fw1: string
  readonly fw2: string
  readonly server: string
}

const virtualMac = { inside: "02:00:5e:00:01:01", outside: "02:00:5e:00:01:02" }

/** Addresses work at once: nobody else can have them. */
const everywhere = [
  "net/ipv6/conf/default/accept_dad=0",
  "net/ipv6/conf/default/router_solicitations=0"
]

/** Writes `path=value` under /proc/sys of the namespace (sysctl(8) may not be installed). */
export const setSysctls = (
  namespace: string,
  settings: ReadonlyArray<string>
): Effect.Effect<string, DemoFailed> =>
  runIn(namespace, "sh", [
    "-ec",
    `for setting; do echo "\${setting#*=}" > "/proc/sys/\${setting%%=*}"; done`,
    "sh",
    ...settings
  ])

const addNamespace = (name: string): Effect.Effect<string, DemoFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.as(run("ip", ["netns", "add", name]), name),
    // Its interfaces go with it.
    () => Effect.ignore(run("ip", ["netns", "del", name]))
  )

const cable = (a: string, nameAtA: string, b: string, nameAtB: string): string =>
  `link add ${nameAtA} netns ${a} type veth peer name ${nameAtB} netns ${b}`

const host = (addresses: ReadonlyArray<string>, gateways: ReadonlyArray<string>) => [
  "link set lo up",
  "link add lan type bridge",
  "link set fw1 master lan",
  "link set fw2 master lan",
  "link set fw1 up",
  "link set fw2 up",
  "link set lan up",
  ...addresses.map((address) => `addr add ${address} dev lan`),
  ...gateways.map((gateway) => `route add default via ${gateway}`)
]

const router = (linkAddress: string) => [
  "link set lo up",
  "link set inside up",
  "link set outside up",
  "link set sync up",
  `addr add ${linkAddress}/30 dev sync`
]

/** Builds everything; it is gone at the end of the scope. Nobody has the virtual addresses yet. */
export const buildTopology = (
  prefix: string
): Effect.Effect<Topology, DemoFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* addNamespace(`${prefix}-client`)
    const fw1 = yield* addNamespace(`${prefix}-fw1`)
    const fw2 = yield* addNamespace(`${prefix}-fw2`)
    const server = yield* addNamespace(`${prefix}-server`)
    for (const name of [client, fw1, fw2, server]) yield* setSysctls(name, everywhere)
    for (const name of [fw1, fw2]) {
      yield* setSysctls(name, ["net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1"])
    }
    yield* ip(undefined, [
      cable(client, "fw1", fw1, "inside"),
      cable(client, "fw2", fw2, "inside"),
      cable(server, "fw1", fw1, "outside"),
      cable(server, "fw2", fw2, "outside"),
      cable(fw1, "sync", fw2, "sync")
    ])
    yield* ip(fw1, router(dedicatedLink.fw1))
    yield* ip(fw2, router(dedicatedLink.fw2))
    yield* ip(
      client,
      host(
        [`${inside.client4}/24`, `${inside.client6}/64 nodad`],
        [inside.gateway4, inside.gateway6]
      )
    )
    yield* ip(
      server,
      host(
        [`${outside.server4}/24`, `${outside.server6}/64 nodad`],
        [outside.gateway4, outside.gateway6]
      )
    )
    return { client, fw1, fw2, server }
  })

/** Makes a firewall the one that carries the traffic. */
export const takeAddresses = (firewall: string): Effect.Effect<string, DemoFailed> =>
  ip(firewall, [
    `link set inside address ${virtualMac.inside}`,
    `link set outside address ${virtualMac.outside}`,
    `addr add ${inside.gateway4}/24 dev inside`,
    `addr add ${inside.service4}/32 dev inside`,
    `addr add ${inside.gateway6}/64 dev inside nodad`,
    `addr add ${inside.service6}/128 dev inside nodad`,
    `addr add ${outside.gateway4}/24 dev outside`,
    `addr add ${outside.source4}/32 dev outside`,
    `addr add ${outside.gateway6}/64 dev outside nodad`,
    `addr add ${outside.source6}/128 dev outside nodad`
  ])

/** What is left of a machine whose power supply has failed. */
export const pullCables = (firewall: string): Effect.Effect<string, DemoFailed> =>
  ip(firewall, ["link set inside down", "link set outside down", "link set sync down"])
