/**
 * What stories are made of: steps of plans with the usual filled in, and the configuration with
 * what a story is about.
 */
import type { Plan, StepOf } from "../plan/Plan.ts"
import { plainConfiguration } from "../plan/Plan.ts"

type Opening = StepOf<"OpenFlows">

/** TCP connections whose handshake gets through, from this moment on, evenly over a time. */
export const connectionsOpen = (
  atMs: number,
  count: number,
  overMs: number,
  more: Partial<Pick<Opening, "kind" | "through" | "translated">> = {}
): Opening => ({
  _tag: "OpenFlows",
  atMs,
  count,
  kind: "tcp",
  translated: "none",
  family: 4,
  overMs,
  established: true,
  ...more
})

/** What a story's conntrackd.conf has beyond, or instead of, the usual one. */
export interface Options {
  /** Default: `StartupResync on`. */
  readonly startupResync?: "on" | "off"
  /** More lines of the section `Mode FTFW`. */
  readonly ftfw?: ReadonlyArray<string>
  /** More lines of the section `General`. */
  readonly general?: ReadonlyArray<string>
}

export const configurationWith = (
  { ftfw = [], general = [], startupResync = "on" }: Options
): Plan["configuration"] => {
  const mode = [`StartupResync ${startupResync}`, ...ftfw].map((line) => `    ${line}\n`)
  const lines = general.map((line) => `  ${line}\n`)
  return plainConfiguration
    .replace("    StartupResync on\n", mode.join(""))
    .replace("General {\n", `General {\n${lines.join("")}`)
}
