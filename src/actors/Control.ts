/**
 * Answers the command-line client. One scoped fiber per client, so that a slow one delays nobody
 * but itself.
 *
 * Source: specification, "conntrackd: command line …", sections 7 and 8; "The synchronisation
 * engines", section 15.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { Request } from "../core/control/Request.ts"
import { formatCachedFlow } from "../core/text/FormatFlow.ts"
import { formatFlowXml } from "../core/text/FormatFlowXml.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import type { ControlClient, ControlSocket } from "../layers/ControlSocket.ts"
import { ClientGone } from "../layers/ControlSocket.ts"
import type { Interfaces } from "../layers/Interfaces.ts"
import type { KernelEvents } from "../layers/KernelEvents.ts"
import type { KernelTable, KernelTableError } from "../layers/KernelTable.ts"
import type { Supervisor } from "../layers/Supervisor.ts"
import type { Committer } from "./Committer.ts"
import { flushKernel } from "./KernelFlush.ts"
import { forgetGone, readTable } from "./KernelResync.ts"
import type { Replica } from "./Replica.ts"
import { say } from "./Say.ts"
import * as Statistics from "./Statistics.ts"
import { startBulk } from "./Sync.ts"

export interface ControlParts {
  readonly replica: Replica
  readonly kernel: KernelTable["Service"]
  readonly events: KernelEvents["Service"]
  readonly interfaces: Interfaces["Service"]
  readonly committer: Committer
  readonly supervisor: Supervisor["Service"]
  /** Completed by a stop request. */
  readonly stop: Deferred.Deferred<void>
}

/** Clients served at a time; others wait. */
const clientsMax = 64
/**
 * A client that reads nothing for this long is dropped. Generous, for people with a pager; but
 * forgotten clients must not add up until nobody can ask for a commit.
 */
const writeTimeoutMs = 600_000
/** Lines of a dump written at a time. */
const dumpLines = 256
/** By then the events that were on their way during a flush of the kernel have been read. */
const flushCheckMs = 1_000
/** Slots of a flush step. */
const flushSlots = 4_096

const write = (client: ControlClient, text: string): Effect.Effect<void, ClientGone> =>
  Effect.timeoutOrElse(client.write(text), {
    duration: writeTimeoutMs,
    orElse: () => Effect.fail(new ClientGone({}))
  })

type Cache = Replica["internal"] | Replica["external"]

export class Control {
  readonly #parts: ControlParts
  /** The flush that `-t` scheduled, until it is due; completed when it is cancelled. */
  #purge: Deferred.Deferred<void> | undefined
  /** The same once it is due, until it is done or cancelled. */
  #duePurge: Deferred.Deferred<void> | undefined
  /** What a commit restores, a flush of the kernel's table must not take away: one at a time. */
  readonly #tableTurn = Semaphore.makeUnsafe(1)

  /** A check after a flush of the kernel's table is due. */
  #isCheckDue = false

  constructor(parts: ControlParts) {
    this.#parts = parts
  }

