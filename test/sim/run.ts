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
import { settingsIn } from "./machine/SimNode.ts"
import type { Plan } from "./plan/Plan.ts"
import {
  configurationFor,
  machinesOf,
  planOfJson,
  planToJson,
  problemOfNodes
} from "./plan/Plan.ts"
import { shrink } from "./plan/Shrink.ts"
import { planOfSeed, seedOf } from "./plan/Swarm.ts"
import { referenceSettings } from "./reference/ReferenceSettings.ts"
import { failureReport, timelineHead, timelineLines } from "./report/Report.ts"
import { Progress, summaryReport, Totals } from "./report/Summary.ts"
import type { Outcome, SimulateOptions } from "./Simulate.ts"
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
/** CPU time that a run may take; it takes well below a second. */
const cpuLimitMs = 60_000
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

/** Where plans come from, besides their seeds. */
interface Source {
  readonly commit: string | undefined
  /** Undefined: the seed chooses. */
  readonly nodes: number | undefined
  /** The plan is from a file: its seed alone does not make it. */
  readonly isFile: boolean
}

/** Does it, and says which seed it was when that throws. */
const named = <A>(seed: string, run: () => A): A => {
  try {
    return run()
  } catch (cause) {
    process.stderr.write(`\nseed ${seed} threw:\n`)
    throw cause
  }
}

const planOf = (seed: string, { nodes }: Source): Plan =>
  named(seed, () => planOfSeed(seed, nodes === undefined ? {} : { nodes }))

/** Plans whose run was ended because it took too much. */
const endless = new Set<Plan>()

const run = (plan: Plan, options: SimulateOptions = {}): Outcome => {
  const startMs = cpuMs()
  const tooMuch = (): string | undefined => {
    if (cpuMs() - startMs < cpuLimitMs) return undefined
    endless.add(plan)
    return `the run has taken ${cpuLimitMs / 1_000} s of CPU time`
  }
  return named(nameOf(plan), () => simulate(plan, { ...options, tooMuch }))
}

/** Shrinks, writes the files and prints the report. */
const reportFailure = (failed: Outcome, { commit, isFile, nodes }: Source): void => {
  const { plan, verdict } = failed
  const invariant = verdict!.invariant
  // A minute for each try would be too long.
  const isShrinkable = !endless.has(plan)
  const what = isShrinkable ? "; shrinking …" : ""
  write(`  ${nameOf(plan)} broke ${invariant} ${verdict!.name}${what}\n`)
  const breaks = (candidate: Plan): boolean => run(candidate).verdict?.invariant === invariant
  const shrunk = isShrinkable ? shrink(plan, breaks, { runs: shrinkRuns }) : { plan, runs: 0 }
  const outcome = run(shrunk.plan, { record: true })
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
        ...(isFile ? [] : [["replay", replayOf(plan, nodes)] as const]),
        ["shrunk", `npm run sim -- --plan ${path}.json --log full`],
        ["packets", `${path}.pcap   (opens in tcpdump and Wireshark)`]
      ]
    })
  }\n`)
}

const replayOf = (plan: Plan, nodes: number | undefined): string =>
  `npm run sim -- --seed ${nameOf(plan)}${nodes === undefined ? "" : ` --nodes ${nodes}`}`

/** One plan, with everything it says if wanted. */
const runOne = (plan: Plan, isVerbose: boolean, source: Source): boolean => {
  if (isVerbose) write(`${timelineHead(plan)}\n`)
  const outcome = run(plan, {
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
  reportFailure(outcome, source)
  return false
}

interface Many {
  /** What seeds derive from. */
  readonly text: string
  readonly seeds: number | undefined
  readonly minutes: number | undefined
  readonly source: Source
}

const runMany = ({ minutes, seeds, source, text }: Many): boolean => {
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
  write(`seeds of ${text}\n`)
  for (let index = 0; !isOver(index); index++) {
    const plan = planOf(seedOf(text, index), source)
    const outcome = run(plan)
    notYetApplicable = outcome.notYetApplicable
    let broken = outcome.verdict?.invariant as string | undefined
    if (index % repeatEvery === 0 && !endless.has(plan)) {
      totals.repeated++
      const again = run(plan)
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
      reportFailure(outcome, source)
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

/** Why a daemon would not start with what the plan configures; undefined: it would. */
const problemOfConfiguration = (plan: Plan): string | undefined => {
  try {
    for (const name of machinesOf(plan)) {
      const configuration = configurationFor(plan, name)
      settingsIn(configuration)
      if (name === plan.referencePeer) referenceSettings(configuration)
    }
    return undefined
  } catch (cause) {
    // Complaints are plain errors; others are bugs.
    if (cause instanceof Error && cause.name === "Error") return cause.message
    throw cause
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
  if (Result.isFailure(plan)) return fail(`${path}: ${plan.failure}`)
  const problem = problemOfConfiguration(plan.success)
  return problem === undefined ? plan.success : fail(`${path}: ${problem}`)
}

type Options = ReturnType<typeof optionsOf>

/** Of what cannot go together one would be ignored. */
const checkOptions = (options: Options): void => {
  const given = (names: ReadonlyArray<keyof Options>) =>
    names.filter((name) => options[name] !== undefined)
  const exclude = (name: keyof Options, others: ReadonlyArray<keyof Options>): void => {
    const [other] = given(others)
    if (options[name] === undefined || other === undefined) return
    fail(`--${name} and --${other} cannot go together\n\n${usage}`)
  }
  exclude("plan", ["seed", "seeds", "minutes", "nodes", "commit"])
  exclude("seed", ["seeds", "minutes", "commit"])
  if (options.log === undefined) return
  if (options.log !== "full") fail(`--log ${options.log}: only full`)
  if (given(["plan", "seed"]).length === 0) fail("--log full needs --seed or --plan")
}

const nodesOf = (options: Options): number | undefined => {
  const nodes = number("nodes", options.nodes)
  const problem = nodes === undefined ? undefined : problemOfNodes(nodes)
  return problem === undefined ? nodes : fail(`--nodes ${nodes}: ${problem}`)
}

const main = (): boolean => {
  const options = optionsOf()
  if (options.help === true) {
    write(usage)
    return true
  }
  checkOptions(options)
  const isVerbose = options.log === "full"
  const commit = commitOf()
  const source: Source = { commit, nodes: nodesOf(options), isFile: options.plan !== undefined }
  if (options.plan !== undefined) return runOne(planIn(options.plan), isVerbose, source)
  if (options.seed !== undefined) {
    return runOne(planOf(seedOf(options.seed), source), isVerbose, source)
  }
  const minutes = number("minutes", options.minutes)
  return runMany({
    text: options.commit ?? commit ?? noCommit,
    seeds: number("seeds", options.seeds) ?? (minutes === undefined ? 100 : undefined),
    minutes,
    source
  })
}

process.exitCode = main() ? 0 : 1
