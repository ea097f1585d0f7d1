/**
 * The simulated kernel of one node of the tests of actors, behind the live netlink layers: traffic
 * in the words of these tests, and faults and pauses where a test wants them.
 *
 * No time passes in it: flows end when the test says so.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type { KernelEvents } from "../../src/layers/KernelEvents.ts"
import { KernelTable } from "../../src/layers/KernelTable.ts"
import * as KernelNetlink from "../../src/layers/live/KernelNetlink.ts"
import type { NativeAddon } from "../../src/layers/live/NativeAddon.ts"
import { FakeKernel } from "../sim/kernel/FakeKernel.ts"
import type { FakeNetlinkSocket } from "../sim/kernel/FakeNetlinkSocket.ts"
import { tupleIn } from "../sim/kernel/FlowRequest.ts"
import type { KernelFlow, KernelTuple } from "../sim/kernel/KernelFlow.ts"
import { StatusBit } from "../sim/kernel/KernelFlow.ts"
import { hexOfAddress, tupleOf } from "../sim/kernel/KernelTraffic.ts"
import type { Request } from "../sim/kernel/NetlinkReader.ts"
import { FaultySocket } from "./FaultySocket.ts"
import type { Tuple } from "./FlowLine.ts"
import { keyOf, lineOf, mirror } from "./FlowLine.ts"

const { confirmed, dstNat, dstNatDone, seenReply, srcNat, srcNatDone } = StatusBit
const Errno = { EBADF: 9, ENOMEM: 12, EMFILE: 24, ENOBUFS: 105 } as const
export type FailureCode = keyof typeof Errno

const CREATE = 0x400
const DUMP = 0x300
/** A kernel's answers to dumps have room for about ten flows. */
const dumpBytes = 1_700
/** Room of the event socket: enough for every burst of these tests. */
export const eventBufferBytes = 16 << 20
const flowGroups = [1, 2, 3]

export type Operation = "create" | "update" | "delete" | "get"

export interface TrafficFlow {
  readonly protocol?: "tcp" | "udp"
  readonly original: Tuple
  readonly reply?: Tuple
  readonly mark?: number
  readonly timeout?: number
}

const addressOf = (hex: string): string =>
  (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).join(".")

const textTupleOf = ({ a, b, dst, src }: KernelTuple): Tuple => ({
  src: addressOf(src),
  dst: addressOf(dst),
  sport: a,
  dport: b
})

const l4Of = ({ protocol }: TrafficFlow): number => protocol === "tcp" ? 6 : 17
const protocolOf = (l4: number) => l4 === 6 ? "tcp" : "udp"

const translationBits = (original: Tuple, reply: Tuple): number =>
  (reply.dst !== original.src || reply.dport !== original.sport ? srcNat | srcNatDone : 0) |
  (reply.src !== original.dst || reply.sport !== original.dport ? dstNat | dstNatDone : 0)

const operationOf = ({ flags, type }: Request): Operation => {
  if (type === 0x0101) return "get"
  if (type === 0x0102) return "delete"
  return (flags & CREATE) !== 0 ? "create" : "update"
}

const isDump = ({ flags, type }: Request): boolean => type === 0x0101 && (flags & DUMP) === DUMP

export class FaultyKernel {
  readonly kernel = new FakeKernel({ events: 1 })
  /** Refuses a request: a positive errno, or 0. */
  refusalFor: (operation: Operation, original: Tuple) => number = () => 0
  /** Happens before each part of a dump. */
  beforeDumpPart: () => void = () => {}
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
  dumps = 0
  /** The event socket fails with this code whenever it was opened again. */
  failAgainAfterReopening: FailureCode | undefined
  readonly requests: Array<string> = []
  readonly #bufferMaxBytes: number
  #opened = 0
  #refusals = 0
  /** The socket that the daemon hears events on. */
  #listener: FaultySocket | undefined
  #late: FakeNetlinkSocket | undefined

  /** `bufferMaxBytes`: how far the event socket's room may grow. */
  constructor(bufferMaxBytes = eventBufferBytes) {
    this.#bufferMaxBytes = bufferMaxBytes
  }

  // --------------------------------------------------------------------------------- traffic

  /** Traffic opens a flow, or goes on in one that is there. */
  open(flow: TrafficFlow): void {
    const { mark = 0, original, reply = mirror(flow.original), timeout = 30 } = flow
    const l4 = l4Of(flow)
    const found = this.#find(flow)
    if (found !== undefined) {
      found.mark = mark
      this.kernel.expireIn(found, timeout)
      this.kernel.changed(found, { mark: true })
      return
    }
    this.kernel.add({
      family: 2,
      original: tupleOf(l4, original),
      reply: tupleOf(l4, reply),
      status: confirmed | seenReply | translationBits(original, reply),
      timeoutSeconds: timeout,
      mark,
      ...(l4 === 6 ? { tcp: { state: 3, scales: [0, 0], flags: [0, 0] } } : {})
    })
  }

  /** Somebody sets the mark of a flow. */
  mark(flow: TrafficFlow, mark: number): void {
    const found = this.#get(flow)
    found.mark = mark
    this.kernel.changed(found, { mark: true })
  }

