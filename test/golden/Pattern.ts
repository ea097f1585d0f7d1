/**
 * Compares text with a recorded pattern: literal text in which placeholders stand for what varies
 * from run to run (`cli/README.md` lists them).
 */

const placeholders: { readonly [name: string]: string } = {
  CTIME: "[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\\d \\d\\d:\\d\\d:\\d\\d \\d{4}",
  PID: "\\d+",
  SECS: "-?\\d+",
  TTL: "\\d+",
  N12: "(?=[ 0-9]{12}) *\\d+",
  N20: "(?=[ 0-9]{20}) *\\d+",
  N: "\\d+",
  SEQ: "\\d+",
  ID: "\\d+",
  DUR: "\\d+\\.\\d{6}",
  RMEM_DEFAULT: "\\d+",
  SYSLOGTIME: "[A-Z][a-z]{2} [ 0-9]\\d \\d\\d:\\d\\d:\\d\\d"
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/**
 * The regular expression of a pattern. `values` gives the text of further placeholders, such as
 * `RUN` or `USAGE`; an unknown placeholder is an error in the test.
 */
export const compilePattern = (
  pattern: string,
  values: { readonly [name: string]: string } = {}
): RegExp => {
  // Odd pieces are the names between two `@`.
  const pieces = pattern.split(/@([A-Z][A-Z0-9_]*)@/)
  const source = pieces.map((piece, i) => {
    if (i % 2 === 0) return escape(piece)
    if (values[piece] !== undefined) return escape(values[piece])
    const expression = placeholders[piece]
    if (expression === undefined) throw new Error(`unknown placeholder @${piece}@`)
    return `(?:${expression})`
  })
  return new RegExp(`^${source.join("")}$`)
}

export const matchesPattern = (
  pattern: string,
  actual: string,
  values: { readonly [name: string]: string } = {}
): boolean => compilePattern(pattern, values).test(actual)

/** Replaces `@NAME@` by given values; other placeholders stay. */
export const substitute = (
  text: string,
  values: { readonly [name: string]: string }
): string => text.replace(/@([A-Z][A-Z0-9_]*)@/g, (whole, name: string) => values[name] ?? whole)

const linesOf = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => line !== "")

/**
 * Compares unordered lines (dumps): every line has its own pattern line. Returns what does not fit:
 * `missing` patterns and `surplus` lines, both empty when all is well.
 */
export const matchLines = (
  pattern: string,
  actual: string,
  values: { readonly [name: string]: string } = {}
): { readonly missing: ReadonlyArray<string>; readonly surplus: ReadonlyArray<string> } => {
  const surplus = [...linesOf(actual)]
  const missing: Array<string> = []
  for (const line of linesOf(pattern)) {
    const expression = compilePattern(line, values)
    const at = surplus.findIndex((candidate) => expression.test(candidate))
    if (at < 0) missing.push(line)
    else surplus.splice(at, 1)
  }
  return { missing, surplus }
}
