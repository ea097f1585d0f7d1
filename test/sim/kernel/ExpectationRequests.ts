/**
 * Requests about expectations: create, update, delete, get, dump.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6; what it leaves
 * open as a real kernel (6.18) answered.
 */
import { expectFlow } from "./ExpectationLife.ts"
import { expectationAttributes } from "./ExpectationMessage.ts"
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { tupleIn } from "./FlowRequest.ts"
import type { ExpectedTranslation, KernelExpectation } from "./KernelExpectation.ts"
import { ExpectFlag, knownFunctions, policyOf } from "./KernelExpectation.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import type { KernelState } from "./KernelState.ts"
import { startDump } from "./NetlinkDump.ts"
import type { Request } from "./NetlinkReader.ts"
import { EEXIST, EINVAL, ENOENT, EOPNOTSUPP, ERANGE, Refused } from "./NetlinkReader.ts"
import { nfmsg } from "./NetlinkWriter.ts"

const [CREATE, EXCL, DUMP] = [0x400, 0x200, 0x300]
/** A kernel counts the timeout in ticks, here of 4 ms, in 32 bits: large ones wrap around. */
const ticksPerSecond = 250

const Attr = {
  master: 1,
  tuple: 2,
  mask: 3,
  timeout: 4,
  id: 5,
  helpName: 6,
  zone: 7,
  flags: 8,
  class: 9,
  nat: 10,
  fn: 11
} as const

/** The message alone, before anything is looked up. */
const checkForm = ({ attributes }: Request): void => {
  for (const type of [Attr.timeout, Attr.id, Attr.flags, Attr.class]) attributes.bytes(type, 4)
  attributes.bytes(Attr.zone, 2)
  for (const [type, bytesMax] of [[Attr.helpName, 16], [Attr.fn, Infinity]] as const) {
    const text = attributes.bytes(type)
    if (text !== undefined && (text.length > bytesMax || text.at(-1) !== 0)) {
      throw new Refused(EINVAL)
    }
  }
  const known = ExpectFlag.permanent | ExpectFlag.inactive | ExpectFlag.userspace
  if (((attributes.number(Attr.flags, 4) ?? 0) & ~known) !== 0) throw new Refused(EINVAL)
}

const textIn = ({ attributes }: Request, type: number): string | undefined => {
  const bytes = attributes.bytes(type)
  return bytes && String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)))
}

const zoneIn = ({ attributes }: Request): number => attributes.number(Attr.zone, 2) ?? 0

const translationIn = (request: Request): ExpectedTranslation | undefined => {
  const nat = request.attributes.nest(Attr.nat)
  if (nat === undefined) return undefined
  const direction = nat.number(1, 4)
  if (direction === undefined || !nat.has(2)) throw new Refused(EINVAL)
  if (direction > 1) throw new Refused(ERANGE)
  const { tuple } = tupleIn({ ...request, attributes: nat }, 2)!
  return { direction: direction === 1 ? 1 : 0, address: tuple.src, port: tuple.a }
}

export class ExpectationRequests {
  readonly #state: KernelState

  constructor(state: KernelState) {
    this.#state = state
  }

  /** "dump": the answer comes while it is read, and is not acknowledged. */
  perform(socket: FakeNetlinkSocket, request: Request): "dump" | undefined {
    checkForm(request)
    const isDump = (request.flags & DUMP) !== 0
    switch (request.type) {
      case 0x0200:
        this.#new(request)
        return undefined
      case 0x0201:
        if (isDump) return this.#dump(socket, request)
        this.#get(socket, request)
        return undefined
      case 0x0202:
        this.#delete(request)
        return undefined
      default:
        throw new Refused(EINVAL)
    }
  }

