/**
 * Hot. The messages of one received datagram, one after the other.
 *
 * The checks are those a receiver makes before it knows what a message is about, in their order:
 * a size that cannot be right ends the datagram, a wrong version only skips the message. What is
 * wrong is told by a fault; the caller counts. The body lies in `bytes[bodyAt, bodyEnd)`.
 *
 * Source: specification, "The replication protocol", sections 12.1 and 12.2.
 */
import { Fault } from "../model/Fault.ts"
import type { MessageHeader } from "./MessageHeader.ts"
import { decodeHeader, headerBytes, version } from "./MessageHeader.ts"

export class MessageReader {
  bytes: Uint8Array = new Uint8Array(0)
  /** Attributes of the current message. */
  bodyAt = 0
  bodyEnd = 0
  #next = 0
  #end = 0

  /** The datagram is `bytes[from, to)`. No byte is copied: it must not change until it is read. */
  reset(bytes: Uint8Array, from: number, to: number): void {
    this.bytes = bytes
    this.bodyAt = from
    this.bodyEnd = from
    this.#next = from
    this.#end = to
  }

  /** True when `next` has a message, or a fault, to tell. An empty datagram has neither. */
  get hasNext(): boolean {
    return this.#next < this.#end
  }

  /**
   * Reads the next header. `truncated`, `badSize`: the rest of the datagram is dropped;
   * `badVersion`: this message is to be skipped, others may follow.
   */
  next(header: MessageHeader): Fault {
    const at = this.#next
    const fault = decodeHeader(this.bytes, at, this.#end, header)
    if (fault !== Fault.none) {
      this.#next = this.#end
      return fault
    }
    this.#next = at + header.length
    this.bodyAt = at + headerBytes
    this.bodyEnd = this.#next
    return header.version === version ? Fault.none : Fault.badVersion
  }
}
