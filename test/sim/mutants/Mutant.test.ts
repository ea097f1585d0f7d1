import { assert, describe, it } from "@effect/vitest"
import { mutants } from "./Mutant.ts"
import { applyPatch, root } from "./Tree.ts"

describe("the mutants", () => {
  const all = mutants()

  it("are at least sixteen, each with a name of its own", () => {
    assert.isAtLeast(all.length, 16)
    assert.strictEqual(new Set(all.map(({ name }) => name)).size, all.length)
  })

  it.each(all.map((mutant) => [mutant.name, mutant] as const))("%s still applies", (_, mutant) => {
    assert.isUndefined(applyPatch(root, mutant, true))
  })
})
