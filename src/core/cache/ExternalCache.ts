/**
 * Hot. The flows that peers told us of, waiting to be committed.
 *
 * Nothing is dead here: a flow goes when a peer says so, when the cache is flushed, or, in ALARM
 * mode, when nobody mentioned it for long. Nobody owns an entry; a peer that dies leaves its own.
 *
 * Source: specification, "The synchronisation engines", sections 5, 13 and 21.
 */
import { Change } from "../model/Change.ts"
import { Life } from "../model/FlowLayout.ts"
import type { FlowTable } from "../model/FlowTable.ts"
import type { FlowView } from "../model/FlowView.ts"
import { CacheStats } from "./CacheStats.ts"
import { Flush } from "./Flush.ts"

export interface ExternalCacheOptions {
  readonly table: FlowTable
}

export class ExternalCache {
  readonly table: FlowTable
  readonly stats = new CacheStats()
  readonly #flush = new Flush()

  constructor(options: ExternalCacheOptions) {
    this.table = options.table
  }

  /**
   * Applies a peer's message; the slot of the flow, or -1 when there is none (destroyed, unknown,
   * or the cache is full: then the message is lost and counted).
   *
   * New flows replace what is known, updates are merged into it. `nowSeconds`: monotonic.
   */
  apply(kind: Change, view: FlowView, nowSeconds: number): number {
    const slot = this.#find(view)
    if (kind === Change.destroyed) {
      if (slot >= 0) this.remove(slot)
      return -1
    }
    if (slot < 0) return this.#add(view, nowSeconds)
    const { stats, table } = this
    if (kind === Change.updated) {
      table.merge(slot, view)
      table.addLife(slot, Life.updated)
      table.setTimes(slot, table.createdSeconds(slot), nowSeconds)
      stats.updated++
      return slot
    }
    stats.active--
    stats.destroyed++
    table.replace(slot, view)
    this.#welcome(slot, nowSeconds)
    return slot
  }

  /** `slot` has a flow that no flush has doomed. */
  holds(slot: number): boolean {
    const life = this.table.lifeOf(slot)
    return life !== 0 && !this.#flush.isDoomed(life)
  }

  /** The flow in `slot` has expired, or its peer said that it ended. */
  remove(slot: number): void {
    this.stats.active--
    this.stats.destroyed++
    this.table.release(slot)
  }

  /**
   * Removes all flows in steps of `max` slots: the slot to go on from, or -1 at the end. `from` 0
   * begins; from then on all flows that are in the cache now are gone, and what is added later
   * stays.
   */
  flushStep(from: number, max: number): number {
    if (from === 0) this.#flush.begin()
    const { table } = this
    const end = Math.min(from + max, table.slotsHigh)
    for (let slot = from; slot < end; slot++) {
      const life = table.lifeOf(slot)
      if (life !== 0 && this.#flush.isDoomed(life)) this.remove(slot)
    }
    return end < table.slotsHigh ? end : -1
  }

  #find(view: FlowView): number {
    const slot = this.table.find(view)
    if (slot < 0 || !this.#flush.isDoomed(this.table.lifeOf(slot))) return slot
    this.remove(slot)
    return -1
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
    this.table.setLife(slot, Life.used | this.#flush.lifeBits)
    this.table.setTimes(slot, nowSeconds, nowSeconds)
    this.stats.active++
    this.stats.created++
  }
}
