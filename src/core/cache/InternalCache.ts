/**
 * Hot. The flows that this node's kernel handles, and what peers must be told of them.
 *
 * A kernel event goes in, the slot of the flow to tell comes out, or -1; `change` then says what
 * to tell. A destroyed flow stays in its slot, dead, until the protocol says that no peer needs it
 * any more (`release`), or until the same flow appears again and takes over the slot.
 *
 * After events were lost the kernel's table is read again: `beginResync`, `refresh` for each entry
 * of the dump, and what neither the dump nor an event named since is stale. Nothing here takes
 * longer than a step, whatever the number of flows.
 *
 * Source: specification, "The synchronisation engines", sections 5, 8 and 21.
 */
import { assert } from "../assert.ts"
import { Change } from "../model/Change.ts"
import { Life, lifeCounterMask } from "../model/FlowLayout.ts"
import type { FlowTable } from "../model/FlowTable.ts"
import type { FlowView } from "../model/FlowView.ts"
import { CacheStats } from "./CacheStats.ts"
import { Flush } from "./Flush.ts"
import { Origin } from "./Origin.ts"
import { Traffic } from "./Traffic.ts"

export interface InternalCacheOptions {
  readonly table: FlowTable
  /**
   * The flow in `slot` goes, and nobody is told: the protocol must forget every mention of it, also
   * that it was destroyed.
   */
  readonly forget: (slot: number) => void
  /**
   * A fresh flow with the same key takes the slot over. The protocol forgets the one that was there
   * as above, and knows that peers may still have it.
   */
  readonly renew: (slot: number) => void
}

const flagBits = Life.used | Life.updated | Life.dead

export class InternalCache {
  readonly table: FlowTable
  readonly stats = new CacheStats()
  readonly traffic = new Traffic()
  /** What to tell of the slot that was returned last. */
  change: Change = Change.created
  readonly #forget: (slot: number) => void
  readonly #renew: (slot: number) => void
  readonly #flush = new Flush()
  #resyncs = 0

  constructor(options: InternalCacheOptions) {
    this.table = options.table
    this.#forget = options.forget
    this.#renew = options.renew
  }

  /**
   * Applies a kernel event; the slot of the flow to tell, or -1 when there is nothing to tell. When
   * the cache is full the event is lost and counted.
   *
   * `nowSeconds`: monotonic. Of a destroy event only the key and the counters matter: peers are
   * told what the cache knew.
   */
  apply(kind: Change, view: FlowView, origin: Origin, nowSeconds: number): number {
    if (origin === Origin.inject) return -1
    const isTold = origin === Origin.other
    const slot = this.#find(view)
    if (kind === Change.destroyed) {
      if (slot < 0 || this.isDead(slot)) return -1
      this.traffic.add(view)
      if (isTold) return this.#kill(slot)
      this.#remove(slot)
      return -1
    }
    const changed = this.#put(kind, slot, view, nowSeconds)
    return isTold ? changed : -1
  }

  /**
   * Updates or adds an entry of a dump of the kernel's table; its slot, or -1 when the cache is
   * full. Whether peers are told is up to the caller.
   */
  refresh(view: FlowView, nowSeconds: number): number {
    return this.#put(Change.updated, this.#find(view), view, nowSeconds)
  }

  /** No peer needs the destroyed flow in `slot` any more: the slot may be used again. */
  release(slot: number): void {
    assert(this.isDead(slot), "only a destroyed flow is released")
    this.table.release(slot)
  }

  /** `slot` has a flow, dead or alive, that no flush has doomed. */
  holds(slot: number): boolean {
    const life = this.table.lifeOf(slot)
    return life !== 0 && !this.#flush.isDoomed(life)
  }

  isDead(slot: number): boolean {
    return (this.table.lifeOf(slot) & Life.dead) !== 0
  }

  /** What a peer that knows nothing must be told of the flow in `slot`. For bulk sends. */
  changeOf(slot: number): Change {
    const life = this.table.lifeOf(slot)
    if ((life & Life.dead) !== 0) return Change.destroyed
    return (life & Life.updated) !== 0 ? Change.updated : Change.created
  }

