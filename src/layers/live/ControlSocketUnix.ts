/**
 * The control socket as a UNIX stream socket (mode 0600).
 *
 * A silent client is disconnected after a while and a slow one is waited for by its own fiber:
 * nobody blocks the daemon.
 *
 * Source: specification, "conntrackd: command line …", section 7.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { lstatSync, unlinkSync } from "node:fs"
import * as net from "node:net"
import type { ControlClient } from "../ControlSocket.ts"
import { ClientGone, ControlSocket } from "../ControlSocket.ts"

/** Connections that wait for their turn; more are refused by the kernel's backlog. */
const waitingMax = 100
const requestBytes = 4
/** A client that has not sent its request by then is disconnected. */
const silenceMs = 10_000

export class ControlSocketError extends Schema.TaggedError<ControlSocketError>()(
  "ControlSocketError",
  { path: Schema.String, code: Schema.String }
) {
  override get message(): string {
    return `cannot listen on the control socket ${this.path}: ${this.code}; ` +
      (this.code === "EADDRINUSE"
        ? "another program answers there, or it is not a socket"
        : "does its directory exist and may conntrackd write there?")
  }
}

const clientOf = (socket: net.Socket): ControlClient => ({
  request: Effect.callback<number, ClientGone>((resume) => {
    let have = Buffer.alloc(0)
    const forget = (): void => {
      socket.off("data", onData)
      socket.off("end", onEnd)
      socket.off("close", onEnd)
    }
    const onData = (chunk: Buffer): void => {
      have = Buffer.concat([have, chunk])
      if (have.length < requestBytes) return
      forget()
      resume(Effect.succeed(have.readInt32LE(0)))
    }
    const onEnd = (): void => {
      forget()
      resume(Effect.fail(new ClientGone()))
    }
    socket.on("data", onData)
    socket.once("end", onEnd)
    socket.once("close", onEnd)
    socket.setTimeout(silenceMs, () => socket.destroy())
    return Effect.sync(forget)
  }),
  write: (text) =>
    Effect.callback<void, ClientGone>((resume) => {
      if (socket.destroyed) return resume(Effect.fail(new ClientGone()))
      socket.setTimeout(0)
      if (socket.write(text, "latin1")) return resume(Effect.void)
      // A long reply waits many times: each time leaves nothing behind on the socket.
      const forget = (): void => {
        socket.off("drain", onDrain)
        socket.off("close", onClose)
      }
      const onDrain = (): void => {
        forget()
        resume(Effect.void)
      }
      const onClose = (): void => {
        forget()
        resume(Effect.fail(new ClientGone()))
      }
      socket.once("drain", onDrain)
      socket.once("close", onClose)
      return Effect.sync(forget)
    })
})

/**
 * Removes the socket that a dead daemon left. One that is answered belongs to a daemon that runs:
 * its clients would never reach it again. What is not a socket is not ours to remove.
 */
const removeStale = (path: string): Effect.Effect<void, ControlSocketError> =>
  Effect.callback<void, ControlSocketError>((resume) => {
    if (!isSocket(path)) return resume(Effect.void)
    const probe = net.connect({ path })
    const inUse = Effect.fail(new ControlSocketError({ path, code: "EADDRINUSE" }))
    probe.once("connect", () => {
      probe.destroy()
      resume(inUse)
    })
    probe.once("error", (error: NodeJS.ErrnoException) => {
      // Its owner is alive and has no time for more clients now.
      if (error.code === "EAGAIN") return resume(inUse)
      removeQuietly(path)
      resume(Effect.void)
    })
    return Effect.sync(() => probe.destroy())
  })

const isSocket = (path: string): boolean => {
  try {
    return lstatSync(path).isSocket()
  } catch {
    return false
  }
}

/** When a socket cannot be removed, listening says why; at the end it does not matter. */
const removeQuietly = (path: string): void => {
  try {
    unlinkSync(path)
  } catch {
    // Somebody else removed it already.
  }
}

const listen = (path: string, onSocket: (socket: net.Socket) => void) =>
  Effect.callback<net.Server, ControlSocketError>((resume) => {
    const server = net.createServer({ allowHalfOpen: true }, onSocket)
    server.once(
      "error",
      (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new ControlSocketError({ path, code: error.code ?? error.message })))
    )
    // The mode follows the umask, 0177, which the program has set.
    server.listen({ path, backlog: waitingMax }, () => resume(Effect.succeed(server)))
  })

/** Connections stay open: a client that asked for the end sees it when the process has ended. */
const close = (server: net.Server, path: string) =>
  Effect.sync(() => {
    removeQuietly(path)
    server.close()
  })

/** Ends a connection; the client sees the end of the reply. */
const endClient = (socket: net.Socket): Effect.Effect<void> =>
  Effect.sync(() => {
    socket.setTimeout(silenceMs, () => socket.destroy())
    socket.resume()
    socket.end()
  })

export const layer = (path: string): Layer.Layer<ControlSocket, ControlSocketError> =>
  Layer.effect(
    ControlSocket,
    Effect.gen(function*() {
      const waiting = yield* Queue.bounded<net.Socket>(waitingMax)
      const onSocket = (socket: net.Socket): void => {
        // A client that goes away is an ordinary event, and "close" follows.
        socket.on("error", () => {})
        if (!Queue.offerUnsafe(waiting, socket)) socket.destroy()
      }
      yield* Effect.acquireRelease(
        Effect.andThen(removeStale(path), listen(path, onSocket)),
        (server) => close(server, path)
      )
      return ControlSocket.of({
        // Waiting must stay interruptible, or the daemon could not stop.
        accept: Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const socket = yield* restore(Queue.take(waiting))
            yield* Effect.addFinalizer((exit) =>
              Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
                ? Effect.void
                : endClient(socket)
            )
            return clientOf(socket)
          })
        )
      })
    })
  )

/** No path is configured: nobody can ask. */
export const layerNone: Layer.Layer<ControlSocket> = Layer.succeed(
  ControlSocket,
  ControlSocket.of({ accept: Effect.never })
)
