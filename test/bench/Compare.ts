/**
 * Compares the CPU time of two tasks, interleaved in one process.
 *
 * CPU time, because the machine is shared; interleaved, so that both see the same noise; medians,
 * because one round in a few is disturbed.
 */

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

const cpuNs = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) * 1_000
}

const measure = (run: () => void, times: number): number => {
  const start = cpuNs()
  for (let i = 0; i < times; i++) run()
  return (cpuNs() - start) / times
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

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
  const ratio = cost / base
  const column = ([name]: Task, ns: number) => `${name} ${ns.toFixed(0)} ns`
  const line = `${column(tasks.subject, cost)}, ${column(tasks.baseline, base)}`
  process.stdout.write(`${title}: ${line}, ratio ${ratio.toFixed(2)}\n`)
  return ratio
}
