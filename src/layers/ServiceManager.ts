/** What the service manager (systemd) wants to hear. Without one, every call does nothing. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

export class ServiceManager extends Context.Service<ServiceManager, {
  /** Between two watchdog pings, in milliseconds; `Infinity` when no pings are wanted. */
  readonly pingIntervalMs: number
  readonly ready: Effect.Effect<void>
  readonly ping: Effect.Effect<void>
  readonly stopping: Effect.Effect<void>
}>()("conntrackd/layers/ServiceManager") {}
