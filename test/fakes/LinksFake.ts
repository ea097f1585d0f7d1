/**
 * Dedicated links in memory: what one end sends is in the other end's inbox at once, unless the
 * cable loses it, holds it back or is cut.
 *
 * No time passes on the cable; a datagram that is held back arrives after the next one that is not.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { LinkOpenError, LinkReceiveError } from "../../src/layers/LinkError.ts"
import type { Datagrams, Link, LinkCounters } from "../../src/layers/Links.ts"

const pullMax = 64
const pullBytes = 128 * 1024

/** What becomes of a datagram on its way. */
export type Fate = "pass" | "lose" | "hold"

const allPass = (): Fate => "pass"

export class LinkFake implements Link {
  readonly interfaceName: string
  readonly transport = "udp"
  readonly headerBytes = 28
  readonly mtuBytes = 1_500
  readonly counters: LinkCounters = {
    bytesSent: 0,
    bytesReceived: 0,
    packetsSent: 0,
    packetsReceived: 0,
    sendErrors: 0,
    receiveErrors: 0
  }
  /** Decides about each datagram that this end sends; `number` counts them from 0. */
  fateOf: (number: number) => Fate = allPass
  /** How often the socket was opened again. */
  reopened = 0
  peer: LinkFake | undefined
  /** The link fails with this code whenever it was opened again. */
  failAgainAfterReopening: string | undefined
  /** The next pull is a defect. */
  isBroken = false
  /** Closed: sending waits. */
  readonly sending = Latch.makeUnsafe(true)
  readonly #inbox: Array<Uint8Array> = []
  readonly #arrived = Latch.makeUnsafe(false)
  readonly #received = {
    bytes: new Uint8Array(pullBytes),
    ends: new Int32Array(pullMax),
    count: 0
  }
  #held: Array<Uint8Array> = []
  #sent = 0
  #failure: string | undefined
  #refusals = 0

  constructor(interfaceName: string) {
    this.interfaceName = interfaceName
  }

  /** The next pulls fail with `code`, until the link is opened again. */
  fail(code: string): void {
    this.#failure = code
    this.#arrived.openUnsafe()
  }

  /** The next `count` attempts to open the link again fail. */
  refuseToOpen(count: number): void {
    this.#refusals = count
  }

  /** Somebody sent `datagram` to this end. */
  deliver(datagram: Uint8Array): void {
    this.#inbox.push(datagram)
    this.#arrived.openUnsafe()
  }

  readonly pull: Effect.Effect<Datagrams, LinkReceiveError> = Effect.suspend(() =>
    Effect.flatMap(this.#arrived.await, () => this.#take())
  )

  readonly send = (datagrams: Datagrams): Effect.Effect<void> =>
    Effect.map(this.sending.await, () => {
      let from = 0
      for (let i = 0; i < datagrams.count; i++) {
        const to = datagrams.ends[i]!
        this.#transmit(datagrams.bytes.slice(from, to))
        from = to
      }
    })

  readonly reopen: Effect.Effect<void, LinkOpenError> = Effect.suspend(() => {
    if (this.#refusals > 0) {
      this.#refusals--
      const { interfaceName } = this
      return Effect.fail(new LinkOpenError({ interfaceName, address: "any", code: "ENODEV" }))
    }
    this.reopened++
    this.#failure = this.failAgainAfterReopening
    return Effect.void
  })

  #take(): Effect.Effect<Datagrams, LinkReceiveError> {
    const { interfaceName } = this
    if (this.isBroken) return Effect.die(new Error("broken by the test"))
    if (this.#failure !== undefined) {
      this.counters.receiveErrors++
      return Effect.fail(new LinkReceiveError({ interfaceName, code: this.#failure }))
    }
    const received = this.#received
    received.count = 0
    for (let at = 0; received.count < pullMax && this.#inbox.length > 0;) {
      const datagram = this.#inbox.shift()!
      received.bytes.set(datagram, at)
      at += datagram.length
      received.ends[received.count++] = at
      this.counters.packetsReceived++
      this.counters.bytesReceived += datagram.length
    }
    if (this.#inbox.length === 0) this.#arrived.closeUnsafe()
    return Effect.succeed(received)
  }

  #transmit(datagram: Uint8Array): void {
    this.counters.packetsSent++
    this.counters.bytesSent += datagram.length
    const fate = this.fateOf(this.#sent++)
    if (this.peer === undefined || fate === "lose") return
    if (fate === "hold") {
      this.#held.push(datagram)
      return
    }
    this.peer.deliver(datagram)
    for (const late of this.#held) this.peer.deliver(late)
    this.#held = []
  }
}

/** Joins two ends. */
export const joinLinks = (a: LinkFake, b: LinkFake): void => {
  a.peer = b
  b.peer = a
}
