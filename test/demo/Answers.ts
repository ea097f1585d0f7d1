/** Answers of a daemon: waiting for the first one, and what they tell about its external cache. */
import * as Effect from "effect/Effect"
import { DemoFailed } from "./Command.ts"
import type { Daemon } from "./Stage.ts"
import { nowMs } from "./Waiting.ts"

const startMaxMs = 20_000

/** Asks until there is an answer; `ending` tells how the daemon ended if it did. */
export const awaitAnswer = (
  request: Effect.Effect<string, DemoFailed>,
  ending: () => string | undefined
): Effect.Effect<void, DemoFailed> =>
  Effect.gen(function*() {
    const deadline = (yield* nowMs) + startMaxMs
    for (;;) {
      const how = ending()
      if (how !== undefined) {
        return yield* new DemoFailed({ message: `the daemon ended at its start with ${how}` })
      }
      const asked = yield* Effect.result(request)
      if (asked._tag === "Success") return
      if ((yield* nowMs) > deadline) return yield* asked.failure
      yield* Effect.sleep(50)
    }
  })

/** How many entries the external cache has, by the statistics. */
export const externalEntries = (daemon: Daemon): Effect.Effect<number, DemoFailed> =>
  Effect.map(daemon.request("-s"), (text) => {
    const found = /cache external:\s+current active connections:\s+(\d+)/.exec(text)
    return Number(found?.[1] ?? 0)
  })

/** Server ports of the established TCP connections in the external cache, by its dump. */
export const establishedPorts = (
  daemon: Daemon
): Effect.Effect<ReadonlyArray<number>, DemoFailed> =>
  Effect.map(
    daemon.request("-e"),
    (text) =>
      [...text.matchAll(/^tcp\s+6 .*?ESTABLISHED .*?dport=(\d+)/gm)].map((match) =>
        Number(match[1])
      )
  )