  /**
   * A resync with the kernel begins: from now on every living flow is a suspect until it is seen.
   */
  beginResync(): void {
    this.#resyncs = (this.#resyncs + 1) & lifeCounterMask
  }

  /**
   * The first living flow in `[from, to)` that was not seen since `beginResync`, or -1. Bound `to`
   * to look at so many slots only.
   */
  nextStale(from: number, to: number = this.table.slotsHigh): number {
    const { table } = this
    const end = Math.min(to, table.slotsHigh)
    for (let slot = from; slot < end; slot++) {
      if (this.#isStale(table.lifeOf(slot))) return slot
    }
    return -1
  }

  /** The kernel does not have the flow in `slot` any more; the slot, to tell. */
  destroyStale(slot: number): number {
    assert(this.#isStale(this.table.lifeOf(slot)), "only a suspect is destroyed by a resync")
    return this.#kill(slot)
  }

  /**
   * Removes all flows without telling anybody, in steps of `max` slots: the slot to go on from, or
   * -1 at the end. `from` 0 begins; from then on all flows that are in the cache now are gone, and
   * what is added later stays.
   */
  flushStep(from: number, max: number): number {
    if (from === 0) this.#flush.begin()
    const { table } = this
    const end = Math.min(from + max, table.slotsHigh)
    for (let slot = from; slot < end; slot++) {
      const life = table.lifeOf(slot)
      if (life !== 0 && this.#flush.isDoomed(life)) this.#remove(slot)
    }
    return end < table.slotsHigh ? end : -1
  }

  #isStale(life: number): boolean {
    if ((life & (Life.used | Life.dead)) !== Life.used) return false
    if (this.#flush.isDoomed(life)) return false
    return ((life >>> Life.resyncShift) & lifeCounterMask) !== this.#resyncs
  }

  #find(view: FlowView): number {
    const slot = this.table.find(view)
    if (slot < 0 || !this.#flush.isDoomed(this.table.lifeOf(slot))) return slot
    this.#remove(slot)
    return -1
  }

  /** Adds, replaces or merges; the slot, or -1 when there is no space. Sets `change`. */
  #put(kind: Change, slot: number, view: FlowView, nowSeconds: number): number {
    this.change = Change.created
    if (slot < 0) return this.#add(view, nowSeconds)
    const life = this.table.lifeOf(slot)
    if (kind === Change.updated && (life & Life.dead) === 0) {
      this.change = Change.updated
      this.table.merge(slot, view)
      this.#setLife(slot, (life & flagBits) | Life.updated)
      this.table.setTimes(slot, this.table.createdSeconds(slot), nowSeconds)
      this.stats.updated++
      return slot
    }
    // A fresh flow in the slot of the old one. That the old one ended need not be told: peers
    // replace what they have.
    this.#renew(slot)
    if ((life & Life.dead) === 0) {
      this.stats.active--
      this.stats.destroyed++
    }
    this.table.replace(slot, view)
    this.#welcome(slot, nowSeconds)
    return slot
  }

  #add(view: FlowView, nowSeconds: number): number {
    const slot = this.table.insertSought(view)
    if (slot < 0) {
      this.stats.noSpace++
      return -1
    }
    this.#welcome(slot, nowSeconds)
    return slot
  }

  #welcome(slot: number, nowSeconds: number): void {
    this.#setLife(slot, Life.used)
    this.table.setTimes(slot, nowSeconds, nowSeconds)
    this.stats.active++
    this.stats.created++
  }

  #setLife(slot: number, flags: number): void {
    const seen = this.#resyncs << Life.resyncShift
    this.table.setLife(slot, flags | seen | this.#flush.lifeBits)
  }

  #kill(slot: number): number {
    this.table.addLife(slot, Life.dead)
    this.stats.active--
    this.stats.destroyed++
    this.change = Change.destroyed
    return slot
  }

  #remove(slot: number): void {
    this.#forget(slot)
    if (!this.isDead(slot)) {
      this.stats.active--
      this.stats.destroyed++
    }
    this.table.release(slot)
  }
}
