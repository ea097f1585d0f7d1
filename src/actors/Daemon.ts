/**
 * Puts the actors together. The only export that programs and the simulator need; they differ in
 * the platform they provide and in nothing else.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogTexts from "../core/text/LogTexts.ts"
import { ControlSocket } from "../layers/ControlSocket.ts"
import { Interfaces } from "../layers/Interfaces.ts"
import { KernelEvents } from "../layers/KernelEvents.ts"
import type { KernelTableError } from "../layers/KernelTable.ts"
import { KernelTable } from "../layers/KernelTable.ts"
import { Links } from "../layers/Links.ts"
import { LogSink } from "../layers/LogSink.ts"
import { ServiceManager } from "../layers/ServiceManager.ts"
import { Supervisor } from "../layers/Supervisor.ts"
import { Committer } from "./Committer.ts"
import { Control } from "./Control.ts"
import type { OverrunResync } from "./Ingest.ts"
import { ingest } from "./Ingest.ts"
import { readTable, repair } from "./KernelResync.ts"
import { linkReceiver } from "./LinkReceiver.ts"
import { linkWatch } from "./LinkWatch.ts"
import { reopening } from "./Reopening.ts"
import type { Replica, ReplicaSettings } from "./Replica.ts"
import { make } from "./Replica.ts"
import { say } from "./Say.ts"
import { sync, syncTimer } from "./Sync.ts"
import { watchdog } from "./Watchdog.ts"

/** What the daemon needs from the world. */
export type Platform =
  | KernelEvents
  | KernelTable
  | Links
  | Interfaces
  | ControlSocket
  | ServiceManager
  | LogSink
  | Supervisor

/** A running daemon. */
export class Daemon extends Context.Service<Daemon, {
  /** Succeeds when a client asks the daemon to stop; fails when an actor does. */
  readonly ended: Effect.Effect<void, unknown>
  /** A read-only window for tests and the simulator's judge. */
  readonly replica: Replica
}>()("conntrackd/actors/Daemon") {}

/** The kernel's table could not be read at the start. Upstream's words. */
const cannotRead = (error: KernelTableError): Effect.Effect<void> =>
  Effect.logError(`can't get kernel conntrack table: ${error.message}`)

const bufferTexts = (settings: ReplicaSettings, bytes: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { netlinkBufferBytes, netlinkBufferMaxBytes } = settings.general
    if (netlinkBufferBytes === 0 || netlinkBufferBytes > netlinkBufferMaxBytes) {
      yield* say(LogTexts.bufferSizeDefault)
    }
    yield* say(LogTexts.bufferSizeSet(bytes))
  })

/**
 * After an overrun the socket still holds events from before the loss. By then they have been read;
 * read during a resync, or after, they would bring back what it has repaired.
 */
const drainMs = 1_000
/** Overruns that go on do not postpone a resync for ever; then another follows it. */
const drainMaxMs = 10_000

/**
 * Runs one kernel resync at a time; a further overrun while one is scheduled or runs asks for one
 * more.
 */
const overrunResync = (
  replica: Replica,
  kernel: KernelTable["Service"],
  supervisor: Supervisor["Service"]
): OverrunResync => {
  const delaySeconds = replica.settings.general.netlinkOverrunResyncSeconds
  let isScheduled = false
  let drainedMs = 0
  let isRunning = false
  let isAskedAgain = false
  const run: Effect.Effect<void> = Effect.suspend(() => {
    if (isRunning) {
      isAskedAgain = true
      return Effect.void
    }
    isRunning = true
    replica.runtime.kernelResyncs++
    let isFirst = true
    const attempt = Effect.tapError(repair(replica, kernel), (error) => {
      if (!isFirst) return Effect.void
      isFirst = false
      return Effect.logWarning(`the kernel resync failed and is tried again: ${error.message}`)
    })
    return Effect.retry(attempt, { schedule: reopening }).pipe(
      Effect.orDie,
      Effect.ensuring(Effect.sync(() => (isRunning = false))),
      Effect.andThen(Effect.suspend(() => {
        if (!isAskedAgain) return Effect.void
        isAskedAgain = false
        return run
      }))
    )
  })
  const drain = (untilMs: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const leftMs = Math.min(drainedMs, untilMs) - replica.nowMs()
      return leftMs <= 0 ? Effect.void : Effect.andThen(Effect.sleep(leftMs), drain(untilMs))
    })
  const scheduled = (delayMs: number): Effect.Effect<void> =>
    Effect.gen(function*() {
      for (;;) {
        yield* Effect.sleep(delayMs)
        yield* drain(replica.nowMs() + drainMaxMs)
        if (drainedMs <= replica.nowMs()) break
        yield* run
      }
      isScheduled = false
      yield* run
    })
  return {
    later: Effect.suspend(() => {
      if (delaySeconds === undefined) return Effect.void
      drainedMs = replica.nowMs() + drainMs
      if (isScheduled) return Effect.void
      isScheduled = true
      return supervisor.start("kernel resync", scheduled(delaySeconds * 1_000))
    }),
    now: supervisor.start("kernel resync", run)
  }
}

/** `watch` sees the daemon's state before anything has been read or sent. */
export const layer = (
  settings: ReplicaSettings,
  mode: "console" | "daemon",
  watch?: (replica: Replica) => void
): Layer.Layer<Daemon, KernelTableError, Platform> =>
  Layer.effect(
    Daemon,
    Effect.gen(function*() {
      const kernel = yield* KernelTable
      const events = yield* KernelEvents
      const links = yield* Links
      const interfaces = yield* Interfaces
      const socket = yield* ControlSocket
      const manager = yield* ServiceManager
      const log = yield* LogSink
      const supervisor = yield* Supervisor

      const replica = yield* make(settings, links)
      watch?.(replica)
      const committer = new Committer(replica, kernel, log)
      const stop = yield* Deferred.make<void>()
      const control = new Control({
        replica,
        kernel,
        events,
        interfaces,
        committer,
        supervisor,
        stop
      })

      // The event socket is open already: what happens while the table is read is not lost.
      yield* Effect.tapError(readTable(replica, kernel), cannotRead)
      yield* bufferTexts(settings, events.bufferBytes())

      const resync = overrunResync(replica, kernel, supervisor)
      yield* supervisor.start("event", ingest(replica, events, kernel, resync))
      yield* supervisor.start("sync", sync(replica))
      yield* supervisor.start("sync timer", syncTimer(replica))
      for (let i = 0; i < links.length; i++) {
        yield* supervisor.start(`link ${links[i]!.interfaceName}`, linkReceiver(replica, i))
      }
      yield* supervisor.start("link watch", linkWatch(replica, interfaces))
      yield* supervisor.start("control", control.serve(socket))
      yield* supervisor.start("watchdog", watchdog(replica, manager))
      yield* say(LogTexts.initializationCompleted)
      yield* say(mode === "daemon" ? LogTexts.startingDaemon : LogTexts.startingConsole)
      yield* manager.ready
      if (settings.sync.startupResync) {
        replica.protocol.requestResync()
        replica.work.openUnsafe()
      }

      yield* Effect.addFinalizer(() => manager.stopping)
      return Daemon.of({
        replica,
        ended: Effect.raceFirst(Deferred.await(stop), supervisor.join)
      })
    })
  )
