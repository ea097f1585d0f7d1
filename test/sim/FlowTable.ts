/**
 * The simulated kernel's table of flows: found by tuple, gone when their time is over.
 *
 * Deadlines are a heap that forgets lazily: a new deadline of a flow is pushed, an old one is
 * dropped when it comes up. So to lengthen a life is cheap, and so is to ask what comes next.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 4.
 */
import type { RequestedZone } from "./FlowRequest.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, isSameTuple, keyOf, zoneOf } from "./KernelFlow.ts"

interface Deadline {
  readonly atMs: number
  /** Which of two deadlines at the same time was set first. */
  readonly order: number
  readonly flow: KernelFlow
}

const isBefore = (x: Deadline, y: Deadline): boolean =>
  x.atMs < y.atMs || (x.atMs === y.atMs && x.order < y.order)

const both = [Direction.original, Direction.reply] as const

export class FlowTable {
  readonly #flows = new Set<KernelFlow>()
  readonly #byTuple = new Map<string, KernelFlow>()
  #deadlines: Array<Deadline> = []
  #order = 0

  get size(): number {
    return this.#flows.size
  }

  /** In the order of their creation. */
  flows(): Iterable<KernelFlow> {
    return this.#flows
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

  /** One of its tuples is taken. */
  isInUse(flow: KernelFlow): boolean {
    return this.find(flow.original, zoneOf(flow, Direction.original)) !== undefined ||
      this.find(flow.reply, zoneOf(flow, Direction.reply)) !== undefined
  }

  insert(flow: KernelFlow): void {
    this.#flows.add(flow)
    if (flow.master !== undefined) flow.master.children++
    for (const direction of both) this.#byTuple.set(this.#key(flow, direction), flow)
    this.#push(flow)
  }

  delete(flow: KernelFlow): void {
    this.#flows.delete(flow)
    if (flow.master !== undefined) flow.master.children--
    for (const direction of both) this.#byTuple.delete(this.#key(flow, direction))
  }

  /** The flow's life ends then. It need not be in the table yet. */
  setExpiry(flow: KernelFlow, atMs: number): void {
    if (flow.expiresAtMs === atMs) return
    flow.expiresAtMs = atMs
    if (this.#flows.has(flow)) this.#push(flow)
  }

  /** When the next flow expires; `Infinity` when there is none. */
  nextExpiryMs(): number {
    this.#forget()
    return this.#deadlines[0]?.atMs ?? Infinity
  }

  /** The flow that expires first, if that is not after `nowMs`. */
  expired(nowMs: number): KernelFlow | undefined {
    return this.nextExpiryMs() <= nowMs ? this.#deadlines[0]!.flow : undefined
  }

  #key(flow: KernelFlow, direction: Direction): string {
    const tuple = direction === Direction.original ? flow.original : flow.reply
    return keyOf(tuple, zoneOf(flow, direction))
  }

  #isStale({ atMs, flow }: Deadline): boolean {
    return flow.isGone || flow.expiresAtMs !== atMs
  }

  /** Drops deadlines that hold no more from the top. */
  #forget(): void {
    while (this.#deadlines.length > 0 && this.#isStale(this.#deadlines[0]!)) {
      const last = this.#deadlines.pop()!
      if (this.#deadlines.length > 0) this.#sink(last)
    }
  }

  #push(flow: KernelFlow): void {
    if (this.#deadlines.length > 2 * this.#flows.size + 64) {
      // An array in order is a heap.
      this.#deadlines = this.#deadlines
        .filter((deadline) => !this.#isStale(deadline))
        .sort((x, y) => isBefore(x, y) ? -1 : 1)
    }
    const deadline = { atMs: flow.expiresAtMs, order: this.#order++, flow }
    const heap = this.#deadlines
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(deadline, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = deadline
  }

  /** Puts a deadline where the top was. */
  #sink(deadline: Deadline): void {
    const heap = this.#deadlines
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, deadline)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = deadline
  }
}
