/** Network interfaces, as far as dedicated links need them. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export interface InterfaceState {
  readonly name: string
  /** Administratively up (IFF_UP). */
  readonly up: boolean
  /** Has a carrier (IFF_RUNNING). */
  readonly running: boolean
}

export class InterfacesLost extends Schema.TaggedError<InterfacesLost>()("InterfacesLost", {
  code: Schema.String
}) {
  override get message(): string {
    return `the interface watcher failed: ${this.code}; it is opened again`
  }
}

export class Interfaces extends Context.Service<Interfaces, {
  /** The last state known of an interface; undefined when there is none of that name. */
  readonly current: (name: string) => InterfaceState | undefined
  /** Waits until some interface changed. */
  readonly changed: Effect.Effect<void, InterfacesLost>
}>()("conntrackd/layers/Interfaces") {}
