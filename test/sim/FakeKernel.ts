/**
 * A kernel's connection tracking, simulated: a table of flows that speaks ctnetlink.
 *
 * Requests come in as bytes, answers, events and dumps go out as bytes, with the rules and the
 * attribute order of a real kernel. It reads no clock: time is what `advanceTo` was told last, or
 * what the option `now` says. Written without the codec under test, so that an error in that one
 * cannot hide behind the same error here; the recorded messages prove both.
 *
 * Not simulated: expectations (the table of them is empty), filters by tuple, per-CPU statistics,
 * reliable delivery, texts of extended acknowledgements.
 *
 * Source: specification, "The kernel's connection-tracking interface".
 */
import { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import type { EventContent } from "./FlowMessage.ts"
import {
  destroyAttributes,
  entryAttributes,
  eventAttributes,
  everything,
  nothing
} from "./FlowMessage.ts"
import type { NatRange, RequestedZone } from "./FlowRequest.ts"
import {
  checkSizes,
  helperIn,
  natIn,
  sctpIn,
  tcpIn,
  tripleIn,
  tupleIn,
  zoneIn
} from "./FlowRequest.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import {
  Direction,
  hasPorts,
  inverted,
  isSameTuple,
  keyOf,
  StatusBit,
  zoneOf
} from "./KernelFlow.ts"
import type { Request } from "./NetlinkReader.ts"
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
  Refused,
  requestsIn
} from "./NetlinkReader.ts"
import { hostOrder, nfmsg, nlmsg, u32 } from "./NetlinkWriter.ts"

export interface FakeKernelOptions {
  /** `nf_conntrack_max`. */
  readonly flowsMax?: number
  /** `nf_conntrack_events`: 1 always, 2 (as kernels do) only while somebody listens, 0 never. */
  readonly events?: 0 | 1 | 2
  /** `nf_conntrack_acct`. */
  readonly accounting?: boolean
  /** `nf_conntrack_timestamp`; then the wall clock of moment 0, in nanoseconds. */
  readonly epochNs?: bigint
  /** A rule uses labels. */
  readonly labels?: boolean
  /** Helpers that are loaded: name and layer-4 protocol. Default: ftp, sip, tftp. */
  readonly helpers?: ReadonlyArray<readonly [name: string, l4: number]>
  /** Milliseconds of a monotonic clock, read whenever something happens. */
  readonly now?: () => number
  /** How a socket's `ready` is called. Default: as a microtask. */
  readonly defer?: (task: () => void) => void
}

/** Seconds; larger timeouts are clamped (INT_MAX / 250). */
const timeoutMaxSeconds = 8_589_934
const dumpDatagramBytes = 32_448
const [CREATE, EXCL, DUMP, ACK, ECHO, REQUEST] = [0x400, 0x200, 0x300, 0x4, 0x8, 0x1]

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

/**
 * What an observer is told, whether or not anybody listens to events: the simulator's judge.
 * `causerPortId` is the port id of the socket whose request did it, 0 for packets and timers.
 */
export interface KernelObserver {
  readonly created?: (flow: KernelFlow, causerPortId: number) => void
  readonly updated?: (flow: KernelFlow, causerPortId: number) => void
  readonly destroyed?: (flow: KernelFlow, causerPortId: number) => void
}

export class FakeKernel {
  readonly #options: FakeKernelOptions
  readonly #helpers: ReadonlyArray<readonly [name: string, l4: number]>
  readonly #table = new Map<string, KernelFlow>()
  readonly #flows = new Set<KernelFlow>()
  readonly #sockets = new Set<FakeNetlinkSocket>()
  readonly #observers = new Set<KernelObserver>()
  #nowMs = 0
  /** No flow expires before. */
  #quietUntilMs = Infinity
  #ids = 0
  #portIds = 0
  /** Port id of the socket whose request is executed, 0 for packets and timers. */
  #causer: FakeNetlinkSocket | undefined
  #echo = false

