/** Network interfaces in memory, up and running unless the test says otherwise. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { InterfaceState } from "../../src/layers/Interfaces.ts"
import { Interfaces, InterfacesLost } from "../../src/layers/Interfaces.ts"

export class InterfacesFake {
  readonly #states = new Map<string, InterfaceState>()
  readonly #changed = Latch.makeUnsafe(false)
  /** The next change is a defect. */
  isBroken = false
  #failure: string | undefined

  constructor(names: ReadonlyArray<string>) {
    for (const name of names) this.#states.set(name, { name, up: true, running: true })
  }

  set(name: string, up: boolean, running: boolean): void {
    this.#states.set(name, { name, up, running })
    this.#changed.openUnsafe()
  }

  /** The watcher fails once. */
  fail(code: string): void {
    this.#failure = code
    this.#changed.openUnsafe()
  }

  readonly service: Interfaces["Service"] = Interfaces.of({
    current: (name) => this.#states.get(name),
    changed: Effect.suspend(() =>
      Effect.flatMap(this.#changed.await, () => {
        this.#changed.closeUnsafe()
        if (this.isBroken) return Effect.die(new Error("broken by the test"))
        const code = this.#failure
        this.#failure = undefined
        return code === undefined ? Effect.void : Effect.fail(new InterfacesLost({ code }))
      })
    )
  })
}
