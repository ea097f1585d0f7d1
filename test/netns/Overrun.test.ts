/**
 * A kernel that has more to say than the event socket holds: the daemon notices that events are
 * missing, reads the whole table again, and both caches are right in the end.
 *
 * Source: specification, "The synchronisation engines", section 6.1.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mayUse } from "../native/Machine.ts"
import { changeFlows, followed } from "./FlowSets.ts"
import { eventually } from "./Namespace.ts"
import { combinations, type Node, numberAfter, pair, reportOf, startBoth } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const flowCount = 10_000
const followSeconds = 30
const testMaxMs = 90_000

const tinyBuffer =
  "NetlinkBufferSize 16384\n  NetlinkBufferSizeMaxGrowth 16384\n  NetlinkOverrunResync 1"

const overrunsOf = (node: Node) =>
  Effect.map(node.poll("-s runtime"), (text) => ({
    overruns: numberAfter(text, /netlink overrun:\s+(\d+)/),
    resyncs: numberAfter(text, /resync with kernel table:\s+(\d+)/)
  }))

describe.skipIf(!isRoot)("an overrun of the event socket", () => {
  for (const { a, b, family } of combinations) {
    it.live(`is noticed and repaired: ${a} to ${b}, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair(a, b, { family, netlink: tinyBuffer })
        yield* startBoth(nodes)
        yield* changeFlows(nodes.a, "churn", 0, flowCount)
        yield* changeFlows(nodes.a, "delete", 0, flowCount / 2)
        yield* eventually(
          reportOf(nodes, () => "an overrun is noticed and the table is read"),
          followSeconds,
          Effect.map(overrunsOf(nodes.a), ({ overruns, resyncs }) => overruns > 0 && resyncs > 0)
        )
        assert.match(
          nodes.a.log(),
          /\[warning\] netlink event socket buffer size cannot be doubled/
        )
        // The reference takes every flow in a zone for dead when it reads the table again.
        const flows = yield* followed(nodes, followSeconds, { zones: a === "ours" })
        assert.isAtLeast(flows.size, a === "ours" ? flowCount / 2 : flowCount / 3)
      }), testMaxMs)
  }
})
