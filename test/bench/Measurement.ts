/**
 * One row of the table that `npm run bench` ends with: what was measured, and what was promised.
 */

export interface Measurement {
  /** What, and over how much data. */
  readonly name: string
  /** NaN: not measured; `doubt` says why. */
  readonly value: number
  /** Of the value: `ns`, `bytes`, `×`. */
  readonly unit: string
  /** What the project promises; a value without an aim is there to be compared with. */
  readonly aim?: { readonly atMost: number } | { readonly atLeast: number }
  /** Why the value deserves doubt: a measurement that was disturbed says so. */
  readonly doubt?: string
}

/** Undefined when nothing was promised, or nothing measured. */
export const isMet = ({ aim, value }: Measurement): boolean | undefined => {
  if (aim === undefined || Number.isNaN(value)) return undefined
  return "atMost" in aim ? value <= aim.atMost : value >= aim.atLeast
}

const rounded = (value: number): string =>
  Number.isNaN(value)
    ? "-"
    : Math.abs(value) >= 100
    ? value.toFixed(0)
    : value.toFixed(Math.abs(value) >= 10 ? 1 : 2)

const aimOf = ({ aim }: Measurement): string => {
  if (aim === undefined) return ""
  return "atMost" in aim ? `≤ ${aim.atMost}` : `≥ ${aim.atLeast}`
}

const verdictOf = (row: Measurement): string => {
  const met = isMet(row)
  if (Number.isNaN(row.value)) return `not measured: ${row.doubt ?? "unknown reason"}`
  const verdict = met === undefined ? "" : met ? "met" : "MISSED"
  return row.doubt === undefined ? verdict : `${verdict} (${row.doubt})`.trim()
}

/** The rows in columns, with a line that counts the aims. */
export const formatTable = (rows: ReadonlyArray<Measurement>): string => {
  const cells = rows.map((row) => [row.name, rounded(row.value), row.unit, aimOf(row)] as const)
  const head = ["measurement", "value", "", "aim"] as const
  const width = (column: 0 | 1 | 2 | 3): number =>
    [head, ...cells].reduce((most, line) => Math.max(most, line[column].length), 0)
  const [name, value, unit, aim] = [width(0), width(1), width(2), width(3)]
  const line = (cell: readonly [string, string, string, string], verdict: string): string =>
    `${cell[0].padEnd(name)}  ${cell[1].padStart(value)} ${cell[2].padEnd(unit)}  ` +
    `${cell[3].padEnd(aim)}  ${verdict}`.trimEnd()
  const lines = [line(head, "met?"), "-".repeat(name + value + unit + aim + 13)]
  for (const [i, row] of rows.entries()) lines.push(line(cells[i]!, verdictOf(row)))
  const aims = rows.filter((row) => row.aim !== undefined)
  const met = aims.filter((row) => isMet(row) === true).length
  const missed = aims.filter((row) => isMet(row) === false).length
  const open = aims.length - met - missed
  const rest = open === 0 ? "" : `, ${open} not measured`
  lines.push("", `${met} of ${aims.length} aims met, ${missed} missed${rest}`)
  return `${lines.join("\n")}\n`
}

export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

/** CPU time of this process, all threads, in ns. */
export const cpuNs = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) * 1_000
}
