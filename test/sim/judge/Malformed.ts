/**
 * S10: how many malformed messages a daemon must have counted, of each kind. What nobody sent is
 * cut into messages as a receiver does, by the reference's code.
 *
 * Source: specification, "The replication protocol", section 12.
 */
import type { ReceiveCounters } from "../../../src/actors/Replica.ts"
import type { Inbound } from "../../../src/core/protocol/SyncProtocol.ts"
import { Flag, splitDatagram } from "../reference/ReferenceWire.ts"

const dataMax = 5
const controlType = 10
const ranged = Flag.ack | Flag.nack

/** What FTFW calls a malformed header. */
export const isMalformed = ({ ackFrom, ackTo, flags, type }: Inbound): boolean => {
  const kind = flags & ~(Flag.hello | Flag.helloBack)
  if (type <= dataMax) return kind !== 0
  if (type !== controlType) return true
  if ((kind & ranged) !== 0) return ((ackTo - ackFrom) | 0) < 0
  return (kind & (Flag.resync | Flag.alive)) === 0
}

type Counted = "truncated" | "badSize" | "badVersion"
const counted: ReadonlyArray<Counted> = ["truncated", "badSize", "badVersion"]

export class Malformed {
  /** Messages with a malformed header, as they are handled. */
  headers = 0
  /** Messages about flows that nobody sent and that were applied: their bodies may be malformed. */
  applied = 0
  readonly #read = { truncated: 0, badSize: 0, badVersion: 0 }
  /** What was read before the last look was handled by now. */
  #due = { ...this.#read }

  /** Bytes that nobody sent were taken out of a socket. */
  read(bytes: Uint8Array): void {
    const { fault, frames } = splitDatagram(bytes)
    if (fault === "truncated") this.#read.truncated++
    if (fault === "bad size") this.#read.badSize++
    for (const { version } of frames) if (version !== 1) this.#read.badVersion++
  }

  /** What is counted wrongly, in words. To be called from time to time, while it has turns. */
  difference(counters: ReceiveCounters): string | undefined {
    const due = this.#due
    this.#due = { ...this.#read }
    for (const name of counted) {
      const count = counters[name]
      if (count < due[name] || count > this.#read[name]) {
        return `${count} messages as ${name}, it should be ${this.#read[name]}`
      }
    }
    const { badHeader, badPayload, badType, unknownAttributes } = counters
    if (badHeader !== this.headers) {
      return `${badHeader} messages as badHeader, it should be ${this.headers}`
    }
    if (badType > 0) return `${badType} messages as badType, which FTFW has none of`
    if (badPayload > this.applied || (unknownAttributes > 0 && this.applied === 0)) {
      return `${badPayload} messages as badPayload, but ${this.applied} were nobody's`
    }
    return undefined
  }
}
