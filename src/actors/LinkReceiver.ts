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

  constructor(replica: Replica, link: number) {
    this.#replica = replica
    this.#link = link
  }

  receive(datagrams: Datagrams): void {
    const nowMs = this.#replica.nowMs()
    let from = 0
    for (let i = 0; i < datagrams.count; i++) {
      const to = datagrams.ends[i]!
      this.#reader.reset(datagrams.bytes, from, to)
      while (this.#reader.hasNext) this.#next(nowMs)
      from = to
    }
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
        selector.handleTraffic(this.#link)
        return
      case Verdict.apply:
        selector.handleTraffic(this.#link)
        this.#apply(header.type)
    }
  }

  #apply(type: number): void {
    const { external, nowSeconds, receive, scratch } = this.#replica
    // Expectations are accepted and not kept, until they can be shown and committed.
    if (type > MessageType.flowDestroy) return
    clearScratch(scratch)
    const { bodyAt, bodyEnd, bytes } = this.#reader
    if (decode(bytes, bodyAt, bodyEnd, scratch, receive) !== Fault.none) {
      receive.badPayload++
      return
    }
    external.apply(type as Change, scratch, nowSeconds())
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
      receiver.receive(datagrams)
      replica.work.openUnsafe()
    }),
    reopen: link.reopen,
    failed: (error: LinkReceiveError) => Effect.logWarning(error.message),
    opened: Effect.void
  })
}
