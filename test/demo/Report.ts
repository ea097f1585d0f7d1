/**
 * What a person sees: steps with their time, a table, the last lines.
 *
 * On a terminal a step shows what it is doing while it runs, and there is colour (unless NO_COLOR
 * asks for none). Elsewhere only finished lines are written.
 */
import * as Effect from "effect/Effect"
import { nowMs } from "./Waiting.ts"

const isTerminal = process.stdout.isTTY === true
const isColoured = isTerminal && (process.env["NO_COLOR"] ?? "") === ""

const paint = (code: string) => (text: string): string =>
  isColoured ? `\u001b[${code}m${text}\u001b[0m` : text

export const bold = paint("1")
export const dim = paint("2")
export const green = paint("32")
export const red = paint("31")

const titleWidth = 28
const detailWidth = 38
const timeWidth = 7

const write = (text: string): void => {
  process.stdout.write(text)
}

export const line = (text = ""): void => write(text + "\n")

export const heading = (text: string): void => line(`\n${bold(text)}`)

const clearLine = (): void => {
  if (isTerminal) write("\r\u001b[K")
}

const row = (mark: string, title: string, detail: string): string =>
  `  ${mark} ${title.padEnd(titleWidth)} ${detail}`

/** What a step shows beside its title, while it runs and when it is done. */
export type ShowDetail = (detail: string) => void

/** Runs a step and shows how it went; `isGood` judges what came of it. */
export const step = <A, E, R>(
  title: string,
  work: (show: ShowDetail) => Effect.Effect<A, E, R>,
  isGood: (value: A) => boolean = () => true
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const beginMs = yield* nowMs
    let shown = ""
    const show: ShowDetail = (detail) => {
      const isNews = detail !== shown
      shown = detail
      if (!isTerminal || !isNews) return
      clearLine()
      write(row(dim("…"), title, dim(detail)))
    }
    if (isTerminal) write(row(dim("…"), title, ""))
    return yield* Effect.onExit(work(show), (exit) =>
      Effect.map(nowMs, (endMs) => {
        const seconds = `${((endMs - beginMs) / 1e3).toFixed(1)} s`
        const mark = exit._tag === "Success" && isGood(exit.value) ? green("✓") : red("✗")
        clearLine()
        line(row(mark, title, shown.padEnd(detailWidth)) + dim(seconds.padStart(timeWidth)))
      }))
  })

/** Right-aligned columns; the first one is left-aligned. The last row is a sum. */
export const table = (
  titles: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | number>>
): void => {
  const columns = titles.map((title, index) =>
    Math.max(title.length, ...rows.map((each) => String(each[index]).length))
  )
  const format = (cells: ReadonlyArray<string | number>): string =>
    cells
      .map((cell, index) =>
        index === 0
          ? String(cell).padEnd(columns[index]!)
          : String(cell).padStart(columns[index]!)
      )
      .join("   ")
  const rule = columns.map((column) => "─".repeat(column)).join("───")
  line(`  ${bold(format(titles))}`)
  line(`  ${dim(rule)}`)
  rows.forEach((cells, index) => {
    if (index === rows.length - 1) line(`  ${dim(rule)}`)
    line(`  ${format(cells)}`)
  })
}
