/**
 * Notifications to systemd.
 *
 * Source: sd_notify(3), sd_watchdog_enabled(3); specification, "conntrackd: command line …",
 * section 11.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ServiceManager } from "../ServiceManager.ts"
import type { NativeAddon } from "./NativeAddon.ts"

/** What systemd put into our environment, read once by the program. */
export interface ServiceEnvironment {
  readonly watchdogMicros: string | undefined
  readonly watchdogPid: string | undefined
  readonly pid: number
}

/** Half of the watchdog's patience, as systemd advises; `Infinity` without a watchdog. */
export const pingIntervalMs = (environment: ServiceEnvironment): number => {
  const { pid, watchdogMicros, watchdogPid } = environment
  if (watchdogMicros === undefined) return Infinity
  if (watchdogPid !== undefined && watchdogPid !== String(pid)) return Infinity
  const micros = Number(watchdogMicros)
  return Number.isInteger(micros) && micros > 0 ? micros / 2_000 : Infinity
}

export const layer = (
  addon: NativeAddon,
  environment: ServiceEnvironment
): Layer.Layer<ServiceManager> => {
  const notify = (state: string) => Effect.sync(() => void addon.notifyServiceManager(state))
  return Layer.succeed(
    ServiceManager,
    ServiceManager.of({
      pingIntervalMs: pingIntervalMs(environment),
      ready: notify(`MAINPID=${environment.pid}\nREADY=1`),
      ping: notify("WATCHDOG=1"),
      stopping: notify("STOPPING=1")
    })
  )
}

/** `Systemd off`. */
export const layerNone: Layer.Layer<ServiceManager> = Layer.succeed(
  ServiceManager,
  ServiceManager.of({
    pingIntervalMs: Infinity,
    ready: Effect.void,
    ping: Effect.void,
    stopping: Effect.void
  })
)
