/**
 * Plans of bugs that the simulator found, shrunk: they must never fail again. Each is run under the
 * judge, and named by its file.
 *
 * To add one, when a seed has failed and the bug is understood:
 *
 * 1. `npm run sim -- --seed S` leaves the shrunk plan in `failed/S.json`. Make sure that it fails
 *    for the reason you know; take out by hand what shrinking has left and nobody needs.
 * 2. Copy it here. Its name says what is promised, as a sentence without a subject, in words of
 *    the field: `keeps-a-flow-whose-first-copy-arrives-late.json`.
 * 3. Run this suite without the repair: it must fail. Then repair, and run it again.
 *
 * A plan is the input alone: what must hold is what the judge knows. Where it takes more to see the
 * bug, tell a story instead.
 */
import * as Result from "effect/Result"
import { readdirSync, readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { planOfJson, planToJson } from "../plan/Plan.ts"
import { failureReport } from "../report/Report.ts"
import { simulate } from "../Simulate.ts"

const folder = new URL(".", import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith(".json")).toSorted()

test("there are plans", () => {
  expect(files).not.toEqual([])
})

test.each(files.map((file) => [file.replace(/\.json$/, "").replaceAll("-", " "), file] as const))(
  "%s",
  (_, file) => {
    const text = readFileSync(new URL(file, folder), "utf8")
    const plan = planOfJson(text)
    if (Result.isFailure(plan)) throw new Error(`${file}: ${plan.failure}`)
    const outcome = simulate(plan.success)
    const { timeline, verdict } = outcome
    if (verdict === undefined) {
      // As it is written by everybody else: differences between versions are then real ones.
      expect(text).toBe(planToJson(plan.success))
      return
    }
    const path = `test/sim/regressions/${file}`
    throw new Error(failureReport({
      ...verdict,
      seed: plan.success.seed,
      commit: undefined,
      plan: plan.success,
      timeline,
      replay: [["replay", `npm run sim -- --plan ${path} --log full`]]
    }))
  }
)
