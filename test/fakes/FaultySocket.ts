/**
 * A socket of the simulated kernel that fails when the test wants it to: between the live netlink
 * layers, which see what a system call would return, and the kernel, which knows of nothing.
 */
import type { NetlinkHandle } from "../../src/layers/live/NativeAddon.ts"
import type { FakeNetlinkSocket } from "../sim/kernel/FakeNetlinkSocket.ts"
import type { Request } from "../sim/kernel/NetlinkReader.ts"
import { requestsIn } from "../sim/kernel/NetlinkReader.ts"
import { hostOrder, nlmsg } from "../sim/kernel/NetlinkWriter.ts"

export interface SocketFaults {
  /** A positive errno with which the kernel refuses this request; 0: it does not. */
  readonly refusal: (request: Request) => number
  /** A positive errno with which sending fails altogether; 0: it does not. */
  readonly sendFailure: (requests: ReadonlyArray<Request>) => number
  /** The socket listens to flows from now on. */
  readonly listening: (socket: FaultySocket) => void
}

const flowGroups = [1, 2, 3]

export class FaultySocket implements NetlinkHandle {
  readonly #socket: FakeNetlinkSocket
  readonly #faults: SocketFaults
  /** What reading fails with; 0: it does not. */
  #failure = 0
  #isBroken = false
  #ready: (() => void) | undefined

  constructor(socket: FakeNetlinkSocket, faults: SocketFaults) {
    this.#socket = socket
    this.#faults = faults
  }

  // -------------------------------------------------------------------------- for the test

  get isClosed(): boolean {
    return this.#socket.isClosed
  }

  /** Reading fails with this errno, always. */
  fail(errno: number): void {
    this.#failure = errno
    this.#wake()
  }

  /** The next read throws. */
  breakDown(): void {
    this.#isBroken = true
    this.#wake()
  }

  loseEvent(): void {
    this.#socket.loseEvent()
  }

  queueEvent(bytes: Uint8Array): void {
    this.#socket.queueEvent(bytes)
  }

  /** Hears nothing of flows, and notices nothing of it. */
  setDeaf(isDeaf: boolean): void {
    for (const group of flowGroups) {
      if (isDeaf) this.#socket.leave(group)
      else this.#socket.join(group)
    }
  }

  #wake(): void {
    const ready = this.#ready
    this.#ready = undefined
    ready?.()
  }

  // --------------------------------------------------------------------- for the live layers

  get portId(): number {
    return this.#socket.portId
  }

  join(group: number): number {
    const result = this.#socket.join(group)
    if (result === 0 && group === 1) this.#faults.listening(this)
    return result
  }

  leave(group: number): number {
    return this.#socket.leave(group)
  }

  setOption(level: number, name: number, value: number): number {
    return this.#socket.setOption(level, name, value)
  }

  setReceiveBuffer(bytes: number): number {
    return this.#socket.setReceiveBuffer(bytes)
  }

  setSendBuffer(): number {
    return this.#socket.setSendBuffer()
  }

  receiveBufferBytes(): number {
    return this.#socket.receiveBufferBytes()
  }

  attachFilter(program: Uint8Array): number {
    return this.#socket.attachFilter(program)
  }

  receive(
    buffer: Uint8Array,
    slotBytes: number,
    lengths: Int32Array,
    datagramsMax: number
  ): number {
    if (this.#isBroken) throw new Error("broken by the test")
    if (this.#failure !== 0) return -this.#failure
    return this.#socket.receive(buffer, slotBytes, lengths, datagramsMax)
  }

  send(bytes: Uint8Array, length: number): number {
    const requests = requestsIn(bytes.subarray(0, length))
    const failure = this.#faults.sendFailure(requests)
    if (failure !== 0) return -failure
    for (const request of requests) {
      const refusal = this.#faults.refusal(request)
      if (refusal === 0) this.#socket.send(request.bytes, request.bytes.length)
      else this.#refuse(request, refusal)
    }
    return length
  }

  #refuse({ bytes, seq }: Request, errno: number): void {
    this.#socket.queueAnswer(nlmsg(
      { type: 2, flags: 0x100, seq, pid: this.portId },
      [...hostOrder(-errno >>> 0, 4), ...bytes.subarray(0, 16)]
    ))
  }

  dropped(): number {
    return this.#socket.dropped()
  }

  whenReadable(ready: () => void): number {
    const failed = this.#failure !== 0 || this.#isBroken
    this.#ready = ready
    if (failed) queueMicrotask(() => this.#wake())
    return this.#socket.whenReadable(() => this.#wake())
  }

  close(): void {
    this.#ready = undefined
    this.#socket.close()
  }
}
