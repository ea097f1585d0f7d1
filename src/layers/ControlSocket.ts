/** The UNIX socket on which the command-line client asks the daemon. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

export class ClientGone extends Schema.TaggedError<ClientGone>()("ClientGone", {}) {
  override get message(): string {
    return "the client closed its connection"
  }
}

export interface ControlClient {
  /**
   * The request code: the first four bytes. Fails when the client closes, or says nothing for a
   * while.
   */
  readonly request: Effect.Effect<number, ClientGone>
  /** Writes text and waits while the client is slow to read. */
  readonly write: (text: string) => Effect.Effect<void, ClientGone>
}

export class ControlSocket extends Context.Service<ControlSocket, {
  /** The next client. Its connection is closed with the scope. */
  readonly accept: Effect.Effect<ControlClient, never, Scope.Scope>
}>()("conntrackd/layers/ControlSocket") {}
