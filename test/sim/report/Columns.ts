/** Text that fits a page: words wrapped under each other. */

/** Columns of a report, at most. */
export const pageWidth = 120

/** Breaks a text between words into lines of at most `width`; words that are longer are cut. */
export const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const part of text.split(/(?<=\s)(?=\S)/)) {
    if (line !== "" && (line + part).trimEnd().length > width) {
      lines.push(line.trimEnd())
      line = ""
    }
    line += part
    while (line.trimEnd().length > width) {
      lines.push(line.slice(0, width))
      line = line.slice(width)
    }
  }
  lines.push(line.trimEnd())
  return lines
}

/** Statements with two spaces between them, never broken inside if they fit. */
export const wrapStatements = (
  texts: ReadonlyArray<string>,
  width: number
): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const text of texts) {
    const longer = line === "" ? text : `${line}  ${text}`
    if (longer.length <= width) {
      line = longer
      continue
    }
    if (line !== "") lines.push(line)
    const [...parts] = wrap(text, width)
    line = parts.pop()!
    lines.push(...parts)
  }
  lines.push(line)
  return lines
}

/** A label, and lines beside it. */
export const labelled = (
  label: string,
  lines: ReadonlyArray<string>,
  labelWidth: number
): ReadonlyArray<string> => {
  const margin = `  ${"".padEnd(labelWidth)}`
  const head = `  ${label}`
  if (head.length >= margin.length) return [head, ...lines.map((line) => margin + line)]
  return lines.length === 0
    ? [head]
    : lines.map((line, i) => (i === 0 ? head.padEnd(margin.length) : margin) + line)
}

/** Cells beside each other, each wrapped within the width of its column. */
export const beside = (
  cells: ReadonlyArray<readonly [text: string, width: number]>
): ReadonlyArray<string> => {
  const wrapped = cells.map(([text, width]) => wrap(text, width))
  const height = Math.max(...wrapped.map(({ length }) => length))
  return Array.from({ length: height }, (_, i) =>
    wrapped
      .map((lines, column) => (lines[i] ?? "").padEnd(cells[column]![1]))
      .join(" ")
      .trimEnd())
}
