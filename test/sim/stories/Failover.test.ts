/**
 * Stories of the address that moves: whose connections live on, and whose cannot.
 *
 * Each story is told again with one thing taken out of it; then connections must die, or the judge
 * must object. So none of them passes without replication, or without the commit.
 */
import { expect, test } from "vitest"
import type { Plan } from "../plan/Plan.ts"
import { calmPlan, plainKernel } from "../plan/Plan.ts"
import { tell } from "./Story.ts"
import { configurationWith, connectionsOpen } from "./StorySteps.ts"

/** A backup's kernel is empty after two seconds: what is found in it later was committed. */
const configuration = configurationWith({ ftfw: ["PurgeTimeout 2"] })

// -------------------------------------------------------------------- the primary dies under load

const primaryDies: Plan = calmPlan({
  configuration,
  kernel: { ...plainKernel, natRules: true },
  steps: [
    connectionsOpen(1_500, 60, 1_000),
    // Clients still arrive when the power fails, and when the backup takes over.
    connectionsOpen(2_500, 60, 3_000, { translated: "both" }),
    { _tag: "CloseFlows", atMs: 3_500, count: 10 },
    { _tag: "UpdateFlows", atMs: 4_000, count: 30, change: "mark", overMs: 1_000 },
    { _tag: "PowerLoss", atMs: 5_000, node: "A", backAfterMs: 3_000 },
    { _tag: "Failover", atMs: 5_400, to: "B" }
  ],
  faultsStopAtMs: 9_000
})

test("the primary dies under load: every connection that was replicated goes on", () => {
  const story = tell(primaryDies, {
    looks: { dying: 4_999, onBackup: 7_000, whole: 8_900 }
  })
  expect(story.verdict).toBeUndefined()

  const dying = story.at("dying")
  expect(dying.primaries).toEqual(["A"])
  expect(dying.established).toBeGreaterThanOrEqual(100)
  expect(dying.replicated).toBeGreaterThanOrEqual(0.9 * dying.established)
  // It had not been told yet that all it sent had arrived.
  expect(story.marks("power loss with unacknowledged")).toBe(1)

  const onBackup = story.at("onBackup")
  expect(onBackup.primaries).toEqual(["B"])
  expect(onBackup.diedThoughReplicated).toEqual([])
  // A client that came between takeover and commit may have been given the port of another.
  expect(onBackup.displaced).toBeLessThanOrEqual(5)
  expect(onBackup.survived + onBackup.displaced).toBeGreaterThanOrEqual(dying.replicated)
  // Nobody is there to be told.
  expect(onBackup.replicated).toBe(0)

  // The dead one comes back as a backup, and learns everything.
  expect(story.happenings("A", /has power again/)).toHaveLength(1)
  const whole = story.at("whole")
  expect(whole.survived).toBe(onBackup.established)
  expect(whole.replicated).toBe(whole.established)
})

test("… but not without the commit, and the judge says so", () => {
  const story = tell(primaryDies, { looks: { dying: 4_999 }, deaf: [["B", "-c"]] })
  expect(story.at("dying").replicated).toBeGreaterThanOrEqual(100)
  expect(story.verdict).toMatch(/^Q4 connections survive: (\d+) of \1 connections did not survive/)
})

test("… nor without replication, for which nobody is to blame", () => {
  const cut = { _tag: "Partition", atMs: 1_000, from: "A", bothWays: true, forMs: 60_000 } as const
  const story = tell({ ...primaryDies, steps: [cut, ...primaryDies.steps] }, {
    looks: { dying: 4_999, onBackup: 7_000 }
  })
  expect(story.verdict).toBeUndefined()
  expect(story.at("dying").replicated).toBe(0)
  expect(story.at("onBackup").survived).toBe(0)
  expect(story.at("onBackup").died.length).toBeGreaterThanOrEqual(90)
})

// ------------------------------------------------------------------------------------- fail-back

