/**
 * Where log lines go that are not ordinary ones: the flows that a commit could not put into the
 * kernel.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

export class LogSink extends Context.Service<LogSink, {
  /**
   * A flow, as one line with the date and without prefix; only in the log file, never on the
   * terminal.
   */
  readonly flow: (text: string) => Effect.Effect<void>
}>()("conntrackd/layers/LogSink") {}
