/**
 * The simulated kernel's table of flows: found by tuple, gone when their time is over.
 *
 * Every flow has a look-up time in a heap, which is its end or earlier: who looks then and finds
 * that the life got longer looks again at its end. So to lengthen a life costs nothing.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 4.
 */
import type { RequestedZone } from "./FlowRequest.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, isSameTuple, keyOf, StatusBit, zoneOf } from "./KernelFlow.ts"

interface Look {
  readonly atMs: number
  readonly member: Member
}

/** A flow that is in the table. */
interface Member {
  readonly flow: KernelFlow
  /** Of two that end at the same time the older one goes first. */
  readonly order: number
  /** The look that counts; others that are in the heap do not. */
  atMs: number
}

const isBefore = (x: Look, y: Look): boolean =>
  x.atMs < y.atMs || (x.atMs === y.atMs && x.member.order < y.member.order)

/** What the source of an original tuple is known by. */
const sourceKeyOf = ({ a, l4, src }: KernelTuple, zone: number): string =>
  `${l4}/${zone}/${src}/${a}`

const both = [Direction.original, Direction.reply] as const

export class FlowTable {
  readonly #members = new Map<KernelFlow, Member>()
  readonly #byTuple = new Map<string, KernelFlow>()
  /** Flows with a translation, if only of nothing, by the source of their original tuple. */
  readonly #bySource = new Map<string, Set<KernelFlow>>()
  readonly #looks: Array<Look> = []
  #order = 0

  get size(): number {
    return this.#members.size
  }

  /** In the order of their creation. */
  flows(): Iterable<KernelFlow> {
    return this.#members.keys()
  }

  /** The flow with this tuple in either direction, in a zone that is for that direction. */
  find(tuple: KernelTuple, zone: number): KernelFlow | undefined {
    return this.#byTuple.get(keyOf(tuple, zone))
  }

  /** A zone of one direction counts only if the tuple is that direction of the flow. */
  lookUp(tuple: KernelTuple, { zone, zoneIn }: RequestedZone): KernelFlow | undefined {
    for (const direction of ["original", "reply"] as const) {
      const isIn = zoneIn === "both" || zoneIn === direction
      const flow = this.find(tuple, isIn ? zone : 0)
      if (flow !== undefined && isSameTuple(tuple, flow[direction])) return flow
    }
    return undefined
  }

  /** The flows with a translation that have the source of this tuple, oldest first. */
  withSourceOf(original: KernelTuple, zone: number): Iterable<KernelFlow> {
    return this.#bySource.get(sourceKeyOf(original, zone)) ?? []
  }

  /** One of its tuples is taken. */
  isInUse(flow: KernelFlow): boolean {
    return this.find(flow.original, zoneOf(flow, Direction.original)) !== undefined ||
      this.find(flow.reply, zoneOf(flow, Direction.reply)) !== undefined
  }

  insert(flow: KernelFlow): void {
    const member = { flow, order: this.#order++, atMs: Infinity }
    this.#members.set(flow, member)
    if (flow.master !== undefined) flow.master.children++
    for (const direction of both) this.#byTuple.set(this.#key(flow, direction), flow)
    if ((flow.status & StatusBit.srcNatDone) !== 0) {
      const key = sourceKeyOf(flow.original, flow.zone)
      const flows = this.#bySource.get(key)
      if (flows === undefined) this.#bySource.set(key, new Set([flow]))
      else flows.add(flow)
    }
    this.#lookAt(member, flow.expiresAtMs)
  }

  delete(flow: KernelFlow): void {
    this.#members.delete(flow)
    if (flow.master !== undefined) flow.master.children--
    for (const direction of both) this.#byTuple.delete(this.#key(flow, direction))
    const key = sourceKeyOf(flow.original, flow.zone)
    const flows = this.#bySource.get(key)
    if (flows?.delete(flow) === true && flows.size === 0) this.#bySource.delete(key)
  }

  /** The flow's life ends then. It need not be in the table yet. */
  setExpiry(flow: KernelFlow, atMs: number): void {
    flow.expiresAtMs = atMs
    const member = this.#members.get(flow)
    if (member !== undefined && atMs < member.atMs) this.#lookAt(member, atMs)
  }

  /** When the next flow expires; `Infinity` when there is none. */
  nextExpiryMs(): number {
    this.#settle()
    return this.#looks[0]?.atMs ?? Infinity
  }

  /** The flow that expires first, if that is not after `nowMs`. */
  expired(nowMs: number): KernelFlow | undefined {
    return this.nextExpiryMs() <= nowMs ? this.#looks[0]!.member.flow : undefined
  }

  #key(flow: KernelFlow, direction: Direction): string {
    const tuple = direction === Direction.original ? flow.original : flow.reply
    return keyOf(tuple, zoneOf(flow, direction))
  }

  /** Until the first look is one at an end. */
  #settle(): void {
    for (let first = this.#looks[0]; first !== undefined; first = this.#looks[0]) {
      const { atMs, member } = first
      const counts = !member.flow.isGone && member.atMs === atMs
      if (counts && member.flow.expiresAtMs === atMs) return
      const last = this.#looks.pop()!
      if (this.#looks.length > 0) this.#sink(last)
      if (counts) this.#lookAt(member, member.flow.expiresAtMs)
    }
  }

  #lookAt(member: Member, atMs: number): void {
    member.atMs = atMs
    const look = { atMs, member }
    const looks = this.#looks
    let at = looks.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(look, looks[parent]!)) break
      looks[at] = looks[parent]!
      at = parent
    }
    looks[at] = look
  }

  /** Puts a look where the first was. */
  #sink(look: Look): void {
    const looks = this.#looks
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= looks.length) break
      if (child + 1 < looks.length && isBefore(looks[child + 1]!, looks[child]!)) child++
      if (!isBefore(looks[child]!, look)) break
      looks[at] = looks[child]!
      at = child
    }
    looks[at] = look
  }
}
