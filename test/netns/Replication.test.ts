/**
 * Flows of one firewall reach the other: creation, update, destruction, also over a link that loses
 * datagrams, and then its kernel.
 *
 * Every case runs with our daemon on both ends, and with the reference on either end.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mayUse } from "../native/Machine.ts"
import {
  cacheDifferences,
  cacheSet,
  changeFlows,
  committedDifferences,
  expectedCacheSet,
  kernelFlows
} from "./FlowSets.ts"
import { eventually } from "./Namespace.ts"
import { combinations, type Node, type Pair, pair } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const flowCount = 10_000
const testMaxMs = 90_000

/** Both caches follow A's kernel within `seconds`; then they are compared with it. */
const followed = ({ a, b }: Pair, seconds: number) =>
  Effect.gen(function*() {
    const flows = yield* kernelFlows(a)
    const expected = expectedCacheSet(flows)
    const agrees = (node: Node, dump: "-i" | "-e") => {
      let last: ReadonlyArray<string> = []
      return eventually(
        () => `${node.name} ${dump} agrees with the kernel of A:\n${last.join("\n")}\n${node.log()}`,
        seconds,
        Effect.map(node.request(dump), (text) => {
          last = cacheDifferences(expected, cacheSet(text))
          return last.length === 0
        })
      )
    }
    yield* agrees(a, "-i")
    yield* agrees(b, "-e")
    return flows
  })

/** B's kernel gets every flow of A and refuses none. */
const committed = ({ a, b }: Pair, windowTracking: boolean) =>
  Effect.gen(function*() {
    yield* b.request("-c")
    const [primary, backup] = [yield* kernelFlows(a), yield* kernelFlows(b)]
    assert.strictEqual(yield* b.kernelCount(), yield* a.kernelCount())
    const rule = { by: b.binary, windowTracking, timeoutSlackSeconds: 3 }
    assert.deepStrictEqual(committedDifferences(primary, backup, rule), [])
    assert.notMatch(b.log(), /can't be committed|commit-create|commit-destroy/)
  })

describe.skipIf(!isRoot)("10 000 mixed flows", () => {
  for (const { a, b, family } of combinations) {
    it.live(`reach the peer, change, end and are committed: ${a} to ${b}, IPv${family}`, () =>
      Effect.gen(function*() {
        // Window scales travel only with window tracking: one family with, the other without.
        const windowTracking = family === 6
        const nodes = yield* pair(a, b, { family, windowTracking })
        yield* nodes.a.start()
        yield* nodes.b.start()

        yield* changeFlows(nodes.a, "create", 0, flowCount)
        assert.strictEqual((yield* followed(nodes, 20)).size, flowCount)

        yield* changeFlows(nodes.a, "update", 0, flowCount / 2)
        yield* changeFlows(nodes.a, "delete", flowCount / 4, flowCount / 2)
        assert.strictEqual((yield* followed(nodes, 20)).size, flowCount / 2)

        yield* committed(nodes, windowTracking)
      }), testMaxMs)
  }
})
