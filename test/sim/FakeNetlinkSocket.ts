/**
 * A netfilter socket of the simulated kernel, with the face of the addon's handles: the live layers
 * work on it unchanged.
 *
 * Its queue has a size in bytes; what does not fit is dropped, and the next receive says so once
 * (ENOBUFS). After that nothing is queued until the queue is empty.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1, 7.3, 7.6 and 8.
 */
import type { NetlinkHandle } from "../../src/layers/live/NativeAddon.ts"
import { bpfAccepts } from "./ClassicBpf.ts"
import { EAGAIN, EINVAL, ENOBUFS } from "./NetlinkReader.ts"

/** What a queued datagram costs, whatever its length: events, and answers. */
const datagramCostBytes = 1_280
const answerCostBytes = 832
const netfilterGroupsMax = 13
const ebadf = 9

export interface SocketKernel {
  /** Executes what was sent. */
  readonly execute: (socket: FakeNetlinkSocket, bytes: Uint8Array) => void
  readonly closed: (socket: FakeNetlinkSocket) => void
  /** Runs `task` later, but before anything else happens in the world. */
  readonly defer: (task: () => void) => void
}

export class FakeNetlinkSocket implements NetlinkHandle {
  readonly portId: number
  readonly #kernel: SocketKernel
  readonly #groupsMax: number
  readonly #groups = new Set<number>()
  readonly #queue: Array<{ readonly bytes: Uint8Array; readonly cost: number }> = []
  readonly #options = new Map<number, number>()
  #queuedBytes = 0
  #limitBytes = 2 * 212_992
  #filter: Uint8Array | undefined
  #isCongested = false
  #isOverrunUntold = false
  #dropped = 0
  #ready: (() => void) | undefined
  #isClosed = false
  /** The dump that runs: its next datagram, or undefined at the end. */
  #dump: (() => Uint8Array | undefined) | undefined

  constructor(portId: number, kernel: SocketKernel, groupsMax = netfilterGroupsMax) {
    this.portId = portId
    this.#groupsMax = groupsMax
    this.#kernel = kernel
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Any group of conntrack events: flows that are created now report to it. */
  get listensToFlows(): boolean {
    return [1, 2, 3, 4, 5, 6].some((group) => this.#groups.has(group))
  }

  listensTo(group: number): boolean {
    return this.#groups.has(group)
  }

  /** An option of SOL_NETLINK that was switched on. */
  hasOption(name: number): boolean {
    return (this.#options.get(name) ?? 0) !== 0
  }

  // ------------------------------------------------------------------------ for the kernel

  queueEvent(bytes: Uint8Array): void {
    this.#put(bytes, datagramCostBytes)
  }

  /** An event is lost, as if there had been no room for it. */
  loseEvent(): void {
    this.#drop()
  }

  queueAnswer(bytes: Uint8Array): void {
    this.#put(bytes, answerCostBytes)
  }

  /** False when one runs already. */
  startDump(next: () => Uint8Array | undefined): boolean {
    if (this.#dump !== undefined) return false
    this.#dump = next
    this.#continueDump()
    return true
  }

  // ------------------------------------------------------------------------ for the program

  join(group: number): number {
    if (this.#isClosed) return -ebadf
    if (!Number.isInteger(group) || group < 1 || group > this.#groupsMax) return -EINVAL
    this.#groups.add(group)
    return 0
  }

  leave(group: number): number {
    if (this.#isClosed) return -ebadf
    if (!Number.isInteger(group) || group < 1 || group > this.#groupsMax) return -EINVAL
    this.#groups.delete(group)
    return 0
  }

  setOption(level: number, name: number, value: number): number {
    if (this.#isClosed) return -ebadf
    if (level === 270) this.#options.set(name, value)
    return 0
  }

  setReceiveBuffer(bytes: number): number {
    if (this.#isClosed) return -ebadf
    if (bytes < 0) return -EINVAL
    this.#limitBytes = Math.max(2_304, 2 * bytes)
    return 0
  }

  setSendBuffer(): number {
    return this.#isClosed ? -ebadf : 0
  }

  receiveBufferBytes(): number {
    return this.#isClosed ? -ebadf : this.#limitBytes
  }

  attachFilter(program: Uint8Array): number {
    if (this.#isClosed) return -ebadf
    if (program.length === 0 || program.length % 8 !== 0) return -EINVAL
    this.#filter = program.slice()
    return 0
  }

  receive(
    buffer: Uint8Array,
    slotBytes: number,
    lengths: Int32Array,
    datagramsMax: number
  ): number {
    if (this.#isClosed) return -ebadf
    if (this.#isOverrunUntold) {
      this.#isOverrunUntold = false
      return -ENOBUFS
    }
    let count = 0
    while (count < datagramsMax && (count + 1) * slotBytes <= buffer.length) {
      const bytes = this.#take()
      if (bytes === undefined) break
      buffer.set(bytes.subarray(0, slotBytes), count * slotBytes)
      lengths[count] = bytes.length > slotBytes ? -bytes.length : bytes.length
      count++
    }
    return count === 0 ? -EAGAIN : count
  }

  /** The next datagram, for tests that want no buffers; undefined when there is none. */
  take(): Uint8Array | undefined {
    return this.#isClosed ? undefined : this.#take()
  }

  send(bytes: Uint8Array, length: number): number {
    if (this.#isClosed) return -ebadf
    if (length > bytes.length) return -EINVAL
    this.#kernel.execute(this, bytes.slice(0, length))
    return length
  }

  dropped(): number {
    return this.#isClosed ? -ebadf : this.#dropped
  }

  whenReadable(ready: () => void): number {
    if (this.#isClosed) return -ebadf
    this.#ready = ready
    if (this.#queue.length > 0 || this.#isOverrunUntold) this.#wake()
    return 0
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#ready = undefined
    this.#dump = undefined
    this.#queue.length = 0
    this.#kernel.closed(this)
  }

  #put(bytes: Uint8Array, cost: number): void {
    if (this.#isClosed) return
    if (this.#filter !== undefined && !bpfAccepts(this.#filter, bytes)) return
    if (this.#isCongested || this.#queuedBytes + cost > this.#limitBytes) {
      this.#drop()
      return
    }
    this.#queue.push({ bytes, cost })
    this.#queuedBytes += cost
    this.#wake()
  }

  /** Told once; nothing more is queued until what is queued has been read. */
  #drop(): void {
    this.#dropped++
    if (!this.#isCongested && !this.hasOption(5)) this.#isOverrunUntold = true
    this.#isCongested = this.#queue.length > 0
    this.#wake()
  }

  #take(): Uint8Array | undefined {
    const datagram = this.#queue.shift()
    if (datagram === undefined) return undefined
    this.#queuedBytes -= datagram.cost
    if (this.#queue.length === 0) this.#isCongested = false
    if (this.#queue.length === 0) this.#continueDump()
    return datagram.bytes
  }

  #continueDump(): void {
    const bytes = this.#dump?.()
    if (bytes === undefined) {
      this.#dump = undefined
      return
    }
    this.#put(bytes, bytes.length)
  }

  #wake(): void {
    const ready = this.#ready
    if (ready === undefined) return
    this.#ready = undefined
    this.#kernel.defer(() => {
      if (!this.#isClosed) ready()
    })
  }
}
