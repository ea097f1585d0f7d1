/**
 * The bench that statements are tried on: a socket for requests, one that hears every event, and a
 * log of all that came.
 *
 * Answers are summarised in the words of the recorded probes: ACK, the name of an errno,
 * msg(type,flags), DONE(0), "no answer".
 */
import { nfmsg } from "../sim/kernel/NetlinkWriter.ts"
import type { Nlmsg } from "./NlmsgText.ts"
import { attributesOf, errnoOf, nlattrsIn, nlmsgsIn, textOf } from "./NlmsgText.ts"
import type { KernelArm, KernelSocket } from "./Statement.ts"

const slotBytes = 1 << 16
const received = new Uint8Array(4 * slotBytes)
const lengths = new Int32Array(4)
const receiveBufferBytes = 1 << 22
const eagain = 11

const errnoNames: Readonly<Record<number, string>> = {
  0: "ACK",
  1: "EPERM",
  2: "ENOENT",
  11: "EAGAIN",
  12: "ENOMEM",
  16: "EBUSY",
  17: "EEXIST",
  22: "EINVAL",
  24: "EMFILE",
  28: "ENOSPC",
  34: "ERANGE",
  95: "EOPNOTSUPP",
  105: "ENOBUFS"
}

/** CT_DELETE. */
const destroy = 0x0102

/** Groups that carry flows and expectations. */
const allGroups = [1, 2, 3, 4, 5, 6]

/** What a dump gave. */
export interface Dumped {
  /** As "source:port/protocol", sorted. */
  readonly entries: ReadonlyArray<string>
  /** ACK stands for DONE(0); undefined when nothing ended it. */
  readonly end: string | undefined
  /** Of all messages, without repetitions. */
  readonly flags: ReadonlyArray<number>
}

export class Bench {
  readonly #arm: KernelArm
  readonly #socket: KernelSocket
  readonly #listener: KernelSocket
  readonly #opened: Array<KernelSocket> = []
  readonly log: Array<string> = []
  #seq = 0

  constructor(arm: KernelArm) {
    this.#arm = arm
    this.#socket = this.open()
    // The table is empty: expectations go with their masters.
    this.#exchange(nfmsg({ type: 0x0102, flags: 0x5, seq: 0, pid: 0 }, 0, []))
    this.#listener = this.listen(...allGroups)
  }

  /** One more socket, for requests. */
  open(): KernelSocket {
    const socket = this.#arm.open()
    socket.setReceiveBuffer(receiveBufferBytes)
    this.#opened.push(socket)
    return socket
  }

  /** A socket that hears these groups. */
  listen(...groups: ReadonlyArray<number>): KernelSocket {
    const socket = this.open()
    for (const group of groups) socket.join(group)
    return socket
  }

  /** The socket that asks: its options can be set. */
  get socket(): KernelSocket {
    return this.#socket
  }

  /** Sends a request; what came back, summarised. All of it is logged, and so are the events. */
  ask(request: Uint8Array): string {
    return this.#told(this.#exchange(request))
  }

  /** Sends a request that must succeed: a statement builds on it. */
  do(...requests: ReadonlyArray<Uint8Array>): void {
    for (const request of requests) {
      const answer = this.ask(request)
      if (!/\bACK$/.test(answer)) throw new Error(`prepared in vain: ${answer}`)
    }
  }

  /** Sends requests, and leaves the answers to `answers`. */
  send(...requests: ReadonlyArray<Uint8Array>): void {
    this.#send(Uint8Array.from(requests.flatMap((one) => [...one])))
  }

  /** What came since on the socket that asks. Logged, as are the events. */
  answers(): string {
    return this.#told(this.drain(this.#socket))
  }

  /** The messages that answer a request, not logged. */
  read(request: Uint8Array): ReadonlyArray<Nlmsg> {
    return this.#exchange(request)
  }

