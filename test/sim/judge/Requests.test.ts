/** What the judge makes of requests, answers, endings and survivors: S11, S12, Q4, L1, L3. */
import { describe, expect, it } from "vitest"
import { Judge } from "../Judge.ts"
import type { Machine } from "../machine/Machine.ts"
import { MachineFake } from "../machine/MachineFake.ts"
import { World } from "../World.ts"
import { marksExpected } from "./Marks.ts"
import { trial } from "./Trial.ts"

const setUp = () => {
  const world = new World({ seed: "requests" })
  const machine: Machine = new MachineFake(world, "A", "B")
  Object.defineProperty(machine, "kind", { value: "conntrackd" })
  const judge = new Judge(world, { observe: () => {} }, { machines: () => [machine] })
  judge.kernelMade(machine)
  const answer = (option: "-c" | "-f", isAnswered = true) =>
    judge.answered(machine, { option, text: "", isAnswered })
  const log = (text: string) => judge.logged(machine, "info", text)
  return { answer, judge, log, machine, world }
}

const begun = "committing all external caches"
const ended = "commit has taken 0.000010 seconds"

describe("S11 one commit at a time", () => {
  it("is content with an answer after the commit", () => {
    const { answer, judge, log, machine } = setUp()
    judge.asked(machine, "-c")
    log(begun)
    log("Committed 3 new entries")
    log(ended)
    answer("-c")
    expect(judge.verdict).toBeUndefined()
  })

  it("sees an answer before the commit is done", () => {
    const { answer, judge, log, machine } = setUp()
    judge.asked(machine, "-c")
    log(begun)
    answer("-c")
    expect(judge.verdict?.invariant).toBe("S11")
  })

  it("lets a second commit be skipped and answered", () => {
    const { answer, judge, log, machine } = setUp()
    judge.asked(machine, "-c")
    log(begun)
    judge.asked(machine, "-c")
    log(begun)
    log("commit already in progress, skipping")
    answer("-c")
    log(ended)
    answer("-c")
    expect(judge.verdict).toBeUndefined()
  })

  it("sees two commits at once", () => {
    const { judge, log } = setUp()
    log(begun)
    log(begun)
    log(ended)
    log(ended)
    expect(judge.verdict?.invariant).toBe("S11")
  })

  it("sees a flush of the external cache during a commit", () => {
    const { verdict } = trial({
      tamper: ({ machine, replica: { external } }) => {
        if (machine.name !== "B") return
        const holds = external.holds.bind(external)
        let isFlushed = false
        // The commit asks this first.
        external.holds = (slot) => {
          if (!isFlushed) {
            isFlushed = true
            external.flushStep(0, 4_096)
          }
          return holds(slot)
        }
      }
    })
    expect(verdict?.invariant).toBe("S11")
  })
})

describe("S12 no defects, no leaks", () => {
  it("sees a daemon that crashed", () => {
    const { judge, machine } = setUp()
    judge.ended(machine, "crashed", [], "AssertionError: a slot is released once\n    at release")
    expect(judge.verdict?.invariant).toBe("S12")
    expect(judge.verdict?.facts[0]![1][0]).toContain("a slot is released once")
  })

  it("sees what a daemon left open", () => {
    const { judge, machine } = setUp()
    judge.ended(machine, "stopped", ["1 timers"])
    expect(judge.verdict?.invariant).toBe("S12")
  })

  it("sees an actor that failed", () => {
    const { judge, log } = setUp()
    log("the sync actor failed, the daemon stops: TypeError: x")
    expect(judge.verdict?.invariant).toBe("S12")
  })

  it("lets daemons be killed and stopped", () => {
    const { judge, machine } = setUp()
    judge.ended(machine, "killed", [])
    judge.ended(machine, "power loss", [])
    judge.ended(machine, "stopped", [])
    expect(judge.verdict).toBeUndefined()
  })
})

describe("Q4 connections survive", () => {
  it("sees one that did not", () => {
    const { judge } = setUp()
    judge.judgeSurvivors(5, ["tcp 1: lost"])
    expect(judge.verdict?.invariant).toBe("Q4")
    expect(judge.verdict?.facts[0]?.[1]).toEqual(["tcp 1: lost"])
  })

  it("sees a purge that a commit had cancelled", () => {
    const { judge, log } = setUp()
    log("flushing conntrack table in 60 secs")
    log("flushing kernel conntrack table (scheduled)")
    log("flushing conntrack table in 60 secs")
    expect(judge.verdict).toBeUndefined()
    log(begun)
    log("flushing kernel conntrack table (scheduled)")
    expect(judge.verdict?.invariant).toBe("Q4")
  })

  it("is content when all that must live live", () => {
    const { judge } = setUp()
    judge.judgeSurvivors(5, [])
    expect(judge.verdict).toBeUndefined()
    expect(judge.marks.get("connections survived a failover")).toBe(1)
  })
})

describe("L1 settles in time", () => {
  it("sees a pair that never settled", () => {
    const { judge, machine } = setUp()
    judge.asked(machine, "-s")
    expect(judge.isSettled()).toBe(false)
    judge.notSettled()
    expect(judge.verdict?.invariant).toBe("L1")
  })
})

describe("L3 every request is answered", () => {
  it("sees a client that waits for ever", () => {
    const { judge, machine, world } = setUp()
    judge.asked(machine, "-s")
    world.runUntil(59_000)
    judge.tick()
    expect(judge.verdict).toBeUndefined()
    world.runUntil(61_000)
    judge.tick()
    expect(judge.verdict?.invariant).toBe("L3")
  })

  it("sees a client that waits at the end", () => {
    const { answer, judge, machine, world } = setUp()
    judge.asked(machine, "-c")
    judge.asked(machine, "-f")
    answer("-c")
    world.runUntil(1_000)
    judge.finish()
    expect(judge.verdict?.sentence).toBe("A did not answer -f, asked at 0 ms")
  })

  it("sees an answer too many", () => {
    const { answer, judge, machine } = setUp()
    judge.asked(machine, "-f")
    answer("-f", false)
    expect(judge.verdict).toBeUndefined()
    answer("-f")
    expect(judge.verdict?.invariant).toBe("L3")
  })
})

describe("what is not judged yet", () => {
  it("is said, and never a mark", () => {
    const { judge } = setUp()
    const names = judge.notYetApplicable.map(([name]) => name)
    expect(names).toEqual(expect.arrayContaining([
      expect.stringMatching(/^S7 /),
      expect.stringMatching(/^L2 /),
      "mark: link change",
      "mark: TCP reconnect"
    ]))
    expect(marksExpected).not.toContain("link change")
  })
})
