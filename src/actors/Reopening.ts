/**
 * How fast an actor tries again to open what went away: at once, then ever slower, at most every
 * five seconds.
 */
import * as Schedule from "effect/Schedule"

export const reopening = Schedule.min([
  Schedule.exponential("100 millis"),
  Schedule.spaced("5 seconds")
]).pipe(Schedule.jittered)
