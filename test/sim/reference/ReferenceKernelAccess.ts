/**
 * The reference peer's sockets to its kernel: events, dumps, commits, flushes.
 *
 * Source: specification, "The synchronisation engines", sections 6, 8.3 and 14; "The kernel's
 * connection-tracking interface", sections 4 and 5.
 */
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { FakeNetlinkSocket } from "../kernel/FakeNetlinkSocket.ts"
import { nfmsg } from "../kernel/NetlinkWriter.ts"
import type { CommitOptions } from "./ReferenceCommit.ts"
import { commitTimeout, createRequest, deleteRequest, isRelated } from "./ReferenceCommit.ts"
import type { SeenFlow } from "./ReferenceFlow.ts"
import type { KernelMessage } from "./ReferenceKernel.ts"
import { kernelMessages } from "./ReferenceKernel.ts"
import type { ReferenceFlow } from "./ReferenceWire.ts"

const [ENOENT, EEXIST, ENOBUFS] = [2, 17, 105]
/** What a read takes before other work gets its turn; at the very first wake-up it takes one. */
const eventsPerTurn = 101
const slotBytes = 4_096

export interface KernelAccessSettings extends CommitOptions {
  readonly netlinkBufferBytes: number
  readonly netlinkBufferMaxBytes: number
}

export interface KernelAccessHost {
  readonly event: (message: KernelMessage, isOurs: boolean) => void
  readonly overrun: () => void
  /** Runs it when the process gets its turn. */
  readonly defer: (run: () => void) => void
  readonly log: (line: string) => void
}

export class ReferenceKernelAccess {
  eventsReceived = 0
  readonly #settings: KernelAccessSettings
  readonly #host: KernelAccessHost
  readonly #events: FakeNetlinkSocket
  readonly #dump: FakeNetlinkSocket
  readonly #commit: FakeNetlinkSocket
  readonly #flush: FakeNetlinkSocket
  readonly #buffer = new Uint8Array(slotBytes)
  readonly #length = new Int32Array(1)
  #isFirst = true

  constructor(kernel: FakeKernel, settings: KernelAccessSettings, host: KernelAccessHost) {
    this.#settings = settings
    this.#host = host
    this.#dump = kernel.openSocket()
    this.#commit = kernel.openSocket()
    this.#flush = kernel.openSocket()
    this.#events = kernel.openSocket()
    const { netlinkBufferBytes, netlinkBufferMaxBytes } = settings
    if (netlinkBufferBytes > 0 && netlinkBufferBytes <= netlinkBufferMaxBytes) {
      this.#events.setReceiveBuffer(netlinkBufferBytes >> 1)
    }
  }

  get bufferBytes(): number {
    return this.#events.receiveBufferBytes()
  }

  /** From now on; last of all, so that what happens before is not heard. */
  listen(): void {
    for (const group of [1, 2, 3]) this.#events.join(group)
    this.#wait()
  }

  close(): void {
    for (const socket of [this.#events, this.#dump, this.#commit, this.#flush]) socket.close()
  }

  // -------------------------------------------------------------------------------- events

  #wait(): void {
    this.#events.whenReadable(() => this.#host.defer(() => this.#read()))
  }

  #read(): void {
    const limit = this.#isFirst ? 1 : eventsPerTurn
    this.#isFirst = false
    for (let i = 0; i < limit; i++) {
      const count = this.#events.receive(this.#buffer, slotBytes, this.#length, 1)
      if (count === -ENOBUFS) this.#overrun()
      else if (count <= 0) break
      else this.#heard(this.#buffer.subarray(0, this.#length[0]))
    }
    this.#wait()
  }

  #heard(bytes: Uint8Array): void {
    for (const message of kernelMessages(bytes)) {
      this.eventsReceived++
      const { causer } = message
      this.#host.event(message, causer === this.#commit.portId || causer === this.#flush.portId)
    }
  }

  /** The buffer grows as far as it may. */
  #overrun(): void {
    const bytes = this.bufferBytes
    if (2 * bytes <= this.#settings.netlinkBufferMaxBytes) this.#events.setReceiveBuffer(bytes)
    this.#host.overrun()
  }

  // ------------------------------------------------------------------------------- requests

  /** The whole table, as it is now. */
  dump(): ReadonlyArray<SeenFlow> {
    const request = nfmsg({ type: 0x0101, flags: 0x301, seq: 0, pid: 0 }, 0, [])
    this.#dump.send(request, request.length)
    const flows: Array<SeenFlow> = []
    for (let bytes = this.#dump.take(); bytes !== undefined; bytes = this.#dump.take()) {
      for (const { flow } of kernelMessages(bytes)) flows.push(flow)
    }
    return flows
  }

  /** Every flow is deleted; the peer is not told. */
  flush(): void {
    for (const { original, zone } of this.dump()) {
      this.#ask(
        this.#flush,
        deleteRequest({ ...original, ...(zone === undefined ? {} : { zone }) })
      )
    }
  }

  /**
   * Flows of the external cache become flows of the kernel: first those that belong to nobody, then
   * the related ones.
   */
  commit(
    entries: ReadonlyArray<{ readonly flow: ReferenceFlow; readonly updatedAtMs: number }>,
    nowMs: number
  ): { readonly committed: number; readonly failed: number } {
    const related = entries.filter(({ flow }) => isRelated(flow))
    const others = entries.filter(({ flow }) => !isRelated(flow))
    let committed = 0
    for (const { flow, updatedAtMs } of [...others, ...related]) {
      const elapsed = Math.floor((nowMs - updatedAtMs) / 1_000)
      if (this.#create(flow, elapsed < 0 ? 60 : elapsed)) committed++
    }
    return { committed, failed: entries.length - committed }
  }

  #create(flow: ReferenceFlow, elapsedSeconds: number): boolean {
    // Without addresses there is nothing to ask for.
    if (flow.addresses === undefined) return false
    const timeout = commitTimeout(flow, elapsedSeconds, this.#settings)
    const request = createRequest(flow, timeout, this.#settings)
    let errno = this.#ask(this.#commit, request)
    if (errno === EEXIST) {
      errno = this.#ask(this.#commit, deleteRequest(flow))
      if (errno !== 0 && errno !== ENOENT) {
        this.#host.log(`commit-destroy: errno ${errno}`)
        return false
      }
      errno = this.#ask(this.#commit, request)
    }
    if (errno !== 0) this.#host.log(`commit-create: errno ${errno}`)
    return errno === 0
  }

  /** The kernel's answer: 0, or a positive errno. */
  #ask(socket: FakeNetlinkSocket, request: Uint8Array): number {
    socket.send(request, request.length)
    let errno = 0
    for (let bytes = socket.take(); bytes !== undefined; bytes = socket.take()) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (view.getUint16(4, true) === 2) errno = -view.getInt32(16, true)
    }
    return errno
  }
}
