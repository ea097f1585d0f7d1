/**
 * Time, scheduling and randomness of a simulation: everything that could make two runs differ.
 *
 * Effect's Scheduler, Clock and Random are replaced, so every turn of every fiber of every process
 * is a task in one queue, and time moves only when nobody has anything left to do. Execution is
 * synchronous: `runUntil` returns when the simulated moment is reached.
 *
 * A `Process` is what the operating system calls one: its tasks and timers vanish with it, and it
 * can be stopped for a while (SIGSTOP, a hypervisor's pause); its clocks may be wrong.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import type { Stream } from "./Dice.ts"
import { Dice, hashText } from "./Dice.ts"

/** More turns than that without any time passing: somebody runs in circles. */
const turnsPerMomentMax = 2_000_000

/** When tasks are shuffled, processes get the CPU up to so much later than they asked for. */
const latenessMaxMs = 1.5

interface Timer {
  readonly atMs: number
  readonly number: number
  run: (() => void) | undefined
  readonly process: Process | undefined
}

/** A binary heap, earliest first; equal times in the order of setting. */
class TimerHeap {
  readonly #timers: Array<Timer> = []

  get first(): Timer | undefined {
    return this.#timers[0]
  }

  get length(): number {
    return this.#timers.length
  }

  push(timer: Timer): void {
    const timers = this.#timers
    let at = timers.length
    timers.push(timer)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isEarlier(timer, timers[parent]!)) break
      timers[at] = timers[parent]!
      at = parent
    }
    timers[at] = timer
  }

  shift(): Timer | undefined {
    const timers = this.#timers
    const first = timers[0]
    const last = timers.pop()
    if (last === undefined || last === first) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= timers.length) break
      if (child + 1 < timers.length && isEarlier(timers[child + 1]!, timers[child]!)) child++
      if (!isEarlier(timers[child]!, last)) break
      timers[at] = timers[child]!
      at = child
    }
    timers[at] = last
    return first
  }
}

const isEarlier = (a: Timer, b: Timer): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number)

/** Somebody takes turns for ever without letting time pass. */
export class Livelock extends Error {
  override readonly name = "Livelock"
}

export interface WorldOptions {
  readonly seed: string
  /**
   * Which of the waiting tasks is next: the oldest, or any; then timers are a little late too.
   * Default: the oldest.
   */
  readonly scheduling?: "first in first out" | "shuffled"
  /** The wall clock at the start, in milliseconds since 1970. Default: November 2023. */
  readonly epochMs?: number
}

export class World {
  readonly dice: Dice
  readonly epochMs: number
  /** Fiber turns so far. */
  turns = 0
  /** Timers that fired so far. */
  timersFired = 0
  readonly #order: Stream | undefined
  readonly #lateness: Stream
  readonly #timers = new TimerHeap()
  #tasks: Array<Task> = []
  #tasksHead = 0
  #nowMs = 0
  #timerNumber = 0
  #hashHigh = 0x9747_b28c | 0
  #hashLow = 0x3c6e_f372 | 0

