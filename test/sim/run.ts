/**
 * `npm run sim`: runs seeds, or one seed, or a plan from a file, and says what came of them.
 *
 * Seeds derive from the commit, so every commit explores new ground and can be repeated. One seed
 * in twenty runs twice and must leave the same trace. A seed that fails is shrunk; its plan and its
 * packets go to `failed/`.
 *
 * This is the program's edge: it alone reads the command line, the clock and the disk.
 * @effect-diagnostics globalDate:off processEnv:off globalConsole:off
 */
import * as Result from "effect/Result"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { commitOf, noCommit, root } from "./Commit.ts"
import { marksExpected } from "./judge/Marks.ts"
import type { Plan } from "./plan/Plan.ts"
import { planOfJson, planToJson } from "./plan/Plan.ts"
import { shrink } from "./plan/Shrink.ts"
import { planOfSeed, seedOf } from "./plan/Swarm.ts"
import { failureReport, timelineHead, timelineLines } from "./report/Report.ts"
import { Progress, summaryReport, Totals } from "./report/Summary.ts"
import type { Outcome } from "./Simulate.ts"
import { simulate } from "./Simulate.ts"

const usage = `usage: npm run sim -- [options]

  --seeds N      run N seeds derived from the commit (default 100)
  --seed S       run one seed: a number, 0x…, or any text
  --plan FILE    run the plan in a file, as a failure leaves it
  --minutes M    run seeds until M minutes of wall clock have passed
  --nodes N      2, or 4: two pairs side by side (default: the seed chooses)
  --commit TEXT  derive the seeds from this instead of the commit
  --log full     print everything that happens (with --seed or --plan)
`

/** Runs that shrinking may take. */
const shrinkRuns = 60
/** Failures that are shrunk and reported; what comes after is only counted. */
const reportsMax = 3
/** One seed in so many runs twice. */
const repeatEvery = 20
/** With fewer seeds it is luck which marks are seen. */
const seedsForMarks = 200

const write = (text: string): void => void process.stdout.write(text)
const cpuMs = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1_000
}

const fail = (text: string): never => {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

const number = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) fail(`--${name} ${text}: not a positive number`)
  return value
}

const nameOf = ({ seed }: Plan): string => seed

/** Shrinks, writes the files and prints the report. */
const reportFailure = (failed: Outcome, commit: string | undefined): void => {
  const { plan, verdict } = failed
  const invariant = verdict!.invariant
  write(`  ${nameOf(plan)} broke ${invariant} ${verdict!.name}; shrinking …\n`)
  const shrunk = shrink(
    plan,
    (candidate) => simulate(candidate).verdict?.invariant === invariant,
    { runs: shrinkRuns }
  )
  const outcome = simulate(shrunk.plan, { record: true })
  const shown = outcome.verdict ?? verdict!
  const path = `failed/${nameOf(plan)}`
  mkdirSync(`${root}/failed`, { recursive: true })
  writeFileSync(`${root}/${path}.json`, planToJson(shrunk.plan))
  writeFileSync(`${root}/${path}.pcap`, outcome.pcap ?? new Uint8Array())
  write(`\n${
    failureReport({
      ...shown,
      seed: nameOf(plan),
      commit,
      plan: shrunk.plan,
      shrunk: { fromSteps: plan.steps.length, runs: shrunk.runs },
      timeline: outcome.timeline,
      replay: [
        ["replay", `npm run sim -- --seed ${nameOf(plan)}`],
        ["shrunk", `npm run sim -- --plan ${path}.json --log full`],
        ["packets", `${path}.pcap   (opens in tcpdump and Wireshark)`]
      ]
    })
  }\n`)
}

/** One plan, with everything it says if wanted. */
const runOne = (plan: Plan, isVerbose: boolean, commit: string | undefined): boolean => {
  if (isVerbose) write(`${timelineHead(plan)}\n`)
  const outcome = simulate(plan, {
    record: false,
    onEntry: isVerbose
      ? (entry) => write(timelineLines(entry, plan).map((line) => `${line}\n`).join(""))
      : undefined
  })
  const { simulatedMs, traceHash, verdict } = outcome
  const marks = [...outcome.marks].map(([name, count]) => `${name} ${count}`).join(", ")
  write(
    `  seed ${nameOf(plan)}  trace ${traceHash}  ${Math.round(simulatedMs / 1_000)} s simulated`
  )
  write(`, ${outcome.turns} turns, ${outcome.datagrams} datagrams\n`)
  if (marks !== "") write(`  seen: ${marks}\n`)
  if (verdict === undefined) {
    write("passed\n")
    return true
  }
  reportFailure(outcome, commit)
  return false
}

