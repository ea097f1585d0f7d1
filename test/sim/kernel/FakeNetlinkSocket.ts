/**
 * A netlink socket of the simulated kernel, with the face of the addon's handles: the live layers
 * work on it unchanged.
 *
 * Its queue has a size in bytes, of which a datagram costs more than its length. What finds no
 * room is dropped and counted, and the next receive says so once (ENOBUFS); after that nothing is
 * queued until the queue is empty. A dump is written datagram by datagram while it is read.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1, 7.3, 7.4, 7.6
 * and 8; costs and sizes as a real kernel's `SO_MEMINFO` shows them.
 */
import type { NetlinkHandle } from "../../../src/layers/live/NativeAddon.ts"
import { bpfAccepts } from "./ClassicBpf.ts"
import { EAGAIN, EINVAL, ENOBUFS, Refused } from "./NetlinkReader.ts"

/** What a queued datagram costs, whatever its length: events, and answers. */
const eventCostBytes = 1_280
const answerCostBytes = 832
const bookkeepingBytes = 320
const headerBytes = 256
/** `net.core.rmem_default`. */
const defaultRoomBytes = 212_992
/** A dump's datagrams are as long as the program's buffers, within these limits. */
const dumpBytesMin = 4_096 - bookkeepingBytes
const dumpBytesMax = 32_768 - bookkeepingBytes
const Option = { broadcastError: 4, noEnobufs: 5 } as const
const netfilterGroupsMax = 13
const ebadf = 9

export interface SocketKernel {
  /** Executes what was sent. */
  readonly execute: (socket: FakeNetlinkSocket, bytes: Uint8Array) => void
  readonly closed: (socket: FakeNetlinkSocket) => void
  /** Runs `task` later, but before anything else happens in the world. Default: a microtask. */
  readonly defer?: ((task: () => void) => void) | undefined
}

/** Writes the next datagram of a dump, which ends with DONE; at most so many bytes. */
export type DumpWriter = (bytesMax: number) => Uint8Array | undefined

export class FakeNetlinkSocket implements NetlinkHandle {
  readonly portId: number
  readonly #kernel: SocketKernel
  readonly #groupsMax: number
  readonly #groups = new Set<number>()
  /** What waits, from `#head` on. */
  #queue: Array<Uint8Array> = []
  #costs: Array<number> = []
  #head = 0
  readonly #options = new Map<number, number>()
  #queuedBytes = 0
  #roomBytes = defaultRoomBytes
  #filter: Uint8Array | undefined
  #isCongested = false
  /** The errno that the next receive reports; 0 when there is none. */
  #untold = 0
  #dropped = 0
  #ready: (() => void) | undefined
  #isClosed = false
  /** The dump that runs. */
  #dump: DumpWriter | undefined
  /** How long a dump's datagrams are: the largest buffer that was read into. */
  #dumpBytes = dumpBytesMin
  #dumpBytesLimit = dumpBytesMax
  /** Something of a dump may wait to be read. */
  #isDumping = false