  constructor(options: FakeKernelOptions = {}) {
    this.#options = options
    this.#helpers = options.helpers ?? [["ftp", 6], ["sip", 6], ["sip", 17], ["tftp", 17]]
  }

  // ------------------------------------------------------------------------------- time

  get nowMs(): number {
    return this.#nowMs
  }

  /** Moves time on; flows whose time is over go, oldest first. */
  advanceTo(nowMs: number): void {
    while (nowMs >= this.#quietUntilMs) {
      let first: KernelFlow | undefined
      for (const flow of this.#flows) {
        if (flow.expiresAtMs > nowMs) continue
        if (first === undefined || flow.expiresAtMs < first.expiresAtMs) first = flow
      }
      if (first === undefined) {
        this.#quietUntilMs = this.nextExpiryMs()
        break
      }
      this.#nowMs = Math.max(this.#nowMs, first.expiresAtMs)
      this.remove(first)
    }
    this.#nowMs = Math.max(this.#nowMs, nowMs)
  }

  /** Sets the lifetime of a flow, from now on. No event says so. */
  setTimeout(flow: KernelFlow, seconds: number): void {
    flow.expiresAtMs = this.#nowMs + Math.min(seconds, timeoutMaxSeconds) * 1000
    this.#quietUntilMs = Math.min(this.#quietUntilMs, flow.expiresAtMs)
  }

  /** When the next flow expires; `Infinity` when there is none. */
  nextExpiryMs(): number {
    let next = Infinity
    for (const flow of this.#flows) next = Math.min(next, flow.expiresAtMs)
    return next
  }

  // -------------------------------------------------------------------------- observers

  /** Tells what happens to flows, at once, from now on; the answer ends it. */
  observe(observer: KernelObserver): () => void {
    this.#observers.add(observer)
    return () => void this.#observers.delete(observer)
  }

  #tell(what: keyof KernelObserver, flow: KernelFlow): void {
    if (this.#observers.size === 0) return
    const causerPortId = this.#causer?.portId ?? 0
    for (const observer of this.#observers) observer[what]?.(flow, causerPortId)
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
      closed: (closed) => this.#sockets.delete(closed),
      defer: this.#options.defer ?? queueMicrotask
    })
    this.#sockets.add(socket)
    return socket
  }

  // ------------------------------------------------------------------------------ flows

  get size(): number {
    return this.#flows.size
  }

