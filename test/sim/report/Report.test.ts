/** The text of a failure, whole. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import type { Plan, Step } from "../plan/Plan.ts"
import { calmNetwork, calmPlan, plainConfiguration, plainKernel } from "../plan/Plan.ts"
import { faultTexts, stepText } from "../plan/PlanText.ts"
import { planOfSeed, seedOf } from "../plan/Swarm.ts"
import { pageWidth } from "./Columns.ts"
import type { Failure, ReportedEvent } from "./Report.ts"
import { failureReport, timelineHead, timelineLines } from "./Report.ts"

const plan: Plan = calmPlan({
  seed: "0x9e3779b97f4a7c15",
  configuration: plainConfiguration.replace(
    "Mode FTFW {",
    "Mode FTFW {\n    ResendQueueSize 4\n    ACKWindowSize 20"
  ),
  referencePeer: "B",
  scheduling: "shuffled",
  mtuBytes: 300,
  network: { ...calmNetwork, lossPercent: 12, reorderPercent: 3 },
  kernel: { ...plainKernel, tcpLoose: false, labels: true },
  faultsStopAtMs: 8_000,
  steps: [
    { _tag: "LinkDown", atMs: 3_900, link: 0, forMs: 700 },
    {
      _tag: "OpenFlows",
      atMs: 0,
      count: 23,
      kind: "tcp",
      translated: "none",
      family: 4,
      overMs: 0,
      established: true
    },
    {
      _tag: "OpenFlows",
      atMs: 4_100,
      count: 1,
      kind: "udp",
      translated: "both",
      family: 6,
      overMs: 20,
      established: false
    },
    { _tag: "Kill", atMs: 4_200, node: "A", backAfterMs: 0 }
  ]
})

const failure: Failure = {
  invariant: "Q1",
  name: "caches agree",
  sentence: "after faults stopped, B's external cache differs from A's internal cache",
  seed: plan.seed,
  commit: "3f2a91c",
  facts: [
    ["only in A internal", [
      "tcp 6 431999 ESTABLISHED src=10.0.0.7 dst=192.0.2.9 sport=40112 dport=443 [ASSURED]",
      "generation 3, told as seq 90231 at 4.113 s, acked at 5.020 s by range 90200-90260"
    ]],
    ["B's last word on it, which it never took back", ["seq 90231 dropped at 4.181 s"]]
  ],
  plan,
  shrunk: { fromSteps: 214, runs: 38 },
  timeline: [
    { atMs: 4_101, machine: "A", text: "tell 31 created" },
    { atMs: 4_175.4, machine: "B", text: "← seq 90232 gap, nack 90231-90231" },
    { atMs: 8_000, machine: undefined, text: "faults stop" }
  ],
  replay: [
    ["replay", "npm run sim -- --seed 0x9e3779b97f4a7c15"],
    ["packets", "failed/0x9e3779b97f4a7c15.pcap   (opens in tcpdump and Wireshark)"]
  ]
}

/** Its lines are wider than code may be. */
const text = readFileSync(new URL("texts/failure.txt", import.meta.url), "utf8")

describe("the report of a failure", () => {
  it("says what, why, under which circumstances, and how to see it again", () => {
    assert.strictEqual(failureReport(failure), text)
  })

  it("shows the last twelve events, and how many there were", () => {
    const timeline = Array.from({ length: 317 }, (_, i): ReportedEvent => ({
      atMs: i * 10,
      machine: i % 2 === 0 ? "A" : "B",
      text: `event ${i}`
    }))
    const report = failureReport({ ...failure, timeline })
    assert.include(report, "  timeline (last 12 of 317)\n")
    assert.notInclude(report, "event 304")
    for (let i = 305; i < 317; i++) assert.include(report, `event ${i}\n`)
  })

  it("shows the beginning of a long plan", () => {
    const steps = Array.from({ length: 45 }, (_, i): Step => ({
      _tag: "CloseFlows",
      atMs: i * 100,
      count: i + 1
    }))
    const report = failureReport({ ...failure, shrunk: undefined, plan: { ...plan, steps } })
    assert.include(report, "\n  45 steps\n       0.000 s     close 1 flow\n")
    assert.include(report, "close 30 flows\n             …     and 15 more\n       8.000 s")
  })

  it("leaves out what there is nothing of", () => {
    const report = failureReport({
      ...failure,
      commit: undefined,
      facts: [],
      timeline: [],
      shrunk: undefined,
      plan: calmPlan({ faultsStopAtMs: 1_000 })
    })
    assert.match(report, / seed 0x9e3779b97f4a7c15\n {8}after .*\n\n {2}settings {3}FTFW {2}/)
    assert.include(report, "\n  faults     none\n")
    assert.include(report, "\n  0 steps\n       1.000 s     faults stop\n\n  replay ")
  })

  it("is never wider than the page", () => {
    const long = "word ".repeat(60) + "x".repeat(300)
    for (let i = 0; i < 60; i++) {
      const plan = planOfSeed(seedOf("wide", i))
      const report = failureReport({
        ...failure,
        plan,
        sentence: long,
        facts: [["fact", [long]]],
        timeline: (["A", "B", undefined] as const).map((machine) => ({
          atMs: 59_999,
          machine,
          text: long
        }))
      })
      for (const line of report.split("\n")) assert.isAtMost(line.length, pageWidth, line)
      // Nothing of it is lost.
      assert.strictEqual(report.split("x").length > 5 * 300, true)
      assert.notInclude(report, "undefined")
    }
  })
})

