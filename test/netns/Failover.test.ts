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
import { buildTopology, pullCables, takeAddresses } from "../demo/Topology.ts"
import { startTraffic, waitUntil } from "../demo/Traffic.ts"
import { mayUse } from "../native/Machine.ts"
import { eventually } from "./Namespace.ts"
import {
  type Binary,
  combinations,
  nodesIn,
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

/** Number of connections that still carry data both ways after A died and B did `requests`. */
const survivors = (
  a: Binary,
  b: Binary,
  options: PairOptions,
  requests: ReadonlyArray<string>,
  maxMs: number
) =>
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
    yield* eventually(
      reportOf(nodes, () => "B knows all connections as established"),
      seconds,
      Effect.map(
        nodes.b.request("-e"),
        (text) => (text.match(/^tcp .*ESTABLISHED .*\[ASSURED\]/gm) ?? []).length >= connections
      )
    )

    yield* nodes.a.kill()
    yield* pullCables(topology.fw1)
    yield* takeAddresses(topology.fw2)
    for (const request of requests) yield* nodes.b.request(request)
    traffic.probe()
    yield* waitUntil(() => traffic.alive >= connections, maxMs)
    return { alive: traffic.alive, dropped: yield* unknownPackets(topology.fw2) }
  })

describe.skipIf(!isRoot)(`${connections} TCP connections under strict tracking`, () => {
  for (const { a, b, family } of combinations) {
    const windowTracking = family === 6
    const tracking = windowTracking ? "with" : "without"
    it.live(
      `survive: ${a} to ${b}, ${tracking} TCPWindowTracking, link IPv${family}`,
      () =>
        Effect.gen(function*() {
          const options = { family, windowTracking }
          const { alive } = yield* survivors(a, b, options, takeover, surviveMaxMs)
          assert.strictEqual(alive, connections)
        }),
      testMaxMs
    )
  }

  it.live("do not survive without the commit", () =>
    Effect.gen(function*() {
      const requests = takeover.slice(1)
      const { alive, dropped } = yield* survivors("ours", "ours", { family: 4 }, requests, 4_000)
      assert.strictEqual(alive, 0)
      assert.isAbove(dropped, 0)
    }), testMaxMs)
})
