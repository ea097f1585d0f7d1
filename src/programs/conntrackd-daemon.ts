/**
 * `conntrackd` as a daemon: reads the configuration, takes the lock, opens the world and runs until
 * it is stopped.
 *
 * A Node process cannot fork, so `-d` starts a second, detached copy with the same command line;
 * the first waits until the copy is ready and passes on what it says before that.
 *
 * Source: specification, "conntrackd: command line …", sections 3, 4 and 11.
 *
 * This is the program's edge: it alone reads the environment, and puts the layers together.
 * @effect-diagnostics globalDate:off processEnv:off strictEffectProvide:off
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { spawn } from "node:child_process"
import { unlinkSync } from "node:fs"
import { resolve } from "node:path"
import { explain } from "../core/config/Diagnose.ts"
import { unsupportedMode } from "../core/config/InEffect.ts"
import type { Settings } from "../core/config/Settings.ts"
import { assertLittleEndian } from "../core/model/FlowLayout.ts"
import { formatLogLine } from "../core/text/LogLine.ts"
import * as ControlSocketUnix from "../layers/live/ControlSocketUnix.ts"
import * as LogFile from "../layers/live/LogFile.ts"
import type { NativeAddon } from "../layers/live/NativeAddon.ts"
import { loadNativeAddon } from "../layers/live/NativeAddon.ts"
import type { Surroundings } from "./Boot.ts"
import { run } from "./Boot.ts"
import { directoryExitStatus, directoryText, readConfiguration } from "./Configuration.ts"
import type { DaemonOptions } from "./DaemonMain.ts"
import { localTimeAt, localTimeOf } from "./LocalTime.ts"

/** Tells the copy that it is the copy. Its value is of no interest. */
const detachedVariable = "CONNTRACKD_DETACHED"
const umask = 0o177

const complain = (level: "warning" | "error", text: string): void => {
  process.stderr.write(formatLogLine(localTimeOf(new Date()), process.pid, level, text))
}

/** The settings, or an exit status after saying what is wrong. */
const readSettings = (path: string, isQuiet: boolean): Settings | number => {
  const configuration = readConfiguration(path)
  if (Result.isFailure(configuration)) {
    const { failure } = configuration
    if (failure.reason === "directory") {
      process.stderr.write(directoryText)
      return directoryExitStatus
    }
    for (const diagnostic of failure.diagnostics) {
      complain(diagnostic.level, diagnostic.text)
      const more = explain(diagnostic, path)
      if (more !== undefined) process.stderr.write(`${more}\n`)
    }
    return 1
  }
  const { notYetInEffect, settings, warnings } = configuration.success
  // The starter of a copy in the background has said it already.
  const said = isQuiet ? [] : [...warnings, ...notYetInEffect]
  for (const { text } of said) complain("warning", text)
  const unsupported = settings.sections.sync
    ? unsupportedMode(settings)
    : unsupportedMode(settings) ?? "the configuration has no section Sync: there is nothing to do"
  if (unsupported === undefined) return settings
  complain("error", unsupported)
  return 1
}

/**
 * Starts the copy and ends with its fate: 0 once it is ready, its own status when it gives up
 * before.
 */
const startDetached = (): Promise<number> =>
  new Promise((done) => {
    const copy = spawn(process.execPath, process.argv.slice(1), {
      detached: true,
      env: { ...process.env, [detachedVariable]: "1" },
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    copy.stderr?.pipe(process.stderr, { end: false })
    copy.once("message", () => done(0))
    // Whatever made it end, it is not running.
    copy.once("exit", (code) => done(code || 1))
    copy.once("error", (error) => {
      complain("error", `cannot start the daemon in the background: ${error.message}`)
      done(1)
    })
  })

/**
 * Signals that do not end a firewall's daemon. Node answers SIGUSR1 with a debugger that every user
 * of the machine can reach, unless somebody else handles it.
 */
const ignoreSignals = (): void => {
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) process.on(signal, () => {})
}

/** Completes when the process is asked to end. */
const stopSignal: Effect.Effect<void> = Effect.callback<void>((resume) => {
  const stop = () => resume(Effect.void)
  process.on("SIGTERM", stop)
  process.on("SIGINT", stop)
  return Effect.sync(() => {
    process.off("SIGTERM", stop)
    process.off("SIGINT", stop)
  })
})

/** The copy in the background tells its starter that it is ready, and is alone from then on. */
const announceReady = Effect.sync(() => {
  if (process.send === undefined) return
  process.send("ready", () => process.disconnect())
})

/** This machine. */
const surroundings = (addon: NativeAddon): Surroundings => ({
  addon,
  environment: {
    watchdogMicros: process.env["WATCHDOG_USEC"],
    watchdogPid: process.env["WATCHDOG_PID"],
    pid: process.pid
  },
  control: (path) =>
    path === undefined ? ControlSocketUnix.layerNone : ControlSocketUnix.layer(path),
  removeFile: (path) => {
    try {
      unlinkSync(path)
    } catch {
      // An administrator removed it.
    }
  },
  announceReady: Effect.andThen(Effect.sync(() => process.chdir("/")), announceReady),
  stopRequested: stopSignal
})

/** Runs until the daemon stops and ends the process with its status: 0 after an orderly stop. */
export const main = async (options: DaemonOptions): Promise<void> => {
  assertLittleEndian()
  ignoreSignals()
  process.umask(umask)
  const isDetached = process.env[detachedVariable] !== undefined
  const settings = readSettings(resolve(options.configFile), isDetached)
  if (typeof settings === "number") process.exit(settings)
  if (options.detach && !isDetached) process.exit(await startDetached())
  const addon = loadNativeAddon()
  const log = LogFile.layer({
    terminal: true,
    errorsOnly: isDetached,
    file: settings.general.logFile,
    pid: process.pid,
    localTimeAt
  })
  const exit = await Effect.runPromiseExit(
    run(surroundings(addon), settings, isDetached ? "daemon" : "console").pipe(Effect.provide(log))
  )
  if (Exit.isSuccess(exit)) process.exit(0)
  const failure = Cause.squash(exit.cause)
  if (failure instanceof LogFile.LogFileError) process.stderr.write(`${failure.message}\n`)
  else if (Cause.hasDies(exit.cause)) complain("error", Cause.pretty(exit.cause))
  process.exit(1)
}
