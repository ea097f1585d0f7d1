/** Plans of seeds: valid, varied, the same each time, and within what this version does. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parse } from "../../../src/core/config/Grammar.ts"
import { unsupportedMode } from "../../../src/core/config/InEffect.ts"
import { protocolNumber } from "../../../src/core/config/ProtocolNames.ts"
import type { ReaderEnvironment } from "../../../src/core/config/Reader.ts"
import type { Settings } from "../../../src/core/config/Settings.ts"
import { linkInterface } from "../machine/Machine.ts"
import type { Plan, StepTag } from "./Plan.ts"
import {
  calmPlan,
  configurationFor,
  machinesOf,
  peerOf,
  planOfJson,
  planToJson,
  problemOf,
  Step
} from "./Plan.ts"
import { planOfSeed, seedOf } from "./Swarm.ts"

const plans: ReadonlyArray<Plan> = Array.from(
  { length: 500 },
  (_, i) => planOfSeed(seedOf("test", i))
)

const environment: ReaderEnvironment = {
  interfaceExists: (name) => [0, 1, 2, 3].some((link) => name === linkInterface(link)),
  protocolNumber,
  helperPolicies: () => undefined
}

/** The settings of a plan's first machine; fails when anything about the file is remarkable. */
const settingsOf = (plan: Plan, machine = machinesOf(plan)[0]!): Settings => {
  const text = configurationFor(plan, machine)
  const parsed = parse(new TextEncoder().encode(text), environment)
  if (Result.isFailure(parsed)) throw new Error(`${parsed.failure[0]!.text} in ${text}`)
  const { notYetInEffect, settings, warnings } = parsed.success
  assert.deepStrictEqual([...warnings, ...notYetInEffect], [], text)
  assert.isUndefined(unsupportedMode(settings))
  return settings
}

const shareOf = (test: (plan: Plan) => boolean): number => plans.filter(test).length / plans.length

const has = (plan: Plan, ...tags: ReadonlyArray<StepTag>): boolean =>
  plan.steps.some(({ _tag }) => tags.includes(_tag))

const faultTags: ReadonlyArray<StepTag> = Step.members
  .map(({ fields }) => fields._tag.schema.literal)
  .filter((tag) => !/Flows$|^(Command|Failover)$/.test(tag))

const isFaulty = (plan: Plan): boolean =>
  has(plan, ...faultTags) ||
  plan.network.lossPercent + plan.network.duplicatePercent + plan.network.reorderPercent +
        plan.network.corruptPercent > 0