  /** All flows, in the order of their creation. */
  get flows(): ReadonlyArray<KernelFlow> {
    this.#tick()
    return [...this.#flows]
  }

  /** The flow with this tuple in either direction. */
  find(tuple: KernelTuple, zone = 0): KernelFlow | undefined {
    this.#tick()
    return this.#table.get(keyOf(tuple, zone))
  }

  /** A flow that packets make. Emits NEW; undefined when the table is full or a tuple is in use. */
  add(fields: NewFlow): KernelFlow | undefined {
    this.#tick()
    const flow = this.#make({
      family: fields.family,
      original: fields.original,
      reply: fields.reply,
      zone: fields.zone ?? 0,
      zoneIn: fields.zoneIn ?? "both"
    })
    flow.status = fields.status ?? StatusBit.confirmed
    flow.mark = fields.mark ?? 0
    this.setTimeout(flow, fields.timeoutSeconds)
    if (fields.tcp !== undefined) flow.tcp = fields.tcp
    if (fields.sctp !== undefined) flow.sctp = fields.sctp
    if (fields.helper !== undefined) flow.helper = fields.helper
    if (fields.labels !== undefined) flow.labels = fields.labels
    if (fields.master !== undefined) {
      flow.master = fields.master
      flow.status |= StatusBit.expected
    }
    if (this.#flows.size >= (this.#options.flowsMax ?? Infinity) || this.#isInUse(flow)) {
      return undefined
    }
    this.#insert(flow)
    this.#emit(flow, 1, { ...everything, mark: false })
    return flow
  }

  /** Tells listeners that the flow changed; `content` says what the event carries. */
  changed(flow: KernelFlow, content: Partial<EventContent> = {}): void {
    this.#tick()
    if (!flow.isGone) this.#emit(flow, 2, { ...nothing, ...content })
  }

  /** The flow goes, whatever the reason. */
  remove(flow: KernelFlow): void {
    if (flow.isGone) return
    flow.isGone = true
    this.#flows.delete(flow)
    this.#table.delete(keyOf(flow.original, zoneOf(flow, Direction.original)))
    this.#table.delete(keyOf(flow.reply, zoneOf(flow, Direction.reply)))
    if (flow.master !== undefined) flow.master.children--
    flow.status |= StatusBit.dying
    this.#tell("destroyed", flow)
    if (!flow.hasEvents) return
    const { epochNs } = this.#options
    const stop = epochNs === undefined ? undefined : epochNs + BigInt(this.#nowMs) * 1_000_000n
    this.#send(3, 0x0102, 0, flow, destroyAttributes(flow, this.#nowMs, stop))
  }

  #tick(): void {
    if (this.#options.now !== undefined) this.advanceTo(this.#options.now())
  }

  #make(
    fields: Pick<KernelFlow, "family" | "original" | "reply" | "zone" | "zoneIn">
  ): KernelFlow {
    const { accounting, epochNs, events = 2 } = this.#options
    const isHeard = [...this.#sockets].some((socket) => socket.listensToFlows)
    const none = () => ({ packets: 0n, bytes: 0n })
    return {
      ...fields,
      // Opaque and never the same for two flows: multiplication by an odd number.
      id: Math.imul(++this.#ids, 0x9e37_79b1) >>> 0,
      status: StatusBit.confirmed,
      expiresAtMs: 0,
      mark: 0,
      children: 0,
      hasEvents: events === 1 || (events === 2 && isHeard),
      isGone: false,
      ...(accounting === true
        ? { counters: [none(), none()] as const as NonNullable<KernelFlow["counters"]> }
        : {}),
      ...(epochNs === undefined ? {} : { startNs: epochNs + BigInt(this.#nowMs) * 1_000_000n })
    }
  }

  #insert(flow: KernelFlow): void {
    this.#flows.add(flow)
    if (flow.master !== undefined) flow.master.children++
    this.#table.set(keyOf(flow.original, zoneOf(flow, Direction.original)), flow)
    this.#table.set(keyOf(flow.reply, zoneOf(flow, Direction.reply)), flow)
  }

  #isInUse(flow: KernelFlow): boolean {
    return this.#table.has(keyOf(flow.original, zoneOf(flow, Direction.original))) ||
      this.#table.has(keyOf(flow.reply, zoneOf(flow, Direction.reply)))
  }

  #emit(flow: KernelFlow, group: 1 | 2, content: EventContent): void {
    this.#tell(group === 1 ? "created" : "updated", flow)
    if (!flow.hasEvents) return
    const attributes = eventAttributes(flow, this.#nowMs, content)
    this.#send(group, 0x0100, group === 1 ? 0x600 : 0, flow, attributes)
  }

  #send(
    group: number,
    type: number,
    flags: number,
    flow: KernelFlow,
    attributes: ReadonlyArray<number>
  ): void {
    const pid = this.#causer?.portId ?? 0
    const bytes = nfmsg({ type, flags, seq: 0, pid }, flow.family, attributes)
    for (const socket of this.#sockets) {
      const echo = this.#echo && socket === this.#causer
      if (socket.listensTo(group) || echo) socket.queueEvent(bytes)
    }
  }

  // --------------------------------------------------------------------------- requests

  #execute(socket: FakeNetlinkSocket, bytes: Uint8Array): void {
    this.#tick()
    for (const request of requestsIn(bytes)) {
      let errno = 0
      if ((request.flags & REQUEST) !== 0 && request.type >= 16) {
        this.#causer = socket
        this.#echo = (request.flags & ECHO) !== 0
        try {
          if (this.#perform(socket, request) === "dump") continue
        } catch (reason) {
          if (!(reason instanceof Refused)) throw reason
          errno = reason.errno
        } finally {
          this.#causer = undefined
          this.#echo = false
        }
      }
      if (errno !== 0 || (request.flags & ACK) !== 0) this.#answer(socket, request, errno)
    }
  }

  #answer(socket: FakeNetlinkSocket, request: Request, errno: number): void {
    const isCapped = errno === 0 || socket.hasOption(10)
    const echo = isCapped ? request.bytes.subarray(0, 16) : request.bytes
    socket.queueAnswer(nlmsg(
      { type: 2, flags: isCapped ? 0x100 : 0, seq: request.seq, pid: socket.portId },
      [...hostOrder(-errno >>> 0, 4), ...echo]
    ))
  }

  #perform(socket: FakeNetlinkSocket, request: Request): "dump" | undefined {
    checkSizes(request)
    const isDump = (request.flags & DUMP) === DUMP
    switch (request.type) {
      case 0x0100:
        this.#new(request)
        return undefined
      case 0x0101:
      case 0x0103:
        if (isDump) return this.#dump(socket, request)
        this.#get(socket, request)
        return undefined
      case 0x0102:
        this.#delete(request)
        return undefined
      case 0x0105:
        socket.queueAnswer(nfmsg(
          { type: 0x0105, flags: 2, seq: request.seq, pid: socket.portId },
          0,
          [...u32(1, this.#flows.size), ...u32(2, this.#options.flowsMax ?? 262_144)]
        ))
        return undefined
      case 0x0106:
      case 0x0107:
      case 0x0201:
        // No flow waits for its event or its confirmation, and there are no expectations.
        if (isDump) return this.#dumpFlows(socket, request, [], 0)
        throw new Refused(request.type === 0x0201 ? ENOENT : EOPNOTSUPP)
      case 0x0202:
        if (request.attributes.has(2)) throw new Refused(ENOENT)
        return undefined
      default:
        throw new Refused(request.type >> 8 === 2 ? EOPNOTSUPP : EINVAL)
    }
  }

  /** The flow that the request names by either tuple, in either direction. */
  #named(request: Request): KernelFlow | undefined {
    const original = tupleIn(request, 1)
    const reply = tupleIn(request, 2)
    const zone = zoneIn(request, original, reply)
    const key = original ?? reply
    if (key === undefined) throw new Refused(EINVAL)
    return this.#lookUp(key.tuple, zone)
  }

  /** A zone of one direction counts only if the tuple is that direction of the flow. */
  #lookUp(tuple: KernelTuple, { zone, zoneIn }: RequestedZone): KernelFlow | undefined {
    for (const direction of ["original", "reply"] as const) {
      const isIn = zoneIn === "both" || zoneIn === direction
      const flow = this.#table.get(keyOf(tuple, isIn ? zone : 0))
      if (flow !== undefined && isSameTuple(tuple, flow[direction])) return flow
    }
    return undefined
  }

  #new(request: Request): void {
    const flow = this.#named(request)
    if (flow === undefined) {
      if ((request.flags & CREATE) === 0) throw new Refused(ENOENT)
      this.#create(request)
      return
    }
    if ((request.flags & EXCL) !== 0) throw new Refused(EEXIST)
    this.#update(flow, request)
  }

  #create(request: Request): void {
    const { attributes } = request
    const original = tupleIn(request, 1)
    const reply = tupleIn(request, 2)
    if (original === undefined || reply === undefined) throw new Refused(EINVAL)
    if (original.tuple.l4 !== reply.tuple.l4) throw new Refused(EINVAL)
    const flow = this.#make({
      family: request.family,
      original: original.tuple,
      reply: reply.tuple,
      ...zoneIn(request, original, reply)
    })
    const seconds = attributes.number(7, 4)
    if (seconds === undefined) throw new Refused(EINVAL)
    this.setTimeout(flow, seconds)
    const helper = helperIn(request)
    if (helper !== undefined) {
      if (!this.#isLoaded(helper, original.tuple.l4)) throw new Refused(EOPNOTSUPP)
      flow.helper = helper
      flow.status |= StatusBit.helper
    }
    this.#translate(flow, natIn(request, 13), natIn(request, 6))
    flow.synproxy = [0, 0, 0]
    flow.seqAdj = [[0, 0, 0], [0, 0, 0]]
    if (this.#options.labels === true) flow.labels = new Uint8Array(16)
    if (original.tuple.l4 === 6) flow.tcp = { state: 0, scales: [0, 0], flags: [0, 0] }
    if (original.tuple.l4 === 132) flow.sctp = { state: 0, tags: [0, 0] }
    changeStatus(flow, attributes.number(3, 4))
    changeSeqAdj(flow, request)
    changeProtocol(flow, request)
    flow.synproxy = tripleIn(request, 24) ?? flow.synproxy
    flow.mark = attributes.number(8, 4) ?? 0
    const labels = attributes.bytes(22)
    if (labels !== undefined && labels.length % 4 === 0) flow.labels?.set(labels)
    const master = tupleIn(request, 14)
    if (master !== undefined) {
      const found = this.#lookUp(master.tuple, flow)
      if (found === undefined) throw new Refused(ENOENT)
      flow.master = found
      flow.status |= StatusBit.expected
    }
    if (this.#flows.size >= (this.#options.flowsMax ?? Infinity)) throw new Refused(ENOMEM)
    if (this.#isInUse(flow)) throw new Refused(EEXIST)
    this.#insert(flow)
    this.#emit(flow, 1, everything)
    if (seconds === 0) this.advanceTo(this.#nowMs)
  }

  #isLoaded(name: string, l4: number): boolean {
    return this.#helpers.some(([known, protocol]) => known === name && protocol === l4)
  }

  /** Destination first. What is translated is the reply tuple as sent. */
  #translate(flow: KernelFlow, toDst: NatRange | undefined, toSrc: NatRange | undefined): void {
    if (toDst === undefined && toSrc === undefined) return
    flow.status |= StatusBit.srcNatDone | StatusBit.dstNatDone
    if (toDst !== undefined) this.#alter(flow, toDst, "dst")
    if (toSrc !== undefined) this.#alter(flow, toSrc, "src")
  }

  #alter(flow: KernelFlow, range: NatRange, side: "src" | "dst"): void {
    const current = inverted(flow.reply)
    const member = side === "src" ? "a" : "b"
    const withPort = hasPorts(current.l4) && range.port !== undefined
    let wanted: KernelTuple = {
      ...current,
      [side]: range.address ?? current[side],
      [member]: withPort ? range.port : current[member]
    }
    const isFree = (tuple: KernelTuple) =>
      !this.#table.has(keyOf(inverted(tuple), zoneOf(flow, Direction.reply)))
    if (!isFree(wanted) && hasPorts(current.l4) && !withPort) {
      for (let port = 1024; port < 0x1_0000 && !isFree(wanted); port++) {
        wanted = { ...wanted, [member]: port }
      }
    }
    if (isSameTuple(wanted, current)) return
    flow.reply = inverted(wanted)
    flow.status |= side === "src" ? StatusBit.srcNat : StatusBit.dstNat
  }

  /** Attribute by attribute: an error stops, and what came before stays. */
  #update(flow: KernelFlow, request: Request): void {
    const { attributes } = request
    if (attributes.has(6) || attributes.has(13) || attributes.has(14)) {
      throw new Refused(EOPNOTSUPP)
    }
    this.#changeHelper(flow, helperIn(request))
    const seconds = attributes.number(7, 4)
    if (seconds !== undefined) {
      if ((flow.status & StatusBit.fixedTimeout) !== 0) throw new Refused(EPERM)
      this.setTimeout(flow, seconds)
    }
    changeStatus(flow, attributes.number(3, 4))
    changeProtocol(flow, request)
    const mark = attributes.number(8, 4)
    if (mark !== undefined) {
      const mask = attributes.number(21, 4) ?? 0xffff_ffff
      flow.mark = ((flow.mark & ~mask) ^ mark) >>> 0
    }
    changeSeqAdj(flow, request)
    const synproxy = tripleIn(request, 24)
    if (synproxy !== undefined && flow.synproxy !== undefined) flow.synproxy = synproxy
    changeLabels(flow, attributes.bytes(22), attributes.bytes(23))
    this.#emit(flow, 2, { ...everything, master: false })
    if (seconds === 0) this.advanceTo(this.#nowMs)
  }

  #changeHelper(flow: KernelFlow, name: string | undefined): void {
    if (name === undefined) return
    if (flow.master !== undefined && name !== flow.helper) throw new Refused(EBUSY)
    if (name === "") {
      delete flow.helper
      return
    }
    if (!this.#isLoaded(name, flow.original.l4)) throw new Refused(EOPNOTSUPP)
    if (flow.helper === undefined) throw new Refused(EOPNOTSUPP)
    if (flow.helper !== name) throw new Refused(EBUSY)
  }

  #delete(request: Request): void {
    const { attributes, family, version } = request
    if (attributes.has(1) || attributes.has(2)) {
      if (attributes.has(25)) throw new Refused(EOPNOTSUPP)
      const flow = this.#named(request)
      const id = attributes.number(12, 4)
      if (flow === undefined || (id !== undefined && id !== flow.id)) throw new Refused(ENOENT)
      this.remove(flow)
      return
    }
    const matches = matcher(request, version === 0 ? 0 : family)
    for (const flow of this.#flows) if (matches(flow)) this.remove(flow)
  }

  #get(socket: FakeNetlinkSocket, request: Request): void {
    const flow = this.#named(request)
    if (flow === undefined) throw new Refused(ENOENT)
    const { portId: pid } = socket
    const attributes = entryAttributes(flow, this.#nowMs, true)
    if (request.type === 0x0103) zeroCounters(flow)
    socket.queueAnswer(
      nfmsg({ type: 0x0100, flags: 2, seq: request.seq, pid }, flow.family, attributes)
    )
  }

  #dump(socket: FakeNetlinkSocket, request: Request): "dump" {
    const { attributes, family } = request
    if (attributes.has(25)) throw new Refused(EOPNOTSUPP)
    const matches = matcher(request, family)
    const isFiltered = family !== 0 || [8, 3, 18].some((type) => attributes.has(type))
    const flows = [...this.#flows].filter(matches)
    return this.#dumpFlows(socket, request, flows, isFiltered ? 0x22 : 2)
  }

  /** Part by part, as it is read: what goes meanwhile is not dumped, nor what comes. */
  #dumpFlows(
    socket: FakeNetlinkSocket,
    request: Request,
    flows: ReadonlyArray<KernelFlow>,
    flags: number
  ): "dump" {
    const { portId: pid } = socket
    const { seq } = request
    let at = 0
    let isDone = false
    const next = (): Uint8Array | undefined => {
      if (isDone) return undefined
      const parts: Array<Uint8Array> = []
      let bytes = 0
      for (; at < flows.length; at++) {
        const flow = flows[at]!
        if (flow.isGone) continue
        const entry = entryAttributes(flow, this.#nowMs, false)
        const message = nfmsg({ type: 0x0100, flags, seq, pid }, flow.family, entry)
        if (bytes + message.length > dumpDatagramBytes) break
        if (request.type === 0x0103) zeroCounters(flow)
        parts.push(message)
        bytes += message.length
      }
      if (parts.length === 0) {
        isDone = true
        return nlmsg({ type: 3, flags: 2, seq, pid }, [0, 0, 0, 0])
      }
      const datagram = new Uint8Array(bytes)
      let to = 0
      for (const part of parts) {
        datagram.set(part, to)
        to += part.length
      }
      return datagram
    }
    if (!socket.startDump(next)) throw new Refused(EBUSY)
    return "dump"
  }
}

