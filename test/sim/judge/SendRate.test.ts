/** How much a machine may send within a second, and what the judge says when it sends more: S9. */
import { describe, expect, it } from "vitest"
import { SendRate } from "./SendRate.ts"
import { trial } from "./Trial.ts"

const times = (count: number, act: () => void): void => {
  for (let i = 0; i < count; i++) act()
}

describe("datagrams", () => {
  it("may be many, but not within a second", () => {
    const rate = new SendRate()
    times(20_000, () => rate.sent(999, 0, 1))
    expect(rate.excess()).toBeUndefined()
    times(20_000, () => rate.sent(1_000, 0, 1))
    expect(rate.excess()).toBeUndefined()
    rate.sent(1_001, 0, 1)
    expect(rate.excess()).toBe("20001 datagrams within a second")
  })
})

describe("control messages", () => {
  it("may be a few for nothing", () => {
    const rate = new SendRate()
    times(250, () => rate.sent(5_000, 1, 0))
    expect(rate.excess()).toBeUndefined()
    rate.sent(5_999, 1, 0)
    expect(rate.excess())
      .toBe("251 control messages within a second, for 0 that were told within 10 s")
  })

  it("may be as many as were told, by either end, a while ago", () => {
    const rate = new SendRate()
    rate.sent(1_500, 0, 300)
    rate.heard(2_500, 700)
    times(1_250, () => rate.sent(10_500, 1, 0))
    expect(rate.excess()).toBeUndefined()
    rate.sent(10_500, 1, 0)
    expect(rate.excess()).toMatch(/^1251 control messages .* for 1000 that/)
    // What was told in second 1 is a reason no longer.
    times(950, () => rate.sent(11_000, 1, 0))
    expect(rate.excess()).toBeUndefined()
    rate.sent(11_000, 1, 0)
    expect(rate.excess()).toMatch(/^951 control messages .* for 700 that/)
    // Much later nothing is.
    times(251, () => rate.sent(99_000, 1, 0))
    expect(rate.excess()).toMatch(/^251 control messages .* for 0 that/)
  })
})

describe("a daemon that asks and asks", () => {
  const asking = (everyMs: number) =>
    trial({
      changes: { steps: [], faultsStopAtMs: 4_000 },
      tamper: ({ machine, world }) => {
        if (machine.name !== "A") return
        const again = (): void => {
          if (world.nowMs > 3_000) return
          machine.ask("-n")
          world.after(everyMs, again)
        }
        world.after(1_000, again)
      }
    }).verdict

  it("is seen", () => {
    const verdict = asking(2)
    expect(verdict?.invariant).toBe("S9")
    expect(verdict?.sentence).toMatch(/^A sent \d+ control messages within a second, for 0 that/)
  })

  it("is let alone when it asks ten times a second", () => {
    expect(asking(100)).toBeUndefined()
  })
})
