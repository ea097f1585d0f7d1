/** The lines are those of the daemon's log; the keys are those of what was told. */
import { describe, expect, it } from "vitest"
import { keyOfLogLine, Refusals } from "./Refusals.ts"

const tcp = "tcp      6 431999 ESTABLISHED src=10.0.0.7 dst=10.1.0.1 sport=40001 dport=443 " +
  "[ASSURED] mark=3 zone=5 helper=ftp"

describe("a refused flow", () => {
  it("is known by its original direction and its zone", () => {
    expect(keyOfLogLine(tcp)).toBe("6/5/0a000007/0a010001/40001/443")
  })

  it("may be a query", () => {
    const line = "icmpv6   58 30 src=fd00::7 dst=fd00:1::1 type=128 code=0 id=17 [UNREPLIED]"
    expect(keyOfLogLine(line)).toBe(
      `58/0/fd00${"0".repeat(26)}07/fd000001${"0".repeat(22)}01/17/${128 << 8}`
    )
  })

  it("may have only addresses", () => {
    expect(keyOfLogLine("unknown  50 600 src=10.0.0.7 dst=10.1.0.1 [ASSURED]"))
      .toBe("50/0/0a000007/0a010001/0/0")
  })

  it("is no other line", () => {
    expect(keyOfLogLine("Committed 3 new entries")).toBeUndefined()
  })
})

describe("refusals", () => {
  const key = keyOfLogLine(tcp)!

  it("are the flows after a complaint", () => {
    const refusals = new Refusals()
    refusals.logged("commit-create: Cannot allocate memory")
    refusals.logged(tcp)
    expect(refusals.has(key)).toBe(true)
    refusals.clear()
    expect(refusals.has(key)).toBe(false)
  })

  it("are no flows that are logged for another reason", () => {
    const refusals = new Refusals()
    refusals.logged(tcp)
    refusals.logged("commit-create: Cannot allocate memory")
    refusals.logged("Committed 3 new entries")
    refusals.logged(tcp)
    expect(refusals.has(key)).toBe(false)
  })
})
