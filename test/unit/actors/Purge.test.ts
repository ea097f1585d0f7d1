/** `conntrackd -t`: the kernel's table is flushed once the node is not primary any more. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import { linesIn, messagesTold, pass, startPair, udp } from "../../fakes/NodeFake.ts"

const pairWithFlows = Effect.gen(function*() {
  const pair = yield* startPair({ sync: { purgeTimeoutSeconds: 15 } })
  for (const number of [1, 2, 3]) pair.a.node.kernel.open(udp(number))
  yield* pass(2_000)
  return pair
})

describe("a scheduled flush", () => {
  it.effect("comes after PurgeTimeout, is not put off by a second request and tells nothing", () =>
    Effect.gen(function*() {
      const { a, b } = yield* pairWithFlows
      const told = messagesTold(a)
      const before = linesIn(b.replica.external)

      const first = a.node.control.connect(Request.purge)
      yield* pass(10_000)
      const second = a.node.control.connect(Request.purge)
      yield* pass(4_900)
      const early = a.node.kernel.lines().length
      yield* pass(1_000)

      assert.deepStrictEqual([first.isClosed, second.isClosed], [true, true])
      assert.strictEqual(early, 3)
      assert.deepStrictEqual(a.node.kernel.lines(), [])
      assert.strictEqual(a.replica.internal.table.size, 0)
      assert.deepStrictEqual(linesIn(b.replica.external), before)
      assert.deepStrictEqual(told, [])
      assert.deepStrictEqual(a.node.log.find("flushing"), [
        "flushing conntrack table in 15 secs",
        "flushing kernel conntrack table (scheduled)"
      ])
      assert.strictEqual(a.replica.runtime.flushes, 1)
    }))

  for (const [option, request] of [["-c", Request.commit], ["-f", Request.flushCaches]] as const) {
    it.effect(`is cancelled by ${option}, and can be scheduled again`, () =>
      Effect.gen(function*() {
        const { a } = yield* pairWithFlows
        a.node.control.connect(Request.purge)
        yield* pass(14_000)

        a.node.control.connect(request)
        yield* pass(30_000)
        const kept = a.node.kernel.lines().length
        a.node.control.connect(Request.purge)
        yield* pass(16_000)

        assert.strictEqual(kept, 3)
        assert.deepStrictEqual(a.node.kernel.lines(), [])
        assert.strictEqual(a.node.log.find("flushing conntrack table in 15 secs").length, 2)
      }))
  }

  it.effect("is cancelled by -f internal, not by -f external", () =>
    Effect.gen(function*() {
      const { a } = yield* pairWithFlows
      a.node.control.connect(Request.purge)
      yield* pass(100)
      a.node.control.connect(Request.flushInternal)
      yield* pass(20_000)
      const kept = a.node.kernel.lines().length

      a.node.control.connect(Request.purge)
      yield* pass(100)
      a.node.control.connect(Request.flushExternal)
      yield* pass(20_000)

      assert.strictEqual(kept, 3)
      assert.deepStrictEqual(a.node.kernel.lines(), [])
    }))

  it.effect("stops when a commit is asked for in the midst of it", () =>
    Effect.gen(function*() {
      const { a } = yield* pairWithFlows
      a.node.control.connect(Request.purge)
      yield* pass(14_000)
      a.node.kernel.dumping.closeUnsafe()
      yield* pass(2_000)
      assert.strictEqual(a.node.log.find("(scheduled)").length, 1)

      const client = a.node.control.connect(Request.commit)
      yield* pass(100)
      a.node.kernel.dumping.openUnsafe()
      yield* pass(30_000)

      assert.isTrue(client.isClosed)
      assert.strictEqual(a.node.log.find("commit has taken").length, 1)
      assert.strictEqual(a.node.kernel.lines().length, 3)
      assert.strictEqual(a.replica.internal.table.size, 3)
    }))

  it.effect("is finished before a commit begins when an operator asked for it", () =>
    Effect.gen(function*() {
      const { a } = yield* pairWithFlows
      a.node.kernel.dumping.closeUnsafe()
      const flush = a.node.control.connect(Request.flushKernel)
      yield* pass(100)
      const commit = a.node.control.connect(Request.commit)
      yield* pass(100)
      assert.deepStrictEqual([flush.isClosed, commit.isClosed], [false, false])
      assert.deepStrictEqual(a.node.log.find("committing"), [])

      a.node.kernel.dumping.openUnsafe()
      yield* pass(2_000)

      assert.deepStrictEqual([flush.isClosed, commit.isClosed], [true, true])
      assert.deepStrictEqual(a.node.kernel.lines(), [])
      assert.strictEqual(a.node.log.find("commit has taken").length, 1)
    }))

  it.effect("does not come after the daemon has ended", () =>
    Effect.gen(function*() {
      const { a } = yield* pairWithFlows
      a.node.control.connect(Request.purge)
      yield* pass(100)

      yield* a.stop
      yield* pass(30_000)

      assert.strictEqual(a.node.kernel.lines().length, 3)
      assert.deepStrictEqual(a.node.log.find("(scheduled)"), [])
      assert.deepStrictEqual(a.node.log.ofLevel("Error"), [])
    }))
})