interface Many {
  readonly source: string
  readonly seeds: number | undefined
  readonly minutes: number | undefined
  readonly nodes: number | undefined
  readonly commit: string | undefined
}

const runMany = ({ commit, minutes, nodes, seeds, source }: Many): boolean => {
  const startMs = Date.now()
  const startCpuMs = cpuMs()
  const totals = new Totals(marksExpected)
  const progress = new Progress({
    write,
    isTerminal: process.stdout.isTTY === true,
    seedsInAll: seeds
  })
  let notYetApplicable: Outcome["notYetApplicable"] = []
  const isOver = (index: number): boolean =>
    (seeds !== undefined && index >= seeds) ||
    (minutes !== undefined && Date.now() - startMs >= minutes * 60_000)
  write(`seeds of ${source}\n`)
  for (let index = 0; !isOver(index); index++) {
    const plan = planOfSeed(seedOf(source, index), nodes === undefined ? {} : { nodes })
    const outcome = simulate(plan)
    notYetApplicable = outcome.notYetApplicable
    let broken = outcome.verdict?.invariant as string | undefined
    if (index % repeatEvery === 0) {
      totals.repeated++
      const again = simulate(plan)
      if (again.traceHash !== outcome.traceHash) {
        progress.clear()
        broken = "determinism"
        write(
          `FAILED  ${nameOf(plan)} is not repeatable: ${outcome.traceHash}, ${again.traceHash}\n`
        )
      }
    }
    totals.add(nameOf(plan), outcome, broken)
    progress.show(totals, cpuMs() - startCpuMs)
    if (outcome.verdict !== undefined && totals.failed.length <= reportsMax) {
      progress.clear()
      reportFailure(outcome, commit)
    }
  }
  progress.clear()
  if (totals.seeds < seedsForMarks) {
    for (const name of totals.missingMarks) totals.marks.delete(name)
  }
  write(`\n${summaryReport({ ...totals, notYetApplicable, cpuMs: cpuMs() - startCpuMs })}`)
  return totals.failed.length === 0 && totals.missingMarks.length === 0
}

const optionsOf = () => {
  try {
    return parseArgs({
      options: {
        seeds: { type: "string" },
        seed: { type: "string" },
        plan: { type: "string" },
        minutes: { type: "string" },
        nodes: { type: "string" },
        commit: { type: "string" },
        log: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (cause) {
    return fail(`${(cause as Error).message}\n\n${usage}`)
  }
}

const planIn = (path: string): Plan => {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (cause) {
    return fail(`cannot read the plan ${path}: ${(cause as Error).message}`)
  }
  const plan = planOfJson(text)
  return Result.isSuccess(plan) ? plan.success : fail(`${path}: ${plan.failure}`)
}

const main = (): boolean => {
  const options = optionsOf()
  if (options.help === true) {
    write(usage)
    return true
  }
  if (options.log !== undefined && options.log !== "full") fail(`--log ${options.log}: only full`)
  const isVerbose = options.log === "full"
  const commit = commitOf()
  const nodes = number("nodes", options.nodes)
  if (options.plan !== undefined) return runOne(planIn(options.plan), isVerbose, commit)
  try {
    if (options.seed !== undefined) {
      const plan = planOfSeed(seedOf(options.seed), nodes === undefined ? {} : { nodes })
      return runOne(plan, isVerbose, commit)
    }
    const minutes = number("minutes", options.minutes)
    return runMany({
      source: options.commit ?? commit ?? noCommit,
      seeds: number("seeds", options.seeds) ?? (minutes === undefined ? 100 : undefined),
      minutes,
      nodes,
      commit
    })
  } catch (cause) {
    if (cause instanceof RangeError) return fail(cause.message)
    throw cause
  }
}

process.exitCode = main() ? 0 : 1
