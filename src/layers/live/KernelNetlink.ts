/**
 * Both kernel services: the event socket must know the port of the request socket, to leave out
 * what we did ourselves.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { KernelEvents } from "../KernelEvents.ts"
import { KernelTable, KernelTableError } from "../KernelTable.ts"
import * as Events from "./KernelEventsNetlink.ts"
import * as Table from "./KernelTableNetlink.ts"
import type { NativeAddon } from "./NativeAddon.ts"

export const layer = (
  addon: NativeAddon,
  options: Omit<Events.EventOptions, "ownPortIds">
): Layer.Layer<KernelEvents | KernelTable, KernelTableError> =>
  Layer.effectContext(Effect.gen(function*() {
    const { portId, table } = yield* Table.open(addon)
    // Nothing is lost at the start: the events could not be subscribed to in the first place.
    const events = yield* Effect.mapError(
      Events.open(addon, { ...options, ownPortIds: [portId] }),
      ({ code }) => new KernelTableError({ operation: "subscribe to conntrack events", code })
    )
    return Context.make(KernelEvents, events).pipe(Context.add(KernelTable, table))
  }))
