/**
 * A commit translates every connection as it was, also one that keeps its port while its source has
 * another port for another connection. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
 *
 * (The reference changes about half of these: its requests leave such a port to the kernel.)
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { keptPorts, orders, portOf } from "../fakes/KeptPorts.ts"
import { mayUse } from "../native/Machine.ts"
import { committedDifferences, followed, kernelFlows } from "./FlowSets.ts"
import { runIn } from "./Namespace.ts"
import { combinations, type Node, pair, startBoth } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

/** Every order has ports of its own, so that they do not meet. */
const insert = (node: Node, order: (typeof orders)[number], number: number) =>
  Effect.forEach(order, (name) => {
    const { dst, src } = keptPorts(17)[name].orig!
    const { snat } = keptPorts(17)[name].translation!
    const words = [`-s ${src} -d ${dst} --sport ${5_000 + number} --dport 53`]
    words.push(`-n ${snat}:${portOf[name] + number} -t 600 -u SEEN_REPLY,ASSURED`)
    return runIn(node.namespace, ["conntrack", "-I", "-p", "udp", ...words.join(" ").split(" ")])
  })

describe.skipIf(!isRoot)("connections that keep their port behind an address", () => {
  for (const { a, b, family } of combinations) {
    if (b !== "ours" || family !== 4) continue
    it.live(
      `keep it in a commit, in whatever order they came: ${a} to ${b}`,
      () =>
        Effect.gen(function*() {
          const nodes = yield* pair(a, b, { family })
          yield* startBoth(nodes)
          for (const [number, order] of orders.entries()) yield* insert(nodes.a, order, number)
          assert.strictEqual((yield* followed(nodes, 20)).size, 3 * orders.length)

          // The second time every flow is replaced.
          for (let round = 0; round < 2; round++) {
            yield* nodes.b.request("-c")
            const [primary, backup] = [yield* kernelFlows(nodes.a), yield* kernelFlows(nodes.b)]
            const rule = { by: b, windowTracking: false, timeoutSlackSeconds: 3 }
            assert.deepStrictEqual(committedDifferences(primary, backup, rule), [])
            assert.strictEqual(yield* nodes.b.kernelCount(), 3 * orders.length)
            assert.notMatch(nodes.b.log(), /can't be committed|commit-create|commit-destroy/)
          }
        }),
      60_000
    )
  }
})
