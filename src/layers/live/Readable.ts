/** A descriptor's readiness as an effect. */
import * as Effect from "effect/Effect"
import type { Pollable } from "./NativeAddon.ts"

/** Waits until `handle` has something to read, or an error to collect. */
export const whenReadable = (handle: () => Pollable): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const result = handle().whenReadable(() => resume(Effect.void))
    // A handle that cannot wait has an error that the next read reports.
    if (result < 0) resume(Effect.void)
  })
