/**
 * A daemon that is killed and started again knows again what it must know, and so does its peer.
 *
 * With `StartupResync on` the new daemon reads its kernel and asks the peer for its flows.
 *
 * Source: specification, "The synchronisation engines", sections 2 and 12.
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mayUse } from "../native/Machine.ts"
import { changeFlows, followed } from "./FlowSets.ts"
import { combinations, pair, startBoth } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const flowCount = 5_000
const peerFlows = { from: 20_000, count: 1_000 }
const followSeconds = 30
const testMaxMs = 90_000

describe.skipIf(!isRoot)("kill -9 and a new start", () => {
  for (const { a, b, family } of combinations) {
    it.live(`of either daemon: ${a} and ${b}, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair(a, b, { family, mode: "StartupResync on" })
        const backwards = { a: nodes.b, b: nodes.a }
        yield* startBoth(nodes)
        yield* changeFlows(nodes.a, "create", 0, flowCount)
        yield* changeFlows(nodes.b, "create", peerFlows.from, peerFlows.count)
        yield* followed(nodes, followSeconds)
        yield* followed(backwards, followSeconds)

        // What happens meanwhile is what the new daemon must learn.
        yield* nodes.b.kill()
        yield* changeFlows(nodes.a, "delete", 0, 1_000)
        yield* changeFlows(nodes.a, "update", 1_000, 1_000)
        yield* changeFlows(nodes.a, "create", flowCount, 1_000)
        yield* nodes.b.start()
        yield* followed(nodes, followSeconds)
        yield* followed(backwards, followSeconds)

        yield* nodes.a.kill()
        yield* changeFlows(nodes.b, "delete", peerFlows.from, 500)
        yield* changeFlows(nodes.a, "create", flowCount + 1_000, 1_000)
        yield* nodes.a.start()
        yield* followed(backwards, followSeconds)
        // Nobody told B of what the kernel of A did while A had no daemon, until it asks.
        yield* nodes.b.request("-n")
        yield* followed(nodes, followSeconds)
      }), testMaxMs)
  }
})
