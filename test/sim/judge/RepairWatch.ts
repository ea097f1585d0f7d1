/**
 * Counts the overruns that a daemon repaired (mark *overrun repair*, M1): once each, when it has
 * told what a dump of its kernel's table named and has looked for what is gone.
 *
 * Whoever forgets what a flush took away compares the cache with the table in the same way; only a
 * repair is counted by the daemon before it begins, and only a repair tells what a dump names.
 */
import type { Court } from "./Court.ts"
import type { Life } from "./Life.ts"

export class RepairWatch {
  readonly #court: Court
  /** The repair under way. */
  #repair: { hasTold: boolean } | undefined
  /** Resyncs with the kernel that the daemon had counted when the last comparison began. */
  #counted = 0

  constructor(court: Court, { replica: { internal, runtime } }: Life) {
    this.#court = court
    const beginResync = internal.beginResync.bind(internal)
    internal.beginResync = () => {
      const { kernelResyncs, overruns } = runtime
      if (overruns > 0 && kernelResyncs > this.#counted) this.#repair = { hasTold: false }
      this.#counted = kernelResyncs
      beginResync()
    }
    const nextStale = internal.nextStale.bind(internal)
    internal.nextStale = (from, to = internal.table.slotsHigh) => {
      const slot = nextStale(from, to)
      if (slot < 0 && to >= internal.table.slotsHigh) this.#swept()
      return slot
    }
  }

  /** A flow was told that a dump, or an answer of the kernel's, had named. */
  told(): void {
    if (this.#repair !== undefined) this.#repair.hasTold = true
  }

  #swept(): void {
    if (this.#repair?.hasTold === true) this.#court.mark("overrun repair")
    this.#repair = undefined
  }
}
