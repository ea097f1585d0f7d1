import { assert, describe, it } from "@effect/vitest"
import { formatEntryLine, formatLogLine } from "../../../src/core/text/LogLine.ts"
import * as LogTexts from "../../../src/core/text/LogTexts.ts"
import { commandsOf, readSession } from "../../golden/Session.ts"

const time = { year: 2026, month: 0, day: 3, weekday: 6, hours: 1, minutes: 2, seconds: 3 }

describe("log lines", () => {
  it("carry time as ctime prints it, process and level", () => {
    assert.strictEqual(
      formatLogLine(time, 18311, "notice", "initialization completed"),
      "[Sat Jan  3 01:02:03 2026] (pid=18311) [notice] initialization completed\n"
    )
    assert.isTrue(formatLogLine(time, 1, "error", "x").includes(" [ERROR] "))
    assert.strictEqual(formatEntryLine(time, "tcp"), "Sat Jan  3 01:02:03 2026\ttcp\n")
  })

  it("have the recorded texts and levels", () => {
    const texts = Object.values(LogTexts)
      .filter((text): text is LogTexts.LogText => typeof text === "object")
    const made: ReadonlyArray<LogTexts.LogText> = [
      ...texts,
      LogTexts.bufferSizeSet(2_097_152),
      LogTexts.committed(0, "entries"),
      LogTexts.committed(5, "entries"),
      LogTexts.committed(6_000, "entries"),
      LogTexts.committed(10, "entries"),
      LogTexts.committed(0, "expectations"),
      LogTexts.purgeScheduled(3),
      LogTexts.purgeScheduled(60),
      LogTexts.lockFileExists("@RUN@/A.lock"),
      LogTexts.linkChanged("@IF0@"),
      LogTexts.linkChanged("@IF1@")
    ]
    const known = new Set(made.map(({ level, text }) => `${level} ${text}`))
    // Commits of session 22 fail; the texts of single failures and durations vary.
    const varies = /commit has taken|can't be committed|commit-create|Committed \d+ new/
    const missing = ["02", "03", "07", "09", "10", "12", "15", "20", "22", "23", "24", "26"]
      .flatMap((number) => readSession(number).events)
      .filter((event) => event.type === "log")
      .flatMap((event) => event.new_text.split("\n"))
      .map((line) => line.match(/^\[.{24}\] \(pid=\d+\) \[(\w+)\] (.*)$/))
      .filter((match) => match !== null)
      .map(([, level, text]) => `${level!.toLowerCase()} ${text}`)
      .filter((line) => !known.has(line) && !varies.test(line))
    assert.deepStrictEqual([...new Set(missing)], [])
  })

  it("print a commit's duration with microseconds", () => {
    assert.strictEqual(LogTexts.commitDuration(366).text, "commit has taken 0.000366 seconds")
    assert.strictEqual(
      LogTexts.commitDuration(12_000_001).text,
      "commit has taken 12.000001 seconds"
    )
  })

  it("complain about a missing daemon in the recorded words", () => {
    const event = commandsOf(readSession("01")).find(({ argv }) => argv.at(-1) === "-B")!
    assert.isTrue(event.stderr.endsWith(`[ERROR] ${LogTexts.cannotConnect.text}\n`))
  })
})
