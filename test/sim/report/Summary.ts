/**
 * What many runs come to: how much was simulated, which faults were injected, which events that
 * must happen somewhere have happened, and how fast it was; and the line that says so meanwhile.
 */
import { faultName } from "../plan/PlanText.ts"
import { labelled, pageWidth, wrapStatements } from "./Columns.ts"

/** What one run contributes. */
export interface RunFacts {
  readonly simulatedMs: number
  /** Fiber turns. */
  readonly turns: number
  readonly datagrams: number
  readonly kernelEvents: number
  /** Faults injected, by kind. */
  readonly faults: ReadonlyMap<string, number>
  /** How often each marked event happened. */
  readonly marks: ReadonlyMap<string, number>
}

export interface Summary {
  readonly seeds: number
  /** Seeds that failed, and which invariant. */
  readonly failed: ReadonlyArray<readonly [seed: string, invariant: string]>
  /** Seeds that ran twice, for the same trace hash. */
  readonly repeated: number
  readonly simulatedMs: number
  readonly turns: number
  readonly datagrams: number
  readonly kernelEvents: number
  readonly faults: ReadonlyMap<string, number>
  /** With 0 for what was expected and never happened. */
  readonly marks: ReadonlyMap<string, number>
  readonly notYetApplicable: ReadonlyArray<readonly [name: string, why: string]>
  readonly cpuMs: number
}

/** Adds runs up. */
export class Totals {
  readonly failed: Array<readonly [seed: string, invariant: string]> = []
  seeds = 0
  repeated = 0
  simulatedMs = 0
  turns = 0
  datagrams = 0
  kernelEvents = 0
  readonly faults = new Map<string, number>()
  readonly marks = new Map<string, number>()

  /** `marksExpected` are those that have to happen at least once in a whole run of seeds. */
  constructor(marksExpected: ReadonlyArray<string>) {
    for (const name of marksExpected) this.marks.set(name, 0)
  }

  add(seed: string, facts: RunFacts, brokenInvariant?: string): void {
    this.seeds++
    if (brokenInvariant !== undefined) this.failed.push([seed, brokenInvariant])
    this.simulatedMs += facts.simulatedMs
    this.turns += facts.turns
    this.datagrams += facts.datagrams
    this.kernelEvents += facts.kernelEvents
    addCounts(this.faults, facts.faults)
    addCounts(this.marks, facts.marks)
  }

  /** Marks that are expected and never happened. */
  get missingMarks(): ReadonlyArray<string> {
    return [...this.marks].filter(([, count]) => count === 0).map(([name]) => name)
  }
}

const addCounts = (to: Map<string, number>, from: ReadonlyMap<string, number>): void => {
  for (const [name, count] of from) to.set(name, (to.get(name) ?? 0) + count)
}

const labelWidth = 19
const textWidth = pageWidth - labelWidth - 2

/** 1234567 as "1 234 567". */
export const grouped = (value: number): string =>
  String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, " ")

/** 33120000 ms as "9 h 12 min", 95000 ms as "1 min 35 s". */
export const durationText = (ms: number): string => {
  const seconds = Math.round(ms / 1_000)
  const minutes = Math.floor(seconds / 60)
  if (minutes === 0) return `${seconds} s`
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const perSecond = (count: number, cpuMs: number): string =>
  cpuMs <= 0 ? "–" : (count * 1_000 / cpuMs).toFixed(1)

const counts = (of: ReadonlyMap<string, number>): ReadonlyArray<string> =>
  [...of].map(([name, count]) => `${name} ${grouped(count)}`)

export const summaryReport = (summary: Summary): string => {
  const { cpuMs, failed, faults, marks, notYetApplicable, repeated, seeds } = summary
  const row = (label: string, texts: ReadonlyArray<string>) =>
    texts.length === 0 ? [] : labelled(label, wrapStatements(texts, textWidth), labelWidth)
  const column = (label: string, lines: ReadonlyArray<string>) =>
    lines.length === 0 ? [] : labelled(label, lines, labelWidth)
  // Steps of the traffic and of the operator are no faults.
  const injected = [...faults]
    .filter(([, count]) => count > 0)
    .map(([name, count]): [string, number] => [faultName(name) ?? name, count])
    .filter(([name]) => !/^[A-Z]/.test(name))
  const seen = [...marks].filter(([, count]) => count > 0)
  const missing = [...marks].filter(([, count]) => count === 0).map(([name]) => name)
  return [
    verdictLine(summary),
    "",
    ...row("seeds", [
      grouped(seeds),
      `${grouped(repeated)} of them twice, with the same trace hash`
    ]),
    ...row("simulated time", [durationText(summary.simulatedMs)]),
    ...row("work", [
      `${grouped(summary.turns)} turns`,
      `${grouped(summary.kernelEvents)} kernel events`,
      `${grouped(summary.datagrams)} datagrams`
    ]),
    ...row("pace", [
      `${durationText(cpuMs)} of CPU`,
      `${perSecond(seeds, cpuMs)} seeds per CPU second`
    ]),
    ...row("faults injected", counts(new Map(injected))),
    ...row("seen", counts(new Map(seen))),
    ...row("never seen", missing),
    ...column("not yet applicable", notYetApplicable.map(([name, why]) => `${name}: ${why}`)),
    ...row("failed", failed.map(([seed, invariant]) => `${invariant} ${seed}`))
  ].map((line) => `${line}\n`).join("")
}

const seedsText = (seeds: number): string => `${grouped(seeds)} seed${seeds === 1 ? "" : "s"}`

const verdictLine = ({ failed, marks, seeds }: Summary): string => {
  const hasMissing = [...marks.values()].includes(0)
  if (failed.length > 0) return `FAILED  ${failed.length} of ${seedsText(seeds)}`
  return hasMissing
    ? `FAILED  never seen in ${seedsText(seeds)}: what must happen in some`
    : `passed  ${seedsText(seeds)}`
}

export interface ProgressOptions {
  readonly write: (text: string) => void
  /** Then the line is rewritten; else there is a new one every `every` seeds. */
  readonly isTerminal: boolean
  /** Undefined: it runs until somebody or the time ends it. */
  readonly seedsInAll: number | undefined
  readonly every?: number
}

/** The line that says how far it is. */
export class Progress {
  readonly #options: ProgressOptions

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  /** After each seed. */
  show(
    { failed, seeds, simulatedMs }: Pick<Summary, "failed" | "seeds" | "simulatedMs">,
    cpuMs: number
  ): void {
    const { every = 100, isTerminal, seedsInAll, write } = this.#options
    if (!isTerminal && seeds % every !== 0) return
    const number = seedsInAll === undefined
      ? seedsText(seeds)
      : `${grouped(seeds)} of ${seedsText(seedsInAll)}`
    const text = [
      number,
      `${failed.length} failed`,
      `${durationText(simulatedMs)} simulated`,
      `${perSecond(seeds, cpuMs)} seeds per CPU second`
    ].join("  ")
    write(isTerminal ? `\r\u001b[K  ${text}` : `  ${text}\n`)
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#options.isTerminal) this.#options.write("\r\u001b[K")
  }
}