  /** Accepts clients for ever. */
  serve(socket: ControlSocket["Service"]): Effect.Effect<never> {
    const one = Effect.scoped(Effect.flatMap(socket.accept, (client) => this.#serveOne(client)))
    return Effect.forever(one).pipe(
      Effect.replicate(clientsMax),
      (workers) => Effect.all(workers, { concurrency: "unbounded", discard: true }),
      Effect.andThen(Effect.never)
    )
  }

  #serveOne(client: ControlClient): Effect.Effect<void> {
    const { runtime } = this.#parts.replica
    return client.request.pipe(
      Effect.tapError(() => Effect.sync(() => runtime.localReadFailed++)),
      Effect.flatMap((code) => this.#answer(client, code)),
      Effect.catchTag("ClientGone", () => Effect.void)
    )
  }

  #answer(client: ControlClient, code: number): Effect.Effect<void, ClientGone> {
    const { committer, events, interfaces, replica, stop } = this.#parts
    const reply = (text: string) => write(client, text)
    switch (code) {
      case Request.stats:
        return reply(Statistics.general(replica))
      case Request.statsNetwork:
        return reply(Statistics.network(replica))
      case Request.statsCache:
        return reply(Statistics.cache(replica))
      case Request.statsRuntime:
        return reply(Statistics.runtime(replica, events))
      case Request.statsLink:
        return reply(Statistics.links(replica, interfaces))
      case Request.statsQueue:
        return reply(Statistics.queues(replica))
      case Request.statsResendQueue:
        return reply(Statistics.resendQueue(replica))
      case Request.dumpInternal:
        return this.#dump(client, replica.internal, false)
      case Request.dumpInternalXml:
        return this.#dump(client, replica.internal, true)
      case Request.dumpExternal:
        return this.#dump(client, replica.external, false)
      case Request.dumpExternalXml:
        return this.#dump(client, replica.external, true)
      case Request.commit:
        return this.#commit(LogTexts.committingAll)
      case Request.commitFlows:
        return this.#commit(LogTexts.committingFlows)
      case Request.flushCaches:
      case Request.flushFlowCaches:
        return committer.isRunning ? this.#refuseFlush() : Effect.gen({ self: this }, function*() {
          yield* this.#cancelPurge()
          yield* say(LogTexts.flushingCaches)
          yield* this.#flush(replica.internal)
          yield* this.#flush(replica.external)
        })
      case Request.flushInternal:
        return Effect.gen({ self: this }, function*() {
          yield* this.#cancelPurge()
          yield* say(LogTexts.flushingInternal)
          yield* this.#flush(replica.internal)
        })
      case Request.flushExternal:
        return committer.isRunning ? this.#refuseFlush() : Effect.andThen(
          say(LogTexts.flushingExternal),
          this.#flush(replica.external)
        )
      case Request.flushKernel:
      case Request.flushKernelFlows:
        return this.#flushKernel(LogTexts.flushingKernelFlows)
      case Request.resyncKernel:
      case Request.resyncKernelFlows:
        replica.runtime.kernelResyncs++
        return say(LogTexts.resyncKernelFlows).pipe(
          Effect.andThen(this.#reporting(readTable(replica, this.#parts.kernel)))
        )
      case Request.sendBulk:
        return startBulk(replica)
      case Request.requestResync:
        return Effect.suspend(() => {
          replica.protocol.requestResync()
          replica.work.openUnsafe()
          return Effect.void
        })
      case Request.purge:
        return this.#schedulePurge()
      case Request.kill:
        // The connection stays open until the daemon is gone, which is what the client waits for.
        return Effect.andThen(Deferred.succeed(stop, undefined), Effect.never)
      default:
        return Effect.void
    }
  }

  #dump(client: ControlClient, cache: Cache, xml: boolean): Effect.Effect<void, ClientGone> {
    const { replica } = this.#parts
    const { table } = cache
    const isDead = (slot: number) => cache === replica.internal && replica.internal.isDead(slot)
    return Effect.gen(function*() {
      const clock = yield* Clock.Clock
      for (let slot = 0; slot < table.slotsHigh;) {
        const wallSeconds = Math.floor(clock.currentTimeMillisUnsafe() / 1_000)
        const nowSeconds = replica.nowSeconds()
        let text = ""
        for (let lines = 0; lines < dumpLines && slot < table.slotsHigh; slot++) {
          if (!cache.holds(slot) || isDead(slot)) continue
          table.view(slot, replica.view)
          text += xml
            ? formatFlowXml(replica.view, { timeout: false, wallSeconds }) + "\n"
            : formatCachedFlow(replica.view, { nowSeconds, wallSeconds })
          lines++
        }
        if (text !== "") yield* write(client, text)
        yield* Effect.yieldNow
      }
    })
  }

  #commit(announcement: LogTexts.LogText): Effect.Effect<void> {
    const { committer } = this.#parts
    // Once more: somebody may have scheduled one while a flush had the table.
    const commit = Effect.suspend(() => this.#cancelPurge()).pipe(
      Effect.andThen(say(announcement)),
      Effect.andThen(Effect.suspend(() => committer.commit()))
    )
    return Effect.andThen(
      this.#cancelPurge(),
      // A second request is told so at once.
      Effect.suspend(() => committer.isRunning ? commit : this.#tableTurn.withPermit(commit))
    )
  }

  #refuseFlush(): Effect.Effect<void> {
    return say(LogTexts.flushRefused)
  }

  #flush(cache: Cache): Effect.Effect<void> {
    return Effect.gen(function*() {
      for (let from = 0; from >= 0;) {
        from = cache.flushStep(from, flushSlots)
        yield* Effect.yieldNow
      }
    })
  }

  #flushKernel(announcement: LogTexts.LogText, isWanted = () => true): Effect.Effect<void> {
    const { kernel, replica } = this.#parts
    replica.runtime.flushes++
    const flush = this.#reporting(flushKernel(replica, kernel, isWanted))
    return say(announcement).pipe(
      Effect.andThen(this.#tableTurn.withPermit(flush)),
      Effect.andThen(this.#checkFlush())
    )
  }

  #checkFlush(): Effect.Effect<void> {
    const { kernel, replica, supervisor } = this.#parts
    return Effect.suspend(() => {
      if (this.#isCheckDue) return Effect.void
      this.#isCheckDue = true
      const check = Effect.suspend(() => {
        this.#isCheckDue = false
        return this.#reporting(forgetGone(replica, kernel))
      })
      return supervisor.start("flush check", Effect.delay(check, flushCheckMs))
    })
  }

  #reporting(effect: Effect.Effect<void, KernelTableError>): Effect.Effect<void> {
    return Effect.catchTag(effect, "KernelTableError", (error) => Effect.logError(error.message))
  }

  #schedulePurge(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (this.#purge !== undefined) return
      const seconds = this.#parts.replica.settings.sync.purgeTimeoutSeconds
      const cancelled = Deferred.makeUnsafe<void>()
      this.#purge = cancelled
      yield* say(LogTexts.purgeScheduled(seconds))
      const purge = Effect.gen({ self: this }, function*() {
        yield* Effect.timeoutOption(Deferred.await(cancelled), seconds * 1_000)
        if (this.#purge !== cancelled) return
        this.#purge = undefined
        this.#duePurge = cancelled
        const isWanted = () => this.#duePurge === cancelled
        yield* this.#flushKernel(LogTexts.flushingKernelScheduled, isWanted)
        if (isWanted()) yield* this.#flush(this.#parts.replica.internal)
      })
      yield* this.#parts.supervisor.start("purge", purge)
    })
  }

  #cancelPurge(): Effect.Effect<void> {
    const purge = this.#purge
    this.#purge = undefined
    this.#duePurge = undefined
    return purge === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(purge, undefined))
  }
}
