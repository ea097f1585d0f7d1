/**
 * Stories of daemons that are not there for a while, on machines that work on.
 *
 * Told again without `StartupResync`, when nobody asks for what was told before.
 */
import { expect, test } from "vitest"
import type { Plan } from "../plan/Plan.ts"
import { calmPlan } from "../plan/Plan.ts"
import { tell } from "./Story.ts"
import { configurationWith, connectionsOpen } from "./StorySteps.ts"

// ----------------------------------------------------------------------------- our backup restarts

const backupRestarts = (startupResync: "on" | "off"): Plan =>
  calmPlan({
    configuration: configurationWith({ startupResync, ftfw: ["PurgeTimeout 2"] }),
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "Restart", atMs: 4_000, node: "B", backAfterMs: 3_000 },
      connectionsOpen(4_500, 40, 1_000),
      { _tag: "CloseFlows", atMs: 5_000, count: 20 },
      { _tag: "Failover", atMs: 9_000, to: "B" }
    ],
    faultsStopAtMs: 12_000
  })
const lookAtBackup = { before: 3_999, without: 6_900, back: 8_900, moved: 11_000 }

test("the backup restarts while the primary works: it learns what it missed and forgot", () => {
  const story = tell(backupRestarts("on"), { looks: lookAtBackup })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })
  // The primary's connections notice nothing.
  expect(story.at("without")).toMatchObject({ established: 80, replicated: 0, died: [] })
  expect(story.happenings("B", /^daemon: stopped/)).toHaveLength(1)
  expect(story.happenings("A", /^the peer has restarted: /)).toHaveLength(1)

  expect(story.at("back")).toMatchObject({ established: 80, replicated: 80, died: [] })
  expect(story.at("moved")).toMatchObject({ primaries: ["B"], survived: 80, died: [] })
})

test("… which it does not by the hello alone: that repeats only what nobody acknowledged", () => {
  const story = tell(backupRestarts("off"), { looks: lookAtBackup })
  const { replicated } = story.at("back")
  expect(replicated).toBeGreaterThan(0)
  expect(replicated).toBeLessThanOrEqual(40)
  expect(story.at("moved").died).toHaveLength(80 - replicated)
})

// -------------------------------------------------------------------------- a C-like peer restarts

const peerRestarts = (startupResync: "on" | "off"): Plan =>
  calmPlan({
    referencePeer: "B",
    configuration: configurationWith({ startupResync, ftfw: ["PurgeTimeout 2"] }),
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "Kill", atMs: 4_000, node: "B", backAfterMs: 2_000 },
      connectionsOpen(4_500, 40, 1_000),
      { _tag: "Failover", atMs: 8_000, to: "B" },
      connectionsOpen(9_000, 40, 1_000),
      { _tag: "Failover", atMs: 12_000, to: "A" }
    ],
    faultsStopAtMs: 15_000
  })
const lookAtPeer = {
  before: 3_999,
  without: 5_990,
  back: 7_990,
  onPeer: 8_900,
  leaving: 11_990,
  home: 14_000
}

test("a C-like peer restarts and says hello: connections go to it, and come back", () => {
  const story = tell(peerRestarts("on"), { looks: lookAtPeer })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })
  expect(story.at("without")).toMatchObject({ established: 100, replicated: 0 })
  // Its hello makes us say again what the killed daemon had not acknowledged.
  expect(story.happenings("A", /^the peer has restarted: 40 unacknowledged/)).toHaveLength(1)
  expect(story.marks("hello reset")).toBe(1)

  expect(story.at("back")).toMatchObject({ established: 100, replicated: 100 })
  expect(story.at("onPeer")).toMatchObject({ primaries: ["B"], survived: 100, died: [] })
  expect(story.at("leaving")).toMatchObject({ established: 140, replicated: 140 })
  expect(story.at("home")).toMatchObject({ primaries: ["A"], survived: 140, died: [] })
})

test("… and without StartupResync what it knew before is gone", () => {
  const story = tell(peerRestarts("off"), { looks: lookAtPeer })
  expect(story.at("back")).toMatchObject({ established: 100, replicated: 40 })
  expect(story.at("onPeer")).toMatchObject({ primaries: ["B"], survived: 40 })
  expect(story.at("onPeer").died).toHaveLength(60)
})
