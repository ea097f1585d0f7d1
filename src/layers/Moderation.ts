/**
 * When to read a socket: at once while little happens, in pauses while much does.
 *
 * Waking up costs far more than handling an event. While a socket wakes us fewer than a thousand
 * times a second each item is handled as it comes, since latency is what counts there; so is what a
 * peer sends that makes such pauses itself. Above, the socket is drained every few milliseconds
 * until it is calm again or three drains in a row found nothing. A drain that filled its buffer is
 * followed by the next without a pause.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Wake-ups per second above which pauses begin, items per second below which they end. */
const busyRate = 1_000
/** Items per second above which the pauses are long. */
const veryBusyRate = 20_000
/**
 * On average an item waits half of it; C conntrackd takes 0.6 to 2 ms, and we may take 2 ms longer.
 */
const shortPauseMs = 4
const longPauseMs = 5
/** Length of a measurement. */
const rateWindowMs = 25
const emptyDrainsMax = 3
/** A pause may fill this part of the socket's room at the rate measured; bursts need the rest. */
const roomShare = 0.25

export interface Source {
  /** Waits until there is something to read. */
  readonly readable: Effect.Effect<void>
  /**
   * Reads what is there, without waiting: the number of items, 0 for none. Negative: something to
   * report.
   */
  readonly drain: () => number
  /** A drain of this many items filled the buffer: there is more. */
  readonly drainMax: number
  /** How many items the socket can hold while nobody reads. */
  readonly roomItems: () => number
}

/**
 * An effect that waits for items and says how many it drained (never 0). Each call of this function
 * has its own pace.
 */
export const moderated = (source: Source): Effect.Effect<number> => {
  let windowStartMs = 0
  let windowItems = 0
  let windowDrains = 0
  let pauseMs = 0
  let wasFull = false

  const measure = (nowMs: number, items: number): void => {
    windowItems += items
    windowDrains++
    const elapsedMs = nowMs - windowStartMs
    if (elapsedMs < rateWindowMs) return
    // Once there are pauses, drains say nothing of how often we would be woken without.
    const busyness = pauseMs > 0 ? windowItems : windowDrains
    const rate = (windowItems * 1_000) / elapsedMs
    const isBusy = (busyness * 1_000) / elapsedMs >= busyRate
    const wantedMs = rate < veryBusyRate ? shortPauseMs : longPauseMs
    const affordableMs = (source.roomItems() * roomShare * 1_000) / rate
    pauseMs = isBusy ? Math.floor(Math.min(wantedMs, affordableMs)) : 0
    windowStartMs = nowMs
    windowItems = 0
    windowDrains = 0
  }

  // Plain effects, not a generator: this runs at every wake-up, mostly in cold code.
  let emptyDrains = 0
  const read = (clock: Clock.Clock): Effect.Effect<number> => {
    const items = source.drain()
    if (items !== 0) {
      measure(Number(clock.monotonicTimeNanosUnsafe()) / 1e6, Math.abs(items))
      wasFull = items >= source.drainMax
      return Effect.succeed(items)
    }
    wasFull = false
    emptyDrains++
    const isPaced = pauseMs > 0 && emptyDrains < emptyDrainsMax
    if (!isPaced) pauseMs = 0
    const wait = isPaced ? Effect.sleep(pauseMs) : source.readable
    return Effect.flatMap(wait, () => read(clock))
  }
  return Effect.flatMap(Clock.Clock, (clock) => {
    emptyDrains = 0
    // A full buffer must not starve the others: they get their turn, but no time passes.
    if (wasFull) return Effect.flatMap(Effect.yieldNow, () => read(clock))
    return pauseMs > 0 ? Effect.flatMap(Effect.sleep(pauseMs), () => read(clock)) : read(clock)
  })
}
