/** What the judge's parts share: the time, the order of things, and the means to complain. */
import type { Fact, Invariant } from "./Verdict.ts"

export interface Court {
  /** Milliseconds of the world's clock. */
  readonly nowMs: () => number
  /** Numbers everything that is observed, in order. */
  readonly nextMoment: () => number
  /** The first one counts. Facts are made only when they are needed. */
  readonly violate: (
    invariant: Invariant,
    sentence: string,
    facts?: () => ReadonlyArray<Fact>
  ) => void
  /** Something worth having happened at least once in a run of seeds. */
  readonly mark: (name: string) => void
  readonly declare: (machine: string, what: string) => void
}

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(3)} s`
