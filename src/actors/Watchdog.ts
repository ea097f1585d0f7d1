/** Pings the service manager, but only while the daemon gets on with its work. */
import * as Effect from "effect/Effect"
import type { ServiceManager } from "../layers/ServiceManager.ts"
import type { Replica } from "./Replica.ts"

/** The sender has something to do every second; it is stuck when it did nothing for this long. */
const syncSilenceMaxMs = 5_000
/** A batch of events takes milliseconds. */
const ingestTurnMaxMs = 5_000

/** Whether the actors that matter made progress lately. */
export const isAlive = ({ nowMs, progress }: Replica): boolean => {
  const now = nowMs()
  const ingestMs = progress.ingestSinceMs === 0 ? 0 : now - progress.ingestSinceMs
  return now - progress.syncMs < syncSilenceMaxMs && ingestMs < ingestTurnMaxMs
}

/** Pings; says once that it does not, and once that it does again. */
export const watchdog = (
  replica: Replica,
  manager: ServiceManager["Service"]
): Effect.Effect<never> => {
  let isStuck = false
  const look = Effect.suspend(() => {
    const wasStuck = isStuck
    isStuck = !isAlive(replica)
    if (!isStuck) {
      return wasStuck
        ? Effect.andThen(Effect.logInfo("the daemon makes progress again"), manager.ping)
        : manager.ping
    }
    return wasStuck ? Effect.void : Effect.logError(
      "the daemon makes no progress; the service manager is not told that it lives"
    )
  })
  return Number.isFinite(manager.pingIntervalMs)
    ? Effect.forever(Effect.delay(look, manager.pingIntervalMs))
    : Effect.never
}
