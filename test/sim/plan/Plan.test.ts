/** Plans: written and read back, refused with a reason, and turned into configurations. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { Plan } from "./Plan.ts"
import {
  calmPlan,
  configurationFor,
  firstPrimaries,
  peerOf,
  planOfJson,
  planToJson,
  problemOf,
  stepsInOrder
} from "./Plan.ts"

const plan = calmPlan({
  referencePeer: "B",
  steps: [
    { _tag: "Failover", atMs: 4_000, to: "B" },
    {
      _tag: "OpenFlows",
      atMs: 100,
      count: 20,
      kind: "tcp",
      translated: "source",
      family: 6,
      overMs: 500,
      established: true
    },
    { _tag: "Refuse", atMs: 3_000, node: "B", count: 2, errno: "ENOMEM" },
    { _tag: "Command", atMs: 4_000, node: "A", option: "-s network" },
    { _tag: "ClockJump", atMs: 5_000, node: "A", byMs: -60_000 }
  ]
})

const failureOf = (text: string): string => {
  const read = planOfJson(text)
  if (Result.isSuccess(read)) throw new Error("the plan was taken")
  return read.failure
}

/** The plan's JSON with something in it changed. */
const changed = (change: (json: Record<string, unknown>) => void): string => {
  const json = JSON.parse(planToJson(plan))
  change(json)
  return JSON.stringify(json)
}

describe("a plan", () => {
  it("is the same after it was written and read", () => {
    assert.deepStrictEqual(Result.getOrThrow(planOfJson(planToJson(plan))), plan)
    const empty = calmPlan()
    assert.deepStrictEqual(Result.getOrThrow(planOfJson(planToJson(empty))), empty)
  })

  it("has one line for a step", () => {
    const lines = planToJson(plan).split("\n")
    assert.include(lines, "    {\"_tag\":\"Failover\",\"atMs\":4000,\"to\":\"B\"},")
  })

  it("says where it is wrong", () => {
    assert.match(failureOf("{ \"seed\": "), /^the plan is no JSON: /)
    assert.match(
      failureOf(changed((json) => (json["seed"] = "17"))),
      /^the plan is not valid: .*\n {2}at \["seed"\]/
    )
    assert.match(
      failureOf(changed((json) => (json["lossPercent"] = 3))),
      /lossPercent/
    )
    assert.match(
      failureOf(changed((json) => ((json["steps"] as Array<{ count: number }>)[1]!.count = -1))),
      /\["steps"\]\[1\]\["count"\]/
    )
    assert.match(
      failureOf(changed((json) => (json["steps"] = [{ _tag: "Earthquake", atMs: 1 }]))),
      /Expected a step with a known _tag\n {2}at \["steps"\]\[0\]/
    )
  })

  it("says everything that is wrong at once", () => {
    const failure = failureOf(changed((json) => {
      json["mtuBytes"] = 20
      json["steps"] = [{ _tag: "Failover", atMs: -1, to: "X" }]
    }))
    for (const path of [/\["mtuBytes"\]/, /\[0\]\["atMs"\]/, /\[0\]\["to"\]/]) {
      assert.match(failure, path)
    }
  })

  it("cannot be run with machines, links or times that do not exist", () => {
    const problem = (changes: Partial<Plan>) => problemOf(calmPlan(changes))
    assert.isUndefined(problemOf(plan))
    assert.match(problem({ nodes: 3 })!, /multicast/)
    assert.match(problem({ family: 6, mtuBytes: 576 })!, /1280 bytes, not 576/)
    assert.match(problem({ referencePeer: "C" })!, /only A, B/)
    assert.match(problem({ configuration: "Interface {interface1}" })!, /\{interface1\}/)
    assert.match(problem({ steps: [{ _tag: "Failover", atMs: 1, to: "D" }] })!, /names D/)
    assert.match(
      problem({ steps: [{ _tag: "LinkDown", atMs: 1, link: 1, forMs: 5 }] })!,
      /names link 1/
    )
    assert.match(
      problem({ steps: [{ _tag: "CloseFlows", atMs: 1, count: 1, pair: 1 }] })!,
      /names pair 1/
    )
    assert.match(
      problem({ faultsStopAtMs: 5, steps: [{ _tag: "Failover", atMs: 6, to: "B" }] })!,
      /step 0 \(Failover at 6 ms\) is later/
    )
    assert.isUndefined(
      problem({ nodes: 4, steps: [{ _tag: "Failover", atMs: 1, to: "D" }] })
    )
  })

  it("gives each machine its configuration", () => {
    const ofB = configurationFor(plan, "B")
    assert.include(ofB, "IPv4_address 10.255.0.2\n    IPv4_Destination_Address 10.255.0.1\n")
    assert.include(ofB, "Port 3780\n    Interface eth2\n")
    const six = calmPlan({ family: 6, links: 2, configuration: "{own1} {peer1} {port1} {x}" })
    assert.strictEqual(configurationFor(six, "C", "D"), "fd00:255:1::3 fd00:255:1::4 3781 {x}")
  })

  it("has its steps in order of time, and of the plan within a moment", () => {
    assert.deepStrictEqual(
      stepsInOrder(plan).map(({ _tag }) => _tag),
      ["OpenFlows", "Refuse", "Failover", "Command", "ClockJump"]
    )
  })

  it("knows peers and first primaries", () => {
    assert.deepStrictEqual((["A", "B", "C", "D"] as const).map(peerOf), ["B", "A", "D", "C"])
    assert.deepStrictEqual(firstPrimaries(plan), ["A"])
    assert.deepStrictEqual(firstPrimaries(calmPlan({ nodes: 4, firstPrimary: "B" })), ["B", "D"])
  })
})
