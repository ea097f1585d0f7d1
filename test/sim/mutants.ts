/**
 * `npm run sim:mutants`: proves that the simulator finds bugs. Each mutant, an engine with one
 * deliberate bug, must fail within a few hundred seeds; a seed that fails without the bug, too,
 * proves nothing and is reported.
 *
 *     npm run sim:mutants                          all mutants, up to 300 seeds each
 *     npm run sim:mutants -- --seeds 50            fewer
 *     npm run sim:mutants -- --only a,b            these
 *     npm run sim:mutants -- --first 3             the first three
 *     npm run sim:mutants -- --keep                writes the table into docs/simulation.md
 *
 * Exit status 1 when a mutant survives, a patch does not apply, or the engine fails by itself.
 *
 * This is the program's edge: it alone reads the command line and starts processes.
 * @effect-diagnostics processEnv:off globalConsole:off globalTimers:off
 */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { constants, setPriority } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type { Mutant } from "./mutants/Mutant.ts"
import { mutants } from "./mutants/Mutant.ts"
import { applyPatch, copyTree, makeFolder, removeTree, root } from "./mutants/Tree.ts"
import type { Word } from "./mutants/TryOut.ts"

const seedsDefault = 300
/** Mutants that live at a time. */
const lanes = 2
/** A seed takes about a second; one that takes so long will not end. */
const hangMs = 90_000

/** What came of running some seeds in one tree. */
interface Trial {
  /** Number of the last seed. */
  readonly index: number
  readonly failure: { readonly invariant: string; readonly sentence: string } | undefined
  readonly cpuSeconds: number
}

/** What came of a mutant. */
interface Finding {
  readonly mutant: Mutant
  /** Invariant that caught it; undefined: it survived, or could not be tried. */
  readonly caughtBy: string | undefined
  readonly sentence: string
  readonly seeds: number
  readonly cpuSeconds: number
}

/** CPU seconds of a process that is there, from the system's record of it. */
const cpuSecondsOf = (pid: number): number => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    // It is gone, or there is no such file here.
    return 0
  }
}

/** Processes that run now. */
const children = new Set<ChildProcess>()

/** Runs seeds `from` up to `to` in `tree`, until one fails. */
const tryOut = (tree: string, from: number, to: number): Promise<Trial> =>
  new Promise((done, refuse) => {
    const child = fork(join(tree, "test/sim/mutants/TryOut.ts"), [String(from), String(to)], {
      cwd: tree
    })
    children.add(child)
    const pid = child.pid!
    setPriority(pid, constants.priority.PRIORITY_LOW)
    let index = from
    let hasBegun = false
    let trial: Trial | undefined
    const end = (failure: Trial["failure"]): void => {
      clearTimeout(watch)
      trial ??= { index, failure, cpuSeconds: cpuSecondsOf(pid) }
      child.kill("SIGKILL")
    }
    const hangs = { invariant: "S9", sentence: "the seed does not come to an end" }
    const watch = setTimeout(() => end(hangs), hangMs)
    child.on("message", (message) => {
      const word = message as Word
      if (word._tag === "begins") {
        index = word.index
        hasBegun = true
        watch.refresh()
      } else end(word._tag === "failed" ? word : undefined)
    })
    child.on("error", (error) => end({ invariant: "S12", sentence: error.message }))
    child.on("close", (code, signal) => {
      children.delete(child)
      end({ invariant: "S12", sentence: `its process ended with ${code ?? signal}` })
      if (hasBegun) done(trial!)
      else refuse(new Error(`the simulator does not start in ${tree}`))
    })
  })

class Laboratory {
  readonly #folder = makeFolder()
  readonly #sound = join(this.#folder, "sound")
  /** Seeds tried without any mutant: whether they pass. */
  readonly #passes = new Map<number, Promise<boolean>>()
  readonly #seeds: number

