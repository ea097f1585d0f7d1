/** Waiting by the clock of whoever waits: the machine's own, or that of a simulated world. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds since some moment in the past. */
export const nowMs: Effect.Effect<number> = Effect.map(
  Clock.Clock,
  (clock) => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
)

const pollMs = 25

/**
 * Resolves with true as soon as `isDone`, with false after `maxMs`. `meanwhile` sees every round.
 */
export const waitUntil = (
  isDone: () => boolean,
  maxMs: number,
  meanwhile: () => void = () => {}
): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const deadline = (yield* nowMs) + maxMs
    for (;;) {
      meanwhile()
      if (isDone()) return true
      if ((yield* nowMs) > deadline) return false
      yield* Effect.sleep(pollMs)
    }
  })
