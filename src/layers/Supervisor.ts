/**
 * Runs the daemon's actors and reports the first that ends.
 *
 * A forked fiber that fails is silent by itself, so actors are started here and nowhere else, and
 * the program waits on `join`. A typed failure is the actor's own business (it retries); what
 * reaches the supervisor is a defect or a failure it had no answer to, and ends the daemon.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"

export class Supervisor extends Context.Service<Supervisor, {
  /** Starts an actor. It stops when the daemon's scope closes. */
  readonly start: <E, R>(
    name: string,
    actor: Effect.Effect<void, E, R>
  ) => Effect.Effect<void, never, R>
  /** Fails with the first actor's failure or defect. Never succeeds while actors run. */
  readonly join: Effect.Effect<void, unknown>
}>()("conntrackd/layers/Supervisor") {}

export const layer: Layer.Layer<Supervisor> = Layer.effect(
  Supervisor,
  Effect.gen(function*() {
    const actors = yield* FiberSet.make<unknown, unknown>()
    return Supervisor.of({
      start: (name, actor) =>
        actor.pipe(
          Effect.tapCause((cause) =>
            Effect.logError(`the ${name} actor failed, the daemon stops`, cause)
          ),
          FiberSet.run(actors),
          Effect.asVoid
        ),
      join: FiberSet.join(actors)
    })
  })
)
