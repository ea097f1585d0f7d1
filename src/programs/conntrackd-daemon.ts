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
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { spawn } from "node:child_process"
import { resolve } from "node:path"
import { Daemon, layer as daemonLayer } from "../actors/Daemon.ts"
import { say } from "../actors/Say.ts"
import { explain } from "../core/config/Diagnose.ts"
import { unsupportedMode } from "../core/config/InEffect.ts"
import type { Settings, UnicastLinkSettings } from "../core/config/Settings.ts"
import { assertLittleEndian } from "../core/model/FlowLayout.ts"
import { errnoNumber, errnoText } from "../core/netlink/Errno.ts"
import { formatLogLine } from "../core/text/LogLine.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import type { KernelTableError } from "../layers/KernelTable.ts"
import type { LinkOpenError } from "../layers/LinkError.ts"
import * as ControlSocketUnix from "../layers/live/ControlSocketUnix.ts"
import * as InterfacesNetlink from "../layers/live/InterfacesNetlink.ts"
import * as KernelNetlink from "../layers/live/KernelNetlink.ts"
import * as LinkUdp from "../layers/live/LinkUdp.ts"
import { lockFile } from "../layers/live/LockFileNative.ts"
import * as LogFile from "../layers/live/LogFile.ts"
import type { DatagramOptions, NativeAddon } from "../layers/live/NativeAddon.ts"
import { loadNativeAddon } from "../layers/live/NativeAddon.ts"
import * as ServiceManagerSystemd from "../layers/live/ServiceManagerSystemd.ts"
import * as Supervisor from "../layers/Supervisor.ts"
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

const datagramOptions = (link: UnicastLinkSettings): DatagramOptions => ({
  family: link.family ?? 4,
  bindAddress: link.listenAddress ?? (link.family === 6 ? "::" : "0.0.0.0"),
  port: link.port,
  peerAddress: link.destinationAddress ?? (link.family === 6 ? "::" : "0.0.0.0"),
  interfaceName: link.interfaceName ?? "",
  multicast: false,
  sendBufferBytes: link.sendBufferBytes || undefined,
  receiveBufferBytes: link.receiveBufferBytes || undefined,
  checksum: link.checksum
})

/** The link that this version uses: the last one marked `Default`, else the first. */
const linksOf = (settings: Settings): ReadonlyArray<DatagramOptions> => {
  const { links } = settings.sync
  const link = links.findLast((candidate) => candidate.isDefault) ?? links[0]
  return link !== undefined && link.kind === "udp" ? [datagramOptions(link)] : []
}

const cannotOpenChannel = (error: LinkOpenError): Effect.Effect<void> =>
  Effect.gen(function*() {
    const errno = errnoNumber(error.code)
    yield* say(LogTexts.cannotOpenChannel(errno < 0 ? error.code : errnoText(errno)))
    yield* Effect.logError(error.message)
    yield* say(LogTexts.initializationFailed)
  })

/** Upstream's words when the kernel lets us not in, whichever request it refused. */
const cannotReadKernel = (error: KernelTableError): Effect.Effect<void> =>
  Effect.logError(`can't get kernel conntrack table: ${error.message}`)

const cannotStart = say(LogTexts.cannotStart)

const platform = (addon: NativeAddon, settings: Settings) => {
  const { general } = settings
  const environment = {
    watchdogMicros: process.env["WATCHDOG_USEC"],
    watchdogPid: process.env["WATCHDOG_PID"],
    pid: process.pid
  }
  const links = LinkUdp.layer(addon, linksOf(settings)).pipe(
    Layer.tapError(cannotOpenChannel)
  )
  const control = general.socketPath === undefined
    ? ControlSocketUnix.layerNone
    : ControlSocketUnix.layer(general.socketPath).pipe(
      Layer.tapError((error) => Effect.logError(`can't open unix socket! ${error.message}`))
    )
  return Layer.mergeAll(
    KernelNetlink.layer(addon, {
      bufferBytes: general.netlinkBufferBytes,
      bufferMaxBytes: general.netlinkBufferMaxBytes
    }).pipe(Layer.tapError(cannotReadKernel)),
    links,
    InterfacesNetlink.layer(addon),
    control,
    general.systemd
      ? ServiceManagerSystemd.layer(addon, environment)
      : ServiceManagerSystemd.layerNone
  )
}

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

/**
 * Real-time round-robin at the highest priority unless the file says otherwise: events must not
 * wait.
 */
const applyScheduler = (addon: NativeAddon, settings: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { policy, priority } = settings.general.scheduler
    const result = policy === undefined
      ? addon.setScheduler("rr", addon.schedulerMaxPriority("rr"))
      : addon.setScheduler(policy, priority)
    if (result >= 0) return Effect.void
    return say(LogTexts.schedulerFailed(errnoText(-result)))
  })

const run = (addon: NativeAddon, settings: Settings, isDetached: boolean) =>
  Effect.gen(function*() {
    const started = Effect.gen(function*() {
      yield* Effect.tapError(
        lockFile(addon, settings.general.lockFile),
        (error) => Effect.logError(error.message)
      )
      yield* applyScheduler(addon, settings)
      const layer = daemonLayer(settings, isDetached ? "daemon" : "console").pipe(
        // The actors end before the sockets they use.
        Layer.provide(Supervisor.layer),
        Layer.provide(platform(addon, settings))
      )
      const context = yield* Effect.tapError(Layer.build(layer), () => cannotStart)
      process.chdir("/")
      yield* announceReady
      return yield* Daemon.pipe(Effect.provide(context))
    })
    // A large kernel table takes a while to read: a daemon may be stopped before it is ready.
    yield* Effect.scoped(
      Effect.raceFirst(stopSignal, Effect.flatMap(started, (daemon) => daemon.ended))
    )
    yield* say(LogTexts.shutdownReceived)
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
    run(addon, settings, isDetached).pipe(Effect.provide(log))
  )
  if (Exit.isSuccess(exit)) process.exit(0)
  const failure = Cause.squash(exit.cause)
  if (failure instanceof LogFile.LogFileError) process.stderr.write(`${failure.message}\n`)
  else if (Cause.hasDies(exit.cause)) complain("error", Cause.pretty(exit.cause))
  process.exit(1)
}
