/**
 * The control socket of a simulated daemon and the clients on it. A client sends its request as it
 * connects and reads until the daemon closes, or is gone.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { Request } from "../../../src/core/control/Request.ts"
import { ControlSocket } from "../../../src/layers/ControlSocket.ts"

/** The client's end of a connection; `done` is called once, with whether the daemon closed it. */
interface Session {
  readonly request: number
  readonly done: (text: string, isAnswered: boolean) => void
  text: string
}

export class SimControl {
  readonly #sessions = new Set<Session>()
  #waiting: Queue.Queue<Session> | undefined

  /** Connections that the daemon has neither answered nor closed. */
  get waiting(): number {
    return this.#sessions.size
  }

  /** False: nobody listens yet. */
  connect(request: number, done: Session["done"]): boolean {
    if (this.#waiting === undefined) return false
    const session: Session = { request, done, text: "" }
    this.#sessions.add(session)
    Queue.offerUnsafe(this.#waiting, session)
    return true
  }

  /**
   * The process is gone, and all its connections with it: after an orderly end, who asked for it
   * has its answer.
   */
  close(isOrderly: boolean): void {
    this.#waiting = undefined
    for (const session of this.#sessions) {
      this.#end(session, isOrderly && session.request === Request.kill)
    }
  }

  #end(session: Session, isAnswered: boolean): void {
    if (this.#sessions.delete(session)) session.done(session.text, isAnswered)
  }

  /** The queue is made by the daemon's own process: its turns are the world's. */
  readonly layer: Layer.Layer<ControlSocket> = Layer.effect(
    ControlSocket,
    Effect.gen({ self: this }, function*() {
      const waiting = yield* Effect.acquireRelease(
        Queue.unbounded<Session>(),
        () => Effect.sync(() => (this.#waiting = undefined))
      )
      this.#waiting = waiting
      const accept = Effect.uninterruptibleMask((restore) =>
        Effect.gen({ self: this }, function*() {
          const session = yield* restore(Queue.take(waiting))
          // As the real socket: who waits for the daemon's end keeps its connection.
          yield* Effect.addFinalizer((exit) =>
            Effect.sync(() => {
              const isInterrupted = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
              if (!isInterrupted) this.#end(session, true)
            })
          )
          return {
            request: Effect.succeed(session.request),
            write: (text: string) => Effect.sync(() => void (session.text += text))
          }
        })
      )
      return ControlSocket.of({ accept })
    })
  )
}
