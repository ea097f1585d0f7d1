/**
 * What does the commit of a flow cost when requests go to the kernel in batches without
 * acknowledgements, against one request at a time with one?
 */
import { fileURLToPath } from "node:url"
import type { CommitCosts } from "./CommitProgram.ts"
import { compareNumbers } from "./Compare.ts"
import { median } from "./Measurement.ts"
import type { Measurement } from "./Measurement.ts"
import { Namespace, whyNoNamespaces } from "./Namespace.ts"

export const title = "commit into the kernel"

const flows = 100_000
const ratioMin = 2
const program = fileURLToPath(new URL("./CommitProgram.ts", import.meta.url))

export const run = async (quick: boolean): Promise<ReadonlyArray<Measurement>> => {
  const reason = whyNoNamespaces()
  if (reason !== undefined) {
    process.stdout.write(`not measured: ${reason}\n`)
    return [{
      name: "commit in batches against one request at a time",
      value: NaN,
      unit: "×",
      aim: { atLeast: ratioMin },
      doubt: reason
    }]
  }
  await using namespace = new Namespace("commit")
  const words = [program, String(flows), quick ? "3" : "7"]
  const child = namespace.start(process.execPath, words, [
    "ignore",
    "inherit",
    "inherit",
    "ipc"
  ])
  const costs = await new Promise<CommitCosts>((done, fail) => {
    child.once("message", (message) => done(message as CommitCosts))
    child.once("exit", (code) => fail(new Error(`the commit ended with ${code}`)))
  })
  const wrong = costs.entries.find((count) => count !== flows)
  if (wrong !== undefined) throw new Error(`${wrong} entries in the kernel instead of ${flows}`)
  const [batched, single] = [median(costs.batched), median(costs.single)]
  const list = (values: ReadonlyArray<number>) => values.map((ns) => ns.toFixed(0)).join(" ")
  const ratio = 1 / compareNumbers(
    `create ${flows} flows, kernel included`,
    ["batched", batched],
    ["one at a time", single],
    `rounds: ${list(costs.batched)} against ${list(costs.single)}`
  )
  return [
    {
      name: `commit a flow in a batch, kernel included, ${flows} flows`,
      value: batched,
      unit: "ns"
    },
    {
      name: `    one at a time with acknowledgement costs so many times more`,
      value: ratio,
      unit: "×",
      aim: { atLeast: ratioMin }
    }
  ]
}
