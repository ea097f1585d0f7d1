/**
 * The conntrackd of a firewall that is a network namespace, as its administrator sees it: a
 * configuration file, a process, requests, a log.
 *
 * `CONNTRACKD_BIN` names another conntrackd to show, the C one for example.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { existsSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { awaitAnswer } from "./Answers.ts"
import { type DemoFailed, kill, runIn, startIn } from "./Command.ts"
import { configurationFor } from "./Configuration.ts"
import type { Daemon, Takeover } from "./Stage.ts"

interface Running {
  readonly namespace: string
  readonly configFile: string
  readonly process: ChildProcess
}

const ours = fileURLToPath(new URL("../../src/programs/conntrackd.ts", import.meta.url))
const takeoverScript = fileURLToPath(new URL("../../config/primary-backup.sh", import.meta.url))
const other = process.env["CONNTRACKD_BIN"]

/** The words that start conntrackd. */
const conntrackd: ReadonlyArray<string> = other === undefined ? [process.execPath, ours] : [other]

/** Sends one request; what the daemon answers. */
const request = (
  daemon: Running,
  ...words: ReadonlyArray<string>
): Effect.Effect<string, DemoFailed> => {
  const [program, ...first] = conntrackd
  return runIn(daemon.namespace, program!, [...first, "-C", daemon.configFile, ...words])
}

const endingOf = ({ exitCode, signalCode }: ChildProcess): string | undefined => {
  if (signalCode !== null) return `signal ${signalCode}`
  return exitCode === null ? undefined : `status ${exitCode}`
}

const takeOver = (
  daemon: Running,
  directory: string,
  leaveOut: string | undefined
): Effect.Effect<Takeover, DemoFailed> =>
  Effect.gen(function*() {
    const wrapper = join(directory, "conntrackd")
    const journal = join(directory, "requests")
    const words = conntrackd.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")
    // The script tells a log about failed steps; this one tells us. Called: -C FILE REQUEST.
    const script = `#!/bin/sh
[ "$3" = "$LEAVE_OUT" ] && exit 0
begin=$(date +%s%N)
${words} "$@"
status=$?
echo "$3 $status $begin $(date +%s%N)" >> '${journal}'
exit $status
`
    writeFileSync(wrapper, script, { mode: 0o755 })
    const said = yield* runIn(daemon.namespace, "sh", [takeoverScript, "primary"], {
      env: {
        CONNTRACKD_BIN: wrapper,
        CONNTRACKD_CONFIG: daemon.configFile,
        LEAVE_OUT: leaveOut ?? "nothing"
      }
    })
    const lines = existsSync(journal) ? readFileSync(journal, "utf8").trim().split("\n") : []
    const requests = lines.map((line) => {
      const [letter = "", status, begin, end] = line.split(" ")
      const seconds = (Number(end) - Number(begin)) / 1e9
      return { letter, seconds, isDone: status === "0" }
    })
    return { requests, said }
  })

const readText = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "")

/** The lines of its log, and those that it had only for the console. */
const linesIn = (...files: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines = files.map(readText).join("")
  return [...new Set(lines.trimEnd().split("\n"))].map((line) => line || "(nothing)")
}

/** Starts the daemon inside `namespace`; it does not outlive the scope. */
export const startDaemon = (
  namespace: string,
  directory: string,
  name: string,
  own: string,
  peer: string
): Effect.Effect<Daemon, never, Scope.Scope> =>
  Effect.gen(function*() {
    const path = join(directory, name)
    const configFile = `${path}.conf`
    const consoleFile = `${path}.console`
    writeFileSync(configFile, configurationFor({ own, peer, interfaceName: "sync", path }))
    const console = openSync(consoleFile, "a")
    const [program, ...words] = conntrackd
    const process = yield* startIn(namespace, program!, [...words, "-C", configFile], [
      "ignore",
      console,
      console
    ])
    const running = { namespace, configFile, process }
    return {
      answers: awaitAnswer(request(running, "-s"), () => endingOf(process)),
      request: (word) => request(running, word),
      kill: kill(process),
      takeOver: (leaveOut) => takeOver(running, directory, leaveOut),
      log: () => linesIn(`${path}.log`, consoleFile)
    }
  })