  /** The flow has ended. */
  close(flow: TrafficFlow): void {
    this.kernel.remove(this.#get(flow))
  }

  has(flow: TrafficFlow): boolean {
    return this.#find(flow) !== undefined
  }

  /** The table, a line per flow, sorted. */
  lines(): ReadonlyArray<string> {
    return this.kernel.flows.map(({ mark, original, reply }) =>
      lineOf({
        protocol: protocolOf(original.l4),
        original: textTupleOf(original),
        reply: textTupleOf(reply),
        mark
      })
    ).sort()
  }

  /** Seconds. */
  timeoutOf(flow: TrafficFlow): number {
    return (this.#get(flow).expiresAtMs - this.kernel.nowMs) / 1000
  }

  #find(flow: TrafficFlow): KernelFlow | undefined {
    const { dst, src } = flow.original
    return this.kernel.find({
      ...tupleOf(l4Of(flow), flow.original),
      src: hexOfAddress(src),
      dst: hexOfAddress(dst)
    })
  }

  #get(flow: TrafficFlow): KernelFlow {
    const found = this.#find(flow)
    if (found === undefined) throw new Error("the test names a flow that the kernel does not have")
    return found
  }

  // ---------------------------------------------------------------------------------- faults

  /** The event socket's buffer was full. */
  overrun(): void {
    this.#listener?.loseEvent()
  }

  /** What happens in `traffic` is not reported: the socket's buffer was full. */
  loseEventsOf(traffic: () => void): void {
    this.silently(traffic)
    this.overrun()
  }

  /** What happens in `traffic` is not reported, nor that something was lost. */
  silently(traffic: () => void): void {
    this.#listener?.setDeaf(true)
    traffic()
    this.#listener?.setDeaf(false)
  }

  /** What happens in `traffic` is reported only when `deliverLate` says so. */
  lately(traffic: () => void): void {
    this.#late ??= this.kernel.openSocket()
    for (const group of flowGroups) this.#late.join(group)
    this.silently(traffic)
    for (const group of flowGroups) this.#late.leave(group)
  }

  deliverLate(): void {
    const late = this.#late
    for (let bytes = late?.take(); bytes !== undefined; bytes = late?.take()) this.report(bytes)
  }

  /** Any bytes on the event socket. */
  report(datagram: Uint8Array): void {
    this.#listener?.queueEvent(datagram)
  }

  /** The event socket fails until it is opened again, which fails `refusals` times. */
  failEvents(code: FailureCode, refusals = 0): void {
    this.#refusals = refusals
    this.#listener?.fail(Errno[code])
  }

  /** The next read of events is a defect. */
  breakEvents(): void {
    this.#listener?.breakDown()
  }

  /** How often the event socket was opened again. */
  get reopened(): number {
    return this.#opened - 1
  }

  // ----------------------------------------------------------------------------------- layer

  readonly #openNetlink = (protocol: number): FaultySocket | number => {
    if (this.#refusals > 0) {
      this.#refusals--
      return -Errno.EMFILE
    }
    const socket = this.kernel.openNetlink(protocol)
    if (typeof socket === "number") return socket
    socket.limitDumps(dumpBytes)
    return new FaultySocket(socket, {
      refusal: (request) => this.#refusalOf(request),
      sendFailure: (requests) => this.#sendFailureOf(requests),
      listening: (listener) => {
        this.#opened++
        this.#listener = listener
        const code = this.failAgainAfterReopening
        if (code !== undefined) listener.fail(Errno[code])
      }
    })
  }

  #refusalOf(request: Request): number {
    if (isDump(request)) return 0
    const { l4, ...tuple } = (tupleIn(request, 1) ?? tupleIn(request, 2))!.tuple
    const original = textTupleOf({ l4, ...tuple })
    const operation = operationOf(request)
    this.requests.push(`${operation} ${keyOf({ protocol: protocolOf(l4), original })}`)
    return this.refusalFor(operation, original)
  }

  #sendFailureOf(requests: ReadonlyArray<Request>): number {
    if (requests.some(isDump)) {
      if (this.dumpFailures === 0) {
        this.dumps++
        return 0
      }
      this.dumpFailures--
      return Errno.ENOBUFS
    }
    if (this.applyFailures === 0) return 0
    this.applyFailures--
    return Errno.ENOBUFS
  }

  /** The live layers over this kernel, with the pauses of the test. */
  get layer(): Layer.Layer<KernelEvents | KernelTable> {
    const live = KernelNetlink.layer(
      { openNetlink: this.#openNetlink } as Partial<NativeAddon> as NativeAddon,
      { bufferBytes: eventBufferBytes, bufferMaxBytes: this.#bufferMaxBytes }
    )
    const pausing = Layer.effect(
      KernelTable,
      Effect.map(KernelTable, ({ apply, dump }) =>
        KernelTable.of({
          apply: (requests) =>
            Effect.flatMap(this.applying.await, () =>
              Effect.flatMap(apply(requests), (answers) =>
                // Somebody else may run before the answers are looked at.
                Effect.yieldNow.pipe(
                  Effect.andThen(this.answering.await),
                  Effect.as(answers)
                ))),
          dump: (request) =>
            Effect.map(dump(request), ({ next }) => ({
              next: Effect.flatMap(this.dumping.await, () => {
                this.beforeDumpPart()
                return next
              })
            }))
        }))
    )
    return Layer.orDie(Layer.provideMerge(pausing, live))
  }
}
