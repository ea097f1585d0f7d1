/**
 * Lines of the log file and the terminal: `[Mon Nov 23 15:51:03 2026] (pid=18311) [notice] text`.
 *
 * Source: specification, "Command line, life cycle …", sections 10.1 to 10.3.
 */

export type LogLevel = "info" | "notice" | "warning" | "error"

/** A moment as a calendar and a wall clock show it, in the local time zone. */
export interface LocalTime {
  readonly year: number
  /** 0 January. */
  readonly month: number
  readonly day: number
  /** 0 Sunday. */
  readonly weekday: number
  readonly hours: number
  readonly minutes: number
  readonly seconds: number
}

const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const
const months = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec"
] as const

const twoDigits = (n: number): string => n < 10 ? `0${n}` : String(n)

/** As C's `ctime`, without the line feed: the day of the month is padded with a blank. */
export const formatCtime = (time: LocalTime): string => {
  const day = String(time.day).padStart(2)
  const clock = `${twoDigits(time.hours)}:${twoDigits(time.minutes)}:${twoDigits(time.seconds)}`
  return `${weekdays[time.weekday]} ${months[time.month]} ${day} ${clock} ${time.year}`
}

const levelWords: { readonly [Level in LogLevel]: string } = {
  info: "info",
  notice: "notice",
  warning: "warning",
  error: "ERROR"
}

/** With its line feed. */
export const formatLogLine = (
  time: LocalTime,
  pid: number,
  level: LogLevel,
  text: string
): string => `[${formatCtime(time)}] (pid=${pid}) [${levelWords[level]}] ${text}\n`

/** A flow or expectation in a log: without prefix, after the time and a tab. With its line feed. */
export const formatEntryLine = (time: LocalTime, entry: string): string =>
  `${formatCtime(time)}\t${entry}\n`

/** Lines of this level go to standard error, the others to standard output. */
export const goesToStderr = (level: LogLevel): boolean => level === "warning" || level === "error"