const zeroCounters = (flow: KernelFlow): void => {
  for (const counter of flow.counters ?? []) {
    counter.packets = 0n
    counter.bytes = 0n
  }
}

/** Bits are added, never removed; some must be as they are. */
const changeStatus = (flow: KernelFlow, status: number | undefined): void => {
  if (status === undefined) return
  const mustBeSame = StatusBit.expected | StatusBit.confirmed | StatusBit.dying
  if (((status ^ flow.status) & mustBeSame) !== 0) throw new Refused(EBUSY)
  const mayNotGo = flow.status & (StatusBit.seenReply | StatusBit.assured)
  if ((status & mayNotGo) !== mayNotGo) throw new Refused(EBUSY)
  const mayBeAdded = StatusBit.seenReply | StatusBit.assured | StatusBit.fixedTimeout |
    StatusBit.helper
  flow.status |= status & mayBeAdded
}

const changeSeqAdj = (flow: KernelFlow, request: Request): void => {
  for (const [type, direction] of [[15, 0], [16, 1]] as const) {
    const values = tripleIn(request, type)
    // Packet-made flows lack the room: silently ignored.
    if (values === undefined || flow.seqAdj === undefined) continue
    flow.seqAdj[direction] = values
    flow.status |= StatusBit.seqAdjust
  }
}

