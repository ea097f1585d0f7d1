/** The wall clock as log lines show it. */
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
