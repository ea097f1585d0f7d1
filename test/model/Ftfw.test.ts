import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { Side } from "./FtfwPair.ts"
import { Pair } from "./FtfwPair.ts"

const side = Schema.Literals(["x", "y"])
const key = Schema.Literals([1, 2, 3, 4, 5, 6])
const count = Schema.Literals([1, 2, 3, 8])
const on = { side }

const Step = Schema.Union([
  Schema.TaggedStruct("Open", { side, key }),
  Schema.TaggedStruct("Update", { side, key }),
  Schema.TaggedStruct("Close", { side, key }),
  Schema.TaggedStruct("Send", on),
  Schema.TaggedStruct("Deliver", { side, count }),
  Schema.TaggedStruct("Lose", { side, count }),
  Schema.TaggedStruct("Repeat", on),
  Schema.TaggedStruct("Reorder", on),
  Schema.TaggedStruct("Wait", { ms: Schema.Literals([1, 300, 1_000, 2_500]) })
])
type Step = typeof Step.Type
const Restart = Schema.TaggedStruct("Restart", { side, ahead: Schema.Literals([0, 1, 5, 100]) })

const steps = Arbitrary.array(Arbitrary.schema(Step), { maxLength: 120 })
const stepsWithRestarts = Arbitrary.array(
  Arbitrary.schema(Schema.Union([Step, Step, Restart])),
  { maxLength: 120 }
)
/** The sequence numbers wrap in most runs. */
const firstSeq = Schema.Literals([5, 0x7ffffff0, 0xffffffe0, 0xfffffff8, 0xffffffff])

const play = (pair: Pair, step: Step | typeof Restart.Type): void => {
  if (step._tag === "Wait") return pair.advance(step.ms)
  const node = pair.node(step.side as Side)
  const { wire } = node
  switch (step._tag) {
    case "Open":
      return pair.open(node, step.key)
    case "Update":
      return pair.update(node, step.key)
    case "Close":
      return pair.close(node, step.key)
    case "Send":
      return pair.send(node)
    case "Deliver":
      for (let i = 0; i < step.count; i++) pair.deliver(node)
      return pair.send(pair.peerOf(node))
    case "Lose":
      wire.splice(0, step.count)
      return
    case "Repeat":
      if (wire.length > 0 && !pair.isGreeting(wire[0]!)) wire.push({ ...wire[0]! })
      return
    case "Reorder":
      if (wire.length > 1 && !pair.isGreeting(wire[0]!) && !pair.isGreeting(wire[1]!)) {
        wire.push(wire.shift()!)
      }
      return
    case "Restart": {
      const seconds = Math.ceil(pair.nowMs / 1000)
      const seq = pair.options.firstSeq + seconds + step.ahead + node.restarts
      return pair.restart(node, seq >>> 0)
    }
  }
}

/** The faults are over; what a declared loss took is sent again by hand, as an operator would. */
const settle = (pair: Pair): void => {
  pair.heal(8)
  if (pair.x.needsBulk) pair.bulk(pair.x)
  if (pair.y.needsBulk) pair.bulk(pair.y)
  if (pair.x.needsBulk || pair.y.needsBulk) pair.heal(8)
}

describe("two FTFW nodes over a bad link", () => {
  it.prop(
    "agree once the faults stop, with nothing lost",
    { steps, firstSeq, ackWindowSize: Schema.Literals([1, 2, 5, 300]) },
    ({ ackWindowSize, firstSeq, steps }) => {
      const pair = new Pair({ ackWindowSize, firstSeq, resendQueueSize: 1_000 })
      for (const step of steps) play(pair, step)
      settle(pair)
      assert.isUndefined(pair.disagreement())
      for (const node of [pair.x, pair.y]) {
        assert.strictEqual(node.machine.counters.resendQueueFull, 0)
        assert.strictEqual(node.machine.counters.malformedHeader, 0)
        assert.strictEqual(node.surplus.size, 0)
      }
    },
    { arbitrary: { runs: 600, size: 120 }, timeout: 60_000 }
  )

  it.prop(
    "agree after a noticed overflow and a bulk send",
    {
      steps,
      firstSeq,
      ackWindowSize: Schema.Literals([1, 3, 20]),
      resendQueueSize: Schema.Literals([1, 2, 4, 9])
    },
    ({ ackWindowSize, firstSeq, resendQueueSize, steps }) => {
      const pair = new Pair({ ackWindowSize, firstSeq, resendQueueSize })
      for (const step of steps) play(pair, step)
      settle(pair)
      assert.isUndefined(pair.disagreement())
    },
    { arbitrary: { runs: 600, size: 120 }, timeout: 60_000 }
  )

  it.prop(
    "agree after restarts and a resync",
    { steps: stepsWithRestarts, firstSeq, ackWindowSize: Schema.Literals([1, 2, 5, 300]) },
    ({ ackWindowSize, firstSeq, steps }) => {
      const pair = new Pair({ ackWindowSize, firstSeq, resendQueueSize: 1_000 })
      for (const step of steps) play(pair, step)
      settle(pair)
      assert.isUndefined(pair.disagreement())
    },
    { arbitrary: { runs: 600, size: 120 }, timeout: 60_000 }
  )

  it.each([[1, 64], [2, 84], [300, 44]])(
    "is quiet when idle (window %i)",
    (ackWindowSize, most) => {
      const pair = new Pair({ ackWindowSize, firstSeq: 100, resendQueueSize: 1_000 })
      pair.open(pair.x, 1)
      pair.heal(5)
      let sent = 0
      pair.onSend = () => sent++
      pair.heal(20)
      assert.isAtMost(sent, most)
      assert.isAtLeast(sent, 36)
    }
  )
})
