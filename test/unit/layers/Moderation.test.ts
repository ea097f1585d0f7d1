import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { moderated } from "../../../src/layers/Moderation.ts"

/** A socket that gets `perMs` items every millisecond, and counts how often it is read. */
const socket = (perMs: number, roomItems: number) => {
  let nowMs = 0
  let queued = 0
  let drains = 0
  let most = 0
  const advance = (ms: number) =>
    Effect.gen(function*() {
      for (let i = 0; i < ms; i++) {
        nowMs++
        queued += perMs
        most = Math.max(most, queued)
        yield* TestClock.adjust(1)
      }
    })
  const source = {
    readable: Effect.suspend(() => (queued > 0 ? Effect.void : Effect.sleep(1))),
    drain: () => {
      const items = queued
      queued = 0
      if (items > 0) drains++
      return items
    },
    drainMax: 100_000,
    roomItems: () => roomItems
  }
  return { source, advance, drains: () => drains, most: () => most, now: () => nowMs }
}

const readFor = (perMs: number, roomItems: number, ms: number) =>
  Effect.gen(function*() {
    const it = socket(perMs, roomItems)
    const reader = yield* Effect.forkChild(Effect.forever(moderated(it.source)))
    yield* it.advance(ms)
    yield* Fiber.interrupt(reader)
    return it
  })

describe("reading a socket", () => {
  it.effect("is done every few milliseconds when items keep coming", () =>
    Effect.gen(function*() {
      const busy = yield* readFor(10, 1_000_000, 400)

      assert.isBelow(busy.drains(), 200)
      assert.isAbove(busy.drains(), 40)
    }))

  it.effect("never lets more arrive in a pause than a quarter of the socket's room", () =>
    Effect.gen(function*() {
      const tight = yield* readFor(10, 80, 400)

      // Two milliseconds of items are a quarter of the room; one more may arrive before the
      // reading.
      assert.isAtMost(tight.most(), 30)
    }))
})
