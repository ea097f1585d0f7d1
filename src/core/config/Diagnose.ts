/**
 * What the reader has to say about a file, for tools and for people.
 *
 * `text` repeats upstream's exact words, since scripts search for them in terminals and logs. The
 * rest is ours: where it is, what would have been right, and what to do.
 *
 * Source: specification, chapter "conntrackd.conf", sections 1 and 8.
 */

export interface Diagnostic {
  readonly level: "error" | "warning"
  /** Upstream's words. A text that ends in a line feed prints an empty line after itself. */
  readonly text: string
  /** Counted from 1; 0 when the message is not about a place in the file. */
  readonly line: number
  /** Counted from 1 in bytes; 0 when the message is not about a place in the file. */
  readonly column: number
  /** What would have been accepted here, as "a number". */
  readonly expected: string | undefined
  /** What to do, as one sentence without a full stop. */
  readonly hint: string | undefined
}

/** The text of every grammatical error. `symbol` is the offending token, empty at end of file. */
export const syntaxError = (line: number, symbol: string): string =>
  `parsing config file in line (${line}), symbol '${symbol}': syntax error`

/** The error for a file that is missing or not readable. */
export const cannotOpen = (path: string): Diagnostic => ({
  level: "error",
  text: `can't open config file \`${path}'`,
  line: 0,
  column: 0,
  expected: undefined,
  hint: undefined
})

/**
 * One line for people: `file:line:column: expected …; hint`.
 *
 * Undefined when there is nothing to add to `text`.
 */
export const explain = (diagnostic: Diagnostic, file: string): string | undefined => {
  const { column, expected, hint, line } = diagnostic
  const parts: Array<string> = []
  if (expected !== undefined) parts.push(`expected ${expected}`)
  if (hint !== undefined) parts.push(hint)
  if (parts.length === 0) return undefined
  const place = line === 0 ? file : `${file}:${line}:${column}`
  return `${place}: ${parts.join("; ")}`
}

/** True when the diagnostics forbid using the file. */
export const hasError = (diagnostics: ReadonlyArray<Diagnostic>): boolean =>
  diagnostics.some((diagnostic) => diagnostic.level === "error")