const failBack: Plan = calmPlan({
  configuration,
  steps: [
    connectionsOpen(1_500, 60, 1_000),
    { _tag: "Failover", atMs: 3_000, to: "B" },
    connectionsOpen(4_000, 40, 1_000),
    { _tag: "CloseFlows", atMs: 5_500, count: 15 },
    { _tag: "ExpireFlows", atMs: 6_000, count: 10 },
    { _tag: "Failover", atMs: 7_000, to: "A" }
  ],
  faultsStopAtMs: 10_000
})

test("fail-back: connections come home, those that began abroad as well", () => {
  const story = tell(failBack, {
    looks: { atHome: 2_999, abroad: 3_900, leaving: 6_999, homeAgain: 9_000 }
  })
  expect(story.verdict).toBeUndefined()
  expect(story.at("atHome")).toMatchObject({ established: 60, replicated: 60 })
  expect(story.at("abroad")).toMatchObject({ primaries: ["B"], survived: 60 })
  // The old primary's kernel was emptied: what is there later comes from the commit.
  expect(story.happenings("A", /^flushing kernel conntrack table/)).toHaveLength(1)

  const leaving = story.at("leaving")
  expect(leaving).toMatchObject({ primaries: ["B"], established: 75, replicated: 75 })
  expect(story.at("homeAgain")).toMatchObject({ primaries: ["A"], survived: 75, died: [] })
  // The closed ones are in TIME_WAIT, which is committed like any state; the expired ones are gone.
  expect(story.happenings("A", /^Committed 90 new entries/)).toHaveLength(1)
})

test("… but the way home needs a commit of its own", () => {
  const story = tell(failBack, {
    looks: { atHome: 2_999, abroad: 3_900, leaving: 6_999 },
    deaf: [["A", "-c"]]
  })
  expect(story.at("abroad").survived).toBe(60)
  expect(story.verdict).toMatch(/^Q4 connections survive: 75 of 75 connections did not survive/)
})

// --------------------------------------------------------------------------- both die and return

const bothDie = (secondDeath: "B dies, too" | "B takes over"): Plan =>
  calmPlan({
    configuration,
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "PowerLoss", atMs: 4_000, node: "A", backAfterMs: 2_000 },
      secondDeath === "B takes over"
        ? { _tag: "Failover", atMs: 4_300, to: "B" }
        : { _tag: "PowerLoss", atMs: 4_300, node: "B", backAfterMs: 3_000 },
      connectionsOpen(9_000, 40, 500),
      { _tag: "Failover", atMs: 11_000, to: secondDeath === "B takes over" ? "A" : "B" }
    ],
    faultsStopAtMs: 14_000
  })
const lookAtDeaths = { before: 3_999, back: 8_900, working: 10_999, moved: 13_000 }

test("both die and return: the past is forgotten, and replication begins anew", () => {
  const story = tell(bothDie("B dies, too"), { looks: lookAtDeaths })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })
  for (const machine of ["A", "B"] as const) {
    expect(story.happenings(machine, /^daemon: power loss/)).toHaveLength(1)
    expect(story.happenings(machine, /^is ready/)).toHaveLength(2)
  }
  // No memory was left that could have kept them.
  expect(story.at("back")).toMatchObject({ primaries: ["A"], established: 0, survived: 0 })
  expect(story.at("back").died).toHaveLength(60)

  expect(story.at("working")).toMatchObject({ established: 40, replicated: 40 })
  expect(story.at("moved")).toMatchObject({ primaries: ["B"], survived: 40, died: [] })
})

test("… while one that stays up is memory enough", () => {
  const story = tell(bothDie("B takes over"), { looks: lookAtDeaths })
  expect(story.verdict).toBeUndefined()
  expect(story.at("back")).toMatchObject({ primaries: ["B"], survived: 60, died: [] })
  expect(story.at("moved")).toMatchObject({ primaries: ["A"], survived: 100, died: [] })
})

// ------------------------------------------------------------------------------- a brain is split

