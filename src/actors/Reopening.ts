/**
 * How an actor lives with a source that fails: it opens it again, at once, then ever slower, at
 * most every five seconds.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

const firstDelayMs = 100
const longestDelayMs = 5_000

/** Between attempts to open what cannot be opened. */
export const reopening = Schedule.min([
  Schedule.exponential(`${firstDelayMs} millis`),
  Schedule.spaced(`${longestDelayMs} millis`)
]).pipe(Schedule.jittered)

export interface Reopened<E, E2> {
  /** Reads once. */
  readonly turn: Effect.Effect<void, E>
  readonly reopen: Effect.Effect<void, E2>
  /** The source failed, and had not just failed before. */
  readonly failed: (error: E) => Effect.Effect<void>
  /** It is open again, whatever it then does. */
  readonly opened: Effect.Effect<void>
}

/**
 * Takes turns for ever. A source that opens and fails again without a turn in between is opened
 * ever slower, and `failed` is not called again for it.
 */
export const reopenedForEver = <E, E2>(source: Reopened<E, E2>): Effect.Effect<never> =>
  Effect.suspend(() => {
    let failures = 0
    const turn = Effect.map(source.turn, () => {
      failures = 0
    })
    const pause = Effect.suspend(() => {
      const delayMs = Math.min(firstDelayMs * 2 ** Math.min(failures - 1, 10), longestDelayMs)
      return failures === 0
        ? Effect.void
        : Effect.flatMap(Random.nextBetween(0.8, 1.2), (jitter) => Effect.sleep(delayMs * jitter))
    })
    const open = Effect.retry(source.reopen, { schedule: reopening }).pipe(Effect.orDie)
    return Effect.forever(turn).pipe(
      Effect.catch((error: E) =>
        (failures === 0 ? source.failed(error) : Effect.void).pipe(
          Effect.andThen(pause),
          Effect.andThen(Effect.sync(() => {
            failures++
          })),
          Effect.andThen(open),
          Effect.andThen(source.opened)
        )
      ),
      Effect.forever
    )
  })
