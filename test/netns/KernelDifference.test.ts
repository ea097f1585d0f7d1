/**
 * The simulated kernel answers and reports what the real one does. Needs CAP_NET_ADMIN and
 * CAP_SYS_ADMIN, and a kernel without a DCCP tracker (6.17 and later): the simulated one has none.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { release } from "node:os"
import { mayUse } from "../native/Machine.ts"
import { addNamespace, deleteNamespaces, runInside } from "../native/Namespace.ts"

interface Difference {
  readonly errnos: Readonly<Record<string, number>>
  readonly differences: ReadonlyArray<unknown>
}

const ruleset = `table inet t {
  chain f { type filter hook forward priority 0; policy accept; ct label set 3; }
}`

const [major = 0, minor = 0] = release().split(".").map(Number)
const isSimulated = major * 100 + minor >= 617
if (!isSimulated) process.stderr.write(`SKIPPED: the simulated kernel is 6.17 or later\n`)

describe.skipIf(!isSimulated || !mayUse("kernel requests", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"))(
  "the simulated kernel",
  () => {
    let namespace = ""

    beforeAll(() => {
      namespace = addNamespace("difference")
      execFileSync("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: ruleset })
    })
    afterAll(deleteNamespaces)

    it.each([2, 3])("agrees with the real one on the random requests of seed %i", async (seed) => {
      const program = "../netns/KernelDifferenceProgram.ts"
      const { differences, errnos } =
        (await runInside(namespace, program, String(seed), "4000")) as Difference
      assert.deepStrictEqual(differences, [])
      // All that commits meet: the requests were not all refused alike.
      for (
        const outcome of [
          "create OK",
          "create EEXIST",
          "create ENOENT",
          "create EOPNOTSUPP",
          "update OK",
          "update ENOENT",
          "update EBUSY",
          "delete OK",
          "delete ENOENT",
          "get OK"
        ]
      ) assert.isAbove(errnos[outcome] ?? 0, 0, outcome)
    })
  }
)