  constructor(portId: number, kernel: SocketKernel, groupsMax = netfilterGroupsMax) {
    this.portId = portId
    this.#kernel = kernel
    this.#groupsMax = groupsMax
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** A dump was asked for and not read to its end. */
  get isDumping(): boolean {
    return this.#isDumping
  }

  /** Any group of conntrack events: flows that are created now report to it. */
  get listensToFlows(): boolean {
    for (let group = 1; group <= 6; group++) if (this.#groups.has(group)) return true
    return false
  }

  listensTo(group: number): boolean {
    return this.#groups.has(group)
  }

  /** An option of SOL_NETLINK that was switched on. */
  hasOption(name: number): boolean {
    return (this.#options.get(name) ?? 0) !== 0
  }

  /** Whoever caused an event that finds no room here has to try again. */
  get wantsEveryEvent(): boolean {
    return this.hasOption(Option.broadcastError)
  }

  // ------------------------------------------------------------------------ for the kernel

  /** False when there was no room. */
  queueEvent(bytes: Uint8Array): boolean {
    return this.#put(bytes, eventCostBytes)
  }

  /** An event is lost, as if there had been no room for it. */
  loseEvent(): void {
    if (!this.#isClosed) this.#drop()
  }

  queueAnswer(bytes: Uint8Array): void {
    this.#put(bytes, answerCostBytes)
  }

  /** Dumps come in datagrams that are at most so long: for tests that want many of them. */
  limitDumps(bytes: number): void {
    this.#dumpBytesLimit = bytes
  }

  /**
   * False when one runs already. Refused with ENOBUFS when there is no room for its beginning;
   * then it goes on nevertheless as soon as there is.
   */
  startDump(next: DumpWriter): boolean {
    if (this.#dump !== undefined) return false
    this.#dump = next
    this.#isDumping = true
    if (!this.#continueDump()) throw new Refused(ENOBUFS)
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
    this.#roomBytes = Math.max(2_304, 2 * bytes)
    return 0
  }

  setSendBuffer(): number {
    return this.#isClosed ? -ebadf : 0
  }

  receiveBufferBytes(): number {
    return this.#isClosed ? -ebadf : this.#roomBytes
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
    if (this.#untold !== 0) {
      const errno = this.#untold
      this.#untold = 0
      this.#relieve()
      return -errno
    }
    let count = 0
    while (count < datagramsMax && (count + 1) * slotBytes <= buffer.length) {
      const bytes = this.#take(slotBytes)
      if (bytes === undefined) break
      buffer.set(bytes.length > slotBytes ? bytes.subarray(0, slotBytes) : bytes, count * slotBytes)
      lengths[count] = bytes.length > slotBytes ? -bytes.length : bytes.length
      count++
      if (this.#untold !== 0) break
    }
    return count === 0 ? -EAGAIN : count
  }

  /** The next datagram, for tests that want no buffers; undefined when there is none. */
  take(): Uint8Array | undefined {
    return this.#isClosed ? undefined : this.#take(dumpBytesMax)
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
    if (this.#head < this.#queue.length || this.#untold !== 0) this.#wake()
    return 0
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#ready = undefined
    this.#dump = undefined
    this.#queue = []
    this.#costs = []
    this.#head = 0
    this.#kernel.closed(this)
  }

  #put(bytes: Uint8Array, cost: number): boolean {
    if (this.#isClosed) return true
    if (this.#filter !== undefined && !bpfAccepts(this.#filter, bytes)) return true
    if (this.#isCongested || !this.#hasRoom(cost)) {
      this.#drop()
      return false
    }
    this.#enqueue(bytes, cost)
    return true
  }

  /** The first finds room however large it is. */
  #hasRoom(cost: number): boolean {
    return this.#queuedBytes === 0 || this.#queuedBytes + cost <= this.#roomBytes
  }

  #enqueue(bytes: Uint8Array, cost: number): void {
    this.#queue.push(bytes)
    this.#costs.push(cost)
    this.#queuedBytes += cost
    this.#wake()
  }

  /** Told once; nothing more is queued until what is queued has been read. */
  #drop(): void {
    this.#dropped++
    if (this.hasOption(Option.noEnobufs)) return
    if (!this.#isCongested) this.#untold = ENOBUFS
    this.#isCongested = this.#head < this.#queue.length
    this.#wake()
  }

  #relieve(): void {
    if (this.#head === this.#queue.length) this.#isCongested = false
  }

  #take(slotBytes: number): Uint8Array | undefined {
    if (this.#head === this.#queue.length) {
      this.#relieve()
      return undefined
    }
    this.#dumpBytes = Math.max(this.#dumpBytes, Math.min(slotBytes, dumpBytesMax))
    const bytes = this.#queue[this.#head]!
    this.#queuedBytes -= this.#costs[this.#head]!
    this.#head++
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0
      this.#costs.length = 0
      this.#head = 0
    } else if (this.#head >= 1_024 && 2 * this.#head >= this.#queue.length) {
      // What was read goes in large pieces: to shift each one costs as much as the queue is long.
      this.#queue = this.#queue.slice(this.#head)
      this.#costs = this.#costs.slice(this.#head)
      this.#head = 0
    }
    if (this.#dump !== undefined && 2 * this.#queuedBytes <= this.#roomBytes) {
      if (!this.#continueDump()) this.#untold = ENOBUFS
    }
    if (this.#dump === undefined && this.#head === this.#queue.length) this.#isDumping = false
    this.#relieve()
    return bytes
  }

  /** Writes one datagram more; false when there is no room for it. */
  #continueDump(): boolean {
    const cost = costOf(this.#dumpBytes)
    if (!this.#hasRoom(cost)) {
      this.#wake()
      return false
    }
    const bytes = this.#dump?.(Math.min(this.#dumpBytes, this.#dumpBytesLimit))
    if (bytes === undefined || isDone(bytes)) this.#dump = undefined
    const passes = bytes !== undefined &&
      (this.#filter === undefined || bpfAccepts(this.#filter, bytes))
    if (passes) this.#enqueue(bytes, cost)
    return true
  }

  #wake(): void {
    const ready = this.#ready
    if (ready === undefined) return
    this.#ready = undefined
    const { defer = queueMicrotask } = this.#kernel
    defer(() => {
      if (!this.#isClosed) ready()
    })
  }
}

/** Memory comes in powers of two. */
const costOf = (bytes: number): number =>
  2 ** Math.ceil(Math.log2(bytes + bookkeepingBytes)) + headerBytes

const isDone = (message: Uint8Array): boolean => message[4] === 3 && message[5] === 0
