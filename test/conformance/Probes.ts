/**
 * What a real kernel (6.18) answered to the recorded probes: what statements of that name expect.
 */
import { readFileSync } from "node:fs"
import type { Bench } from "./Bench.ts"
import type { Setting, Statement } from "./Statement.ts"

interface RecordedProbe {
  readonly section: string
  readonly probe: string
  readonly answer: string
}

export const probes: ReadonlyArray<RecordedProbe> = (JSON.parse(
  readFileSync(new URL("../golden/ctnetlink/probes.json", import.meta.url), "utf8")
) as { readonly probes: ReadonlyArray<RecordedProbe> }).probes

export const Section = {
  create: "create",
  table: "update, delete, flush, dump, statistics",
  expectations: "expectations"
} as const

/**
 * The statement that a probe makes. Of several probes of the same name in a section the answers
 * are the same.
 */
export const probe = (
  section: string,
  name: string,
  run: (bench: Bench) => string,
  setting: Setting = "plain"
): Statement => {
  const recorded = probes.find((one) => one.section === section && one.probe === name)
  if (recorded === undefined) throw new Error(`no probe is called ${name}`)
  return { name: `${section}: ${name}`, setting, expected: recorded.answer, run }
}
