/**
 * The whole story: introduction, failover, counter-proof, what came of it. The same words and the
 * same judgement on every stage.
 */
import * as Effect from "effect/Effect"
import type { DemoFailed } from "./Command.ts"
import { failOver, type Outcome } from "./Failover.ts"
import { kinds } from "./Kinds.ts"
import * as Report from "./Report.ts"
import type { Stage } from "./Stage.ts"

const survivorsWaitMs = 15_000
const counterProofWaitMs = { min: 6_000, max: 12_000 }

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)

const introduce = (connections: number, { notice, strictness }: Stage): void => {
  Report.line(Report.bold("A firewall dies. Its connections do not."))
  Report.line(`
               ┌────── fw1 ──────┐      ${connections} live TCP connections, some NATed, on IPv4
      client ──┤        ║        ├── server      and IPv6. Both firewalls drop what they
               └────── fw2 ──────┘      do not know: ${strictness}.`)
  if (notice.length > 0) Report.line()
  for (const line of notice) Report.line(`  ${line}`)
}

const showTable = (kept: Outcome, lost: Outcome): void => {
  Report.line()
  const rows = kinds.map((kind, index) => [
    kind.name,
    kept.opened[index]!,
    kept.replicated[index]!,
    kept.survived[index]!,
    lost.survived[index]!
  ])
  const totals = [kept.opened, kept.replicated, kept.survived, lost.survived].map(sum)
  Report.table(["", "opened", "replicated", "survived", "without commit"], [
    ...rows,
    ["all", ...totals]
  ])
  Report.line()
}

/** Tells it. True: every connection survived, and none did without the commit. */
export const tell = (stage: Stage, connections: number): Effect.Effect<boolean, DemoFailed> =>
  Effect.gen(function*() {
    introduce(connections, stage)

    Report.heading("Failover")
    const kept = yield* failOver(stage, { connections, commits: true, waitMaxMs: survivorsWaitMs })

    Report.heading("Counter-proof: the same failover without the commit")
    // The lost get more time than the last survivor needed, within reason.
    const { max, min } = counterProofWaitMs
    const waitMaxMs = Math.min(max, Math.max(min, 2 * kept.waitedMs))
    const lost = yield* failOver(stage, { connections, commits: false, waitMaxMs })

    showTable(kept, lost)
    const survivors = sum(kept.survived)
    // The rules let nothing live on without its state: a number other than zero is a failure, and
    // fw2's kernel table and log have been shown above.
    const unexpected = sum(lost.survived)
    const what = `of ${connections} established connections survived`
    Report.line(`without commit: ${unexpected} ${what}`)
    Report.line(`failover: ${survivors} ${what}${stage.remark}`)
    return survivors === connections && unexpected === 0
  })
