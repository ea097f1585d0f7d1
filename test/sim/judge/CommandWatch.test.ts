/** Commands that are answered and have no effect: S11, Q1, L3. And those that have one. */
import { afterEach, describe, expect, it, vi } from "vitest"
import { RequestBatch } from "../../../src/actors/RequestBatch.ts"
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

const deletesNothing = (): void => {
  vi.spyOn(RequestBatch.prototype, "delete").mockImplementation(() => {})
}

afterEach(() => void vi.restoreAllMocks())

describe("S11 a flush leaves nothing behind", () => {
  it.each(["-f", "-f internal"] as const)("sees that %s leaves the internal cache", (option) => {
    const verdict = verdictOf({
      options: [option],
      tamper: ({ replica: { internal } }) => (internal.flushStep = () => -1)
    })
    expect(verdict?.invariant).toBe("S11")
    expect(verdict?.sentence).toBe(
      `A answered ${option}, and its internal cache still has 20 flows`
    )
  })

  it.each(["-f", "-f external"] as const)("sees that %s leaves the external cache", (option) => {
    const { verdict } = trial({
      changes: {
        steps: [flows, { _tag: "Command", atMs: 4_000, node: "B", option }],
        faultsStopAtMs: 9_000
      },
      tamper: ({ replica: { external } }) => (external.flushStep = () => -1)
    })
    expect(verdict?.invariant).toBe("S11")
    expect(verdict?.sentence).toMatch(/its external cache still has 20 flows$/)
  })

  it("sees that -F deletes nothing", () => {
    const verdict = verdictOf({ options: ["-F"], tamper: deletesNothing })
    expect(verdict?.invariant).toBe("S11")
    expect(verdict?.sentence).toBe("A left 20 flows in its kernel's table after -F")
  })

  it("sees that a purge deletes nothing", () => {
    const verdict = verdictOf({ options: ["-t"], tamper: deletesNothing })
    expect(verdict?.invariant).toBe("S11")
    expect(verdict?.sentence).toBe(
      "A left 20 flows in its kernel's table after a purge that was due"
    )
  })

  it.each(["-f", "-f internal", "-f external", "-F", "-t"] as const)(
    "is content with %s",
    (option) => expect(verdictOf({ options: [option] })).toBeUndefined()
  )
})

describe("Q1 -R reads the kernel's table", () => {
  const options = ["-f internal", "-R"] as const

  it("sees a request that does not", () => {
    const verdict = verdictOf({
      options,
      tamper: ({ replica: { internal }, world }) => {
        const refresh = internal.refresh.bind(internal)
        internal.refresh = (view, nowSeconds) =>
          world.nowMs > 4_000 ? -1 : refresh(view, nowSeconds)
      }
    })
    expect(verdict?.invariant).toBe("Q1")
    expect(verdict?.sentence).toMatch(/^A answered -R, and its internal cache lacks 20/)
  })

  it("is content with one that does", () => expect(verdictOf({ options })).toBeUndefined())
})

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
