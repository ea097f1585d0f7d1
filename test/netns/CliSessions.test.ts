/**
 * Replays recorded command-line sessions: with the original program, if it is installed, to prove
 * the replay itself, and with ours. Every way in which ours differs is listed here with its row in
 * `docs/differences.md` and with what is expected instead.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { conntrackdUsage } from "../../src/core/text/Usage.ts"
import {
  canReplay,
  describeMismatches,
  type Exception,
  runSession,
  type SessionOptions
} from "../golden/CliSession.ts"
import { commandsOf, readSession } from "../golden/Session.ts"

const original = "/usr/sbin/conntrackd"
const program = fileURLToPath(new URL("../../src/programs/conntrackd.ts", import.meta.url))
const ours: SessionOptions = { binary: [process.execPath, program], usage: conntrackdUsage }

const expectAsRecorded = async (number: string, options: SessionOptions): Promise<void> => {
  assert.isTrue(canReplay(), "root, iproute2, nft and conntrack are needed")
  const mismatches = await runSession(number, options)
  assert.strictEqual(mismatches.length, 0, describeMismatches(mismatches))
}

/** The recorded pattern of an event, for exceptions that change a part of it. */
const recorded = (number: string, event: number): string => {
  const found = readSession(number).events[event]!
  switch (found.type) {
    case "conntrackd":
      return found.stdout_pattern ?? found.stdout
    case "log":
      return found.new_text_pattern ?? found.new_text
    default:
      throw new Error(`event ${event} of session ${number} has no text`)
  }
}

const notice = (text: string): string => `[@CTIME@] (pid=@PID@) [notice] ${text}\n`

describe("the replay of sessions", () => {
  it.skipIf(!existsSync(original)).each(["02", "03", "07", "20", "23", "24", "26"])(
    "finds the original program in session %s as recorded",
    (number) => expectAsRecorded(number, { binary: [original], unorderedLogs: number === "20" })
  )

  it("notices a program that does nothing", async () => {
    const mismatches = await runSession("03", { binary: ["/bin/true"], waitFactor: 0 })
    const commands = commandsOf(readSession("03")).filter(({ stdout }) => stdout !== "")
    const wrong = mismatches.filter(({ field }) => field === "stdout")
    assert.strictEqual(wrong.length, commands.length)
  })
})

const expectationSync = "ExpectationSync is not yet in effect"
const expectationWarning =
  "[@CTIME@] (pid=@PID@) [warning] ExpectationSync is not yet in effect in this version\n"
const lockHeld = "the lock file says who holds it, also with -d"
const lockLine = "[@CTIME@] (pid=@PID@) [ERROR] lockfile `@RUN@/A.lock' exists, " +
  "perhaps conntrackd already running? (held by process @PID@)\n"

const idlePair: ReadonlyArray<Exception> = [
  { row: expectationSync, event: 2, field: "stderr", instead: expectationWarning },
  { row: expectationSync, event: 3, field: "stderr", instead: expectationWarning },
  { row: expectationSync, event: 14, field: "stdout", instead: "" },
  {
    row: expectationSync,
    event: 35,
    field: "stdout",
    instead: recorded("02", 35).replace(/(kernel table:\t+ *)2/g, "$11")
  },
  {
    row: expectationSync,
    event: 37,
    field: "log",
    instead: recorded("02", 37)
      .replace(
        `${notice("Committed 0 new expectations")}${notice("commit has taken @DUR@ seconds")}`,
        ""
      )
      .replace(notice("flushing kernel expect table"), "")
      .replace(notice("resync with master expect table"), "")
  },
  { row: lockHeld, event: 40, field: "stderr", instead: expectationWarning + lockLine },
  { row: lockHeld, event: 41, field: "log", instead: lockLine }
]

const dccpPorts = "ports that messages do not carry are shown as 0"

const sentAgain = "what a restarted peer has not acknowledged is sent again"

/** Session 20 is about commands: its 6000 events at once must not overrun a busy test machine. */
const withLargeBuffer = (text: string): string =>
  text.replaceAll("2097152", "33554432")
    .replace("8388608", "33554432")

describe("our conntrackd", () => {
  it("is as recorded in session 02: idle pair, every topic and dump", () =>
    expectAsRecorded("02", { ...ours, exceptions: idlePair }))

  it("is as recorded in session 03: flows in both caches, update, delete, flush", () =>
    expectAsRecorded("03", ours))

  it("is as recorded in session 07: take-over and return as backup", () =>
    expectAsRecorded("07", {
      ...ours,
      // Without this start the next one, after `rm -f A.lock`, is the one that succeeds.
      skip: [{ row: "a stale lock file does not block the start", event: 24 }],
      exceptions: [{
        row: sentAgain,
        sometimes: true,
        event: 31,
        field: "stdout",
        instead: recorded("07", 31)
          .replace(/(cache external:[^]*?created:\t\t) *5/, "$1@N12@")
          .replace(/(cache external:[^]*?destroyed:\t\t) *0/, "$1@N12@")
      }, {
        row: "a stale lock file does not block the start",
        event: 34,
        field: "log",
        instead: recorded("07", 34).replace(/.*lockfile.*\n/, "")
      }, {
        row: sentAgain,
        sometimes: true,
        event: 35,
        field: "log",
        instead: notice("the peer has restarted: @N@ unacknowledged states are sent again") +
          recorded("07", 35)
      }]
    }))

  it("is as recorded in session 20: commands in flight", () =>
    expectAsRecorded("20", {
      ...ours,
      waitFactor: 3,
      rewriteConfig: withLargeBuffer,
      exceptions: [
        { row: "dumps need no child process", event: 9, field: "stdout", instead: "" },
        {
          row: "a larger event buffer in this test",
          event: 14,
          field: "log",
          instead: withLargeBuffer(recorded("20", 14))
        }
      ]
    }))

  it("is as recorded in session 23: lost and malformed messages", () =>
    expectAsRecorded("23", {
      ...ours,
      exceptions: [{
        row: "an entry without addresses is counted, not logged",
        event: 30,
        field: "log",
        instead: recorded("23", 30).replace(/.*unknown layer 3 proto.*\n/, "")
      }]
    }))

  it("is as recorded in session 24: attributes and protocols in dumps", () =>
    expectAsRecorded("24", {
      ...ours,
      exceptions: [{
        row: dccpPorts,
        event: 20,
        field: "stdout",
        instead: recorded("24", 20).replace(/(dccp .*)sport=3000 dport=36412/, "$1sport=0 dport=0")
      }, {
        row: dccpPorts,
        event: 21,
        field: "stdout",
        instead: recorded("24", 21).replace(
          /("dccp">)<sport>3000<\/sport><dport>36412<\/dport>/,
          "$1<sport>0</sport><dport>0</dport>"
        )
      }]
    }))

  it("is as recorded in session 26, in mode FTFW: flows present before the start", () =>
    expectAsRecorded("26", {
      ...ours,
      rewriteConfig: (text) => text.replace("Mode NOTRACK", "Mode FTFW"),
      exceptions: [{
        row: sentAgain,
        sometimes: true,
        event: 14,
        field: "log",
        instead: recorded("26", 14) + notice("resync requested by other node") +
          notice("sending bulk update")
      }]
    }))
})
