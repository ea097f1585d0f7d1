/**
 * Receives on one dedicated link: datagrams → messages → protocol → external cache.
 *
 * Whatever bytes arrive, they are counted under the right counter and nothing is applied in part.
 *
 * Source: specification, "The replication protocol", section 12.
 */
import * as Effect from "effect/Effect"
import type { Change } from "../core/model/Change.ts"
import { Fault } from "../core/model/Fault.ts"
import { clearScratch } from "../core/model/FlowView.ts"
import { Verdict } from "../core/protocol/SyncProtocol.ts"
import { MessageReader } from "../core/wire/Datagram.ts"
import { decode } from "../core/wire/FlowAttributes.ts"
import type { MessageHeader } from "../core/wire/MessageHeader.ts"
import { emptyHeader, MessageType } from "../core/wire/MessageHeader.ts"
import type { LinkReceiveError } from "../layers/LinkError.ts"
import type { Datagrams } from "../layers/Links.ts"
import { reopenedForEver } from "./Reopening.ts"
import type { Replica } from "./Replica.ts"

class Receiver {
  readonly #replica: Replica
  readonly #link: number
  readonly #reader = new MessageReader()
  readonly #header: MessageHeader = emptyHeader()
  /** Of this pull: reading the clock for every message would cost as much as applying it. */
  #nowSeconds = 0
  #heardControl = false

  constructor(replica: Replica, link: number) {
    this.#replica = replica
    this.#link = link
  }

  /** True when there may be something to say because of it: an answer, a bulk send. */
  receive(datagrams: Datagrams): boolean {
    const { nowMs: clock, protocol } = this.#replica
    const nowMs = clock()
    this.#nowSeconds = Math.floor(nowMs / 1_000)
    this.#heardControl = false
    let from = 0
    for (let i = 0; i < datagrams.count; i++) {
      const to = datagrams.ends[i]!
      this.#reader.reset(datagrams.bytes, from, to)
      while (this.#reader.hasNext) this.#next(nowMs)
      from = to
    }
    return this.#heardControl || protocol.txLength > 0
  }

  #next(nowMs: number): void {
    const { protocol, receive, selector } = this.#replica
    const header = this.#header
    switch (this.#reader.next(header)) {
      case Fault.none:
        break
      case Fault.truncated:
        receive.truncated++
        return
      case Fault.badVersion:
        receive.badVersion++
        return
      default:
        receive.badSize++
        return
    }
    switch (protocol.handleMessage(header, nowMs)) {
      case Verdict.malformed:
        receive.badHeader++
        return
      case Verdict.drop:
        return
      case Verdict.control:
        this.#heardControl = true
        selector.handleTraffic(this.#link)
        return
      case Verdict.apply:
        selector.handleTraffic(this.#link)
        this.#apply(header.type)
    }
  }

  #apply(type: number): void {
    const { external, receive, scratch } = this.#replica
    // Expectations are accepted and not kept, until they can be shown and committed.
    if (type > MessageType.flowDestroy) return
    clearScratch(scratch)
    const { bodyAt, bodyEnd, bytes } = this.#reader
    if (decode(bytes, bodyAt, bodyEnd, scratch, receive) !== Fault.none) {
      receive.badPayload++
      return
    }
    external.apply(type as Change, scratch, this.#nowSeconds)
  }
}

/**
 * Receives on link `index` for ever. An error of the socket opens it again; the other links are not
 * affected.
 */
export const linkReceiver = (replica: Replica, index: number): Effect.Effect<never> => {
  const receiver = new Receiver(replica, index)
  const link = replica.links[index]!
  return reopenedForEver({
    turn: Effect.map(link.pull, (datagrams) => {
      if (receiver.receive(datagrams)) replica.work.openUnsafe()
    }),
    reopen: link.reopen,
    failed: (error: LinkReceiveError) => Effect.logWarning(error.message),
    opened: Effect.void
  })
}
