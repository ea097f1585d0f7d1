/**
 * Requests about flows: create, update, delete, get, dump.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.
 */
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import {
  changeLabels,
  changeProtocol,
  changeSeqAdj,
  changeStatus,
  setLabels
} from "./FlowChanges.ts"
import { isFiltered, matcher } from "./FlowFilter.ts"
import { entryAttributes, everything } from "./FlowMessage.ts"
import type { RequestedTuple, RequestedZone } from "./FlowRequest.ts"
import { helperIn, natIn, tripleIn, tupleIn, zoneIn } from "./FlowRequest.ts"
import { translate } from "./FlowTranslation.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { StatusBit } from "./KernelFlow.ts"
import type { KernelState } from "./KernelState.ts"
import { startDump } from "./NetlinkDump.ts"
import type { Request } from "./NetlinkReader.ts"
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  Refused
} from "./NetlinkReader.ts"
import { nfmsg } from "./NetlinkWriter.ts"

const CREATE = 0x400
const EXCL = 0x200

interface Keys {
  readonly original: RequestedTuple | undefined
  readonly reply: RequestedTuple | undefined
  readonly zone: RequestedZone
}

const keysIn = (request: Request): Keys => {
  const original = tupleIn(request, 1)
  const reply = tupleIn(request, 2)
  return { original, reply, zone: zoneIn(request, original, reply) }
}

/** Of requests that name one flow: the reply tuple is not even read when there is an original. */
const keyIn = (request: Request): Keys => {
  const original = tupleIn(request, 1)
  const reply = original === undefined ? tupleIn(request, 2) : undefined
  return { original, reply, zone: zoneIn(request, original, reply) }
}

export class FlowRequests {
  readonly #state: KernelState
  /** Creations that are still to be refused, and how. */
  #refusals = { count: 0, errno: 0 }

  constructor(state: KernelState) {
    this.#state = state
  }

  /** The next `count` creations are refused with this errno. */
  refuseNext(count: number, errno: number): void {
    this.#refusals = { count, errno }
  }

