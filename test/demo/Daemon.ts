/**
 * The conntrackd of one firewall, as its administrator sees it: a configuration file, a process,
 * requests, a log.
 *
 * `CONNTRACKD_BIN` names another conntrackd to show, the C one for example.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { existsSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { DemoFailed, runIn, startIn } from "./Command.ts"

export interface Daemon {
  readonly namespace: string
  readonly configFile: string
  readonly logFile: string
  readonly consoleFile: string
  readonly process: ChildProcess
}

const ours = fileURLToPath(new URL("../../src/programs/conntrackd.ts", import.meta.url))
const takeoverScript = fileURLToPath(new URL("../../config/primary-backup.sh", import.meta.url))
const other = process.env["CONNTRACKD_BIN"]

/** The words that start conntrackd. */
const conntrackd: ReadonlyArray<string> = other === undefined ? [process.execPath, ours] : [other]

const configuration = (directory: string, name: string, own: string, peer: string): string => `
Sync {
  Mode FTFW {
  }
  UDP {
    IPv4_address ${own}
    IPv4_Destination_Address ${peer}
    Port 3780
    Interface sync
  }
}
General {
  HashSize 32768
  HashLimit 131072
  NetlinkBufferSize 2097152
  NetlinkBufferSizeMaxGrowth 8388608
  LogFile ${join(directory, `${name}.log`)}
  LockFile ${join(directory, `${name}.lock`)}
  UNIX {
    Path ${join(directory, `${name}.ctl`)}
  }
}
`

/** Starts the daemon inside `namespace`; it does not outlive the scope. */
export const startDaemon = (
  namespace: string,
  directory: string,
  name: string,
  own: string,
  peer: string
): Effect.Effect<Daemon, DemoFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const configFile = join(directory, `${name}.conf`)
    const consoleFile = join(directory, `${name}.console`)
    writeFileSync(configFile, configuration(directory, name, own, peer))
    const console = openSync(consoleFile, "a")
    const [program, ...words] = conntrackd
    const process = yield* startIn(namespace, program!, [...words, "-C", configFile], [
      "ignore",
      console,
      console
    ])
    const logFile = join(directory, `${name}.log`)
    return { namespace, configFile, logFile, consoleFile, process }
  })

/** Sends one request; what the daemon answers. */
export const request = (
  daemon: Daemon,
  ...words: ReadonlyArray<string>
): Effect.Effect<string, DemoFailed> => {
  const [program, ...first] = conntrackd
  return runIn(daemon.namespace, program!, [...first, "-C", daemon.configFile, ...words])
}

const startMaxMs = 20_000

/** Resolves when the daemon answers. */
export const answers = (daemon: Daemon): Effect.Effect<void, DemoFailed> =>
  Effect.gen(function*() {
    const deadline = performance.now() + startMaxMs
    for (;;) {
      const { exitCode, signalCode } = daemon.process
      if (exitCode !== null || signalCode !== null) {
        const why = exitCode === null ? `signal ${signalCode}` : `status ${exitCode}`
        return yield* new DemoFailed({ message: `the daemon ended at its start with ${why}` })
      }
      const asked = yield* Effect.result(request(daemon, "-s"))
      if (asked._tag === "Success") return
      if (performance.now() > deadline) return yield* asked.failure
      yield* Effect.sleep(50)
    }
  })

/** How many entries the external cache has, by the statistics. */
export const externalEntries = (daemon: Daemon): Effect.Effect<number, DemoFailed> =>
  Effect.map(request(daemon, "-s"), (text) => {
    const found = /cache external:\s+current active connections:\s+(\d+)/.exec(text)
    return Number(found?.[1] ?? 0)
  })

/** Server ports of the established TCP connections in the external cache, by its dump. */
export const establishedPorts = (
  daemon: Daemon
): Effect.Effect<ReadonlyArray<number>, DemoFailed> =>
  Effect.map(
    request(daemon, "-e"),
    (text) =>
      [...text.matchAll(/^tcp\s+6 .*?ESTABLISHED .*?dport=(\d+)/gm)].map((match) =>
        Number(match[1])
      )
  )

export interface Takeover {
  /** What was asked of the daemon, with the seconds it took. */
  readonly requests: ReadonlyArray<{ readonly letter: string; readonly seconds: number }>
}

/**
 * Runs the script that keepalived runs on the new primary. `leaveOut` is a request that does not
 * reach the daemon: `-c` for the counter-proof.
 */
export const takeOver = (
  daemon: Daemon,
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
      return { letter, status, seconds: (Number(end) - Number(begin)) / 1e9 }
    })
    const refused = requests.filter((each) => each.status !== "0").map((each) => each.letter)
    if (refused.length > 0 || requests.length === 0) {
      const message = `primary-backup.sh: ${refused.join(", ") || "nothing"} was not done: ${said}`
      return yield* new DemoFailed({ message })
    }
    return { requests }
  })

const readText = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "")

/** The lines of the daemon's log, and those that it had only for the console. */
export const logOf = (daemon: Daemon): ReadonlyArray<string> => {
  const lines = readText(daemon.logFile) + readText(daemon.consoleFile)
  return [...new Set(lines.trimEnd().split("\n"))].map((line) => line || "(nothing)")
}
