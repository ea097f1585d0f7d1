/** The control socket on a real UNIX socket: a long reply to a client that reads slowly. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ControlSocket } from "../../../src/layers/ControlSocket.ts"
import { layer } from "../../../src/layers/live/ControlSocketUnix.ts"

const parts = 40
/** More than the socket's buffers hold, so that each part has to wait. */
const part = "x".repeat(1 << 20)

const socketPath = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "control-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  ),
  (path) => join(path, "ctl")
)

const client = (path: string): Effect.Effect<Socket> =>
  Effect.sync(() => {
    const socket = connect({ path })
    socket.write(Uint8Array.of(16, 0, 0, 0))
    return socket
  })

describe("the UNIX control socket", () => {
  it.live("sends a long reply whole, and leaves nothing behind for each part", () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const onWarning = (warning: Error): void => void warnings.push(warning.name)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("warning", onWarning)),
        () => Effect.sync(() => process.off("warning", onWarning))
      )
      const path = yield* socketPath
      const control = Context.get(yield* Layer.build(layer(path)), ControlSocket)
      const socket = yield* client(path)
      let received = 0
      socket.on("data", (data: Buffer) => {
        received += data.length
      })
      const closed = new Promise((resolve) => socket.once("close", resolve))

      yield* Effect.scoped(
        Effect.gen(function*() {
          const accepted = yield* control.accept
          assert.strictEqual(yield* accepted.request, 16)
          for (let i = 0; i < parts; i++) yield* accepted.write(part)
        })
      )
      yield* Effect.promise(() => closed)

      assert.strictEqual(received, parts * part.length)
      assert.deepStrictEqual(warnings, [])
    }))
})
