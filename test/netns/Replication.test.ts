/**
 * Flows of one firewall reach the other: creation, update, destruction, also over a link that loses
 * datagrams, and then its kernel.
 *
 * Every case runs with our daemon on both ends, and with the reference on either end.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mayUse } from "../native/Machine.ts"
import { changeFlows, committedDifferences, followed, kernelFlows } from "./FlowSets.ts"
import { eventually } from "./Namespace.ts"
import { combinations, numberAfter, type Pair, pair, reportOf, startBoth } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const flowCount = 10_000
const followSeconds = 30
const testMaxMs = 90_000

/** B's kernel gets every flow of A and refuses none. */
const committed = (
  { a, b }: Pair,
  rule: { readonly windowTracking: boolean; readonly timeoutSeconds?: number }
) =>
  Effect.gen(function*() {
    yield* b.request("-c")
    const [primary, backup] = [yield* kernelFlows(a), yield* kernelFlows(b)]
    assert.strictEqual(yield* b.kernelCount(), yield* a.kernelCount())
    const found = committedDifferences(primary, backup, {
      ...rule,
      by: b.binary,
      timeoutSlackSeconds: 3
    })
    assert.deepStrictEqual(found, [])
    assert.notMatch(b.log(), /can't be committed|commit-create|commit-destroy/)
  })

describe.skipIf(!isRoot)("10 000 mixed flows", () => {
  for (const { a, b, family } of combinations) {
    it.live(
      `reach the peer, change, end and are committed: ${a} to ${b}, IPv${family}`,
      () =>
        Effect.gen(function*() {
          // Window scales travel only with window tracking: one family with, the other without.
          const windowTracking = family === 6
          const nodes = yield* pair(a, b, { family, windowTracking })
          yield* startBoth(nodes)

          yield* changeFlows(nodes.a, "create", 0, flowCount)
          assert.strictEqual((yield* followed(nodes, followSeconds)).size, flowCount)

          yield* changeFlows(nodes.a, "update", 0, flowCount / 2)
          yield* changeFlows(nodes.a, "delete", flowCount / 4, flowCount / 2)
          assert.strictEqual((yield* followed(nodes, followSeconds)).size, flowCount / 2)

          yield* committed(nodes, { windowTracking })

          // The second time, the kernel has most of them already, some as they were before.
          yield* changeFlows(nodes.a, "update", flowCount * 3 / 4, flowCount / 4)
          yield* changeFlows(nodes.a, "create", flowCount, 100)
          yield* followed(nodes, followSeconds)
          yield* committed(nodes, { windowTracking })
          // What a commit changes is nothing new for the peer.
          assert.strictEqual((yield* nodes.a.counts()).external, 0)
        }),
      testMaxMs
    )
  }
})

describe.skipIf(!isRoot)("CommitTimeout", () => {
  const count = 1_000
  for (const { a, b, family } of combinations) {
    it.live(`decides every timeout: ${a} to ${b}, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair(a, b, { family, mode: "CommitTimeout 300" })
        yield* startBoth(nodes)
        yield* changeFlows(nodes.a, "create", 0, count)
        yield* followed(nodes, followSeconds)
        yield* committed(nodes, { windowTracking: false, timeoutSeconds: 300 })
      }), testMaxMs)
  }

  // The reference refuses these for one second, and then gives them the same.
  it.live(
    "of the peer alone leaves us with no timeout: ours gives 60 seconds",
    () =>
      Effect.gen(function*() {
        const mode = { A: "CommitTimeout 300", B: "" }
        const nodes = yield* pair("C", "ours", { family: 4, mode })
        yield* startBoth(nodes)
        yield* changeFlows(nodes.a, "create", 0, count)
        yield* followed(nodes, followSeconds)
        yield* changeFlows(nodes.a, "update", 0, count)
        yield* followed(nodes, followSeconds)
        yield* committed(nodes, { windowTracking: false, timeoutSeconds: 60 })
      }),
    testMaxMs
  )
})

const lossPercent = 5

describe.skipIf(!isRoot)(`a link that loses ${lossPercent} % in both directions`, () => {
  for (const { a, b, family } of combinations) {
    it.live(`still converges: ${a} to ${b}, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair(a, b, { family })
        yield* startBoth(nodes)
        yield* nodes.a.lose(lossPercent)
        yield* nodes.b.lose(lossPercent)

        yield* changeFlows(nodes.a, "create", 0, flowCount)
        yield* changeFlows(nodes.a, "update", 0, flowCount / 2)
        yield* changeFlows(nodes.a, "delete", flowCount / 4, flowCount / 2)
        assert.strictEqual((yield* followed(nodes, followSeconds)).size, flowCount / 2)
        assert.isAbove(yield* nodes.b.lost(), 0)
      }), testMaxMs)
  }
})

describe.skipIf(!isRoot)("a link that is dead at first", () => {
  for (const family of [4, 6] as const) {
    it.live(`loses nothing of ours for good, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair("ours", "ours", { family })
        yield* nodes.b.lose(100)
        yield* nodes.a.start()
        yield* nodes.b.start()
        yield* changeFlows(nodes.a, "create", 0, flowCount)
        yield* eventually(
          reportOf(nodes, () => "A has sent all of it in vain"),
          followSeconds,
          Effect.map(nodes.a.poll("-s queue"), (text) => resendQueueOf(text) >= flowCount)
        )
        yield* nodes.b.lose(0)
        assert.strictEqual((yield* followed(nodes, followSeconds)).size, flowCount)
      }), testMaxMs)
  }
})

const resendQueueOf = (text: string): number =>
  numberAfter(text, /queue rsqueue:\s+current elements:\s+(\d+)/)
