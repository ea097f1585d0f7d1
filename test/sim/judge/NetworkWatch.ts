/**
 * Watches the wire: S8, S1 (a message says what its sender's cache says), the links' counters
 * (S10), and L4.
 */
import type { MachineName } from "../machine/Machine.ts"
import type { SentDatagram } from "../network/Datagram.ts"
import type { ReferenceMessage } from "../reference/ReferenceWire.ts"
import {
  BadWire,
  decodeDatagram,
  Flag,
  messageTypes,
  parseFlow,
  splitDatagram
} from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { Ledger, Message } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { SendRate } from "./SendRate.ts"
import { asKept, differenceLines, differingFields, keyOf, lineOfFlow } from "./WireFlow.ts"

const controlType = 10

const typeOf = (type: ReferenceMessage["type"]): number =>
  type === "CTL" ? controlType : messageTypes.indexOf(type)

/** What a sender that is not ours has built, as far as the wire shows. */
export interface ForeignSpeaker {
  readonly life: number
  readonly built: Map<number, Message>
}

const hexLines = (bytes: Uint8Array): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (let at = 0; at < bytes.length; at += 16) {
    lines.push(
      Array.from(bytes.subarray(at, at + 16), (byte) => byte.toString(16).padStart(2, "0"))
        .join(" ")
    )
  }
  return lines
}

const areSame = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export class NetworkWatch {
  readonly #court: Court
  readonly #messages = new WeakMap<SentDatagram, ReadonlyArray<Message>>()
  readonly #rates = new Map<MachineName, SendRate>()

  constructor(court: Court) {
    this.#court = court
  }

  /** The messages of a copy that somebody read; undefined: it is not what was sent. */
  messagesOf(datagram: SentDatagram, bytes: Uint8Array): ReadonlyArray<Message> | undefined {
    const messages = this.#messages.get(datagram)
    return messages !== undefined && areSame(bytes, datagram.bytes) ? messages : undefined
  }

  // ------------------------------------------------------------------------------ ours

  sentByUs(datagram: SentDatagram, life: Life): void {
    const messages: Array<Message> = []
    this.#messages.set(datagram, messages)
    let decoded: ReadonlyArray<ReferenceMessage>
    try {
      decoded = decodeDatagram(datagram.bytes)
    } catch (reason) {
      if (!(reason instanceof BadWire)) throw reason
      this.#bad(datagram, reason.message)
      return
    }
    this.#checkSize(datagram, life, decoded.length)
    this.#countSent(datagram, decoded.map(({ type }) => typeOf(type)))
    const excess = this.#rateOf(datagram.from).excess()
    if (excess !== undefined) this.#court.violate("S9", `${datagram.from} sent ${excess}`)
    for (const message of decoded) {
      const built = life.built.get(message.sequence)
      if (built === undefined) {
        this.#bad(datagram, `nobody built number ${message.sequence}`)
        continue
      }
      if (!built.isSent) life.unsent--
      built.isSent = true
      messages.push(built)
      this.#checkMessage(datagram, built, message)
    }
  }

  #rateOf(name: MachineName): SendRate {
    let rate = this.#rates.get(name)
    if (rate === undefined) this.#rates.set(name, rate = new SendRate())
    return rate
  }

  /** Both ends have a reason to acknowledge, or to wait for one, when something is told. */
  #countSent({ from, sentMs, to }: SentDatagram, types: ReadonlyArray<number>): void {
    let controls = 0
    for (const type of types) if (type === controlType) controls++
    const told = types.length - controls
    this.#rateOf(from).sent(sentMs, controls, told)
    if (told > 0) this.#rateOf(to).heard(sentMs, told)
  }

  #checkSize({ bytes, link }: SentDatagram, life: Life, count: number): void {
    const { headerBytes, mtuBytes } = life.replica.links[link] ?? life.replica.links[0]!
    const room = Math.max(0, mtuBytes - headerBytes)
    if (bytes.length <= room || count === 1) return
    this.#court.violate(
      "S8",
      `${life.machine} sent ${count} messages in ${bytes.length} bytes, ` +
        `the link has room for ${room}`
    )
  }

  #checkMessage(datagram: SentDatagram, built: Message, message: ReferenceMessage): void {
    const type = typeOf(message.type)
    const isSame = type === built.type && message.flags === built.flags &&
      (message.from ?? 0) === built.from && (message.to ?? 0) === built.to
    if (!isSame) {
      const isRangeless = (built.flags & (Flag.ack | Flag.nack | Flag.resync)) === 0
      if (type !== built.type || message.flags !== built.flags || !isRangeless) {
        this.#bad(datagram, `number ${built.seq} is not the message that was built`)
        return
      }
    }
    if (built.flow === undefined) return
    const says = asKept(message.flow ?? {})
    const must = asKept(built.flow)
    if (differingFields(says, must).length === 0) return
    this.#court.violate(
      "S1",
      `${datagram.from} tells something else than it has, as number ${built.seq}`,
      () => [
        ["the flow", [lineOfFlow(built.flow!)]],
        ["differences", differenceLines(says, must)]
      ]
    )
  }

  #bad(datagram: SentDatagram, why: string): void {
    this.#court.violate(
      "S8",
      `${datagram.from} sent a datagram that is not valid: ${why}`,
      () => [["its bytes", hexLines(datagram.bytes)]]
    )
  }

  // --------------------------------------------------------------------------- foreign

  /** A peer that is not ours says what it likes; nothing of it is judged. */
  sentByOther(datagram: SentDatagram, speaker: ForeignSpeaker, outgoing: Ledger): void {
    const messages: Array<Message> = []
    const { frames } = splitDatagram(datagram.bytes)
    this.#countSent(datagram, frames.map(({ type }) => type))
    for (const { body, flags, from, sequence, to, type } of frames) {
      const flow = type <= 2 ? asKept(parseFlow(body)) : undefined
      const key = flow === undefined ? undefined : keyOf(flow)
      if (key !== undefined) outgoing.tell(key, `${datagram.from}: → message ${sequence}`)
      const message: Message = {
        life: speaker.life,
        seq: sequence,
        flags,
        type,
        key,
        flow,
        from,
        to,
        moment: this.#court.nextMoment(),
        atMs: this.#court.nowMs(),
        birth: 0,
        isSent: true,
        acceptedBy: 0,
        aboutLife: 0
      }
      speaker.built.set(sequence, message)
      messages.push(message)
    }
    this.#messages.set(datagram, messages)
  }
}