const changeProtocol = (flow: KernelFlow, request: Request): void => {
  if (flow.tcp !== undefined) {
    const change = tcpIn(request)
    if (change === undefined) return
    const { tcp } = flow
    if (change.state !== undefined) tcp.state = change.state
    for (const [direction, [value, mask]] of [change.flags, change.replyFlags].entries()) {
      tcp.flags[direction] = (tcp.flags[direction]! & ~mask) | (value & mask)
    }
    const isScaled = ((tcp.flags[0] & tcp.flags[1]) & 0x01) !== 0
    if (isScaled && change.scales !== undefined) tcp.scales = [...change.scales]
  } else if (flow.sctp !== undefined) {
    const change = sctpIn(request)
    if (change !== undefined) flow.sctp = { state: change.state, tags: change.tags }
  }
}

const changeLabels = (
  flow: KernelFlow,
  labels: Uint8Array | undefined,
  mask: Uint8Array | undefined
): void => {
  if (labels === undefined) return
  if (labels.length % 4 !== 0) throw new Refused(EINVAL)
  if (mask !== undefined && mask.length !== labels.length) throw new Refused(EINVAL)
  if (flow.labels === undefined) throw new Refused(ENOSPC)
  for (let i = 0; i < 16; i++) {
    const bits = i < labels.length ? mask?.[i] ?? 0xff : mask === undefined ? 0xff : 0
    flow.labels[i] = (flow.labels[i]! & ~bits) | ((labels[i] ?? 0) & bits)
  }
}

/** The filters of dumps and flushes. */
const matcher = (
  { attributes }: Request,
  family: number
): (flow: KernelFlow) => boolean => {
  const mark = attributes.number(8, 4)
  const markMask = attributes.number(21, 4) ?? 0xffff_ffff
  const status = attributes.number(3, 4)
  const statusMask = attributes.number(26, 4) ?? status ?? 0
  const zone = attributes.number(18, 2)
  if (status !== undefined && statusMask === 0) throw new Refused(EINVAL)
  return (flow) =>
    (family === 0 || family === flow.family) &&
    (mark === undefined || ((flow.mark & markMask) >>> 0) === mark) &&
    (status === undefined || ((flow.status & statusMask) >>> 0) === status) &&
    (zone === undefined || zoneOf(flow, Direction.original) === zone ||
      zoneOf(flow, Direction.reply) === zone)
}