describe("a timeline", () => {
  const four = calmPlan({ nodes: 4 })

  it("has a column for each machine", () => {
    const head = timelineHead(four)
    for (const machine of ["A", "B", "C", "D"] as const) {
      const [line] = timelineLines({ atMs: 1, machine, text: "here" }, four)
      assert.strictEqual(line!.indexOf("here"), head.indexOf(machine))
    }
  })

  it("wraps an event inside the column of its machine", () => {
    const text = "→ update 100–130, control (ack) 131 on link 0"
    const lines = timelineLines({ atMs: 61_234, machine: "B", text }, four)
    const begin = timelineHead(four).indexOf("B")
    assert.strictEqual(lines.length, 2)
    assert.strictEqual(lines.map((line) => line.slice(begin)).join(" "), text)
    assert.strictEqual(lines[0]!.slice(0, begin).trim(), "61.234 s")
    assert.strictEqual(lines[1]!.slice(0, begin).trim(), "")
  })
})

describe("the words of a step", () => {
  it("tell steps of the same kind apart", () => {
    const words = (step: Step) => {
      const { machine, text } = stepText(step)
      return machine === undefined ? text : `${machine} ${text}`
    }
    const at = { atMs: 1 }
    const node = "A"
    const traffic: Step = { _tag: "UpdateFlows", ...at, count: 1, change: "any", overMs: 0 }
    assert.strictEqual(words(traffic), "change 1 flow at once")
    assert.strictEqual(
      words({ ...traffic, change: "mark", count: 3, overMs: 9, pair: 1, through: "C" }),
      "C change 3 flows (mark) within 9 ms, second pair"
    )
    assert.strictEqual(
      words({ _tag: "Partition", ...at, from: "B", bothWays: true, forMs: 5 }),
      "B cut off for 5 ms"
    )
    assert.strictEqual(
      words({ _tag: "Partition", ...at, from: "B", bothWays: false, forMs: 5 }),
      "B not heard by its peer for 5 ms"
    )
    assert.strictEqual(
      words({ _tag: "InterfaceDown", ...at, node, link: 0, what: "carrier", forMs: 5 }),
      "A interface of link 0 without carrier for 5 ms"
    )
    assert.strictEqual(
      words({ _tag: "ClockJump", ...at, node, byMs: -5 }),
      "A wall clock set back by 5 ms"
    )
    assert.strictEqual(words({ _tag: "Failover", ...at, to: "B" }), "B becomes primary")
    assert.strictEqual(
      words({ _tag: "Command", ...at, node, option: "-s network" }),
      "A conntrackd -s network"
    )
  })

  it("name a fault as used or as not used, never both, never neither", () => {
    const all = (plan: Plan) => {
      const { unused, used } = faultTexts(plan)
      return [...used.map((one) => one.replace(/ [\d.].*/, "")), ...unused].toSorted()
    }
    const expected = all(calmPlan()).filter((name) => name !== "delay")
    for (let i = 0; i < 200; i++) {
      const names = all(planOfSeed(seedOf("faults", i)))
      assert.deepStrictEqual(
        names.filter((name) => !/^(delay|jitter|bandwidth)$/.test(name)),
        expected
      )
    }
  })
})
