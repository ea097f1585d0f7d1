/**
 * A conntrack table in memory behind `KernelEvents` and `KernelTable`: netlink bytes in and out.
 *
 * What the daemon's own requests cause is not reported, as the filter of the real event socket
 * sees to it. Traffic, losses and refusals are the test's doing.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1, 4 and 5.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { EventBatch, NetlinkBatch } from "../../src/layers/KernelEvents.ts"
import { KernelEvents, KernelEventsLost } from "../../src/layers/KernelEvents.ts"
import type { Answers, DumpCursor, Requests } from "../../src/layers/KernelTable.ts"
import { KernelTable, KernelTableError, requestsMax } from "../../src/layers/KernelTable.ts"
import type { KernelFlow, RequestedFlow, Tuple } from "./KernelFlow.ts"
import { keyOf, lineOf, messageOf, mirror, requestedFlowIn } from "./KernelFlow.ts"

const slotBytes = 1_024
const drainMax = 64
const confirmed = 0x8
const seenReply = 0x2
const sourceTranslated = 0x90
const destinationTranslated = 0x120

const translationBits = (original: Tuple, reply: Tuple): number =>
  (reply.dst !== original.src || reply.dport !== original.sport ? sourceTranslated : 0) |
  (reply.src !== original.dst || reply.sport !== original.dport ? destinationTranslated : 0)

const ct = { new: 0x0100, get: 0x0101, delete: 0x0102 } as const
const create = 0x400
const exclusive = 0x200
const multi = 0x2

const errno = { none: 0, noEntry: 2, exists: 17 } as const

export type Operation = "create" | "update" | "delete" | "get"

/** Datagrams in slots, as the live layers receive them. */
class Slots implements NetlinkBatch {
  readonly bytes: Uint8Array
  readonly words: Int32Array
  readonly slotBytes: number
  readonly lengths: Int32Array
  count = 0
  overrun = false

  constructor(slots: number, bytesEach: number) {
    const memory = new ArrayBuffer(slots * bytesEach)
    this.bytes = new Uint8Array(memory)
    this.words = new Int32Array(memory)
    this.slotBytes = bytesEach
    this.lengths = new Int32Array(slots)
  }

  add(datagram: Uint8Array): void {
    const fits = datagram.length <= this.slotBytes
    this.bytes.set(
      fits ? datagram : datagram.subarray(0, this.slotBytes),
      this.count * this.slotBytes
    )
    this.lengths[this.count++] = fits ? datagram.length : -this.slotBytes
  }
}

export interface TrafficFlow {
  readonly protocol?: "tcp" | "udp"
  readonly original: Tuple
  readonly reply?: Tuple
  readonly mark?: number
  readonly timeout?: number
}

export class KernelFake {
  /** Refuses a request: a positive errno, or 0. */
  refusalFor: (operation: Operation, flow: RequestedFlow) => number = () => errno.none
  /** The reply tuple of a created flow, given the one that was asked for. */
  chooseReply: (wanted: Tuple) => Tuple = (wanted) => wanted
  /** Happens before each part of a dump. */
  beforeDumpPart: () => void = () => {}
  /** Flows in a part of a dump. */
  dumpPartFlows = 10
  /** Closed: requests wait. */
  readonly applying = Latch.makeUnsafe(true)
  /** Closed: requests are executed, and their answers wait. */
  readonly answering = Latch.makeUnsafe(true)
  /** Closed: reading a dump waits. */
  readonly dumping = Latch.makeUnsafe(true)
  /** Dumps that begin now fail, so often. */
  dumpFailures = 0
  /** Requests fail altogether, so often. */
  applyFailures = 0
  /** The next pull is a defect. */
  isBroken = false
  bufferBytes = 1_000
  bufferMaxBytes = 1_000
  dumps = 0
  reopened = 0
  /** The event socket fails with this code whenever it was opened again. */
  failAgainAfterReopening: string | undefined
  readonly requests: Array<string> = []
  readonly #flows = new Map<string, KernelFlow>()
  readonly #queue: Array<Uint8Array> = []
  readonly #readable = Latch.makeUnsafe(false)
  #isOverrun = false
  #isSilent = false
  #isLate = false
  readonly #late: Array<Uint8Array> = []
  #failure: string | undefined
  #refusals = 0
  #ids = 0

