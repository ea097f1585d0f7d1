/**
 * A machine's datagram socket on a dedicated link, simulated: what `openDatagram` of the addon
 * returns, with the kernel's receive buffer behind it. The buffer fills while the process sleeps,
 * and what it cannot hold is dropped and counted.
 *
 * Source: contract of `DatagramHandle`; udp(7), socket(7); how much a buffer holds was measured on
 * Linux 6.18, for payloads from 0 to 60000 bytes of both families. An empty buffer takes anything.
 */
import type { DatagramHandle } from "../../../src/layers/live/NativeAddon.ts"
import type { SentDatagram } from "./Datagram.ts"
import type { SocketPlace } from "./SocketPlace.ts"

const [EBADF, EAGAIN, EINVAL] = [9, 11, 22]
/** Linux's usual `net.core.rmem_default` and `wmem_default`, in bytes. */
const bufferBytesDefault = 212_992
const receiveBufferBytesMin = 2_304
const sendBufferBytesMin = 4_608
/** A caller's buffer holds any datagram. */
const callerBufferMin = 65_536

/**
 * Memory a datagram takes: a buffer for data, headers and what the kernel keeps behind them, in one
 * of the allocator's sizes, and the descriptor. In bytes.
 */
const accountedBytes = (family: 4 | 6, payloadBytes: number): number => {
  const needed = payloadBytes + (family === 4 ? 60 : 72) + sharedInfoBytes
  let data = smallBytes
  if (needed > data) data = 1_024
  while (data < needed) data *= 2
  return data + descriptorBytes
}
const sharedInfoBytes = 320
const smallBytes = 576
const descriptorBytes = 256

/** The network, as a socket sees it. */
export interface SocketNetwork {
  /** 0, or the errno (positive) of a refusal. `bytes` belong to the network from then on. */
  transmit(socket: VirtualSocket, bytes: Uint8Array): number
  taken(socket: VirtualSocket, datagram: SentDatagram, copy: number, bytes: Uint8Array): void
  /** With so much in it that nobody will read. */
  closed(socket: VirtualSocket, unread: number, unreadBytes: number): void
}

/** Hot. */
export class VirtualSocket implements DatagramHandle {
  readonly place: SocketPlace
  readonly sendBufferBytes: number
  readonly #network: SocketNetwork
  readonly #receiveBufferBytes: number
  #datagrams: Array<SentDatagram> = []
  #copies: Array<number> = []
  #bytes: Array<Uint8Array> = []
  #head = 0
  #queuedBytes = 0
  #dropped = 0
  #lastSendError = 0
  #ready: (() => void) | undefined
  #isWaking = false
  #isClosed = false

  constructor(network: SocketNetwork, place: SocketPlace) {
    const { receiveBufferBytes = 0, sendBufferBytes = 0 } = place.options
    this.#network = network
    this.place = place
    this.#receiveBufferBytes = receiveBufferBytes > 0
      ? Math.max(2 * receiveBufferBytes, receiveBufferBytesMin)
      : bufferBytesDefault
    this.sendBufferBytes = sendBufferBytes > 0
      ? Math.max(2 * sendBufferBytes, sendBufferBytesMin)
      : bufferBytesDefault
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Datagrams waiting to be read. */
  get queued(): number {
    return this.#datagrams.length - this.#head
  }

  /** From the wire into the buffer; false when there is no room. */
  put(datagram: SentDatagram, copy: number, bytes: Uint8Array): boolean {
    const accounted = accountedBytes(this.place.options.family, bytes.length)
    if (this.#queuedBytes > 0 && this.#queuedBytes + accounted > this.#receiveBufferBytes) {
      this.#dropped++
      return false
    }
    this.#queuedBytes += accounted
    this.#datagrams.push(datagram)
    this.#copies.push(copy)
    this.#bytes.push(bytes)
    this.#wake()
    return true
  }

  /** The kernel discarded one with a wrong checksum. */
  discard(): void {
    this.#dropped++
  }

  receive(buffer: Uint8Array, ends: Int32Array, datagramsMax: number): number {
    if (buffer.length < callerBufferMin || ends.length === 0 || datagramsMax < 1) return -EINVAL
    if (this.#isClosed) return -EBADF
    const wanted = Math.min(datagramsMax, ends.length, this.queued)
    let count = 0
    let end = 0
    while (count < wanted) {
      const datagram = this.#datagrams[this.#head]!
      const copy = this.#copies[this.#head]!
      const bytes = this.#bytes[this.#head]!
      if (bytes.length > buffer.length - end) break
      buffer.set(bytes, end)
      end += bytes.length
      ends[count++] = end
      this.#head++
      this.#queuedBytes -= accountedBytes(this.place.options.family, bytes.length)
      this.#network.taken(this, datagram, copy, bytes)
    }
    this.#forgetTaken()
    return count > 0 ? count : -EAGAIN
  }

  send(buffer: Uint8Array, ends: Int32Array, count: number): number {
    if (count < 0 || count > ends.length) return -EINVAL
    for (let i = 0, previous = 0; i < count; i++) {
      if (ends[i]! < previous || ends[i]! > buffer.length) return -EINVAL
      previous = ends[i]!
    }
    if (this.#isClosed) return -EBADF
    this.#lastSendError = 0
    let accepted = 0
    for (let i = 0, at = 0; i < count; i++) {
      const end = ends[i]!
      const refusal = this.#network.transmit(this, buffer.slice(at, end))
      if (refusal === 0) accepted++
      else this.#lastSendError = refusal
      at = end
    }
    return accepted
  }

  lastSendError(): number {
    return this.#lastSendError
  }

  dropped(): number {
    return this.#isClosed ? -EBADF : this.#dropped
  }

  localPort(): number {
    return this.#isClosed ? -EBADF : this.place.options.port
  }

  whenReadable(ready: () => void): number {
    if (this.#isClosed) return -EBADF
    this.#ready = ready
    if (this.queued > 0) this.#wake()
    return 0
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#ready = undefined
    let unreadBytes = 0
    for (let i = this.#head; i < this.#bytes.length; i++) unreadBytes += this.#bytes[i]!.length
    const unread = this.queued
    this.#datagrams = []
    this.#copies = []
    this.#bytes = []
    this.#head = 0
    this.#network.closed(this, unread, unreadBytes)
  }

  #wake(): void {
    if (this.#isWaking || this.#ready === undefined) return
    this.#isWaking = true
    this.place.process.defer(this.#wakeUp)
  }

  /** The process's turn has come; it may have read or closed meanwhile. */
  readonly #wakeUp = (): void => {
    this.#isWaking = false
    const ready = this.#ready
    if (ready === undefined || this.queued === 0) return
    this.#ready = undefined
    ready()
  }

  #forgetTaken(): void {
    if (this.#head === this.#datagrams.length) {
      this.#datagrams.length = this.#copies.length = this.#bytes.length = 0
      this.#head = 0
    } else if (this.#head > 1_024 && this.#head * 2 > this.#datagrams.length) {
      this.#datagrams.splice(0, this.#head)
      this.#copies.splice(0, this.#head)
      this.#bytes.splice(0, this.#head)
      this.#head = 0
    }
  }
}
