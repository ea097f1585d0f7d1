/** The mark *overrun repair*: once per overrun that was repaired, and for nothing else. */
import { expect, it } from "vitest"
import type { ClientOption } from "../machine/Machine.ts"
import type { Plan } from "../plan/Plan.ts"
import { configurationWith } from "../stories/StorySteps.ts"
import { trial } from "./Trial.ts"

const flows = (atMs: number): Plan["steps"][number] => ({
  _tag: "OpenFlows",
  atMs,
  count: 20,
  kind: "tcp",
  translated: "none",
  family: 4,
  overMs: 500,
  established: true
})

const overrun: Plan["steps"][number] = { _tag: "Overrun", atMs: 4_000, node: "A", eventsLost: 5 }

const ask = (atMs: number, option: ClientOption): Plan["steps"][number] => ({
  _tag: "Command",
  atMs,
  node: "A",
  option
})

const repairsOf = (repair: "1" | "off", ...steps: Plan["steps"]): number => {
  const general = [`NetlinkOverrunResync ${repair}`]
  const configuration = configurationWith({ general })
  const { marks, verdict } = trial({
    changes: { configuration, steps: [flows(1_000), ...steps], faultsStopAtMs: 12_000 }
  })
  expect(verdict).toBeUndefined()
  return marks.get("overrun repair") ?? 0
}

it("counts a repair once, however many flows it tells", () => {
  expect(repairsOf("1", overrun, flows(4_100))).toBe(1)
})

it("counts no overrun that nobody repairs", () => {
  expect(repairsOf("off", overrun, flows(4_100))).toBe(0)
})

it("counts neither a read of the table nor the look after a flush of it", () => {
  expect(repairsOf("off", overrun, flows(4_100), ask(7_000, "-R"), ask(8_000, "-F"))).toBe(0)
})
