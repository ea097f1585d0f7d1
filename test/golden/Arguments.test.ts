/** Every command line of session 01 against the reader of arguments. */
import { assert, describe, it } from "@effect/vitest"
import { parseArguments } from "../../src/core/control/ConntrackdArguments.ts"
import { nameOf } from "../../src/core/control/Request.ts"
import { formatLogLine } from "../../src/core/text/LogLine.ts"
import { conntrackdUsage, version } from "../../src/core/text/Usage.ts"
import { matchesPattern } from "./Pattern.ts"
import { commandsOf, readSession, recordedUsage } from "./Session.ts"

/** Where we differ on purpose: the arguments after the file, and what upstream 1.4.7 did. */
const differences = new Map<string, string>([
  ["--help", "exit 0 after an unknown option"],
  ["--version", "exit 0 after an unknown option"],
  ["-q", "exit 0 after an unknown option"],
  ["status", "read as -t"],
  ["s", "exit 0 after an unknown option"],
  ["xh", "read as -h"],
  ["-", "exit 0 after an unknown option"],
  ["", "exit 0 after an unknown option"],
  ["-i x", "exit 0 after an unknown option"],
  ["-i foo", "exit 0 after an unknown option"],
  ["-c all", "exit 0 after an unknown option"],
  ["-c external", "second letter of the word read as -x"],
  ["-F all", "exit 0 after an unknown option"],
  ["-R all", "exit 0 after an unknown option"],
  ["-s network cache", "exit 0 after an unknown option"],
  ["-n foo", "exit 0 after an unknown option"],
  ["-k now", "exit 0 after an unknown option"],
  ["-t 5", "exit 0 after an unknown option"],
  ["-C", "starts the daemon"],
  ["-s -C", "goes on with the default file"]
])

const time = { year: 2026, month: 10, day: 3, weekday: 2, hours: 1, minutes: 2, seconds: 3 }

/** What is printed and returned before any file is read. Undefined: it goes on to a file. */
const outcomeOf = (argv: ReadonlyArray<string>) => {
  const invocation = parseArguments(argv)
  const stderr = invocation.messages
    .map(({ level, text }) => formatLogLine(time, 77, level, text)).join("")
  switch (invocation.role) {
    case "usage":
      return { exit: 0, stdout: conntrackdUsage, stderr }
    case "version":
      return { exit: 0, stdout: undefined, stderr }
    case "error":
      return { exit: 1, stdout: invocation.printUsage ? conntrackdUsage : "", stderr }
    case "client":
    case "daemon":
      return { exit: undefined, stdout: "", stderr }
  }
}

const withoutFile = (argv: ReadonlyArray<string>): string =>
  argv.slice(argv[1] === "-C" && argv.length > 2 ? 3 : 1).join(" ")

const usageOfRecording = recordedUsage()

describe("command line of conntrackd", () => {
  const events = commandsOf(readSession("01"))

  it("has the recorded usage text under our version", () => {
    assert.strictEqual(conntrackdUsage, usageOfRecording.replace("v1.4.7", `v${version}`))
  })

  const same = events.filter((event) => !differences.has(withoutFile(event.argv)))
  it.each(same.map((event) => [event.argv.slice(1).join(" "), event] as const))(
    "treats `%s` as upstream does",
    (_, event) => {
      const outcome = outcomeOf(event.argv.slice(1))
      if (outcome.exit === undefined) {
        // What follows depends on the file and the daemon, never on the arguments.
        assert.isFalse(event.stdout.includes("@USAGE@"))
        const pattern = event.stderr_pattern ?? event.stderr
        const first = outcome.stderr === "" ? [] : outcome.stderr.trimEnd().split("\n")
        first.forEach((line, i) => assert.isTrue(matchesPattern(pattern.split("\n")[i]!, line)))
        assert.notMatch(pattern, /Unknown option|Invalid parameters|unknown parameter/)
        return
      }
      assert.strictEqual(outcome.exit, event.exit)
      assert.isTrue(matchesPattern(event.stderr_pattern ?? event.stderr, outcome.stderr))
      if (outcome.stdout !== undefined) {
        assert.strictEqual(outcome.stdout, event.stdout.replace("@USAGE@", conntrackdUsage))
      }
    }
  )

  it.each([...differences.keys()])("ends `%s` with status 1 and says what is wrong", (line) => {
    const argv = line === "" ? [""] : line.split(" ")
    const outcome = outcomeOf(argv)
    const word = argv.at(-1)!
    assert.strictEqual(outcome.exit, 1)
    assert.strictEqual(outcome.stdout, conntrackdUsage)
    const text = word === "-C" ? "Missing config filename" : `Unknown option: ${word}`
    assert.strictEqual(outcome.stderr, formatLogLine(time, 77, "error", text))
  })

  it("covers each recorded command line once as same or different", () => {
    const seen = new Set(events.map((event) => withoutFile(event.argv)))
    for (const line of differences.keys()) assert.isTrue(seen.has(line), line)
  })

  it.each(
    [
      ["-i", "dumpInternal"],
      ["-i ct -x", "dumpInternalXml"],
      ["-i e", "dumpInternalExpectations"],
      ["-e expect -x", "dumpExternalExpectationsXml"],
      ["-c", "commit"],
      ["-c ct", "commitFlows"],
      ["-f", "flushCaches"],
      ["-f e", "flushExternal"],
      ["-F", "flushKernel"],
      ["-R ct", "resyncKernelFlows"],
      ["-s", "stats"],
      ["-s c", "statsCache"],
      ["-s r", "statsRuntime"],
      ["-s rs", "statsResendQueue"],
      ["-s e", "statsExpect"],
      ["-s m", "statsLink"],
      ["-s p", "statsProcess"],
      ["-s -i", "dumpInternal"],
      ["-B -n", "requestResync"],
      ["-kill", "kill"],
      ["-t", "purge"]
    ] as const
  )("`%s` asks for %s", (line, name) => {
    const invocation = parseArguments(line.split(" "))
    assert.strictEqual(invocation.role === "client" && nameOf(invocation.request), name)
  })

  it("takes an empty word for the first choice", () => {
    const request = (...argv: ReadonlyArray<string>) => {
      const invocation = parseArguments(argv)
      return invocation.role === "client" && nameOf(invocation.request)
    }
    assert.deepStrictEqual(
      [request("-s", ""), request("-i", ""), request("-f", "")],
      ["statsNetwork", "dumpInternal", "flushInternal"]
    )
  })

  it("takes whatever follows -C for the file", () => {
    assert.deepStrictEqual(parseArguments(["-C", "-d", "-ds"]), {
      role: "daemon",
      detach: true,
      configFile: "-d",
      messages: []
    })
  })
})
