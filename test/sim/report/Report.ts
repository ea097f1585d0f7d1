/**
 * What a person sees when a seed fails: which invariant, what proves it, the circumstances, the
 * smallest plan that fails, the last things that happened on each machine, and how to see it again.
 * All of it is computed; nothing needs a debugger.
 *
 * At most 120 columns wide. No colours: it is also what continuous integration keeps.
 */
import type { MachineName } from "../machine/Machine.ts"
import type { Plan } from "../plan/Plan.ts"
import { machinesOf, stepsInOrder } from "../plan/Plan.ts"
import { faultTexts, secondsText, settingsTexts, stepText } from "../plan/PlanText.ts"
import { beside, labelled, pageWidth, wrap, wrapStatements } from "./Columns.ts"

/** One event of a run. `machine` undefined: it happened to the world. */
export interface ReportedEvent {
  readonly atMs: number
  readonly machine: MachineName | undefined
  readonly text: string
}

export interface Failure {
  /** "Q1", and "caches agree". */
  readonly invariant: string
  readonly name: string
  /** What happened, in a sentence. */
  readonly sentence: string
  readonly facts: ReadonlyArray<readonly [label: string, lines: ReadonlyArray<string>]>
  readonly seed: string
  /** Of the code; undefined where it is not known. */
  readonly commit: string | undefined
  /** The plan that facts and timeline are of: the shrunk one, if it was shrunk. */
  readonly plan: Plan
  readonly shrunk?: { readonly fromSteps: number; readonly runs: number } | undefined
  /** Oldest first. */
  readonly timeline: ReadonlyArray<ReportedEvent>
  /** How to see it again: what, and the command or file. */
  readonly replay: ReadonlyArray<readonly [label: string, text: string]>
}

const labelWidth = 22
const factsWidth = pageWidth - labelWidth - 2
const shortLabelWidth = 11
const shortWidth = pageWidth - shortLabelWidth - 2
const timeWidth = 12
const eventsShown = 12
/** Of the steps of a plan that was not shrunk, or not far. */
const stepsShown = 30

export const failureReport = (failure: Failure): string => {
  const { faultsStopAtMs } = failure.plan
  return [
    headline(failure),
    ...wrap(failure.sentence, pageWidth - 8).map((line) => `        ${line}`),
    "",
    ...failure.facts.flatMap(([label, lines]) =>
      labelled(label, lines.flatMap((line) => wrap(line, factsWidth)), labelWidth)
    ),
    ...(failure.facts.length === 0 ? [] : [""]),
    ...circumstances(failure.plan),
    "",
    ...steps(failure),
    stepLine(faultsStopAtMs, undefined, "faults stop"),
    "",
    ...timeline(failure),
    ...failure.replay.flatMap(([label, text]) => labelled(label, [text], shortLabelWidth))
  ].map((line) => `${line}\n`).join("")
}

const headline = ({ commit, invariant, name, seed }: Failure): string => {
  const left = `FAILED  ${invariant} ${name}`
  const right = commit === undefined ? `seed ${seed}` : `seed ${seed}   commit ${commit}`
  return `${left.padEnd(pageWidth - right.length - 1)} ${right}`
}

const circumstances = (plan: Plan): ReadonlyArray<string> => {
  const { unused, used } = faultTexts(plan)
  const row = (label: string, texts: ReadonlyArray<string>) =>
    labelled(label, wrapStatements(texts, shortWidth), shortLabelWidth)
  return [
    ...row("settings", settingsTexts(plan)),
    ...row("faults", used.length === 0 ? ["none"] : used),
    ...labelled("not used", wrap(unused.join(", "), shortWidth), shortLabelWidth)
  ]
}

const stepLine = (atMs: number, machine: MachineName | undefined, text: string): string =>
  `  ${secondsText(atMs).padStart(timeWidth)}  ${machine ?? " "}  ${text}`

const steps = ({ plan, shrunk }: Failure): ReadonlyArray<string> => {
  const ordered = stepsInOrder(plan)
  const number = ordered.length
  const title = shrunk === undefined
    ? `  ${number} step${number === 1 ? "" : "s"}`
    : `  shrunk from ${shrunk.fromSteps} steps to ${number} (${shrunk.runs} runs)`
  const lines = ordered.slice(0, stepsShown).map((step) => {
    const { machine, text } = stepText(step)
    return stepLine(step.atMs, machine, text)
  })
  const rest = number - stepsShown
  const more = rest > 0 ? [`  ${"…".padStart(timeWidth)}     and ${rest} more`] : []
  return [title, ...lines, ...more]
}

// ------------------------------------------------------------------------------------ timeline

const columnWidth = (machines: ReadonlyArray<MachineName>): number =>
  Math.floor((pageWidth - timeWidth - 3) / machines.length) - 1

/** The heads of the columns. */
export const timelineHead = (plan: Plan): string => {
  const machines = machinesOf(plan)
  const width = columnWidth(machines) + 1
  const names = machines.map((name) => name.padEnd(width)).join("")
  return (" ".repeat(timeWidth + 3) + names).trimEnd()
}

/** An event in the column of its machine; one that concerns all takes the whole width. */
export const timelineLines = (
  { atMs, machine, text }: ReportedEvent,
  plan: Plan
): ReadonlyArray<string> => {
  const machines = machinesOf(plan)
  const width = columnWidth(machines)
  const time = [`  ${secondsText(atMs).padStart(timeWidth)}`, timeWidth + 2] as const
  if (machine === undefined) return beside([time, [text, pageWidth - timeWidth - 3]])
  return beside([
    time,
    ...machines.map((name) => [name === machine ? text : "", width] as const)
  ])
}

const timeline = ({ plan, timeline }: Failure): ReadonlyArray<string> => {
  const number = timeline.length
  if (number === 0) return []
  const title = number > eventsShown
    ? `timeline (last ${eventsShown} of ${number})`
    : "timeline"
  return [
    `  ${title}`,
    timelineHead(plan),
    ...timeline.slice(-eventsShown).flatMap((event) => timelineLines(event, plan)),
    ""
  ]
}
