/** Commands that are answered and have no effect: L3. And those that have one. */
import { describe, expect, it } from "vitest"
import type { ClientOption } from "../machine/Machine.ts"
import type { Plan } from "../plan/Plan.ts"
import { configurationWith } from "../stories/StorySteps.ts"
import type { Scene } from "./Trial.ts"
import { trial } from "./Trial.ts"

const flows: Plan["steps"][number] = {
  _tag: "OpenFlows",
  atMs: 1_000,
  count: 20,
  kind: "tcp",
  translated: "none",
  family: 4,
  overMs: 500,
  established: true
}

interface Asked {
  readonly startupResync?: "on" | "off"
  /** What A is asked, four seconds after the start and every four seconds from then on. */
  readonly options: ReadonlyArray<ClientOption>
  /** What is wrong with A's daemon. */
  readonly tamper?: (scene: Scene) => void
}

const verdictOf = ({ options, startupResync = "off", tamper }: Asked) =>
  trial({
    changes: {
      configuration: configurationWith({ startupResync, ftfw: ["PurgeTimeout 1"] }),
      steps: [
        flows,
        ...options.map((option, i) =>
          ({ _tag: "Command", atMs: 4_000 * (i + 1), node: "A", option }) as const
        )
      ],
      faultsStopAtMs: 4_000 * options.length + 7_000
    },
    tamper: (scene) => {
      if (scene.machine.name === "A") tamper?.(scene)
    }
  }).verdict

describe("L3 requests for a resync have their effect", () => {
  const asksNothing = ({ replica: { protocol } }: Scene) => (protocol.requestResync = () => {})
  const beginsNothing = ({ replica: { bulk } }: Scene) => (bulk.start = () => {})

  it("sees that -n asks the peer for nothing", () => {
    const verdict = verdictOf({ options: ["-n"], tamper: asksNothing })
    expect(verdict?.invariant).toBe("L3")
    expect(verdict?.sentence).toBe("A sent no resync request, although -n was answered")
  })

  it("sees that StartupResync asks the peer for nothing", () => {
    const verdict = verdictOf({ options: [], startupResync: "on", tamper: asksNothing })
    expect(verdict?.invariant).toBe("L3")
    expect(verdict?.sentence).toBe("A sent no resync request, although StartupResync is on")
  })

  it("sees that -B sends nothing", () => {
    const verdict = verdictOf({ options: ["-B"], tamper: beginsNothing })
    expect(verdict?.invariant).toBe("L3")
    expect(verdict?.sentence).toBe("A answered -B and began no bulk send")
  })

  it("sees that the peer's request is ignored", () => {
    const { verdict } = trial({
      changes: {
        configuration: configurationWith({ startupResync: "off" }),
        steps: [flows, { _tag: "Command", atMs: 4_000, node: "B", option: "-n" }],
        faultsStopAtMs: 9_000
      },
      tamper: ({ machine, replica: { bulk } }) => {
        if (machine.name === "A") bulk.start = () => {}
      }
    })
    expect(verdict?.invariant).toBe("L3")
    expect(verdict?.sentence).toBe(
      "A began no bulk send, although its peer asked for a resync"
    )
  })

  it.each(["-n", "-B"] as const)(
    "is content with %s",
    (option) => expect(verdictOf({ options: [option], startupResync: "on" })).toBeUndefined()
  )
})
