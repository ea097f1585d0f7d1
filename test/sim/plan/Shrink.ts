/**
 * Makes a plan that fails as small as it can, by running smaller ones: fewer steps first, then
 * settings as everybody has them, then smaller numbers, then less waiting. Whatever is left is
 * there because without it the run does not fail.
 *
 * Our own, and not the shrinking of Effect's Arbitrary: that one shrinks values it has generated
 * itself, from the choices it made. Our plans come from seeds and files; and it knows neither that
 * steps are cheap to drop by the dozen, nor that a later step moves when an earlier gap closes.
 *
 * Deterministic: the same plan and the same answers give the same result.
 */
import type { MachineName } from "../machine/Machine.ts"
import type { KernelPlan, NetworkPlan, Plan, Step } from "./Plan.ts"
import { calmNetwork, machinesIn, pairOf, plainKernel, problemOf, stepsInOrder } from "./Plan.ts"

export interface ShrinkBudget {
  /** At most so many runs. */
  readonly runs: number
  /** After each plan that is smaller and still fails. */
  readonly onProgress?: (plan: Plan, runs: number) => void
}

export interface Shrunk {
  readonly plan: Plan
  /** Runs it took. */
  readonly runs: number
}

/** `stillFails` runs a plan; the plan given is known to fail, and is not run again. */
export const shrink = (
  plan: Plan,
  stillFails: (plan: Plan) => boolean,
  budget: ShrinkBudget
): Shrunk => {
  const shrinker = new Shrinker(plan, stillFails, budget)
  let before: Plan
  do {
    before = shrinker.plan
    stopEarlier(shrinker)
    dropSteps(shrinker)
    takeDefaults(shrinker)
    lowerNumbers(shrinker)
    closeGaps(shrinker)
  } while (shrinker.plan !== before && !shrinker.isOver)
  return { plan: shrinker.plan, runs: shrinker.runs }
}

class Shrinker {
  /** The smallest one so far that fails. */
  plan: Plan
  runs = 0
  readonly #stillFails: (plan: Plan) => boolean
  readonly #budget: ShrinkBudget
  readonly #tried = new Set<string>()

  constructor(plan: Plan, stillFails: (plan: Plan) => boolean, budget: ShrinkBudget) {
    this.plan = plan
    this.#stillFails = stillFails
    this.#budget = budget
    this.#tried.add(JSON.stringify(plan))
  }

  get isOver(): boolean {
    return this.runs >= this.#budget.runs
  }

  /** Takes the changes if the plan fails with them. */
  try(changes: Partial<Plan>): boolean {
    return this.tryPlan({ ...this.plan, ...changes })
  }