  /** The flow that a request names by either tuple, in either direction. */
  #named({ original, reply, zone }: Keys): KernelFlow | undefined {
    const key = original ?? reply
    return key && this.#state.table.lookUp(key.tuple, zone)
  }

  new(request: Request): void {
    const keys = keysIn(request)
    const flow = this.#named(keys)
    if (flow === undefined) {
      if ((request.flags & CREATE) === 0) throw new Refused(ENOENT)
      this.#create(request, keys)
      return
    }
    if ((request.flags & EXCL) !== 0) throw new Refused(EEXIST)
    this.#update(flow, request)
  }

  #create(request: Request, { original, reply, zone }: Keys): void {
    const { attributes } = request
    if (original === undefined || reply === undefined) throw new Refused(EINVAL)
    if (original.tuple.l4 !== reply.tuple.l4) throw new Refused(EINVAL)
    if (this.#refusals.count > 0) {
      this.#refusals.count--
      throw new Refused(this.#refusals.errno)
    }
    if (this.#state.isFull()) throw new Refused(ENOMEM)
    const flow = this.#state.make({
      family: request.family,
      original: original.tuple,
      reply: reply.tuple,
      ...zone
    })
    const seconds = attributes.number(7, 4)
    if (seconds === undefined) throw new Refused(EINVAL)
    this.#state.expireIn(flow, seconds)
    const helper = helperIn(request)
    if (helper !== undefined) {
      if (!this.#state.isHelperLoaded(helper, original.tuple.l4)) throw new Refused(EOPNOTSUPP)
      flow.helper = helper
      flow.status |= StatusBit.helper
    }
    translate(this.#state.table, flow, natIn(request, 13), natIn(request, 6))
    flow.synproxy = [0, 0, 0]
    flow.seqAdj = [[0, 0, 0], [0, 0, 0]]
    if (this.#state.options.labels === true) flow.labels = new Uint8Array(16)
    if (original.tuple.l4 === 6) flow.tcp = { state: 0, scales: [0, 0], flags: [0, 0] }
    if (original.tuple.l4 === 132) flow.sctp = { state: 0, tags: [0, 0] }
    changeStatus(flow, attributes.number(3, 4))
    changeSeqAdj(flow, request)
    changeProtocol(flow, request)
    flow.synproxy = tripleIn(request, 24) ?? flow.synproxy
    flow.mark = attributes.number(8, 4) ?? 0
    const labels = attributes.bytes(22)
    if (labels !== undefined && flow.labels !== undefined) {
      setLabels(flow, labels, attributes.bytes(23))
    }
    const master = tupleIn(request, 14)
    if (master !== undefined) {
      if (master.zone !== undefined) throw new Refused(EINVAL)
      const found = this.#state.table.lookUp(master.tuple, flow)
      if (found === undefined) throw new Refused(ENOENT)
      flow.master = found
      flow.status |= StatusBit.expected
    }
    if (this.#state.clashes(flow)) throw new Refused(EEXIST)
    this.#state.insert(flow, everything)
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
      this.#state.expireIn(flow, seconds)
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
    this.#state.changed(flow, { ...everything, master: false })
  }

  #changeHelper(flow: KernelFlow, name: string | undefined): void {
    if (name === undefined) return
    if (flow.master !== undefined && name !== flow.helper) throw new Refused(EBUSY)
    if (name === "") {
      this.#state.forgetAllOf(flow)
      delete flow.helper
      return
    }
    if (!this.#state.isHelperLoaded(name, flow.original.l4)) throw new Refused(EOPNOTSUPP)
    if (flow.helper === undefined) throw new Refused(EOPNOTSUPP)
    if (flow.helper !== name) throw new Refused(EBUSY)
  }

  delete(request: Request): void {
    const { attributes, family, version } = request
    const hasFilter = attributes.has(25)
    if ((attributes.has(1) || attributes.has(2)) && !hasFilter) {
      const flow = this.#named(keyIn(request))
      const id = attributes.number(12, 4)
      if (flow === undefined || (id !== undefined && id !== flow.id)) throw new Refused(ENOENT)
      this.#state.remove(flow)
      return
    }
    const matches = matcher(request, version !== 0 || hasFilter ? family : 0)
    for (const flow of this.#state.table.flows()) if (matches(flow)) this.#state.remove(flow)
  }

  get(socket: FakeNetlinkSocket, request: Request): void {
    if (!request.attributes.has(1) && !request.attributes.has(2)) throw new Refused(EINVAL)
    const flow = this.#named(keyIn(request))
    if (flow === undefined) throw new Refused(ENOENT)
    const { portId: pid } = socket
    const attributes = entryAttributes(flow, this.#state.nowMs, true)
    if (request.type === 0x0103) zeroCounters(flow)
    socket.queueAnswer(
      nfmsg({ type: 0x0100, flags: 2, seq: request.seq, pid }, flow.family, attributes)
    )
  }

  dump(socket: FakeNetlinkSocket, request: Request): void {
    const { family } = request
    const matches = matcher(request, family)
    const flows = [...this.#state.table.flows()].filter(matches)
    this.#dumpFlows(socket, request, flows, isFiltered(request, family) ? 0x22 : 2)
  }

  /** A dump of the flows whose end is still to be told. */
  dumpDying(socket: FakeNetlinkSocket, request: Request): void {
    this.#dumpFlows(socket, request, this.#state.delivery.dying, 2, true)
  }

  /** A dump of flows that are in no table: of these there are none. */
  dumpNothing(socket: FakeNetlinkSocket, request: Request): void {
    this.#dumpFlows(socket, request, [], 2)
  }

  /** What goes meanwhile is not dumped, nor what comes. */
  #dumpFlows(
    socket: FakeNetlinkSocket,
    request: Request,
    flows: ReadonlyArray<KernelFlow>,
    flags: number,
    alsoGone = false
  ): void {
    const { portId: pid } = socket
    const { seq } = request
    let at = 0
    startDump(socket, seq, () => {
      if (!alsoGone) { while (at < flows.length && flows[at]!.isGone) at++ }
      const flow = flows[at++]
      if (flow === undefined) return undefined
      const entry = (): Uint8Array | undefined => {
        if (flow.isGone && !alsoGone) return undefined
        const attributes = entryAttributes(flow, this.#state.nowMs, false)
        return nfmsg({ type: 0x0100, flags, seq, pid }, flow.family, attributes)
      }
      if (request.type !== 0x0103) return entry
      // Counters are read once.
      const bytes = entry()
      zeroCounters(flow)
      return bytes
    })
  }
}

const zeroCounters = (flow: KernelFlow): void => {
  for (const counter of flow.counters ?? []) {
    counter.packets = 0n
    counter.bytes = 0n
  }
}
