/** What the judge makes of a commit, when the kernel has not all of what was told: Q3. */
import { describe, expect, it } from "vitest"
import { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { KernelTraffic } from "../kernel/KernelTraffic.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import { CommitWatch } from "./CommitWatch.ts"
import type { Court } from "./Court.ts"
import { KernelWatch } from "./KernelWatch.ts"
import { Ledger } from "./Ledger.ts"
import { keyOf } from "./WireFlow.ts"

const flowOf = (port: number): ReferenceFlow => ({
  protocol: 17,
  addresses: { source: "0a000007", destination: "0a010001" },
  ports: { source: port, destination: 53 }
})
const lineOf = (port: number) => `udp      17 30 src=10.0.0.7 dst=10.1.0.1 sport=${port} dport=53`

/** B commits what it was told; the log is what it says meanwhile. */
const commit = (
  told: ReadonlyArray<ReferenceFlow>,
  log: ReadonlyArray<string>,
  has: ReadonlyArray<readonly [port: number, as: Partial<KernelFlow>]> = []
): ReadonlyArray<string> => {
  const complaints: Array<string> = []
  let moments = 0
  const court: Court = {
    nowMs: () => 0,
    nextMoment: () => ++moments,
    violate: (invariant, sentence, facts) => {
      complaints.push(`${invariant} ${sentence}`, ...(facts?.()[0]?.[1] ?? []))
    },
    mark: () => {},
    declare: () => {}
  }
  const fake = new FakeKernel({ now: () => 0, labels: true })
  const traffic = new KernelTraffic(fake)
  for (const [sport, as] of has) {
    Object.assign(traffic.openUdp({ src: "10.0.0.7", dst: "10.1.0.1", sport, dport: 53 })!, as)
  }
  const kernel = new KernelWatch(court, "B")
  kernel.watch(fake)
  const incoming = new Ledger(court, "A", "B")
  for (const flow of told) {
    const key = keyOf(flow)!
    incoming.held.set(key, flow)
    incoming.tell(key, "told")
  }
  const parts = { court, machine: "B", kernel, incoming, commitTimeoutSeconds: () => undefined }
  const watch = new CommitWatch(parts)
  const all = ["committing all external caches", ...log, "commit has taken 0.000010 seconds"]
  for (const text of all) watch.logged(text)
  return complaints
}

const refusal = "commit-create: Cannot allocate memory"
const notRestored = "Q3 B committed, and its kernel has not what the external cache has"

describe("refusals", () => {
  it("excuse the flows that were refused", () => {
    const log = [refusal, lineOf(1), refusal, lineOf(2), "2 entries can't be committed"]
    expect(commit([flowOf(1), flowOf(2)], log)).toEqual([])
  })

  it("excuse no other flow", () => {
    const log = [refusal, lineOf(1), "1 entries can't be committed"]
    expect(commit([flowOf(3)], log)[0]).toBe(notRestored)
  })

  it("must be counted", () => {
    expect(commit([flowOf(1)], [refusal, lineOf(1)])[0])
      .toBe("Q3 B logged 1 refused flows, and counted 0")
  })
})

describe("a mark", () => {
  const has = (mark: number) => [[1, { mark }]] as const

  it("is as it was told", () => {
    expect(commit([{ ...flowOf(1), mark: 7 }], [], has(7))).toEqual([])
    expect(commit([flowOf(1)], [], has(0))).toEqual([])
  })

  it("that is another is seen", () => {
    expect(commit([{ ...flowOf(1), mark: 7 }], [], has(8))[1]).toBe("mark 8, not 7")
  })

  it("that was not told must go", () => {
    expect(commit([flowOf(1)], [], has(5))[1]).toBe("mark 5, not 0")
  })
})

describe("labels", () => {
  const labels = Uint8Array.of(2, ...Array.from({ length: 15 }, () => 0))

  it("are as they were told", () => {
    const told = { ...flowOf(1), labels: [2, 0, 0, 0] }
    expect(commit([told], [], [[1, { labels }]])).toEqual([])
  })

  it("that are others are seen", () => {
    const told = { ...flowOf(1), labels: [4, 0, 0, 0] }
    expect(commit([told], [], [[1, { labels }]])[1]).toBe("labels")
  })

  it("that were not told may stay", () => {
    expect(commit([flowOf(1)], [], [[1, { labels }]])).toEqual([])
  })
})