const splitBrain = (healsAfterMs: number): Plan =>
  calmPlan({
    configuration,
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "SplitBrain", atMs: 4_000, to: "B", forMs: healsAfterMs },
      connectionsOpen(4_500, 20, 1_000, { through: "A" }),
      connectionsOpen(4_500, 30, 1_000, { through: "B" }),
      { _tag: "Failover", atMs: 11_000, to: "A" }
    ],
    faultsStopAtMs: 14_000
  })
const lookAtBrain = { before: 3_999, split: 6_900, healed: 10_900, failedBack: 13_000 }

test("split brain heals: what the winner has lives on, on both", () => {
  const story = tell(splitBrain(3_000), { looks: lookAtBrain })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })
  expect(story.at("split")).toMatchObject({
    primaries: ["A", "B"],
    established: 60 + 20 + 30,
    replicated: 0
  })
  // A gives in. Its own connections go to B now, which never made entries of them.
  const healed = story.at("healed")
  expect(healed).toMatchObject({ primaries: ["B"], survived: 60 + 30, replicated: 60 + 30 })
  expect(healed.died).toHaveLength(20)
  expect(healed.stale).toBe(0)
  expect(story.happenings("A", /^flushing kernel conntrack table/)).toHaveLength(1)

  // What A told of those is with B still. A emptied its kernel without a word, as backups do, since
  // else B would forget everything; so entries of dead connections wait there for a commit.
  expect(story.at("failedBack")).toMatchObject({
    primaries: ["A"],
    survived: 60 + 30,
    died: [],
    stale: 20
  })
})

test("… and as long as it does not, neither side knows what the other one has", () => {
  const story = tell(splitBrain(60_000), { looks: lookAtBrain })
  expect(story.at("healed")).toMatchObject({ primaries: ["A", "B"], replicated: 0 })
  // A takes the address for itself, and has no idea of what went through B.
  expect(story.at("failedBack").died.length).toBeGreaterThanOrEqual(30)
})

// ------------------------------------------- an overrun on the primary in the middle of a failover

const overrun = (repair: "2" | "off"): Plan =>
  calmPlan({
    configuration: configurationWith({
      ftfw: ["PurgeTimeout 2"],
      general: [
        `NetlinkOverrunResync ${repair}`,
        "NetlinkBufferSize 65536",
        "NetlinkBufferSizeMaxGrowth 8388608"
      ]
    }),
    steps: [
      connectionsOpen(1_500, 60, 1_000),
      { _tag: "Failover", atMs: 4_000, to: "B" },
      // Clients arrive while the script that makes B primary is at work.
      connectionsOpen(4_020, 60, 200),
      { _tag: "Overrun", atMs: 4_040, node: "B", eventsLost: 120 },
      { _tag: "Failover", atMs: 10_000, to: "A" }
    ],
    faultsStopAtMs: 13_000
  })
const lookAtOverrun = { before: 3_999, during: 4_500, repaired: 9_999, failedBack: 12_000 }

test("overrun on the new primary in the middle of a failover: the kernel is read again", () => {
  const story = tell(overrun("2"), { looks: lookAtOverrun })
  expect(story.verdict).toBeUndefined()
  expect(story.at("before")).toMatchObject({ established: 60, replicated: 60 })

  const during = story.at("during")
  expect(during).toMatchObject({ primaries: ["B"], survived: 60, established: 120 })
  expect(during.replicated).toBeLessThan(120)
  // More room, and not the repair at once: that would read a kernel that is still busy.
  expect(story.happenings("B", /^netlink event socket buffer .* doubled/)).not.toEqual([])

  expect(story.at("repaired")).toMatchObject({ established: 120, replicated: 120 })
  expect(story.at("failedBack")).toMatchObject({ primaries: ["A"], survived: 120, died: [] })
})

test("… which has to be asked for: without NetlinkOverrunResync connections die later", () => {
  const story = tell(overrun("off"), { looks: lookAtOverrun })
  const missing = 120 - story.at("repaired").replicated
  expect(missing).toBeGreaterThan(0)
  expect(story.at("failedBack").died).toHaveLength(missing)
})
