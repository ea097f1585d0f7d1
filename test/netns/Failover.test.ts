/**
 * Live TCP connections, translated ones included, survive the death of the firewall they go
 * through, though both firewalls track windows strictly and never pick up a connection midway.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 5; the kernel's
 * documentation of nf_conntrack sysctls.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { shares } from "../demo/Kinds.ts"
import { loadRules, unknownPackets } from "../demo/Rules.ts"
import type { Traffic } from "../demo/Stage.ts"
import { buildTopology, pullCables, takeAddresses } from "../demo/Topology.ts"
import { startTraffic } from "../demo/Traffic.ts"
import { waitUntil } from "../demo/Waiting.ts"
import { mayUse } from "../native/Machine.ts"
import { eventually, ip, runIn } from "./Namespace.ts"
import {
  type Binary,
  combinations,
  type Node,
  nodesIn,
  type Pair,
  type PairOptions,
  reportOf,
  startBoth
} from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const connections = 300
const openMaxMs = 30_000
const surviveMaxMs = 20_000
const testMaxMs = 90_000
const seconds = 20

/** The requests of a new primary, in the order of the notification script. */
const takeover = ["-c", "-f", "-R", "-B"]

let runs = 0

/** Two firewalls with their daemons, and connections through A that B knows of. */
const established = (a: Binary, b: Binary, options: PairOptions) =>
  Effect.gen(function*() {
    const topology = yield* buildTopology(`ctd-${process.pid}-f${runs++}`)
    yield* loadRules(topology.fw1)
    yield* loadRules(topology.fw2)
    const nodes = yield* nodesIn({ A: topology.fw1, B: topology.fw2 }, a, b, options)
    yield* startBoth(nodes)
    yield* takeAddresses(topology.fw1)

    const traffic = yield* startTraffic(topology)
    traffic.open(shares(connections))
    const isOpen = yield* waitUntil(() => traffic.opened >= connections, openMaxMs)
    assert.isTrue(isOpen, `${traffic.opened} of ${connections} opened: ${traffic.reasons()}`)
    yield* knowsAll(nodes, nodes.b)
    return { topology, nodes, traffic }
  })

const establishedLine = /^tcp .*ESTABLISHED .*\[ASSURED\]/gm
const markedLine = /^tcp .*ESTABLISHED .*\[ASSURED\].* mark=7\b/gm

/** Waits until a cache of the node has a line of this kind for every connection. */
const knowsAll = (
  nodes: Pair,
  node: Node,
  line = establishedLine,
  dump: "-i" | "-e" = "-e"
) =>
  eventually(
    reportOf(nodes, () => `${node.name} ${dump} knows all connections as established`),
    seconds,
    Effect.map(node.poll(dump), (text) => (text.match(line) ?? []).length >= connections)
  )

/** Every packet that passes marks its connection: the kernel's event then says no state. */
const markConnections = (node: Node) =>
  runIn(
    node.namespace,
    ["nft", "-f", "-"],
    "table inet marking { chain marks { type filter hook forward priority 1; ct mark set 7; }; }"
  )

/** The firewall of `dead` dies as by a power cut; the other one does what its script says. */
const failOver = (dead: Node, heir: Node, requests: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    yield* dead.kill()
    yield* pullCables(dead.namespace)
    yield* takeAddresses(heir.namespace)
    for (const request of requests) yield* heir.request(request)
  })

/** Number of connections that carry data in both directions from now on. */
const survivors = (traffic: Traffic, maxMs: number) =>
  Effect.gen(function*() {
    traffic.probe()
    yield* waitUntil(() => traffic.alive >= connections, maxMs)
    return traffic.alive
  })

/** The machine is back, with an empty table, and carries nothing yet but the link. */
const reboot = (node: Node) =>
  Effect.gen(function*() {
    yield* runIn(node.namespace, ["conntrack", "-F"])
    yield* ip(node.namespace, ["addr flush dev inside", "addr flush dev outside"])
    yield* ip(node.namespace, ["link set dev sync up"])
    yield* node.giveAddress()
    yield* node.start()
  })

describe.skipIf(!isRoot)(`${connections} TCP connections under strict tracking`, () => {
  for (const { a, b, family } of combinations) {
    const windowTracking = family === 6
    const tracking = windowTracking ? "with" : "without"
    it.live(
      `survive: ${a} to ${b}, ${tracking} TCPWindowTracking, link IPv${family}`,
      () =>
        Effect.gen(function*() {
          const options = { family, windowTracking, mode: "StartupResync on" }
          const { nodes, traffic } = yield* established(a, b, options)
          yield* failOver(nodes.a, nodes.b, takeover)
          assert.strictEqual(yield* survivors(traffic, surviveMaxMs), connections)

          // And the way back, once the first one has been rebooted.
          yield* reboot(nodes.a)
          yield* knowsAll(nodes, nodes.a)
          yield* ip(nodes.a.namespace, ["link set dev inside up", "link set dev outside up"])
          yield* failOver(nodes.b, nodes.a, takeover)
          assert.strictEqual(yield* survivors(traffic, surviveMaxMs), connections)
        }),
      // The C daemon commits window scales without the flags that make them count, so what comes
      // back from it may be too strict for packets that a busy machine has held up.
      { timeout: testMaxMs, retry: windowTracking && b === "C" ? 1 : 0 }
    )
  }

  it.live(
    "survive when the primary has heard of them by a change of their mark alone",
    () =>
      Effect.gen(function*() {
        const { nodes, traffic } = yield* established("ours", "ours", { family: 4 })
        yield* nodes.a.request("-f internal")
        assert.strictEqual((yield* nodes.a.counts()).internal, 0)

        yield* markConnections(nodes.a)
        assert.strictEqual(yield* survivors(traffic, surviveMaxMs), connections)
        yield* knowsAll(nodes, nodes.a, markedLine, "-i")
        yield* knowsAll(nodes, nodes.b, markedLine, "-e")

        yield* failOver(nodes.a, nodes.b, takeover)
        assert.strictEqual(yield* survivors(traffic, surviveMaxMs), connections)
      }),
    testMaxMs
  )

  it.live("do not survive without the commit", () =>
    Effect.gen(function*() {
      const { nodes, topology, traffic } = yield* established("ours", "ours", { family: 4 })
      yield* failOver(nodes.a, nodes.b, takeover.slice(1))
      assert.strictEqual(yield* survivors(traffic, 4_000), 0)
      assert.isAbove(yield* unknownPackets(topology.fw2), 0)
    }), testMaxMs)
})
