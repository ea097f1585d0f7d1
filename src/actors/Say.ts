/** Logs one of the texts that people search for, at its level. */
import * as Effect from "effect/Effect"
import { absurd } from "effect/Function"
import type { LogText } from "../core/text/LogTexts.ts"

export const say = ({ level, text }: LogText): Effect.Effect<void> => {
  switch (level) {
    case "info":
      return Effect.logDebug(text)
    case "notice":
      return Effect.logInfo(text)
    case "warning":
      return Effect.logWarning(text)
    case "error":
      return Effect.logError(text)
    default:
      return absurd(level)
  }
}
