/** Shrinking, with failures that are made up: what is left is what the failure needs. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parse } from "../../../src/core/config/Grammar.ts"
import { protocolNumber } from "../../../src/core/config/ProtocolNames.ts"
import { Dice } from "../Dice.ts"
import type { Plan, Step } from "./Plan.ts"
import { calmNetwork, calmPlan, configurationFor, plainKernel, problemOf } from "./Plan.ts"
import { shrink } from "./Shrink.ts"
import { planOfSeed, seedOf } from "./Swarm.ts"

const unlimited = { runs: 100_000 }

const plans: ReadonlyArray<Plan> = Array.from(
  { length: 40 },
  (_, i) => planOfSeed(seedOf("shrink", i))
)

/** The plans with more failovers than one. */
const withFailovers = plans.filter(({ steps }) =>
  steps.filter(({ _tag }) => _tag === "Failover").length > 1
)

const opened = ({ steps }: Plan): number =>
  steps.reduce((sum, step) => step._tag === "OpenFlows" ? sum + step.count : sum, 0)

describe("shrinking", () => {
  it("leaves nothing of a plan that fails whatever it is", () => {
    for (const plan of plans) {
      const { configuration, firstPrimary, seed, settleWithinMs } = plan
      const { plan: shrunk } = shrink(plan, () => true, unlimited)
      assert.deepStrictEqual(
        { ...shrunk, configuration, mtuBytes: 1_500 },
        calmPlan({ seed, configuration, firstPrimary, settleWithinMs, faultsStopAtMs: 0 })
      )
      const options = /ResendQueueSize|ACKWindow|Timeout|TCPWindow|SocketBuffer|Checksum off/
      assert.notMatch(shrunk.configuration, options)
    }
  })

  it("keeps exactly the steps that the failure needs", () => {
    for (const plan of plans) {
      const dice = new Dice(plan.seed).stream("needed")
      const needed = new Set<Step["atMs"]>()
      for (let i = 0; i < 3; i++) needed.add(dice.nextOf(plan.steps).atMs)
      const stillFails = ({ steps }: Plan) =>
        [...needed].every((ms) => steps.some(({ atMs }) => atMs === ms))
      const { plan: shrunk } = shrink(plan, stillFails, unlimited)
      const times = shrunk.steps.map(({ atMs }) => atMs)
      assert.deepStrictEqual(times, [...needed].toSorted((a, b) => a - b))
      assert.strictEqual(shrunk.faultsStopAtMs >= Math.max(...needed), true)
    }
  })

  it("finds the smallest numbers", () => {
    assert.isAbove(withFailovers.length, 10)
    for (const plan of withFailovers) {
      const least = Math.floor(opened(plan) / 3)
      const { plan: shrunk } = shrink(
        { ...plan, network: { ...plan.network, lossPercent: 20 } },
        (one) => opened(one) >= least && one.network.lossPercent >= 7,
        unlimited
      )
      assert.strictEqual(opened(shrunk), least)
      assert.deepStrictEqual(shrunk.network, { ...calmNetwork, lossPercent: 7 })
      assert.deepStrictEqual(shrunk.kernel, plainKernel)
      for (const step of shrunk.steps) {
        if (step._tag !== "OpenFlows") throw new Error(`${step._tag} is not needed`)
        assert.deepStrictEqual(
          [step.kind, step.translated, step.family, step.established, step.overMs],
          ["tcp", "none", 4, true, 0]
        )
      }
    }
  })

  it("keeps the order of what depends on it, and the time between if that matters", () => {
    const pausesMs = 2_000
    const stillFails = ({ steps }: Plan): boolean => {
      const times = steps.filter(({ _tag }) => _tag === "Failover").map(({ atMs }) => atMs)
      return times.length >= 2 && times[1]! - times[0]! >= pausesMs
    }
    for (const plan of withFailovers.filter(stillFails)) {
      const { plan: shrunk } = shrink(plan, stillFails, unlimited)
      assert.strictEqual(shrunk.steps.length, 2)
      const [first, second] = shrunk.steps.map(({ atMs }) => atMs)
      assert.strictEqual(first, 0)
      assert.isAtLeast(second!, pausesMs)
      assert.isAtMost(second!, pausesMs + 50)
      assert.isAtMost(shrunk.faultsStopAtMs, pausesMs * 1.1 + 100)
    }
  })

  it("keeps a setting, a reference peer or an order of turns that matters", () => {
    const plan = calmPlan({
      referencePeer: "B",
      scheduling: "shuffled",
      configuration: planOfSeed("0x0000000000000001").configuration.replace(
        "Mode FTFW {\n",
        "Mode FTFW {\n    ResendQueueSize 4\n    ACKWindowSize 1\n"
      )
    })
    const { plan: shrunk } = shrink(
      plan,
      (one) =>
        one.referencePeer === "B" && one.scheduling === "shuffled" &&
        one.configuration.includes("ResendQueueSize 4"),
      unlimited
    )
    assert.strictEqual(shrunk.referencePeer, "B")
    assert.strictEqual(shrunk.scheduling, "shuffled")
    assert.include(shrunk.configuration, "ResendQueueSize 4")
    assert.notInclude(shrunk.configuration, "ACKWindowSize")
  })

  it("moves what happens to the second pair to the first", () => {
    for (const plan of [0, 1, 2].map((i) => planOfSeed(seedOf("four", i), { nodes: 4 }))) {
      const stillFails = ({ steps }: Plan) =>
        steps.filter(({ _tag }) => _tag === "OpenFlows").length >= 2
      const { plan: shrunk } = shrink(plan, stillFails, unlimited)
      assert.strictEqual(shrunk.nodes, 2)
      assert.strictEqual(shrunk.steps.length, 2)
    }
    const plan = calmPlan({
      nodes: 4,
      referencePeer: "D",
      steps: [
        { _tag: "Failover", atMs: 5, to: "B" },
        { _tag: "Kill", atMs: 6, node: "D", backAfterMs: 0 }
      ]
    })
    const { plan: shrunk } = shrink(
      plan,
      ({ referencePeer, steps }) =>
        steps.some((step) => step._tag === "Kill" && step.node === referencePeer),
      unlimited
    )
    assert.deepInclude(shrunk, {
      nodes: 2,
      referencePeer: "B",
      steps: [{ _tag: "Kill", atMs: 0, node: "B", backAfterMs: 0 }]
    })
  })

  it("runs only plans that can be run, with files that can be read, and none twice", () => {
    for (const plan of plans.slice(0, 15)) {
      const seen = new Set<string>()
      const dice = new Dice(plan.seed).stream("verdicts")
      shrink(plan, (one) => {
        assert.isUndefined(problemOf(one))
        const text = JSON.stringify(one)
        assert.isFalse(seen.has(text))
        seen.add(text)
        const file = new TextEncoder().encode(configurationFor(one, "A"))
        const parsed = parse(file, {
          interfaceExists: () => true,
          protocolNumber,
          helperPolicies: () => undefined
        })
        if (Result.isFailure(parsed)) throw new Error(parsed.failure[0]!.text)
        assert.deepStrictEqual([...parsed.success.warnings, ...parsed.success.notYetInEffect], [])
        return dice.nextIsIn(40)
      }, unlimited)
    }
  })

  it("never ends with a plan that passes, and keeps to its budget", () => {
    for (const plan of plans) {
      for (const budget of [0, 1, 10, 60]) {
        let runs = 0
        let progress = 0
        const need = Math.floor(plan.steps.length / 4)
        const stillFails = (one: Plan): boolean => {
          runs++
          return one.steps.length >= need
        }
        const shrunk = shrink(plan, stillFails, {
          runs: budget,
          onProgress: (smaller, runs) => {
            progress = runs
            assert.isAtLeast(smaller.steps.length, need)
          }
        })
        assert.strictEqual(shrunk.runs, runs)
        assert.isAtMost(runs, budget)
        assert.isAtMost(progress, runs)
        assert.isAtLeast(shrunk.plan.steps.length, need)
        if (budget === 0) assert.strictEqual(shrunk.plan, plan)
      }
    }
  })

  it("needs less than 150 runs for a failure of three steps among a hundred", () => {
    const plan = plans.find(({ steps }) => steps.length > 100)!
    const needed = [10, 50, 51].map((i) => plan.steps[i]!)
    const stillFails = ({ steps }: Plan) =>
      needed.every(({ _tag }) => steps.some((step) => step._tag === _tag))
    const { plan: shrunk, runs } = shrink(plan, stillFails, { runs: 150 })
    assert.isAtMost(shrunk.steps.length, 3)
    assert.isBelow(runs, 150)
    assert.deepStrictEqual(shrink(plan, stillFails, { runs: 150 }), { plan: shrunk, runs })
  })
})
