/** The simulated kernel answers as it was recorded from a real one, or as we found it since. */
import { assert, describe, it } from "@effect/vitest"
import { fakeArm, outcomeOf } from "./Arms.ts"
import { probes } from "./Probes.ts"
import { statements } from "./Statements.ts"
import { unanswerable } from "./Unanswerable.ts"

describe("the simulated kernel conforms", () => {
  it("and no two statements have the same name", () => {
    assert.strictEqual(new Set(statements.map(({ name }) => name)).size, statements.length)
  })

  it("and what cannot be stated is said with its reason", () => {
    const names = new Set(statements.map(({ name }) => name))
    for (const [name, reason] of Object.entries(unanswerable)) {
      assert.isFalse(names.has(name), name)
      assert.isNotEmpty(reason)
    }
  })

  it("and every recorded probe is a statement", () => {
    const stated = new Set(statements.map(({ name }) => name))
    const missing = probes.filter(({ probe, section }) => !stated.has(`${section}: ${probe}`))
    assert.deepStrictEqual(missing, [])
    assert.strictEqual(probes.length, 304)
  })

  it.each(statements.map((statement) => [statement.name, statement] as const))(
    "%s",
    (_, statement) => {
      const { log, summary } = outcomeOf(statement, fakeArm(statement.setting))
      if (statement.expected === undefined) assert.notMatch(summary, /^failed/)
      else assert.strictEqual(summary, statement.expected, log.join("\n"))
    }
  )
})