  tryPlan(candidate: Plan): boolean {
    if (this.isOver || problemOf(candidate) !== undefined) return false
    const key = JSON.stringify(candidate)
    if (this.#tried.has(key)) return false
    this.#tried.add(key)
    this.runs++
    if (!this.#stillFails(candidate)) return false
    this.plan = candidate
    this.#budget.onProgress?.(candidate, this.runs)
    return true
  }

  /**
   * Brings a number down from `value` towards `least`, by halving the distance until it is known to
   * within `tolerance`. `change` says what the plan of the moment is with another number.
   */
  lower(
    value: number,
    least: number,
    tolerance: number,
    change: (plan: Plan, value: number) => Partial<Plan>
  ): void {
    if (value <= least || this.try(change(this.plan, least))) return
    let passes = least
    let fails = value
    while (fails - passes > tolerance && !this.isOver) {
      const middle = Math.floor((passes + fails) / 2)
      if (this.try(change(this.plan, middle))) fails = middle
      else passes = middle
    }
  }
}

// --------------------------------------------------------------------------------------- steps

const timeToleranceMs = 50

const stopEarlier = (shrinker: Shrinker): void => {
  const { faultsStopAtMs } = shrinker.plan
  shrinker.lower(
    faultsStopAtMs,
    0,
    Math.max(timeToleranceMs, Math.floor(faultsStopAtMs / 50)),
    (plan, ms) => ({
      faultsStopAtMs: ms,
      steps: plan.steps.filter(({ atMs }) => atMs <= ms)
    })
  )
}

/** Leaves out halves, quarters and so on down to single steps, the latest first. */
const dropSteps = (shrinker: Shrinker): void => {
  dropPair(shrinker)
  if (shrinker.plan.steps.length > 0 && shrinker.try({ steps: [] })) return
  let size = Math.ceil(shrinker.plan.steps.length / 2)
  while (size >= 1 && !shrinker.isOver) {
    let hasDropped = false
    for (let end = shrinker.plan.steps.length; end > 0; end -= size) {
      const begin = Math.max(0, end - size)
      hasDropped = shrinker.try({ steps: shrinker.plan.steps.toSpliced(begin, end - begin) }) ||
        hasDropped
    }
    // A step may be droppable only now that another one is gone.
    if (size === 1) {
      if (!hasDropped) return
    } else size = Math.ceil(size / 2)
  }
}

/** Two nodes instead of four: one of the pairs alone, or both on the first two machines. */
const dropPair = (shrinker: Shrinker): void => {
  const { plan } = shrinker
  if (plan.nodes !== 4) return
  const { referencePeer: player, ...rest } = plan
  const two = (player: MachineName | undefined, steps: ReadonlyArray<Step>): Plan => ({
    ...rest,
    ...(player === undefined ? {} : { referencePeer: player }),
    nodes: 2,
    steps
  })
  const isOfFirst = (name: MachineName | undefined) => name === "A" || name === "B"
  const first = plan.steps.filter((step) => !isOfSecondPair(step))
  if (shrinker.tryPlan(two(isOfFirst(player) ? player : undefined, first))) return
  const movedPlayer = player && namesake[player]
  const second = plan.steps.filter((step) => isOfSecondPair(step) || "link" in step)
  const hasMoved = shrinker.tryPlan(two(movedPlayer, second.map(movedToFirstPair)))
  if (!hasMoved) shrinker.tryPlan(two(movedPlayer, plan.steps.map(movedToFirstPair)))
}

const isOfSecondPair = (step: Step): boolean =>
  ("pair" in step && step.pair === 1) || machinesIn(step).some((name) => pairOf(name) === 1)

/** Who a machine becomes when there is only one pair. */
const namesake: Readonly<Record<MachineName, MachineName>> = { A: "A", B: "B", C: "A", D: "B" }

const movedToFirstPair = (step: Step): Step => {
  const moved: Record<string, unknown> = { ...step }
  delete moved["pair"]
  for (const field of ["node", "from", "to", "through"]) {
    const name = moved[field]
    if (name !== undefined) moved[field] = namesake[name as MachineName]
  }
  return moved as Step
}

// ------------------------------------------------------------------------------------ settings

/** What may be absent. Not NetlinkOverrunResync: its default takes longer than a run may settle. */
const optional = [
  "ResendQueueSize",
  "ACKWindowSize",
  "CommitTimeout",
  "PurgeTimeout",
  "StartupResync",
  "SndSocketBuffer",
  "RcvSocketBuffer",
  "NetlinkBufferSize",
  "TCPWindowTracking"
]

const takeDefaults = (shrinker: Shrinker): void => {
  shrinker.try({ scheduling: "first in first out" })
  const { referencePeer: _, ...ours } = shrinker.plan
  shrinker.tryPlan(ours)
  if (!shrinker.try({ network: calmNetwork })) {
    for (const name of Object.keys(calmNetwork) as ReadonlyArray<keyof NetworkPlan>) {
      const { network } = shrinker.plan
      shrinker.try({ network: { ...network, [name]: calmNetwork[name] } })
    }
  }
  if (!shrinker.try({ kernel: plainKernel })) {
    for (const name of Object.keys(plainKernel) as ReadonlyArray<keyof KernelPlan>) {
      const { kernel } = shrinker.plan
      shrinker.try({ kernel: { ...kernel, [name]: plainKernel[name] } })
    }
    const { slowDumps = false, ...kernel } = shrinker.plan.kernel
    if (slowDumps) shrinker.try({ kernel })
  }
  shrinker.try({ family: 4 })
  shrinker.try({ mtuBytes: 1_500 })
  simplifyConfiguration(shrinker)
}

const simplifyConfiguration = (shrinker: Shrinker): void => {
  const lines = shrinker.plan.configuration.split(/(?<=\n)/)
  for (const line of lines) {
    const option = line.trim().split(" ")[0]!
    if (!optional.includes(option)) continue
    // Without a size, its ceiling is without effect.
    const alsoGone = option === "NetlinkBufferSize"
      ? /^ *NetlinkBufferSizeMaxGrowth .*\n/m
      : ""
    const { configuration } = shrinker.plan
    shrinker.try({ configuration: configuration.replace(line, "").replace(alsoGone, "") })
  }
  for (
    const [found, plain] of [
      [/HashLimit \d+/, "HashLimit 65536"],
      [/HashSize \d+/, "HashSize 1024"],
      [/Checksum off/, "Checksum on"]
    ] as const
  ) {
    shrinker.try({ configuration: shrinker.plan.configuration.replace(found, plain) })
  }
}

// ------------------------------------------------------------------------------------- numbers

/** Numbers of steps: the least, and how exactly it is worth knowing them. */
const numbers: Readonly<Record<string, readonly [least: number, tolerance: number]>> = {
  count: [1, 1],
  eventsLost: [1, 1],
  messagesBefore: [1, 1],
  overMs: [0, timeToleranceMs],
  forMs: [0, timeToleranceMs],
  backAfterMs: [0, timeToleranceMs],
  byMs: [0, timeToleranceMs]
}

/** What is usual, where a step has it at all. */
const usual: Readonly<Record<string, unknown>> = {
  kind: "tcp",
  translated: "none",
  family: 4,
  established: true,
  change: "state",
  bothWays: true
}

const percents = [
  "lossPercent",
  "duplicatePercent",
  "reorderPercent",
  "corruptPercent"
] as const

const withStep = (plan: Plan, i: number, field: string, value: unknown): Partial<Plan> => ({
  steps: plan.steps.with(i, { ...plan.steps[i]!, [field]: value } as Step)
})

const lowerNumbers = (shrinker: Shrinker): void => {
  for (const name of percents) {
    shrinker.lower(
      shrinker.plan.network[name],
      0,
      1,
      ({ network }, value) => ({ network: { ...network, [name]: value } })
    )
  }
  for (let i = 0; i < shrinker.plan.steps.length && !shrinker.isOver; i++) {
    for (const [field, value] of Object.entries(shrinker.plan.steps[i]!)) {
      const range = numbers[field]
      if (field in usual) {
        if (value !== usual[field]) shrinker.try(withStep(shrinker.plan, i, field, usual[field]))
      } else if (range !== undefined && typeof value === "number") {
        const sign = Math.sign(value)
        shrinker.lower(
          Math.abs(value),
          range[0],
          range[1],
          (plan, amount) => withStep(plan, i, field, sign * amount)
        )
      }
    }
  }
}

// --------------------------------------------------------------------------------------- times

/** Moves steps together, each with all that come behind it. */
const closeGaps = (shrinker: Shrinker): void => {
  shrinker.try({ steps: stepsInOrder(shrinker.plan) })
  for (let i = 0; i < shrinker.plan.steps.length && !shrinker.isOver; i++) {
    const { steps } = shrinker.plan
    const begin = i === 0 ? 0 : steps[i - 1]!.atMs
    const { atMs } = steps[i]!
    shrinker.lower(atMs - begin, 0, timeToleranceMs, (plan, gapMs) => {
      const earlier = plan.steps[i]!.atMs - begin - gapMs
      return {
        faultsStopAtMs: plan.faultsStopAtMs - earlier,
        steps: plan.steps.map((step, j) => j < i ? step : { ...step, atMs: step.atMs - earlier })
      }
    })
  }
}