  constructor(seeds: number) {
    this.#seeds = seeds
    copyTree(root, this.#sound)
  }

  close(): void {
    removeTree(this.#folder)
  }

  /** Seeds that fail without a mutant. */
  async unsound(): Promise<ReadonlyArray<number>> {
    const failing: Array<number> = []
    for (const [index, passes] of this.#passes) if (!(await passes)) failing.push(index)
    return failing.toSorted((a, b) => a - b)
  }

  async examine(mutant: Mutant): Promise<Finding> {
    const tree = join(this.#folder, mutant.name)
    copyTree(this.#sound, tree)
    try {
      const problem = applyPatch(tree, mutant)
      if (problem === undefined) return await this.#hunt(mutant, tree)
      return { mutant, caughtBy: undefined, sentence: problem, seeds: 0, cpuSeconds: 0 }
    } finally {
      removeTree(tree)
    }
  }

  async #hunt(mutant: Mutant, tree: string): Promise<Finding> {
    let cpuSeconds = 0
    for (let from = 0; from < this.#seeds;) {
      const trial = await tryOut(tree, from, this.#seeds)
      cpuSeconds += trial.cpuSeconds
      const seeds = trial.index + 1
      if (trial.failure === undefined) break
      const { invariant, sentence } = trial.failure
      if (await this.#isSound(trial.index)) {
        return { mutant, caughtBy: invariant, sentence, seeds, cpuSeconds }
      }
      from = seeds
    }
    const sentence = "it survived"
    return { mutant, caughtBy: undefined, sentence, seeds: this.#seeds, cpuSeconds }
  }

  #isSound(index: number): Promise<boolean> {
    const known = this.#passes.get(index)
    if (known !== undefined) return known
    const passes = tryOut(this.#sound, index, index + 1).then(({ failure }) => {
      if (failure !== undefined) {
        say(`seed ${index} fails without a mutant: ${failure.invariant} ${failure.sentence}`)
      }
      return failure === undefined
    })
    this.#passes.set(index, passes)
    return passes
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const fail = (text: string): never => {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

const lineOf = ({ caughtBy, cpuSeconds, mutant, sentence, seeds }: Finding): string => {
  const cost = `${seeds} seeds, ${cpuSeconds.toFixed(1)} CPU s`
  return caughtBy === undefined
    ? `SURVIVES  ${mutant.name} (${cost}): ${sentence}`
    : `${caughtBy.padEnd(4)} ${mutant.name} (${cost}): ${sentence}`
}

const tableOf = (findings: ReadonlyArray<Finding>): string => {
  const rows = findings.map(({ caughtBy = "survives", cpuSeconds, mutant, seeds }) =>
    [mutant.name, mutant.sentence, mutant.seenBy, caughtBy, seeds, cpuSeconds.toFixed(1)].join(
      " | "
    )
  )
  const head = ["Mutant", "The bug", "Expected", "Caught by", "Seeds", "CPU s"].join(" | ")
  return [head, "--- | --- | --- | --- | --: | --:", ...rows].map((row) => `| ${row} |`).join("\n")
}

/** Between these the table stands. */
const marks = ["<!-- mutants: written by npm run sim:mutants -- --keep -->", "<!-- mutants end -->"]

const keep = (table: string): void => {
  const path = join(root, "docs/simulation.md")
  const text = readFileSync(path, "utf8")
  const [begin, end] = marks.map((mark) => text.indexOf(mark)) as [number, number]
  if (begin < 0 || end < begin) fail(`${path} has no place for the table: ${marks.join(" … ")}`)
  writeFileSync(
    path,
    `${text.slice(0, begin + marks[0]!.length)}\n\n${table}\n\n${text.slice(end)}`
  )
}

const chosen = (only: string | undefined, first: string | undefined): ReadonlyArray<Mutant> => {
  const all = mutants()
  if (only === undefined) return all.slice(0, first === undefined ? all.length : Number(first))
  return only.split(",").map((name) =>
    all.find((mutant) => mutant.name === name) ?? fail(`--only ${name}: there is no such mutant`)
  )
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: String(seedsDefault) },
    only: { type: "string" },
    first: { type: "string" },
    keep: { type: "boolean", default: false }
  }
})
const seeds = Number(values.seeds)
if (!Number.isInteger(seeds) || seeds < 1) fail(`--seeds ${values.seeds}: not a number of seeds`)
const subjects = chosen(values.only, values.first)
if (subjects.length === 0) fail("there is no mutant to try")
if (values.keep && subjects.length < mutants().length) fail("--keep wants all mutants tried")

const laboratory = new Laboratory(seeds)
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    for (const child of children) child.kill("SIGKILL")
    laboratory.close()
    process.exit(1)
  })
}
try {
  const findings = new Map<Mutant, Finding>()
  const waiting = [...subjects]
  const lane = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const finding = await laboratory.examine(mutant)
      findings.set(mutant, finding)
      say(lineOf(finding))
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))

  const inOrder = subjects.map((mutant) => findings.get(mutant)!)
  const table = tableOf(inOrder)
  const survivors = inOrder.filter(({ caughtBy }) => caughtBy === undefined)
  const unsound = await laboratory.unsound()
  say(`\n${table}\n`)
  if (values.keep) keep(table)
  say(`${inOrder.length - survivors.length} of ${inOrder.length} mutants were caught`)
  if (unsound.length > 0) {
    say(`seeds that fail without a mutant, which count for nothing: ${unsound.join(", ")}`)
  }
  process.exitCode = survivors.length > 0 || unsound.length > 0 ? 1 : 0
} finally {
  laboratory.close()
}