  /** Traffic opens a flow, or goes on in one that is there. */
  open(flow: TrafficFlow): void {
    const { original, reply = mirror(flow.original) } = flow
    this.#put({
      protocol: flow.protocol ?? "udp",
      original,
      reply,
      id: ++this.#ids,
      status: confirmed | seenReply | translationBits(original, reply),
      timeout: flow.timeout ?? 30,
      mark: flow.mark ?? 0,
      state: 3
    }, create)
  }

  /** Somebody sets the mark of a flow. */
  mark(flow: TrafficFlow, mark: number): void {
    this.#put({ ...this.#get(flow), mark }, 0)
  }

  /** The flow has ended. */
  close(flow: TrafficFlow): void {
    const gone = this.#get(flow)
    this.#flows.delete(keyOf(gone))
    this.#report(messageOf(gone, ct.delete, 0, 0))
  }

  /** What happens in `traffic` is not reported: the socket's buffer was full. */
  loseEventsOf(traffic: () => void): void {
    this.silently(traffic)
    this.overrun()
  }

  /** What happens in `traffic` is not reported, nor that something was lost. */
  silently(traffic: () => void): void {
    this.#isSilent = true
    traffic()
    this.#isSilent = false
  }

  /** What happens in `traffic` is reported only when `deliverLate` says so. */
  lately(traffic: () => void): void {
    this.#isLate = true
    traffic()
    this.#isLate = false
  }

  deliverLate(): void {
    this.#queue.push(...this.#late.splice(0))
    this.#readable.openUnsafe()
  }

  has(flow: TrafficFlow): boolean {
    return this.#flows.has(keyOf({ protocol: flow.protocol ?? "udp", ...flow }))
  }

  overrun(): void {
    this.#isOverrun = true
    this.#readable.openUnsafe()
  }

  /** Any bytes on the event socket. */
  report(datagram: Uint8Array): void {
    this.#report(datagram)
  }

  /** The event socket fails until it is opened again, which fails `refusals` times. */
  failEvents(code: string, refusals = 0): void {
    this.#failure = code
    this.#refusals = refusals
    this.#readable.openUnsafe()
  }

  /** The table, a line per flow, sorted. */
  lines(): ReadonlyArray<string> {
    return Array.from(this.#flows.values(), lineOf).sort()
  }

  timeoutOf(flow: TrafficFlow): number {
    return this.#get(flow).timeout
  }

  readonly events: KernelEvents["Service"] = KernelEvents.of({
    pull: Effect.suspend(() => Effect.flatMap(this.#readable.await, () => this.#pull())),
    reopen: Effect.suspend(() => {
      if (this.#refusals > 0) {
        this.#refusals--
        return Effect.fail(new KernelEventsLost({ code: "EMFILE" }))
      }
      this.reopened++
      this.#failure = this.failAgainAfterReopening
      this.#queue.length = 0
      return Effect.void
    }),
    growBuffer: Effect.sync(() => {
      if (this.bufferBytes * 2 > this.bufferMaxBytes) return false
      this.bufferBytes *= 2
      return true
    }),
    bufferBytes: () => this.bufferBytes
  })

  readonly #answers: Answers & { readonly messages: Slots } = {
    errnos: new Int32Array(requestsMax),
    messages: new Slots(requestsMax, slotBytes)
  }

  readonly table: KernelTable["Service"] = KernelTable.of({
    apply: (requests) =>
      Effect.flatMap(this.applying.await, () => {
        if (this.applyFailures > 0) {
          this.applyFailures--
          const operation = "change the kernel's conntrack table"
          return Effect.fail(new KernelTableError({ operation, code: "ENOBUFS" }))
        }
        this.#apply(requests)
        // Somebody else may run before the answers are looked at.
        return Effect.yieldNow.pipe(
          Effect.andThen(this.answering.await),
          Effect.as(this.#answers)
        )
      }),
    dump: () =>
      Effect.suspend(() => {
        if (this.dumpFailures > 0) {
          this.dumpFailures--
          const operation = "read the kernel's conntrack table"
          return Effect.fail(new KernelTableError({ operation, code: "ENOBUFS" }))
        }
        this.dumps++
        return Effect.succeed(this.#dump())
      })
  })

  #get(flow: TrafficFlow): KernelFlow {
    const found = this.#flows.get(keyOf({ protocol: flow.protocol ?? "udp", ...flow }))
    if (found === undefined) throw new Error("the test names a flow that the kernel does not have")
    return found
  }

  #put(flow: KernelFlow, flags: number): void {
    const key = keyOf(flow)
    const isNew = !this.#flows.has(key)
    this.#flows.set(key, flow)
    this.#report(messageOf(flow, ct.new, isNew ? flags : 0, 0))
  }

  #report(datagram: Uint8Array): void {
    if (this.#isSilent) return
    if (this.#isLate) {
      this.#late.push(datagram)
      return
    }
    this.#queue.push(datagram)
    this.#readable.openUnsafe()
  }

  readonly #batch = new Slots(drainMax, slotBytes)

  #pull(): Effect.Effect<EventBatch, KernelEventsLost> {
    if (this.isBroken) return Effect.die(new Error("broken by the test"))
    if (this.#failure !== undefined) {
      return Effect.fail(new KernelEventsLost({ code: this.#failure }))
    }
    const batch = this.#batch
    batch.count = 0
    batch.overrun = this.#isOverrun
    this.#isOverrun = false
    while (!batch.overrun && batch.count < drainMax && this.#queue.length > 0) {
      batch.add(this.#queue.shift()!)
    }
    if (this.#queue.length === 0) this.#readable.closeUnsafe()
    return Effect.succeed(batch)
  }

  #apply(requests: Requests): void {
    const { errnos, messages } = this.#answers
    errnos.fill(0)
    messages.count = 0
    const view = new DataView(requests.bytes.buffer, requests.bytes.byteOffset)
    for (let at = 0; at < requests.length;) {
      const end = at + view.getUint32(at, true)
      const seq = view.getUint32(at + 8, true)
      const result = this.#execute(
        view.getUint16(at + 4, true),
        view.getUint16(at + 6, true),
        requestedFlowIn(requests.bytes.subarray(at + 20, end)),
        seq
      )
      errnos[(seq - requests.firstSeq) >>> 0] = result
      at = end
    }
  }

  #execute(type: number, flags: number, flow: RequestedFlow, seq: number): number {
    const key = keyOf(flow)
    const found = this.#flows.get(key)
    const operation: Operation = type === ct.get
      ? "get"
      : type === ct.delete
      ? "delete"
      : (flags & create) !== 0
      ? "create"
      : "update"
    this.requests.push(`${operation} ${key}`)
    const refused = this.refusalFor(operation, flow)
    if (refused !== errno.none) return refused
    if (operation === "create") {
      if (found !== undefined && (flags & exclusive) !== 0) return errno.exists
      this.#flows.set(key, this.#created(flow))
      return errno.none
    }
    if (found === undefined) return errno.noEntry
    if (operation === "get") this.#answers.messages.add(messageOf(found, ct.new, 0, seq))
    else if (operation === "update") {
      found.mark = flow.mark ?? found.mark
      found.timeout = flow.timeout ?? found.timeout
      found.state = flow.state ?? found.state
    } else if (flow.id !== undefined && flow.id !== found.id) return errno.noEntry
    else this.#flows.delete(key)
    return errno.none
  }

  #created(flow: RequestedFlow): KernelFlow {
    const mirrored = mirror(flow.original)
    const translated = {
      src: flow.destinationNat?.address ?? mirrored.src,
      sport: flow.destinationNat?.port ?? mirrored.sport,
      dst: flow.sourceNat?.address ?? mirrored.dst,
      dport: flow.sourceNat?.port ?? mirrored.dport
    }
    const { mark = 0, original, protocol, state = 0, timeout = 0 } = flow
    const reply = this.chooseReply(translated)
    const status = (flow.status ?? 0) | translationBits(original, reply)
    return { protocol, original, reply, id: ++this.#ids, status, timeout, mark, state }
  }

  /**
   * Newer flows come later, so a dump sees what was there all the time exactly once. A part is made
   * when the one before it is read.
   */
  #dump(): DumpCursor {
    const part = new Slots(1, 32_768)
    let lastId = 0
    let isDone = false
    const make = (): Uint8Array => {
      const rest = Array.from(this.#flows.values())
        .filter(({ id }) => id > lastId)
        .sort((a, b) => a.id - b.id)
      const now = rest.slice(0, this.dumpPartFlows)
      const messages = now.map((flow) => messageOf(flow, ct.new, multi, 1))
      lastId = now.at(-1)?.id ?? lastId
      isDone = rest.length <= now.length
      if (isDone) messages.push(doneMessage)
      return Uint8Array.from(messages.flatMap((message) => Array.from(message)))
    }
    let made: Uint8Array | undefined = make()
    return {
      next: Effect.map(this.dumping.await, () => {
        part.count = 0
        if (made === undefined) return part
        this.beforeDumpPart()
        part.add(made)
        made = isDone ? undefined : make()
        return part
      })
    }
  }
}

const doneMessage = Uint8Array.of(20, 0, 0, 0, 3, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