describe("the plans of 500 seeds", () => {
  it("can be run, and are what their JSON says", () => {
    for (const plan of plans) {
      assert.isUndefined(problemOf(plan))
      assert.deepStrictEqual(Result.getOrThrow(planOfJson(planToJson(plan))), plan)
    }
  })

  it("have configurations that this version understands and obeys", () => {
    for (const plan of [...plans, calmPlan(), calmPlan({ family: 6 })]) {
      for (const machine of machinesOf(plan)) {
        const { general, sync } = settingsOf(plan, machine)
        assert.strictEqual(sync.mode, "ftfw")
        assert.strictEqual(sync.links.length, 1)
        const { destinationAddress, family, listenAddress } = sync.links[0] as {
          destinationAddress: string
          family: number
          listenAddress: string
        }
        assert.strictEqual(family, plan.family)
        assert.notStrictEqual(listenAddress, destinationAddress)
        assert.strictEqual(general.socketPath, "/var/run/conntrackd.ctl")
        // A buffer above its ceiling would not be used at all.
        assert.isAtMost(general.netlinkBufferBytes, general.netlinkBufferMaxBytes)
      }
    }
  })

  it("are the same when they are made again", () => {
    for (const plan of plans.slice(0, 50)) assert.deepStrictEqual(planOfSeed(plan.seed), plan)
  })

  it("last 25 s to some minutes of virtual time", () => {
    for (const plan of plans) {
      assert.isAtLeast(plan.faultsStopAtMs + plan.settleWithinMs, 25_000)
      assert.isAtMost(plan.faultsStopAtMs + plan.settleWithinMs, 1_200_000)
    }
  })

  it("have a reference peer in a third, and are calm in some", () => {
    assert.approximately(shareOf((plan) => plan.referencePeer !== undefined), 1 / 3, 0.06)
    assert.approximately(shareOf((plan) => !isFaulty(plan)), 0.13, 0.06)
  })

  it("mostly have a failover, with traffic before it", () => {
    const share = shareOf((plan) =>
      plan.steps.some(({ _tag, atMs }) =>
        (_tag === "Failover" || _tag === "SplitBrain") &&
        plan.steps.some((other) => other._tag === "OpenFlows" && other.atMs < atMs)
      )
    )
    assert.isAbove(share, 0.75)
  })

  it("have every kind of step in some and not in others", () => {
    for (const { fields } of Step.members) {
      const tag = fields._tag.schema.literal
      const share = shareOf((plan) => has(plan, tag))
      assert.isAbove(share, 0.02, tag)
      if (tag !== "OpenFlows") assert.isBelow(share, 1, tag)
    }
  })

  it("have each network fault in some and not in others", () => {
    for (const name of Object.keys(plans[0]!.network) as ReadonlyArray<keyof Plan["network"]>) {
      const share = shareOf((plan) => plan.network[name] !== 0)
      assert.isAbove(share, 0.1, name)
      assert.isBelow(share, 0.8, name)
    }
  })

  it("have small queues, windows, MTUs and tables in some", () => {
    const settings = plans.map((plan) => settingsOf(plan))
    const atMost = (max: number, of: (settings: Settings) => number | undefined) =>
      settings.filter((one) => (of(one) ?? Infinity) <= max).length
    assert.isAbove(atMost(8, ({ sync }) => sync.resendQueueObjects), 10)
    assert.isAbove(atMost(3, ({ sync }) => sync.ackWindowMessages), 20)
    assert.isAbove(atMost(250, ({ general }) => general.hashLimitEntries), 10)
    assert.isAbove(atMost(600, ({ sync }) => sync.commitTimeoutSeconds), 60)
    assert.isAbove(atMost(5, ({ sync }) => sync.purgeTimeoutSeconds), 50)
    assert.isAbove(atMost(5, ({ general }) => general.netlinkOverrunResyncSeconds), 300)
    assert.isAbove(shareOf(({ mtuBytes }) => mtuBytes <= 600), 0.1)
  })

  it("have traffic on both sides of a split brain", () => {
    for (const { steps } of plans) {
      for (const split of steps) {
        if (split._tag !== "SplitBrain") continue
        const through = new Set(
          steps.flatMap((step) =>
            step._tag === "OpenFlows" && step.atMs > split.atMs &&
              step.atMs < split.atMs + split.forMs
              ? step.through ?? []
              : []
          )
        )
        assert.isTrue(through.has(split.to) && through.has(peerOf(split.to)))
      }
    }
  })

  it("lose no events where nothing reads the kernel table again", () => {
    for (const plan of plans) {
      if (settingsOf(plan).general.netlinkOverrunResyncSeconds === undefined) {
        assert.isFalse(has(plan, "Overrun"))
      }
    }
  })

  it("change datagrams only where a checksum shows it", () => {
    for (const plan of plans) {
      if (plan.network.corruptPercent > 0) assert.isTrue(settingsOf(plan).sync.links[0]!.checksum)
    }
  })

  it("make nobody primary who has no power", () => {
    for (const { steps } of plans) {
      for (const failover of steps) {
        if (failover._tag !== "Failover") continue
        for (const loss of steps) {
          if (loss._tag !== "PowerLoss" || loss.node !== failover.to) continue
          const isBack = failover.atMs > loss.atMs + loss.backAfterMs
          assert.isTrue(isBack || failover.atMs < loss.atMs)
        }
      }
    }
  })
})

describe("a seed", () => {
  it("can be told how many nodes there are", () => {
    assert.strictEqual(planOfSeed(seedOf("7"), { nodes: 4 }).nodes, 4)
    assert.strictEqual(planOfSeed(seedOf("7"), { nodes: 2 }).nodes, 2)
    assert.throws(() => planOfSeed(seedOf("7"), { nodes: 3 }), RangeError, /multicast/)
    assert.throws(() => planOfSeed(seedOf("7"), { nodes: 9 }), RangeError, /9 nodes/)
  })

  it("keeps all other choices when the number of nodes changes", () => {
    const two = planOfSeed("0x00000000000000aa", { nodes: 2 })
    const four = planOfSeed("0x00000000000000aa", { nodes: 4 })
    assert.strictEqual(four.configuration, two.configuration)
    assert.deepStrictEqual(four.network, two.network)
    const opens = (plan: Plan) =>
      plan.steps.filter((step) => step._tag === "OpenFlows" && step.pair === undefined)
    assert.deepStrictEqual(opens(four), opens(two))
  })

  it("is read as a number, or made from any other text", () => {
    assert.strictEqual(seedOf("0x9E37"), "0x0000000000009e37")
    assert.strictEqual(seedOf(" 255 "), "0x00000000000000ff")
    assert.match(seedOf("3f2a91c"), /^0x[0-9a-f]{16}$/)
    assert.notStrictEqual(seedOf("3f2a91c"), seedOf("3f2a91d"))
    const many = new Set(Array.from({ length: 5_000 }, (_, i) => seedOf("3f2a91c", i)))
    assert.strictEqual(many.size, 5_000)
  })
})
