/**
 * A kernel's connection tracking, simulated: a table of flows that speaks ctnetlink.
 *
 * Requests come in as bytes, answers, events and dumps go out as bytes, with the rules and the
 * attribute order of a real kernel. It reads no clock: time is what `advanceTo` was told last, or
 * what the option `now` says. Written without the codec under test, so that an error in that one
 * cannot hide behind the same error here; the recorded messages and `test/conformance` prove both.
 *
 * Source: specification, "The kernel's connection-tracking interface".
 */
import type { NewExpectation } from "./ExpectationLife.ts"
import { expectFlow, fulfil } from "./ExpectationLife.ts"
import { ExpectationRequests } from "./ExpectationRequests.ts"
import { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import type { EventContent } from "./FlowMessage.ts"
import { everything, nothing } from "./FlowMessage.ts"
import { flowPolicy } from "./FlowRequest.ts"
import { FlowRequests } from "./FlowRequests.ts"
import type { KernelExpectation } from "./KernelExpectation.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { StatusBit } from "./KernelFlow.ts"
import type { KernelObserver } from "./KernelListeners.ts"
import type { FakeKernelOptions } from "./KernelState.ts"
import { KernelState } from "./KernelState.ts"
import { KernelStatistics } from "./KernelStatistics.ts"
import { checkPolicy, leftoverReason } from "./NetlinkPolicy.ts"
import type { Request } from "./NetlinkReader.ts"
import {
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  EPROTONOSUPPORT,
  Refused,
  requestsIn
} from "./NetlinkReader.ts"
import { hostOrder, nlmsg } from "./NetlinkWriter.ts"

export type { KernelObserver } from "./KernelListeners.ts"
export type { FakeKernelOptions } from "./KernelState.ts"

const [DUMP, ACK, ECHO, REQUEST] = [0x300, 0x4, 0x8, 0x1]
/** Flags of error messages. */
const [CAPPED, ACK_TLVS] = [0x100, 0x200]
/** Options of a netlink socket. */
const [capAck, extAck] = [10, 11]

/** A packet-made flow: what a test says of it. */
export interface NewFlow {
  readonly family: number
  readonly original: KernelTuple
  readonly reply: KernelTuple
  readonly zone?: number
  readonly zoneIn?: "both" | "original" | "reply"
  readonly status?: number
  readonly timeoutSeconds: number
  readonly mark?: number
  readonly tcp?: KernelFlow["tcp"]
  readonly sctp?: KernelFlow["sctp"]
  readonly helper?: string
  readonly labels?: Uint8Array
  readonly master?: KernelFlow
}

export class FakeKernel {
  readonly #state: KernelState
  readonly #flowRequests: FlowRequests
  readonly #expectationRequests: ExpectationRequests
  readonly #statistics: KernelStatistics
  #portIds = 0

  constructor(options: FakeKernelOptions = {}) {
    this.#state = new KernelState(options)
    this.#flowRequests = new FlowRequests(this.#state)
    this.#expectationRequests = new ExpectationRequests(this.#state)
    this.#statistics = new KernelStatistics(this.#state)
  }

  // ------------------------------------------------------------------------------- time

  get nowMs(): number {
    return this.#state.nowMs
  }

  /** Moves time on; flows and expectations whose time is over go, oldest first. */
  advanceTo(nowMs: number): void {
    this.#state.advanceTo(nowMs)
  }

  /** Sets the lifetime of a flow, from now on. No event says so. */
  expireIn(flow: KernelFlow, seconds: number): void {
    this.#state.expireIn(flow, seconds)
  }

  /** When something next goes or is tried again by itself; `Infinity` when there is nothing. */
  nextExpiryMs(): number {
    return this.#state.nextMs()
  }

  // -------------------------------------------------------------------------- observers

  /** Tells what happens to flows, at once, from now on; the answer ends it. */
  observe(observer: KernelObserver): () => void {
    return this.#state.listeners.observe(observer)
  }

  // ----------------------------------------------------------------------------- faults

  /** The next `count` requests to create a flow are refused with this errno. */
  refuseNext(count: number, errno: number): void {
    this.#flowRequests.refuseNext(count, errno)
  }

  /** The next `count` events are lost, and those who listen told so (ENOBUFS). */
  overrun(count: number): void {
    this.#state.listeners.overrun(count)
  }

  // ---------------------------------------------------------------------------- sockets

  /** What the addon's function of this name does. Only netfilter sockets: others are -errno. */
  readonly openNetlink = (protocol: number): FakeNetlinkSocket | number =>
    protocol === 12 ? this.openSocket() : -EPROTONOSUPPORT

  openSocket(): FakeNetlinkSocket {
    this.#portIds++
    // The first looks like a process id, the others are large: nobody may rely on either.
    const portId = this.#portIds === 1 ? 4_711 : (0x8000_0000 + this.#portIds * 0x0100_0193) >>> 0
    const socket = new FakeNetlinkSocket(portId, {
      execute: (from, bytes) => this.#execute(from, bytes),
      closed: (closed) => this.#state.listeners.close(closed),
      defer: this.#state.options.defer
    })
    this.#state.listeners.open(socket)
    return socket
  }

  // ------------------------------------------------------------------------------ flows

  get size(): number {
    return this.#state.table.size
  }

  /** All flows, in the order of their creation. */
  get flows(): ReadonlyArray<KernelFlow> {
    this.#state.tick()
    return [...this.#state.table.flows()]
  }

  /** All expectations, in the order of their creation. */
  get expectations(): ReadonlyArray<KernelExpectation> {
    this.#state.tick()
    return [...this.#state.expectations.all()]
  }

  /** Flows that are gone, while somebody who wants to hear of every end has not heard of theirs. */
  get dying(): ReadonlyArray<KernelFlow> {
    this.#state.tick()
    return this.#state.delivery.dying
  }

  /** The flow with this tuple in either direction. */
  find(tuple: KernelTuple, zone = 0): KernelFlow | undefined {
    this.#state.tick()
    return this.#state.table.find(tuple, zone)
  }

  /**
   * A flow that packets make. Emits NEW; undefined when the table is full or a tuple is in use. An
   * expectation that it fulfils gives it a master, a mark and a translation, and goes.
   */
  add(fields: NewFlow): KernelFlow | undefined {
    this.#state.tick()
    const flow = this.#state.make({
      family: fields.family,
      original: fields.original,
      reply: fields.reply,
      zone: fields.zone ?? 0,
      zoneIn: fields.zoneIn ?? "both"
    })
    flow.status = fields.status ?? StatusBit.confirmed
    flow.mark = fields.mark ?? 0
    this.expireIn(flow, fields.timeoutSeconds)
    if (fields.tcp !== undefined) flow.tcp = fields.tcp
    if (fields.sctp !== undefined) flow.sctp = fields.sctp
    if (fields.helper !== undefined) flow.helper = fields.helper
    if (fields.labels !== undefined) flow.labels = fields.labels
    if (fields.master !== undefined) {
      flow.master = fields.master
      flow.status |= StatusBit.expected
    }
    if (this.#state.isFull()) return undefined
    if (fields.master === undefined) fulfil(this.#state, flow)
    if (this.#state.clashes(flow)) return undefined
    this.#state.insert(flow, { ...everything, mark: false })
    return flow
  }

  /**
   * What a helper read in a packet of `master`. Emits EXP_NEW; undefined when another expectation
   * is in the way, or the flow has no helper.
   */
  expect(fields: NewExpectation): KernelExpectation | undefined {
    this.#state.tick()
    try {
      return expectFlow(this.#state, fields)
    } catch (reason) {
      if (reason instanceof Refused) return undefined
      throw reason
    }
  }

  /** Tells listeners that the flow changed; `content` says what the event carries. */
  changed(flow: KernelFlow, content: Partial<EventContent> = {}): void {
    this.#state.tick()
    if (!flow.isGone) this.#state.changed(flow, { ...nothing, ...content })
  }

  /** The flow goes, whatever the reason. */
  remove(flow: KernelFlow): void {
    this.#state.remove(flow)
  }

  // --------------------------------------------------------------------------- requests

  #execute(socket: FakeNetlinkSocket, bytes: Uint8Array): void {
    this.#state.tick()
    for (const request of requestsIn(bytes)) {
      let errno = 0
      let reason = request.attributes.hasLeftover ? leftoverReason : []
      if ((request.flags & REQUEST) !== 0 && request.type >= 16) {
        this.#state.listeners.setCauser(socket, (request.flags & ECHO) !== 0)
        try {
          if (this.#perform(socket, request) === "dump") continue
        } catch (thrown) {
          if (!(thrown instanceof Refused)) throw thrown
          errno = thrown.errno
          if (thrown.reason.length > 0) reason = thrown.reason
        } finally {
          this.#state.listeners.clearCauser()
        }
      }
      if (errno !== 0 || (request.flags & ACK) !== 0) this.#answer(socket, request, errno, reason)
    }
  }

  /** ACK, or what went wrong; `reason` is for sockets that want to hear it. */
  #answer(
    socket: FakeNetlinkSocket,
    { bytes, seq }: Request,
    errno: number,
    reason: ReadonlyArray<number>
  ): void {
    const isCapped = errno === 0 || socket.hasOption(capAck)
    const told = socket.hasOption(extAck) ? reason : []
    const flags = (isCapped ? CAPPED : 0) | (told.length > 0 ? ACK_TLVS : 0)
    const echo = isCapped ? bytes.subarray(0, 16) : bytes
    const body = [...hostOrder(-errno >>> 0, 4), ...echo]
    // What is told begins at an address that is a multiple of four.
    while (told.length > 0 && body.length % 4 !== 0) body.push(0)
    socket.queueAnswer(nlmsg({ type: 2, flags, seq, pid: socket.portId }, [...body, ...told]))
  }

  #perform(socket: FakeNetlinkSocket, request: Request): "dump" | undefined {
    // Nobody asks for what has no netfilter header.
    if (request.bytes.length < 20) return undefined
    const isOfExpectations = request.type >> 8 === 2 && request.type !== 0x0203
    if (isOfExpectations) return this.#expectationRequests.perform(socket, request)
    // CT_NEW to CT_GET_CTRZERO: the others read no attributes.
    if (request.type >= 0x0100 && request.type <= 0x0103) checkPolicy(request, flowPolicy)
    // Half of the bits is enough.
    const isDump = (request.flags & DUMP) !== 0
    switch (request.type) {
      case 0x0100:
        this.#flowRequests.new(request)
        return undefined
      case 0x0101:
      case 0x0103:
        if (isDump) {
          this.#flowRequests.dump(socket, request)
          return "dump"
        }
        this.#flowRequests.get(socket, request)
        return undefined
      case 0x0102:
        this.#flowRequests.delete(request)
        return undefined
      case 0x0104:
      case 0x0203:
        if (!isDump) return undefined
        this.#statistics.dump(socket, request)
        return "dump"
      case 0x0105:
        this.#statistics.answer(socket, request)
        return undefined
      case 0x0801:
        // Time-out policies: there are none.
        if (!isDump) throw new Refused(ENOENT)
        this.#flowRequests.dumpNothing(socket, request)
        return "dump"
      case 0x0106:
        if (!isDump) throw new Refused(EOPNOTSUPP)
        this.#flowRequests.dumpDying(socket, request)
        return "dump"
      case 0x0107:
        // No flow waits for its confirmation.
        if (!isDump) throw new Refused(EOPNOTSUPP)
        this.#flowRequests.dumpNothing(socket, request)
        return "dump"
      default:
        throw new Refused(EINVAL)
    }
  }
}
