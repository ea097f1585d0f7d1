/**
 * Compares the CPU time of two tasks, interleaved in one process.
 *
 * CPU time, because the machine is shared; interleaved, so that both see the same noise; medians,
 * because one round in a few is disturbed.
 */
import { cpuNs, median } from "./Measurement.ts"

/** Does its work once, or `events` times when the comparison says how many one call handles. */
export type Task = readonly [name: string, run: () => void]

export interface Comparison {
  readonly baseline: Task
  readonly subject: Task
}

export interface CompareOptions {
  /** Calls per round. */
  readonly times: number
  /** What one call handles. Costs are printed per event. */
  readonly events?: number
  readonly rounds?: number
}

const measure = (run: () => void, times: number): number => {
  const start = cpuNs()
  for (let i = 0; i < times; i++) run()
  return (cpuNs() - start) / times
}

/** Prints CPU nanoseconds per event and the ratio subject : baseline; returns the ratio. */
export const compare = (title: string, tasks: Comparison, options: CompareOptions): number => {
  const { events = 1, rounds = 9, times } = options
  const baseline: Array<number> = []
  const subject: Array<number> = []
  // The first round of each warms up and does not count.
  for (let round = 0; round <= rounds; round++) {
    const costs = [measure(tasks.baseline[1], times), measure(tasks.subject[1], times)] as const
    if (round === 0) continue
    baseline.push(costs[0])
    subject.push(costs[1])
  }
  const [base, cost] = [median(baseline) / events, median(subject) / events]
  return compareNumbers(title, [tasks.subject[0], cost], [tasks.baseline[0], base])
}

type Cost = readonly [name: string, ns: number]

/** The same line for costs that were measured elsewhere. */
export const compareNumbers = (
  title: string,
  subject: Cost,
  baseline: Cost,
  remark?: string
): number => {
  const ratio = subject[1] / baseline[1]
  const column = ([name, ns]: Cost) => `${name} ${ns.toFixed(0)} ns`
  const line = `${column(subject)}, ${column(baseline)}, ratio ${ratio.toFixed(2)}`
  const rest = remark === undefined ? "" : `; ${remark}`
  process.stdout.write(`${title}: ${line}${rest}\n`)
  return ratio
}
