/**
 * Answers of several parts: written part by part, as the socket is read, and ended by DONE.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.5.
 */
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { EBUSY, Refused } from "./NetlinkReader.ts"
import { nlmsg } from "./NetlinkWriter.ts"

/** Starts a dump; one at a time per socket. `next` gives message by message, then undefined. */
export const startDump = (
  socket: FakeNetlinkSocket,
  seq: number,
  next: () => Uint8Array | undefined
): void => {
  let waiting = next()
  let isDone = false
  const datagram = (bytesMax: number): Uint8Array | undefined => {
    if (isDone) return undefined
    const parts: Array<Uint8Array> = []
    let bytes = 0
    while (waiting !== undefined && bytes + waiting.length <= bytesMax) {
      parts.push(waiting)
      bytes += waiting.length
      waiting = next()
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