/** Somebody might take bytes that nobody sent for a message. */
export const isPlausible = (bytes: Uint8Array): boolean =>
  splitDatagram(bytes).frames.some(({ flags, type, version }) =>
    version === 1 && (type === controlType || (type <= 5 && (flags & ~helloFlags) === 0))
  )

const helloFlags = Flag.hello | Flag.helloBack

/** Datagrams and bytes of one life, counted by the network. */
export class LinkCounts {
  sent = 0
  sentBytes = 0
  refused = 0
  read = 0
  readBytes = 0

  /** S10: what the daemon counts itself. Undefined when it is right. */
  difference({ replica }: Life): string | undefined {
    let [sent, sentBytes, read, readBytes, errors] = [0, 0, 0, 0, 0]
    for (const { counters } of replica.links) {
      sent += counters.packetsSent
      sentBytes += counters.bytesSent
      read += counters.packetsReceived
      readBytes += counters.bytesReceived
      errors += counters.sendErrors
    }
    if (sent !== this.sent) return `${sent} datagrams sent, the network says ${this.sent}`
    if (read !== this.read) return `${read} datagrams received, the network says ${this.read}`
    if (errors !== this.refused) return `${errors} send errors, the network says ${this.refused}`
    if (readBytes !== this.readBytes) {
      return `${readBytes} bytes received, the network says ${this.readBytes}`
    }
    // A partly refused batch counts its share, which need not be exact.
    if (this.refused === 0 && sentBytes !== this.sentBytes) {
      return `${sentBytes} bytes sent, the network says ${this.sentBytes}`
    }
    return undefined
  }
}
