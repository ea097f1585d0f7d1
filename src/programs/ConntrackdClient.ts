/**
 * `conntrackd` as a client: sends one request to the daemon and copies the reply to standard
 * output.
 *
 * Uses no Effect runtime: a script runs several of these during a fail-over, and each costs little
 * more than an empty Node process.
 *
 * Source: specification, "Command line, life cycle …", sections 2.5 and 7.
 */
import { connect } from "node:net"
import { encode, type Request } from "../core/control/Request.ts"

/** How the exchange with the daemon ended. */
export type ClientOutcome =
  /** The daemon closed the connection: the reply is complete. */
  | "complete"
  /** Nobody listens, or we may not connect. */
  | "notConnected"
  /** The connection broke before the daemon closed it. */
  | "lost"
  /** Whoever reads our output has enough, as in `conntrackd -i | head`. */
  | "readerGone"

/**
 * Sends `request` to the socket at `path` and copies the reply, bytes unchanged, to `output`.
 *
 * For `Request.kill` the connection ends when the daemon's process does.
 */
export const exchange = (
  path: string | undefined,
  request: Request,
  output: NodeJS.WritableStream
): Promise<ClientOutcome> =>
  new Promise((resolve) => {
    // An empty path would be an address that the kernel chooses.
    if (path === undefined || path === "") return resolve("notConnected")
    let isConnected = false
    // Half-open: the daemon must not see our end before it has read the request.
    const socket = connect({ path, allowHalfOpen: true })
    socket.on("connect", () => {
      isConnected = true
      socket.write(encode(request))
    })
    socket.on("error", () => resolve(isConnected ? "lost" : "notConnected"))
    socket.on("end", () => {
      socket.end()
      resolve("complete")
    })
    output.on("error", (error: NodeJS.ErrnoException) => {
      socket.destroy()
      resolve(error.code === "EPIPE" ? "readerGone" : "lost")
    })
    // The pipe stops reading from the daemon while `output` is full.
    socket.pipe(output, { end: false })
  })
