/**
 * The control socket in memory: clients are objects of the test, which sees what they are told and
 * when their connection is closed.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type { ControlClient } from "../../src/layers/ControlSocket.ts"
import { ClientGone, ControlSocket } from "../../src/layers/ControlSocket.ts"

export class ClientFake implements ControlClient {
  /** What the daemon has written so far. */
  reply = ""
  /** The daemon has closed the connection. */
  isClosed = false
  /** Closed: the client does not read, and the daemon's writes wait. */
  readonly reading = Latch.makeUnsafe(true)
  readonly #said = Latch.makeUnsafe(false)
  #code: number | undefined
  #isGone = false
  #isBroken = false

  constructor(code?: number) {
    if (code !== undefined) this.say(code)
  }

  say(code: number): void {
    this.#code = code
    this.#said.openUnsafe()
  }

  /** The client closes its end. */
  leave(): void {
    this.#isGone = true
    this.#said.openUnsafe()
    this.reading.openUnsafe()
  }

  /** Reading its request is a defect. */
  break(): void {
    this.#isBroken = true
    this.#said.openUnsafe()
  }

  readonly request: Effect.Effect<number, ClientGone> = Effect.suspend(() =>
    Effect.flatMap(
      this.#said.await,
      () => {
        if (this.#isBroken) return Effect.die(new Error("broken by the test"))
        return this.#code === undefined
          ? Effect.fail(new ClientGone({}))
          : Effect.succeed(this.#code)
      }
    )
  )

  readonly write = (text: string): Effect.Effect<void, ClientGone> =>
    Effect.flatMap(this.reading.await, () => {
      if (this.#isGone) return Effect.fail(new ClientGone({}))
      this.reply += text
      return Effect.void
    })
}

export class ControlSocketFake {
  readonly #waiting = Effect.runSync(Queue.unbounded<ClientFake>())

  /** A client connects and sends its request; without `code` it says nothing yet. */
  connect(code?: number): ClientFake {
    const client = new ClientFake(code)
    Queue.offerUnsafe(this.#waiting, client)
    return client
  }

  readonly service: ControlSocket["Service"] = ControlSocket.of({
    accept: Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const client = yield* restore(Queue.take(this.#waiting))
        // As the real socket: who waits for the daemon's end keeps its connection.
        yield* Effect.addFinalizer((exit) =>
          Effect.sync(() => {
            client.isClosed = !(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
          })
        )
        return client
      })
    )
  })
}