  /** The events that came since. */
  events(): ReadonlyArray<Nlmsg> {
    const events = this.drain(this.#listener)
    const texts = events.map((event) => `event ${textOf(event, this.#socket.portId)}`)
    // In which order a flush goes through the table is chance.
    if (events.every(({ type }) => type === destroy)) texts.sort()
    this.log.push(...texts)
    return events
  }

  /** A dump. Its entries are logged sorted: in which order a kernel has them is chance. */
  dump(request: Uint8Array): Dumped {
    const messages = this.#exchange(request)
    const flows = messages.filter(({ type }) => type >> 8 !== 0)
    const last = messages.at(-1)
    const texts = messages.map((message) => textOf(message, this.#socket.portId)).sort()
    for (const text of texts) this.log.push(`dump ${text}`)
    this.events()
    return {
      entries: flows.map(entryOf).sort(),
      end: last === undefined || last.type >> 8 !== 0 ? undefined : summaryOf(last),
      flags: [...new Set(messages.map(({ flags }) => flags))].sort((x, y) => x - y)
    }
  }

  /** Every message that waits on a socket. */
  drain(socket: KernelSocket): ReadonlyArray<Nlmsg> {
    const out: Array<Nlmsg> = []
    for (;;) {
      const count = socket.receive(received, slotBytes, lengths, lengths.length)
      if (count === -eagain) return out
      if (count < 0) throw new Error(`receive: errno ${-count}`)
      for (let i = 0; i < count; i++) {
        if (lengths[i]! < 0) throw new Error("a datagram was cut short")
        const datagram = received.slice(i * slotBytes, i * slotBytes + lengths[i]!)
        out.push(...nlmsgsIn(datagram))
      }
    }
  }

  close(): void {
    for (const socket of this.#opened) socket.close()
  }

  #told(messages: ReadonlyArray<Nlmsg>): string {
    const texts = messages.map((message) => `answer ${textOf(message, this.#socket.portId)}`)
    // As for events: a flush that is echoed.
    const destroyed = messages.filter(({ type }) => type === destroy).length
    texts.splice(0, destroyed, ...texts.slice(0, destroyed).sort())
    // Of several messages that say the same one is enough: there is one per processor.
    this.log.push(...texts.filter((text, i) => text !== texts[i - 1]))
    this.events()
    return messages.length === 0 ? "no answer" : messages.map(summaryOf).join(" ")
  }

  #exchange(request: Uint8Array): ReadonlyArray<Nlmsg> {
    this.#send(request)
    return this.drain(this.#socket)
  }

  #send(request: Uint8Array): void {
    const bytes = request.slice()
    // Every message of the request gets its own sequence number.
    for (const { bytes: message } of nlmsgsIn(bytes, true)) {
      new DataView(message.buffer, message.byteOffset).setUint32(8, ++this.#seq, true)
    }
    const status = this.#socket.send(bytes, bytes.length)
    if (status < 0) throw new Error(`send: errno ${-status}`)
  }
}

const summaryOf = (message: Nlmsg): string => {
  const { flags, type } = message
  if (type === 2) return errnoNames[errnoOf(message)] ?? `errno ${errnoOf(message)}`
  if (type === 3) {
    return `DONE(${
      new DataView(message.bytes.buffer, message.bytes.byteOffset).getInt32(16, true)
    })`
  }
  return `msg(type=0x${type.toString(16)},flags=0x${flags.toString(16)})`
}

/** Source, source port and protocol of the original direction. */
const entryOf = (message: Nlmsg): string => {
  const inside = (value: Uint8Array, type: number) =>
    nlattrsIn(value).find((one) => one.type === type)?.value
  const orig = attributesOf(message).find(({ type }) => type === 1)!.value
  const ip = inside(orig, 1)!
  const proto = inside(orig, 2)!
  const port = inside(proto, 2)
  const address = inside(ip, 1)?.join(".") ?? addressText(inside(ip, 3)!)
  const number = port === undefined ? "" : `:${port[0]! * 256 + port[1]!}`
  return `${address}${number}/${inside(proto, 1)![0]}`
}

/** IPv6 as the recordings have it; enough for addresses with one run of zeros. */
const addressText = (bytes: Uint8Array): string => {
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! * 256 + bytes[2 * i + 1]!)
  return groups.map((group) => group.toString(16)).join(":").replace(/(^|:)0(:0)+(:|$)/, "::")
}
