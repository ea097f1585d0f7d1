/**
 * Hot. A flush that empties a cache in steps, yet all at once for whoever looks.
 *
 * Each entry remembers how many flushes had begun when it was added. From the moment a flush
 * begins, entries that are older than it are doomed: the cache treats them as gone when an event
 * or a message names them, and the walk removes the others. What is added meanwhile stays.
 *
 * A flush that begins while one is under way takes over its entries. The count has twelve bits;
 * it may wrap because a finished flush leaves no older entries.
 */
import { Life, lifeCounterMask } from "../model/FlowLayout.ts"

export class Flush {
  #begun = 0

  begin(): void {
    this.#begun = (this.#begun + 1) & lifeCounterMask
  }

  /** What an entry that is added now has in its `Base.life`. */
  get lifeBits(): number {
    return this.#begun << Life.flushShift
  }

  isDoomed(life: number): boolean {
    return ((life >>> Life.flushShift) & lifeCounterMask) !== this.#begun
  }
}
