import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("../../../scripts/setup.mjs", import.meta.url))

/** On a machine without any programs: no compiler, and nothing to install one with. */
const setUp = (purpose: string, KERNEL: string) =>
  spawnSync(process.execPath, [script, "--for", purpose], {
    encoding: "utf8",
    env: { PATH: "", CXX: "no-such-compiler", KERNEL }
  })

describe("the set-up", () => {
  it("needs no compiler for a demo on a simulated kernel", () => {
    const { status, stderr, stdout } = setUp("start", "simulated")
    assert.deepStrictEqual([status, stdout, stderr], [0, "", ""])
  })

  it.each([["start", "real"], ["build", "simulated"]])(
    "needs one for %s with KERNEL=%s",
    (purpose, kernel) => {
      const { status, stderr } = setUp(purpose, kernel)
      assert.strictEqual(stderr, "setup: nothing works without no-such-compiler\n")
      assert.strictEqual(status, 1)
    }
  )
})
