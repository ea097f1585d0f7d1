/**
 * What a real kernel (6.18) answered to the recorded probes: what statements of that name expect.
 */
import { readFileSync } from "node:fs"
import type { Bench, Dumped } from "./Bench.ts"
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
  return { name: `${section}: ${name}`, setting, expected: sorted(recorded.answer), run }
}

/** The entries of a dump: a kernel has them in the order of its hash, which is chance. */
const sorted = (answer: string): string =>
  answer.replace(
    /entries \[(.*?)\]/,
    (_, entries: string) => `entries [${entries.split(", ").sort().join(", ")}]`
  )

const entriesListedMax = 8

/** A dump in the words of the probes. */
export const dumpText = ({ end, entries, flags }: Dumped): string => {
  const list = entries.length > entriesListedMax
    ? ""
    : `[${entries.map((entry) => `'${entry}'`).join(", ")}]`
  const all = flags.map((word) => `'0x${word.toString(16)}'`).join(", ")
  return `${entries.length} entries ${list}; end ${end}; flags [${all}]`
}
