/**
 * The daemon's log: lines in upstream's format to the terminal and to a file.
 *
 * Effect's "info" is upstream's "notice". A file is appended to and flushed line by line.
 *
 * Source: specification, "conntrackd: command line …", section 10.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { closeSync, openSync, writeSync } from "node:fs"
import { errnoNumber, errnoText } from "../../core/netlink/Errno.ts"
import type { LocalTime, LogLevel } from "../../core/text/LogLine.ts"
import { formatEntryLine, formatLogLine, goesToStderr } from "../../core/text/LogLine.ts"
import { LogSink } from "../LogSink.ts"

/** Upstream's words, without prefix. Source: specification, "conntrackd.conf", section 9. */
export class LogFileError extends Schema.TaggedError<LogFileError>()("LogFileError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `ERROR: can't open logfile \`${this.path}'.Reason: ${this.reason}`
  }
}

/** The C library's text for the error, as upstream prints it. */
const reasonOf = ({ code, message }: NodeJS.ErrnoException): string => {
  const errno = errnoNumber(code ?? "")
  return errno < 0 ? code ?? message : errnoText(errno)
}

const levelOf = (level: string): LogLevel => {
  switch (level) {
    case "Fatal":
    case "Error":
      return "error"
    case "Warn":
      return "warning"
    case "Info":
      return "notice"
    default:
      return "info"
  }
}

const textOf = (message: unknown): string =>
  Array.isArray(message) ? message.map(textOf).join(" ") : String(message)

export interface LogOptions {
  /** Lines also go to the terminal. */
  readonly terminal: boolean
  /** Of those, only warnings and errors: a daemon in the background, until it has detached. */
  readonly errorsOnly: boolean
  readonly file: string | undefined
  readonly pid: number
  /** A moment in milliseconds since the epoch, as the machine's calendar and clock show it. */
  readonly localTimeAt: (millis: number) => LocalTime
}

/** Writes to a descriptor; a full or vanished terminal does not stop the daemon. */
const writeQuietly = (fd: number, line: string): void => {
  try {
    writeSync(fd, line)
  } catch {
    // There is nobody left to tell.
  }
}

/** Replaces Effect's own loggers and provides the sink for flow lines. */
export const layer = (options: LogOptions): Layer.Layer<LogSink, LogFileError> =>
  Layer.unwrap(Effect.gen(function*() {
    const { errorsOnly, file, localTimeAt, pid, terminal } = options
    const fd = file === undefined ? undefined : yield* Effect.acquireRelease(
      Effect.try({
        try: () => openSync(file, "a", 0o600),
        catch: (cause) =>
          new LogFileError({ path: file, reason: reasonOf(cause as NodeJS.ErrnoException) })
      }),
      (opened) => Effect.sync(() => closeSync(opened))
    )
    const logger = Logger.make(({ cause, date, logLevel, message }) => {
      const level = levelOf(logLevel)
      const reason = cause.reasons.length === 0 ? "" : `: ${Cause.pretty(cause)}`
      const line = formatLogLine(localTimeAt(date.getTime()), pid, level, textOf(message) + reason)
      const isError = goesToStderr(level)
      if (terminal && (isError || !errorsOnly)) writeQuietly(isError ? 2 : 1, line)
      if (fd !== undefined) writeQuietly(fd, line)
    })
    const sink = Layer.succeed(
      LogSink,
      LogSink.of({
        flow: (text) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            if (fd !== undefined) writeQuietly(fd, formatEntryLine(localTimeAt(now), text))
          })
      })
    )
    return Layer.merge(Logger.layer([logger]), sink)
  }))
