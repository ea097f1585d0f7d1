/** The sum of many runs, and the line that is shown meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import type { RunFacts } from "./Summary.ts"
import { durationText, grouped, Progress, summaryReport, Totals } from "./Summary.ts"

const facts: RunFacts = {
  simulatedMs: 60_000,
  turns: 40_000,
  datagrams: 1_500,
  kernelEvents: 900,
  faults: new Map([["PowerLoss", 2], ["OpenFlows", 40], ["datagrams lost: loss", 123]]),
  marks: new Map([["hello reset", 2]])
}

const notYetApplicable = [["S7 no self-talk", "multicast links are not there yet"]] as const

const passed = `\
passed  2 seeds

  seeds              2  1 of them twice, with the same trace hash
  simulated time     2 min 0 s
  work               80 000 turns  1 800 kernel events  3 000 datagrams
  pace               1 s of CPU  2.0 seeds per CPU second
  faults injected    power loss 4  datagrams lost: loss 246
  seen               hello reset 4
  not yet applicable S7 no self-talk: multicast links are not there yet
`

describe("the summary of a run of seeds", () => {
  it("adds the runs up", () => {
    const totals = new Totals(["hello reset"])
    totals.add("0x1", facts)
    totals.add("0x2", facts)
    totals.repeated = 1
    assert.strictEqual(
      summaryReport({ ...totals, notYetApplicable, cpuMs: 1_000 }),
      passed
    )
  })

  it("fails where something must happen and never did", () => {
    const totals = new Totals(["slot exhaustion", "hello reset"])
    totals.add("0x1", facts)
    assert.deepStrictEqual(totals.missingMarks, ["slot exhaustion"])
    const text = summaryReport({ ...totals, notYetApplicable: [], cpuMs: 0 })
    assert.match(text, /^FAILED {2}never seen in 1 seed: /)
    assert.include(text, "\n  never seen         slot exhaustion\n")
    assert.notInclude(text, "not yet applicable")
    assert.include(text, "– seeds per CPU second")
  })

  it("names the seeds that failed", () => {
    const totals = new Totals([])
    totals.add("0x0000000000000001", facts, "Q1")
    totals.add("0x0000000000000002", facts)
    const text = summaryReport({ ...totals, notYetApplicable: [], cpuMs: 1 })
    assert.match(text, /^FAILED {2}1 of 2 seeds\n/)
    assert.include(text, "\n  failed             Q1 0x0000000000000001\n")
  })
})

describe("progress", () => {
  const shown = (isTerminal: boolean, seedsInAll?: number): string => {
    let text = ""
    const progress = new Progress({
      write: (more) => {
        text += more
      },
      isTerminal,
      seedsInAll,
      every: 2
    })
    const totals = new Totals([])
    for (let i = 1; i <= 4; i++) {
      totals.add(String(i), facts)
      progress.show(totals, i * 500)
    }
    progress.clear()
    return text
  }

  it("is one line that is rewritten on a terminal", () => {
    const lines = shown(true, 4).split("\r\u001b[K")
    assert.strictEqual(lines.length, 6)
    assert.strictEqual(
      lines[2],
      "  2 of 4 seeds  0 failed  2 min 0 s simulated  2.0 seeds per CPU second"
    )
    assert.notInclude(lines.join(""), "\n")
    assert.strictEqual(lines[5], "")
  })

  it("is a line now and then elsewhere", () => {
    assert.strictEqual(
      shown(false),
      "  2 seeds  0 failed  2 min 0 s simulated  2.0 seeds per CPU second\n" +
        "  4 seeds  0 failed  4 min 0 s simulated  2.0 seeds per CPU second\n"
    )
  })
})

describe("numbers", () => {
  it("are grouped by three digits", () => {
    assert.deepStrictEqual([0, 999, 1_000, 1_234_567].map(grouped), [
      "0",
      "999",
      "1 000",
      "1 234 567"
    ])
  })

  it("of time take the units that fit", () => {
    assert.deepStrictEqual(
      [400, 59_000, 59_600, 95_000, 3_600_000, 33_120_000].map(durationText),
      ["0 s", "59 s", "1 min 0 s", "1 min 35 s", "1 h 0 min", "9 h 12 min"]
    )
  })
})
