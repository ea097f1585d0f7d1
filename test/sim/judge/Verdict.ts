/**
 * What the judge says: which invariant was broken, when, and what proves it.
 *
 * The names and numbers are those of the architecture, section 8.3, where each invariant is
 * explained.
 */

/** The first violation of a run. Everything in it is text for people. */
export interface Verdict {
  /** "S1", "Q3", … */
  readonly invariant: Invariant
  /** Its name: "nothing invented". */
  readonly name: string
  /** What happened, in one sentence, with the machines' names. */
  readonly sentence: string
  readonly atMs: number
  readonly facts: ReadonlyArray<Fact>
}

export type Fact = readonly [label: string, lines: ReadonlyArray<string>]

export type Invariant = keyof typeof invariants

/** All that is judged, by number. */
export const invariants = {
  S1: "nothing invented",
  S2: "nothing resurrected",
  S3: "never backwards",
  S4: "honest acknowledgements",
  S5: "nothing lost silently",
  S6: "no echo",
  S7: "no self-talk",
  S8: "valid wire",
  S9: "bounded",
  S10: "counters add up",
  S11: "one commit at a time",
  S12: "no defects, no leaks",
  Q1: "caches agree",
  Q2: "caches agree after a resync",
  Q3: "commit restores",
  Q4: "connections survive",
  Q5: "queues drain",
  L1: "settles in time",
  L3: "every request is answered",
  L4: "silence is quiet"
} as const

/** What is not judged yet, and why. A run never counts it as passed. */
export const notYetApplicable: ReadonlyArray<readonly [name: string, why: string]> = [
  ["S7 no self-talk", "multicast links are not there yet"],
  ["L2 traffic moves to a link that works", "several dedicated links are not switched on yet"],
  ["mark: link change", "several dedicated links are not switched on yet"],
  ["mark: TCP reconnect", "TCP links are not there yet"],
  ["modes NOTRACK and ALARM", "the modes are not there yet"],
  ["expectations in caches and on the wire", "ExpectationSync is not there yet"],
  ["three nodes", "multicast links are not there yet"]
]

/** The protocol promises nothing after it, until a resync, or until the flow is told again. */
export interface DeclaredLoss {
  readonly atMs: number
  readonly machine: string
  readonly what: string
}

/** Losses that happen again whenever everything is told again. */
export const NoRoom = {
  resendQueue: "resend queue overflow",
  internal: "internal cache full",
  external: "external cache full"
} as const
export const noRoomLosses: ReadonlySet<string> = new Set(Object.values(NoRoom))
