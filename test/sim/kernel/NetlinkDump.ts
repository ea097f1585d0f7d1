/**
 * Answers of several parts: written part by part, as the socket is read, and ended by DONE.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.5.
 */
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { EBUSY, Refused } from "./NetlinkReader.ts"
import { nlmsg } from "./NetlinkWriter.ts"

/**
 * One message of a dump. What finds no room in a part is written again for the next one, as it is
 * then; undefined: it is not there any more.
 */
export type DumpEntry = Uint8Array | (() => Uint8Array | undefined)

const written = (entry: DumpEntry): Uint8Array | undefined =>
  typeof entry === "function" ? entry() : entry

/** Starts a dump; one at a time per socket. `next` gives entry by entry, then undefined. */
export const startDump = (
  socket: FakeNetlinkSocket,
  seq: number,
  next: () => DumpEntry | undefined
): void => {
  let waiting = next()
  let isDone = false
  const datagram = (bytesMax: number): Uint8Array | undefined => {
    if (isDone) return undefined
    const parts: Array<Uint8Array> = []
    let bytes = 0
    for (; waiting !== undefined; waiting = next()) {
      const message = written(waiting)
      if (message === undefined) continue
      if (bytes + message.length > bytesMax) break
      parts.push(message)
      bytes += message.length
    }
    if (parts.length === 0) {
      isDone = true
      return nlmsg({ type: 3, flags: 2, seq, pid: socket.portId }, [0, 0, 0, 0])
    }
    const out = new Uint8Array(bytes)
    let to = 0
    for (const part of parts) {
      out.set(part, to)
      to += part.length
    }
    return out
  }
  if (!socket.startDump(datagram)) throw new Refused(EBUSY)
}
