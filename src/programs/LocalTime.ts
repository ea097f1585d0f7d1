/**
 * The wall clock as log lines show it. A calendar needs the time zone of the process, so this is
 * one of two places where dates are made.
 * @effect-diagnostics globalDate:off
 */
import type { LocalTime } from "../core/text/LogLine.ts"

/** `date` in the time zone of the process. */
export const localTimeOf = (date: Date): LocalTime => ({
  year: date.getFullYear(),
  month: date.getMonth(),
  day: date.getDate(),
  weekday: date.getDay(),
  hours: date.getHours(),
  minutes: date.getMinutes(),
  seconds: date.getSeconds()
})

/** A moment in milliseconds since the epoch, in the time zone of the process. */
export const localTimeAt = (millis: number): LocalTime => localTimeOf(new Date(millis))
