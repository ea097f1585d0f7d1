/** A log in memory: what would be in the log file, as level and text. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { LogSink } from "../../src/layers/LogSink.ts"

export type LogLine = readonly [level: string, text: string]

const textOf = (message: unknown): string =>
  Array.isArray(message) ? message.map(textOf).join(" ") : String(message)

export class LogFake {
  /** Flows, which are logged without prefix, have the level "flow". */
  readonly lines: Array<LogLine> = []

  readonly layer: Layer.Layer<LogSink> = Layer.merge(
    Logger.layer([
      Logger.make(({ cause, logLevel, message }) => {
        const reason = cause.reasons.length === 0 ? "" : `: ${Cause.pretty(cause)}`
        this.lines.push([logLevel, textOf(message) + reason])
      })
    ]),
    Layer.succeed(
      LogSink,
      LogSink.of({ flow: (text) => Effect.sync(() => void this.lines.push(["flow", text])) })
    )
  )

  /** The texts that contain `part`, in order. */
  find(part: string): ReadonlyArray<string> {
    return this.lines.flatMap(([, text]) => (text.includes(part) ? [text] : []))
  }

  ofLevel(level: string): ReadonlyArray<string> {
    return this.lines.flatMap((line) => (line[0] === level ? [line[1]] : []))
  }
}