  #named(request: Request, type: number): KernelExpectation | undefined {
    return this.#state.expectations.find(tupleIn(request, type)!.tuple, zoneIn(request))
  }

  #master(request: Request): KernelFlow {
    const { tuple } = tupleIn(request, Attr.master)!
    const zone = { zone: zoneIn(request), zoneIn: "both" } as const
    const flow = this.#state.table.lookUp(tuple, zone)
    if (flow === undefined) throw new Refused(ENOENT)
    return flow
  }

  #new(request: Request): void {
    const { attributes, flags } = request
    for (const type of [Attr.tuple, Attr.mask, Attr.master]) {
      if (!attributes.has(type)) throw new Refused(EINVAL)
    }
    const one = this.#named(request, Attr.tuple)
    if (one === undefined) {
      if ((flags & CREATE) === 0) throw new Refused(ENOENT)
      this.#create(request)
      return
    }
    if ((flags & EXCL) !== 0) throw new Refused(EEXIST)
    // Whatever else is asked for is not changed.
    const seconds = attributes.number(Attr.timeout, 4)
    if (seconds !== undefined) this.#state.expectations.setExpiry(one, this.#after(seconds))
  }

  #after(seconds: number): number {
    const ticks = (seconds * ticksPerSecond) % 0x1_0000_0000
    return this.#state.nowMs + (ticks * 1000) / ticksPerSecond
  }

  #create(request: Request): void {
    const { attributes, family } = request
    const { tuple } = tupleIn(request, Attr.tuple)!
    const mask = tupleIn(request, Attr.mask)!.tuple
    const master = this.#master(request)
    if (master.helper === undefined) throw new Refused(EOPNOTSUPP)
    const policy = attributes.number(Attr.class, 4) ?? 0
    if (policyOf(master.helper, policy) === undefined) throw new Refused(EINVAL)
    const fn = textIn(request, Attr.fn)
    if (fn !== undefined && !(knownFunctions as ReadonlyArray<string>).includes(fn)) {
      throw new Refused(EINVAL)
    }
    expectFlow(this.#state, {
      family,
      master,
      tuple,
      mask: { src: mask.src, a: mask.a },
      flags: attributes.number(Attr.flags, 4) ?? 0,
      policy,
      translation: translationIn(request),
      fn
    })
  }

  #checkId({ attributes }: Request, one: KernelExpectation | undefined): KernelExpectation {
    const id = attributes.number(Attr.id, 4)
    if (one === undefined || (id !== undefined && id !== one.id)) throw new Refused(ENOENT)
    return one
  }

  /** Without a tuple the master is taken for the expected one. */
  #get(socket: FakeNetlinkSocket, request: Request): void {
    const key = [Attr.tuple, Attr.master].find((type) => request.attributes.has(type))
    if (key === undefined) throw new Refused(EINVAL)
    const one = this.#checkId(request, this.#named(request, key))
    socket.queueAnswer(this.#entry(socket, request, one))
  }

  #entry(socket: FakeNetlinkSocket, { seq }: Request, one: KernelExpectation): Uint8Array {
    const attributes = expectationAttributes(one, this.#state.nowMs)
    return nfmsg({ type: 0x0200, flags: 2, seq, pid: socket.portId }, one.family, attributes)
  }

  #delete(request: Request): void {
    const { causer } = this.#state.listeners
    if (request.attributes.has(Attr.tuple)) {
      const one = this.#checkId(request, this.#named(request, Attr.tuple))
      this.#state.forget(one, causer)
      return
    }
    const helper = textIn(request, Attr.helpName)
    for (const one of this.#state.expectations.all()) {
      if (helper === undefined || one.master.helper === helper) this.#state.forget(one, causer)
    }
  }

  #dump(socket: FakeNetlinkSocket, request: Request): "dump" | undefined {
    const { attributes, family } = request
    let all: ReadonlyArray<KernelExpectation>
    if (attributes.has(Attr.master)) {
      const master = this.#master(request)
      // Of a flow without a helper a kernel says nothing at all, not even that it is done.
      if (master.helper === undefined) return undefined
      all = [...this.#state.expectations.of(master)].toReversed()
    } else all = [...this.#state.expectations.all()]
    let at = 0
    startDump(socket, request.seq, () => {
      for (; at < all.length; at++) {
        const one = all[at]!
        if (one.isGone || (family !== 0 && family !== one.family)) continue
        at++
        return this.#entry(socket, request, one)
      }
      return undefined
    })
    return "dump"
  }
}
