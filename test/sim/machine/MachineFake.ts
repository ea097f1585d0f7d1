/**
 * A machine for tests of those who play with machines: a simulated kernel, and a daemon that only
 * answers. What its answers mean is up to the test (`onAsk`).
 */
import { FakeKernel } from "../kernel/FakeKernel.ts"
import type { World } from "../World.ts"
import type { Answer, ClientOption, Machine, MachineName, MachineState } from "./Machine.ts"

export class MachineFake implements Machine {
  readonly name: MachineName
  readonly peerName: MachineName
  readonly kind = "reference"
  state: MachineState = "running"
  kernel: FakeKernel
  readonly clocks = { wallOffsetMs: 0 }
  /** Everything that the client was run for, and when. */
  readonly asked: Array<{ readonly option: ClientOption; readonly atMs: number }> = []
  /** Nobody answers these. */
  readonly deafTo = new Set<ClientOption>()
  isStartable = true
  starts = 0
  startMs = 100
  answerMs = 5
  onAsk: (option: ClientOption) => void = () => {}
  onReady: () => void = () => {}
  readonly #world: World
  #whenResumed: Array<() => void> = []

  constructor(world: World, name: MachineName, peerName: MachineName) {
    this.#world = world
    this.name = name
    this.peerName = peerName
    this.kernel = this.#boot()
  }

  #boot(): FakeKernel {
    return new FakeKernel({ now: () => this.#world.nowMs, labels: true })
  }

  start(): void {
    this.starts++
    if (this.state !== "idle" || !this.isStartable) return
    this.state = "running"
    this.#world.after(this.startMs, () => this.onReady())
  }

  kill(): void {
    if (this.state !== "off") this.state = "idle"
  }

  powerLoss(): void {
    this.state = "off"
    this.#whenResumed = []
  }

  powerOn(): void {
    this.kernel = this.#boot()
    this.state = "idle"
    this.start()
  }

  pause(): void {
    this.state = "paused"
  }

  resume(): void {
    this.state = "running"
    const waiting = this.#whenResumed
    this.#whenResumed = []
    for (const go of waiting) go()
  }

  ask(option: ClientOption, done?: (answer: Answer) => void): void {
    this.asked.push({ option, atMs: this.#world.nowMs })
    if (this.state === "paused") this.#whenResumed.push(() => this.#answer(option, done))
    else this.#answer(option, done)
  }

  #answer(option: ClientOption, done: ((answer: Answer) => void) | undefined): void {
    const { kernel } = this
    this.#world.after(this.answerMs, () => {
      const isAnswered = this.state === "running" && kernel === this.kernel &&
        !this.deafTo.has(option)
      if (isAnswered) this.onAsk(option)
      done?.({ option, text: "", isAnswered })
    })
  }

  /** The options asked for so far, in their order. */
  get options(): ReadonlyArray<ClientOption> {
    return this.asked.map(({ option }) => option)
  }
}