  constructor(options: WorldOptions) {
    this.dice = new Dice(options.seed)
    this.epochMs = options.epochMs ?? 1_700_000_000_000
    this.#lateness = this.dice.stream("lateness")
    this.#order = options.scheduling === "shuffled" ? this.dice.stream("turns") : undefined
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Everything noted so far, in order, as 16 hexadecimal digits. */
  get traceHash(): string {
    const part = (n: number) => (n >>> 0).toString(16).padStart(8, "0")
    return part(this.#hashHigh) + part(this.#hashLow)
  }

  /** Adds to the trace hash: what happened, and a few integers about it. */
  note(what: string, a = 0, b = 0, c = 0): void {
    this.#mix(hashText(what))
    this.#mix(Math.round(this.#nowMs * 1_000) | 0)
    this.#mix(a)
    this.#mix(b)
    this.#mix(c)
  }

  /** Adds bytes to the trace hash. */
  noteBytes(bytes: Uint8Array, from = 0, to = bytes.length): void {
    let h = 0x811c_9dc5 | 0
    for (let i = from; i < to; i++) h = Math.imul(h ^ bytes[i]!, 0x0100_0193)
    this.#mix(h)
  }

  #mix(value: number): void {
    this.#hashHigh = Math.imul(this.#hashHigh ^ value, 0x85eb_ca6b)
    this.#hashHigh ^= this.#hashHigh >>> 13
    this.#hashLow = Math.imul(this.#hashLow ^ value ^ (this.#hashHigh >>> 7), 0xc2b2_ae35)
    this.#hashLow ^= this.#hashLow >>> 16
  }

  /** Runs `run` in so many milliseconds, unless the function returned is called before. */
  after(ms: number, run: () => void): () => void {
    return this.afterFor(undefined, ms, run)
  }

  /** The same for a process: nothing happens if it is gone by then, or later if it is paused. */
  afterFor(process: Process | undefined, ms: number, run: () => void): () => void {
    const number = this.#timerNumber++
    const lateMs = process === undefined || this.#order === undefined
      ? 0
      : this.#lateness.at(number) * latenessMaxMs
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, ms) + lateMs, number, run, process }
    this.#timers.push(timer)
    if (process !== undefined) process.timersPending++
    return () => {
      if (timer.run !== undefined && process !== undefined) process.timersPending--
      timer.run = undefined
    }
  }

  process(name: string, clocks: ProcessClocks = { wallOffsetMs: 0 }): Process {
    return new Process(this, name, clocks)
  }

  /** A turn for somebody, once the tasks before it are done. */
  schedule(process: Process | undefined, run: () => void): void {
    this.#tasks.push({ process, run })
  }

  /** Lets everything happen that happens until the moment `endMs`, and stops there. */
  runUntil(endMs: number): void {
    this.#settle()
    for (;;) {
      const timer = this.#timers.first
      if (timer === undefined || timer.atMs > endMs) break
      this.#timers.shift()
      const { process, run } = timer
      if (run === undefined) continue
      timer.run = undefined
      if (process !== undefined) {
        process.timersPending--
        if (process.isGone) continue
      }
      this.#nowMs = Math.max(this.#nowMs, timer.atMs)
      this.timersFired++
      if (process?.isPaused === true) process.park({ process, run })
      else run()
      this.#settle()
    }
    this.#nowMs = Math.max(this.#nowMs, endMs)
  }

  #settle(): void {
    let turns = 0
    for (let task = this.#take(); task !== undefined; task = this.#take()) {
      const { process } = task
      if (process !== undefined) {
        if (process.isGone) continue
        if (process.isPaused) {
          process.park(task)
          continue
        }
      }
      if (++turns > turnsPerMomentMax) {
        throw new Livelock(
          `${turnsPerMomentMax} turns at ${this.#nowMs} ms and no end; ` +
            `the last was one of ${process?.name ?? "the world"}`
        )
      }
      task.run()
    }
    this.turns += turns
    this.#mix(turns)
  }

  #take(): Task | undefined {
    const tasks = this.#tasks
    const waiting = tasks.length - this.#tasksHead
    if (waiting === 0) {
      if (tasks.length > 0) {
        this.#tasks = []
        this.#tasksHead = 0
      }
      return undefined
    }
    if (this.#order !== undefined && waiting > 1) {
      const pick = this.#tasksHead + Math.floor(this.#order.next() * waiting)
      const picked = tasks[pick]!
      tasks[pick] = tasks[this.#tasksHead]!
      tasks[this.#tasksHead] = picked
    }
    const task = tasks[this.#tasksHead++]!
    if (this.#tasksHead > 4_096 && this.#tasksHead * 2 > tasks.length) {
      this.#tasks = tasks.slice(this.#tasksHead)
      this.#tasksHead = 0
    }
    return task
  }
}

interface Task {
  readonly process: Process | undefined
  readonly run: () => void
}

/** How wrong a machine's wall clock is. May change while a process runs: the clock jumps. */
export interface ProcessClocks {
  wallOffsetMs: number
}

/** One process of a simulated machine. */
export class Process {
  readonly name: string
  readonly world: World
  /** Timers set and neither fired nor cancelled: a process that ended orderly leaves none. */
  timersPending = 0
  readonly #clocks: ProcessClocks
  readonly #startedMs: number
  #isGone = false
  #isPaused = false
  #parked: Array<Task> = []

  constructor(world: World, name: string, clocks: ProcessClocks) {
    this.world = world
    this.name = name
    this.#clocks = clocks
    this.#startedMs = world.nowMs
  }

  get isGone(): boolean {
    return this.#isGone
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Ends at once: what was scheduled never runs, no finaliser, nothing. */
  kill(): void {
    this.#isGone = true
    this.#parked = []
  }

  pause(): void {
    this.#isPaused = true
  }

  /** Whatever was due meanwhile is due now. */
  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    const parked = this.#parked
    this.#parked = []
    for (const task of parked) this.world.schedule(this, task.run)
  }

  park(task: Task): void {
    this.#parked.push(task)
  }

  /** As the kernel wakes a process: its turn comes. */
  readonly defer = (run: () => void): void => this.world.schedule(this, run)

  readonly #dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => this.world.schedule(this, task),
    flush: () => {}
  }

  readonly scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= 2_048,
    makeDispatcher: () => this.#dispatcher
  }

  readonly #wallMs = () => this.world.epochMs + this.world.nowMs + this.#clocks.wallOffsetMs
  readonly #wallNanos = () => BigInt(Math.round(this.#wallMs() * 1_000)) * 1_000n
  /** Starts somewhere, as monotonic clocks do. */
  readonly #monotonicNanos = () => BigInt(Math.round((this.world.nowMs + 5_000_000) * 1e6))

  readonly clock: Clock.Clock = {
    currentTimeMillisUnsafe: this.#wallMs,
    currentTimeMillis: Effect.sync(this.#wallMs),
    currentTimeNanosUnsafe: this.#wallNanos,
    currentTimeNanos: Effect.sync(this.#wallNanos),
    monotonicTimeNanosUnsafe: this.#monotonicNanos,
    monotonicTimeNanos: Effect.sync(this.#monotonicNanos),
    sleep: (duration) => {
      const ms = Duration.toMillis(duration)
      if (ms <= 0) return Effect.yieldNow
      if (!Number.isFinite(ms)) return Effect.never
      return Effect.callback<void>((resume) =>
        Effect.sync(this.world.afterFor(this, ms, () => resume(Effect.void)))
      )
    }
  }

  /** Runs an effect in this process. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    const stream = this.world.dice.stream(`${this.name}/random/${this.#startedMs}`)
    const random = {
      nextIntUnsafe: () => Math.floor((stream.next() - 0.5) * 2 * Number.MAX_SAFE_INTEGER),
      nextDoubleUnsafe: () => stream.next()
    }
    const context = Context.make(Clock.Clock, this.clock).pipe(
      Context.add(Scheduler.Scheduler, this.scheduler),
      Context.add(Random.Random, random)
    )
    return Effect.runForkWith(context)(effect)
  }
}
