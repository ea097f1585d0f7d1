/**
 * Stories of the dedicated link: what was said while it was down, how much is too much for the
 * resend queue, and what happens when the sequence numbers begin again at zero.
 */
import { expect, test } from "vitest"
import type { Plan } from "../plan/Plan.ts"
import { calmNetwork, calmPlan } from "../plan/Plan.ts"
import { tell } from "./Story.ts"
import { configurationWith, connectionsOpen } from "./StorySteps.ts"

// ------------------------------------------------------------------ an outage during a bulk send

/** The link takes fifteen bytes in a millisecond: 100 connections need more than half a second. */
const outage = (forMs: number): Plan =>
  calmPlan({
    configuration: configurationWith({ ftfw: ["PurgeTimeout 2"] }),
    network: { ...calmNetwork, bytesPerMs: 15 },
    steps: [
      connectionsOpen(1_500, 100, 1_000),
      // The new daemon of B asks for everything; in the middle of it the cable is pulled.
      { _tag: "Restart", atMs: 4_000, node: "B", backAfterMs: 1_000 },
      { _tag: "LinkDown", atMs: 5_200, link: 0, forMs }
    ],
    faultsStopAtMs: 12_000
  })
const lookAtOutage = { before: 3_999, cut: 5_300, stillCut: 7_190, end: 11_000 }

test("link outage during a bulk send: the rest follows when the link is back", () => {
  const story = tell(outage(2_000), { looks: lookAtOutage })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 100, replicated: 100 })

  const cut = story.at("cut")
  expect(cut.replicated).toBeGreaterThan(10)
  expect(cut.replicated).toBeLessThan(90)
  expect(story.outcome.faults.get("datagrams lost: link down")).toBeGreaterThan(1)
  expect(story.at("stillCut").replicated).toBe(cut.replicated)

  expect(story.at("end")).toMatchObject({ replicated: 100, survived: 100 })
  // B missed the numbers itself, and nobody asked again: one request a start, two starts.
  expect(story.marks("nack resend")).toBeGreaterThanOrEqual(1)
  expect(story.happenings("B", /^resync requested$/)).toHaveLength(2)
})

test("… and does not follow before", () => {
  const story = tell(outage(6_500), { looks: lookAtOutage })
  expect(story.at("end").replicated).toBe(story.at("cut").replicated)
})

// ------------------------------------------------------------------- the resend queue overflows

const overflow = (resendQueueSize: number): Plan =>
  calmPlan({
    configuration: configurationWith({
      ftfw: ["PurgeTimeout 2", `ResendQueueSize ${resendQueueSize}`, "ACKWindowSize 8"]
    }),
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "LinkDown", atMs: 4_000, link: 0, forMs: 2_000 },
      connectionsOpen(4_200, 100, 1_500),
      { _tag: "ExpireFlows", atMs: 5_000, count: 20 },
      // What the warning in the log recommends.
      { _tag: "Command", atMs: 8_000, node: "B", option: "-n" }
    ],
    faultsStopAtMs: 11_000
  })
const lookAtOverflow = { before: 3_999, down: 5_990, up: 7_990, resynced: 10_900 }

test("resend queue overflow: the loss is confessed, and a resync repairs it", () => {
  const story = tell(overflow(32), { looks: lookAtOverflow })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })
  const down = story.at("down")
  expect(down).toMatchObject({ established: 140, died: [] })
  expect(down.replicated).toBe(60 - down.ended)
  expect(down.stale).toBe(down.ended)

  // As many as the queue could keep arrive by themselves. The others are in the log.
  const { replicated } = story.at("up")
  expect(replicated).toBeGreaterThan(down.replicated)
  expect(replicated).toBeLessThanOrEqual(down.replicated + 32)
  let confessed = 0
  for (const text of story.happenings("A", /^the resend queue is full/)) {
    confessed += Number(/: (\d+) unacknowledged states were given up/.exec(text)?.[1])
  }
  expect(confessed).toBeGreaterThanOrEqual(140 - replicated)
  expect(confessed).toBeLessThanOrEqual(100 + 20)
  expect(story.marks("resend queue overflow")).toBeGreaterThan(0)

  // Everything that lives is told again. What ended unheard stays: a resync has no word for it.
  expect(story.at("resynced")).toMatchObject({
    established: 140,
    replicated: 140,
    stale: down.stale
  })
})

test("… which a queue with enough room does not need", () => {
  const story = tell(overflow(1_024), { looks: lookAtOverflow })
  expect(story.verdict).toBeUndefined()
  expect(story.at("down").replicated).toBeLessThan(60)
  expect(story.at("down").stale).toBeGreaterThan(0)
  expect(story.at("up")).toMatchObject({ established: 140, replicated: 140, stale: 0 })
  expect(story.marks("resend queue overflow")).toBe(0)
})

// ------------------------------------------------------------------------- the sequence wraps

/** A needs three numbers for a connection, and begins 150 before the wrap; B begins 30 before. */
const wrap = calmPlan({
  configuration: configurationWith({ ftfw: ["PurgeTimeout 2", "ACKWindowSize 20"] }),
  network: { ...calmNetwork, lossPercent: 15, reorderPercent: 10 },
  steps: [
    { _tag: "SequenceNear", atMs: 0, node: "A", messagesBefore: 150 },
    { _tag: "SequenceNear", atMs: 0, node: "B", messagesBefore: 30 },
    connectionsOpen(1_500, 40, 1_000),
    connectionsOpen(3_500, 40, 1_000),
    connectionsOpen(5_500, 40, 1_000),
    { _tag: "Failover", atMs: 8_000, to: "B" }
  ],
  faultsStopAtMs: 11_000
})
const lookAtWrap = { before: 2_400, after: 7_990, moved: 10_900 }

test.each(
  [
    ["ours", undefined],
    ["C-like", "B"]
  ] as const
)("sequence wrap on a lossy link, the peer is %s: no gap, no doubt", (_, peer) => {
  const plan = peer === undefined ? wrap : { ...wrap, referencePeer: peer }
  const story = tell(plan, { looks: lookAtWrap })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before").established).toBeGreaterThanOrEqual(30)
  expect(story.marks("sequence wrap")).toBe(peer === undefined ? 2 : 1)
  // Datagrams got lost, and were asked for.
  expect(story.marks("nack resend")).toBeGreaterThan(5)
  expect(story.at("after").established).toBe(120)
  expect(story.at("after").replicated).toBeGreaterThanOrEqual(0.9 * 120)
  expect(story.at("moved").diedThoughReplicated).toEqual([])
  expect(story.at("moved").survived).toBeGreaterThanOrEqual(0.9 * 120)
})

// As if B took the numbers after the wrap for old ones.
test("… whereas a peer that hears nothing after the wrap lacks two thirds", () => {
  const deaf = { _tag: "Partition", atMs: 3_000, from: "A", bothWays: true, forMs: 60_000 } as const
  const story = tell({ ...wrap, steps: [...wrap.steps, deaf] }, { looks: lookAtWrap })
  expect(story.at("after").replicated).toBeLessThanOrEqual(40)
  expect(story.at("moved").died.length).toBeGreaterThanOrEqual(80)
})
