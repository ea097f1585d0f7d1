/** What `npm run sim` refuses, and how: a sentence and exit code 2, before anything is printed. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import { calmPlan, planToJson } from "./plan/Plan.ts"
import { simulate } from "./Simulate.ts"

const program = fileURLToPath(new URL("run.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "sim-run-"))
afterAll(() => rmSync(folder, { recursive: true }))

const refusal = (...args: ReadonlyArray<string>): string => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8"
  })
  expect([status, stdout]).toEqual([2, ""])
  return stderr.split("\n")[0]!
}

describe("npm run sim refuses", () => {
  it("options of which one would be ignored", () => {
    expect(refusal("--seed", "3", "--seeds", "4")).toBe("--seed and --seeds cannot go together")
    expect(refusal("--plan", "x", "--seed", "3")).toBe("--plan and --seed cannot go together")
    expect(refusal("--log", "full", "--seeds", "4")).toBe("--log full needs --seed or --plan")
  })

  it("three nodes", () => {
    expect(refusal("--nodes", "3")).toMatch(/^--nodes 3: three nodes need multicast links/)
  })

  it("a plan with a configuration that no daemon would start with", () => {
    const plan = calmPlan({ steps: [] })
    const path = join(folder, "plan.json")
    writeFileSync(path, planToJson({ ...plan, configuration: `${plan.configuration}\nBogus {\n` }))
    expect(refusal("--plan", path))
      .toMatch(/plan\.json: the configuration of a plan: .*'Bogus': syntax error/)
  })
})

describe("a run that takes too much", () => {
  it("ends, as S9", () => {
    let asked = 0
    const { simulatedMs, verdict } = simulate(calmPlan({ steps: [] }), {
      tooMuch: () => ++asked < 5 ? undefined : "it has taken too much"
    })
    expect([verdict?.invariant, verdict?.sentence]).toEqual(["S9", "it has taken too much"])
    expect([asked, simulatedMs]).toEqual([5, 500])
  })
})
