import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { Dice } from "./Dice.ts"
import { Livelock, World } from "./World.ts"

/** Two chatting processes with timers, queues, retries and random numbers. */
const chatter = (seed: string, scheduling: "first in first out" | "shuffled") => {
  const world = new World({ seed, scheduling })
  const said: Array<string> = []
  for (const name of ["a", "b"]) {
    const process = world.process(name)
    const talk = Effect.gen(function*() {
      const queue = yield* Queue.unbounded<number>()
      const producer = Effect.forever(Effect.gen(function*() {
        yield* Effect.sleep(1 + (yield* Random.nextIntBetween(0, 10)))
        yield* Queue.offer(queue, yield* Random.nextInt)
      }))
      yield* Effect.forkChild(producer)
      yield* Effect.forkChild(producer)
      let failures = 0
      yield* Effect.retry(
        Effect.suspend(() => failures++ < 3 ? Effect.fail("again") : Effect.void),
        Schedule.jittered(Schedule.exponential(5))
      )
      for (;;) {
        const value = yield* Queue.take(queue)
        said.push(`${name} ${value} ${yield* Clock.currentTimeMillis}`)
        world.note(name, value)
      }
    })
    process.fork(talk)
  }
  world.runUntil(2_000)
  return { said, hash: world.traceHash, turns: world.turns }
}

describe("a world", () => {
  it.each(["first in first out", "shuffled"] as const)("is repeatable: %s", (scheduling) => {
    const first = chatter("seed", scheduling)
    const second = chatter("seed", scheduling)

    assert.isAbove(first.said.length, 200)
    assert.deepStrictEqual(second, first)
    assert.notStrictEqual(chatter("other", scheduling).hash, first.hash)
  })

  it("explores other interleavings when it shuffles", () => {
    const plain = chatter("seed", "first in first out")
    assert.notStrictEqual(chatter("seed", "shuffled").hash, plain.hash)
  })

  it("fires timers in their order, and none that was cancelled", () => {
    const world = new World({ seed: "1" })
    const fired: Array<number> = []
    const cancel = new Map<number, () => void>()
    for (const ms of [30, 10, 20, 10, 0, 50, 40]) {
      cancel.set(ms, world.after(ms, () => fired.push(ms)))
    }
    cancel.get(20)!()
    world.runUntil(45)

    assert.deepStrictEqual(fired, [0, 10, 10, 30, 40])
    assert.strictEqual(world.nowMs, 45)
    world.runUntil(60)
    assert.strictEqual(fired.at(-1), 50)
  })

  it("holds back a paused process, and everything it missed comes when it goes on", () => {
    const world = new World({ seed: "1" })
    const process = world.process("a")
    let ticks = 0
    process.fork(Effect.forever(Effect.andThen(Effect.sleep(10), Effect.sync(() => ticks++))))
    world.runUntil(55)
    process.pause()
    world.runUntil(500)
    const before = ticks
    process.resume()
    world.runUntil(505)

    assert.strictEqual(before, 5)
    assert.strictEqual(ticks, 6)
  })

  it("ends a killed process in the middle of what it does, without its finalisers", () => {
    const world = new World({ seed: "1" })
    const process = world.process("a")
    let finalised = false
    let ticks = 0
    process.fork(
      Effect.forever(Effect.andThen(Effect.sleep(10), Effect.sync(() => ticks++))).pipe(
        Effect.ensuring(Effect.sync(() => (finalised = true)))
      )
    )
    world.runUntil(55)
    process.kill()
    world.runUntil(500)

    assert.strictEqual(ticks, 5)
    assert.isFalse(finalised)
  })

  it("counts the timers that a process leaves behind", () => {
    const world = new World({ seed: "1" })
    const process = world.process("a")
    const fiber = process.fork(Effect.sleep(1_000))
    world.runUntil(1)
    assert.strictEqual(process.timersPending, 1)
    process.fork(Fiber.interrupt(fiber))
    world.runUntil(2)
    assert.strictEqual(process.timersPending, 0)
  })

  it("shows a process a wall clock that may be wrong, and a monotonic one that never is", () => {
    const world = new World({ seed: "1", epochMs: 1_000_000 })
    const clocks = { wallOffsetMs: 0 }
    const process = world.process("a", clocks)
    const readings: Array<readonly [wall: number, monotonic: number]> = []
    process.fork(Effect.forever(Effect.gen(function*() {
      const clock = yield* Clock.Clock
      readings.push([
        clock.currentTimeMillisUnsafe(),
        Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      ])
      yield* Effect.sleep(100)
    })))
    world.runUntil(50)
    clocks.wallOffsetMs = -3_600_000
    world.runUntil(150)

    const [first, second] = readings
    assert.strictEqual(first![0], 1_000_000)
    assert.strictEqual(second![0] - first![0], 100 - 3_600_000)
    assert.strictEqual(second![1] - first![1], 100)
  })

  it("says who runs in circles", () => {
    const world = new World({ seed: "1" })
    world.process("looper").fork(Effect.forever(Effect.yieldNow))
    assert.throws(() => world.runUntil(1), Livelock, "looper")
  })
})

describe("keyed dice", () => {
  it("throw the same for the same seed, stream and index, whoever threw before", () => {
    const one = new Dice("seed").stream("loss")
    const other = new Dice("seed")
    for (let i = 0; i < 10; i++) other.stream("delay").next()

    assert.strictEqual(other.stream("loss").at(7), one.at(7))
    assert.notStrictEqual(other.stream("delay").at(7), one.at(7))
    assert.notStrictEqual(new Dice("seed2").stream("loss").at(7), one.at(7))
  })

  it("are fair", () => {
    const stream = new Dice("fair").stream("a")
    const buckets = Array.from({ length: 20 }, () => 0)
    const throws = 40_000
    for (let i = 0; i < throws; i++) buckets[Math.floor(stream.at(i) * 20)]!++
    for (const count of buckets) assert.closeTo(count, throws / 20, 200)
    let ascents = 0
    for (let i = 1; i < throws; i++) if (stream.at(i) > stream.at(i - 1)) ascents++
    assert.closeTo(ascents, throws / 2, 400)
  })

  it("keep to their limits", () => {
    const stream = new Dice("limits").stream("a")
    const seen = new Set<number>()
    for (let i = 0; i < 1_000; i++) seen.add(stream.between(3, 6, i))
    assert.deepStrictEqual([...seen].sort(), [3, 4, 5, 6])
    assert.isFalse(stream.isIn(0, 1))
    assert.isTrue(stream.isIn(100, 1))
  })
})
