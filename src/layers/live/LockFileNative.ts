/**
 * A lock file that the kernel unlocks when its owner dies: what a dead daemon left behind does not
 * block.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { LockError, LockHeld } from "../LockFile.ts"
import { errnoName } from "./ErrnoName.ts"
import type { NativeAddon } from "./NativeAddon.ts"

const eagain = 11
const eacces = 13

/** Holds `path` until the scope closes; the file is removed with it. */
export const lockFile = (
  addon: NativeAddon,
  path: string,
  removeFile: (path: string) => void
): Effect.Effect<void, LockHeld | LockError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend((): Effect.Effect<{ readonly unlock: () => void }, LockHeld | LockError> => {
      const lock = addon.lockFile(path)
      if (typeof lock !== "number") return Effect.succeed(lock)
      return lock === -eagain || lock === -eacces
        ? Effect.fail(new LockHeld({ path, ownerPid: Math.max(0, addon.lockOwner(path)) }))
        : Effect.fail(new LockError({ path, code: errnoName(lock) }))
    }),
    (lock) =>
      Effect.sync(() => {
        removeFile(path)
        lock.unlock()
      })
  ).pipe(Effect.asVoid)
