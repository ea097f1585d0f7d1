/** What the control socket does with something that is at its path already. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { layer } from "../../../src/layers/live/ControlSocketUnix.ts"

const socketPath = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "control-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  ),
  (path) => join(path, "ctl")
)

/** Why listening failed, or `undefined` when it did not. It goes on until the scope closes. */
const refusal = (path: string): Effect.Effect<string | undefined, never, Scope.Scope> =>
  Effect.match(Layer.build(layer(path)), {
    onFailure: (error) => error.message,
    onSuccess: () => undefined
  })

const answers = (path: string): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ path })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
  })

/** Listens and dies at once, as a daemon that is killed: the file of the socket stays. */
const leaveStale = (path: string): void => {
  const program = `require("net").createServer().listen(${JSON.stringify(path)}, () => ` +
    "process.kill(process.pid, 'SIGKILL'))"
  spawnSync(process.execPath, ["-e", program])
  assert.isTrue(existsSync(path), "the killed program left its socket")
}

describe("the path of the control socket", () => {
  it.live("is not taken from a daemon that answers there", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      assert.strictEqual(yield* refusal(path), undefined)
      const second = yield* Effect.scoped(refusal(path))
      assert.match(second ?? "", /EADDRINUSE; another program answers there/)
      // The refused one has given up everything by now; the first is as it was.
      assert.isTrue(yield* answers(path))
    }))

  it.live("is taken over from a daemon that was killed", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      leaveStale(path)
      assert.isFalse(yield* answers(path))
      assert.strictEqual(yield* refusal(path), undefined)
      assert.isTrue(yield* answers(path))
    }))

  it.live("is left alone when it is no socket", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      writeFileSync(path, "precious")
      const refused = yield* Effect.scoped(refusal(path))
      assert.match(refused ?? "", /EADDRINUSE; .* it is not a socket/)
      assert.strictEqual(readFileSync(path, "utf8"), "precious")
    }))

  it.live("is free again after an orderly end", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      const first = yield* Effect.exit(Effect.scoped(refusal(path)))
      assert.deepStrictEqual(first, Exit.succeed(undefined))
      assert.isFalse(existsSync(path))
    }))
})
