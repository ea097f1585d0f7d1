/**
 * The real kernel answers as it was recorded, and writes what the simulated one writes. Needs
 * CAP_NET_ADMIN and CAP_SYS_ADMIN, and a kernel of the recorded generation (6.17 and later).
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { release } from "node:os"
import { mayUse } from "../native/Machine.ts"
import { addNamespace, deleteNamespaces, runInside } from "../native/Namespace.ts"
import { differenceOf, fakeArm, outcomeOf } from "./Arms.ts"
import type { Outcome, Setting, Statement } from "./Statement.ts"
import { statements } from "./Statements.ts"

const sysctls: Readonly<Record<Setting, ReadonlyArray<string>>> = {
  plain: ["nf_conntrack_events=1"],
  labels: ["nf_conntrack_events=1"],
  counters: ["nf_conntrack_events=1", "nf_conntrack_acct=1", "nf_conntrack_timestamp=1"],
  silent: ["nf_conntrack_events=0"]
}

/** Something that hooks into the packet path, and a rule that uses labels. */
const rulesets: Readonly<Record<Setting, string>> = {
  plain: "",
  labels: `table inet t {
    chain f { type filter hook forward priority 0; policy accept; ct label set 3; }
  }`,
  counters: "",
  silent: ""
}

const [major = 0, minor = 0] = release().split(".").map(Number)
const isRecorded = major * 100 + minor >= 617
if (!isRecorded) process.stderr.write("SKIPPED: the recorded kernels are 6.17 or later\n")
const mayRun = isRecorded && mayUse("kernel conformance", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

/** Every flush and every dump walks through all of a large table: programs have their time. */
const programStatements = 100
const everythingMaxMs = 300_000

const settings = [...new Set(statements.map(({ setting }) => setting))]

describe.skipIf(!mayRun).each(settings)(
  "the real kernel conforms, %s",
  (setting) => {
    const cases = statements.filter((statement) => statement.setting === setting)
    const outcomes = new Map<string, Outcome>()

    beforeAll(async () => {
      const namespace = addNamespace(`conform-${setting}`)
      const inside = (words: ReadonlyArray<string>, input = "") =>
        execFileSync("ip", ["netns", "exec", namespace, ...words], { input })
      for (const sysctl of sysctls[setting]) {
        inside(["sysctl", "-q", "-w", `net.netfilter.${sysctl}`])
      }
      if (rulesets[setting] !== "") inside(["nft", "-f", "-"], rulesets[setting])
      const program = "../conformance/RealKernelProgram.ts"
      for (let from = 0; from < cases.length; from += programStatements) {
        const words = [setting, from, from + programStatements].map(String)
        const printed = await runInside(namespace, program, ...words) as ReadonlyArray<Outcome>
        for (const outcome of printed) outcomes.set(outcome.name, outcome)
      }
    }, everythingMaxMs)
    afterAll(deleteNamespaces)

    it.each(cases.map((statement): [string, Statement] => [statement.name, statement]))(
      "%s",
      (name, statement) => {
        const real = outcomes.get(name)!
        if (statement.expected !== undefined) {
          assert.strictEqual(real.summary, statement.expected, real.log.join("\n"))
        }
        if (statement.isChance === true) return
        const difference = differenceOf(real, outcomeOf(statement, fakeArm(setting)))
        assert.isUndefined(difference, JSON.stringify(difference, undefined, 1))
      }
    )
  }
)
