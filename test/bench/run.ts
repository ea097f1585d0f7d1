/**
 * Runs the benchmarks, each in a process of its own, and ends with one table: what was measured,
 * what came out, what was promised.
 *
 *     npm run bench                    everything at full size, some minutes
 *     npm run bench -- --quick         smaller tables and fewer rounds, a minute or two
 *     npm run bench -- EventPath …     only these
 *
 * Costs are CPU time, kernel included, and ratios compare what ran in the same run. A missed aim is
 * said and is no failure of this program; exit status 1 means that something did not run.
 */
import { fork } from "node:child_process"
import { arch, cpus, release } from "node:os"
import { fileURLToPath } from "node:url"
import type { Measurement } from "./Measurement.ts"
import { formatTable } from "./Measurement.ts"

/** What every module exports. */
interface Bench {
  readonly title: string
  readonly run: (quick: boolean) =>
    | Promise<ReadonlyArray<Measurement>>
    | ReadonlyArray<Measurement>
    | void
}

const names = [
  "EventPath",
  "Memory",
  "Commit",
  "Daemons",
  "FlowTable",
  "FlowAttributes",
  "FormatFlow"
] as const

const self = fileURLToPath(import.meta.url)
const childWord = "--in-this-process"

const runHere = async (name: string, quick: boolean): Promise<void> => {
  const bench = (await import(`./${name}.bench.ts`)) as Bench
  process.stdout.write(`\n${bench.title}\n`)
  const results = await bench.run(quick)
  process.send?.(results ?? [])
  process.disconnect?.()
}

/** Measurements of a module, or undefined when it failed; why is on standard error. */
const runApart = (
  name: string,
  quick: boolean
): Promise<ReadonlyArray<Measurement> | undefined> =>
  new Promise((done) => {
    let results: ReadonlyArray<Measurement> | undefined
    const child = fork(self, [childWord, name, ...(quick ? ["--quick"] : [])], {
      // JSON would lose NaN.
      serialization: "advanced"
    })
    child.on("message", (message) => {
      results = message as ReadonlyArray<Measurement>
    })
    child.once("exit", (code) => done(code === 0 ? results : undefined))
  })

const main = async (words: ReadonlyArray<string>): Promise<void> => {
  const quick = words.includes("--quick")
  const wanted = words.filter((word) => !word.startsWith("--"))
  if (words[0] === childWord) return runHere(wanted[0]!, quick)
  const unknown = wanted.filter((name) => !(names as ReadonlyArray<string>).includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`no benchmark ${unknown.join(", ")}; there are: ${names.join(", ")}\n`)
    process.exitCode = 1
    return
  }
  const { length, 0: first } = cpus()
  process.stdout.write(
    `Node ${process.versions.node}, Linux ${release()} ${arch()}, ` +
      `${length} × ${first?.model ?? "unknown"}${quick ? ", quick" : ""}\n`
  )
  const rows: Array<Measurement> = []
  const failed: Array<string> = []
  for (const name of wanted.length > 0 ? wanted : names) {
    const results = await runApart(name, quick)
    if (results === undefined) failed.push(name)
    else rows.push(...results)
  }
  process.stdout.write(`\n${formatTable(rows)}`)
  if (failed.length === 0) return
  process.stdout.write(`did not run to the end: ${failed.join(", ")}\n`)
  process.exitCode = 1
}

await main(process.argv.slice(2))
