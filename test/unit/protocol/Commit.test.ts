import { assert, describe, it } from "@effect/vitest"
import type { CommitFlows, CommitSource } from "../../../src/core/protocol/Commit.ts"
import {
  Commit,
  CommitBatch,
  CommitErrno,
  CommitOmit,
  CommitOperation,
  CommitOutcome,
  commitTimeoutSeconds
} from "../../../src/core/protocol/Commit.ts"
import { Entity } from "../../../src/core/protocol/SyncProtocol.ts"

interface Traits {
  readonly isRelated?: boolean
  readonly hasMaster?: boolean
  readonly hasHelper?: boolean
  readonly hasNat?: boolean
  readonly keepsPort?: boolean
}

const table = (rows: ReadonlyArray<Traits>, dead: Set<number> = new Set()): CommitFlows => ({
  walk: (cursor, max, visit) => {
    const end = Math.min(cursor + max, rows.length)
    for (let slot = cursor; slot < end; slot++) if (!dead.has(slot)) visit(slot)
    return end === rows.length ? -1 : end
  },
  isLive: (slot) => !dead.has(slot),
  hasMaster: (slot) => rows[slot]!.hasMaster ?? rows[slot]!.isRelated ?? false,
  hasCompleteMaster: (slot) => rows[slot]!.isRelated ?? false,
  hasHelper: (slot) => rows[slot]!.hasHelper ?? false,
  keepsPort: (slot) => rows[slot]!.keepsPort ?? false,
  isPlain: (slot) => {
    const { hasHelper, hasMaster, hasNat, isRelated } = rows[slot]!
    return !(hasHelper || hasMaster || hasNat || isRelated)
  }
})

const expectations = (length: number): CommitSource => table(Array.from({ length }, () => ({})))

/** The kernel's answer to a request written as "create flow 3", "create flow 3 without helper"… */
type Kernel = (request: string) => number

const describeRequest = (batch: CommitBatch, i: number): string => {
  const operation = Object.keys(CommitOperation)[batch.operations[i]!]
  const entity = batch.entities[i] === Entity.flow ? "flow" : "expectation"
  const omit = batch.omits[i]!
  const without = [
    (omit & CommitOmit.helper) !== 0 ? " without helper" : "",
    (omit & CommitOmit.master) !== 0 ? " without master" : "",
    (omit & CommitOmit.keptPort) !== 0 ? " without port" : ""
  ].join("")
  return `${operation} ${entity} ${batch.slots[i]}${without}`
}

const run = (commit: Commit, kernel: Kernel = () => 0, size = 100) => {
  const batch = new CommitBatch(size)
  const requests: Array<string> = []
  const failures: Array<string> = []
  for (let round = 0; commit.pollBatch(batch); round++) {
    assert.isBelow(round, 1_000, "a commit ends")
    for (let i = 0; i < batch.count; i++) {
      requests.push(describeRequest(batch, i))
      const errno = kernel(requests.at(-1)!)
      if (errno !== 0) commit.handleRefusal(i, errno)
    }
    commit.finishBatch()
    for (let i = 0; i < batch.count; i++) {
      if (batch.outcomes[i] !== CommitOutcome.failed) continue
      failures.push(`${describeRequest(batch, i)}: ${batch.errnos[i]}`)
    }
  }
  return { requests, failures, counts: commit.counts }
}

const { exists, noEntry, notSupported } = CommitErrno

/** A kernel that refuses what a line names, and everything more specific is looked up first. */
const refusing = (answers: Record<string, number>): Kernel => (request) => answers[request] ?? 0

describe("Commit", () => {
  it("commits flows without complete master, then those with, then expectations", () => {
    const rows = [{ isRelated: true }, {}, { hasMaster: true }, { isRelated: true }]
    const { counts, requests } = run(new Commit(table(rows), expectations(2)), () => 0, 2)
    assert.deepStrictEqual(requests, [
      "create flow 1",
      "create flow 2",
      "create flow 0",
      "create flow 3",
      "create expectation 0",
      "create expectation 1"
    ])
    assert.deepStrictEqual(counts, {
      flowsCommitted: 4,
      flowsFailed: 0,
      expectationsCommitted: 2,
      expectationsFailed: 0
    })
  })

  it("commits what it is given", () => {
    assert.deepStrictEqual(run(new Commit(table([{}]), undefined)).requests, ["create flow 0"])
    const only = run(new Commit(undefined, expectations(1)))
    assert.deepStrictEqual(only.requests, ["create expectation 0"])
    assert.deepStrictEqual(run(new Commit(undefined, undefined)).requests, [])
  })

  it("settles the masters before the flows that need them", () => {
    const kernel = refusing({ "create flow 0": exists })
    const { requests } = run(new Commit(table([{}, { isRelated: true }]), undefined), kernel)
    assert.deepStrictEqual(requests, ["create flow 0", "update flow 0", "create flow 1"])
  })

  it("updates a plain flow that exists; deletes and creates it when that is refused", () => {
    const kernel = refusing({ "create flow 0": exists, "update flow 0": 16 })
    let created = 0
    const { counts, requests } = run(
      new Commit(table([{}]), undefined),
      (request) => request === "create flow 0" && created++ > 0 ? 0 : kernel(request)
    )
    assert.deepStrictEqual(requests, [
      "create flow 0",
      "update flow 0",
      "delete flow 0",
      "create flow 0"
    ])
    assert.deepStrictEqual([counts.flowsCommitted, counts.flowsFailed], [1, 0])
  })

  it("deletes and creates at once what an update cannot restore", () => {
    for (const traits of [{ hasNat: true }, { hasHelper: true }, { hasMaster: true }]) {
      const kernel = refusing({ "create flow 0": exists })
      const { counts, failures, requests } = run(new Commit(table([traits]), undefined), kernel)
      assert.deepStrictEqual(requests, ["create flow 0", "delete flow 0", "create flow 0"])
      assert.deepStrictEqual(failures, ["create flow 0: 17"])
      assert.strictEqual(counts.flowsFailed, 1)
    }
  })

  it("does not mind that there is nothing to delete, and reports why a deletion failed", () => {
    const gone = refusing({ "create flow 0": exists, "delete flow 0": noEntry })
    const first = run(new Commit(table([{ hasNat: true }]), undefined), gone)
    assert.deepStrictEqual(first.failures, ["create flow 0: 17"])
    const denied = refusing({ "create flow 0": exists, "delete flow 0": 1 })
    const second = run(new Commit(table([{ hasNat: true }]), undefined), denied)
    assert.deepStrictEqual(second.failures, ["create flow 0: 1"])
    assert.strictEqual(second.counts.flowsFailed, 1)
  })

  it("lets the kernel choose a port only when another flow has the one that is kept", () => {
    const rows = [{ hasNat: true, keepsPort: true }]
    const own = ["create flow 0", "delete flow 0", "create flow 0"]
    let created = 0
    const replaced = run(
      new Commit(table(rows), undefined),
      (request) => request === "create flow 0" && created++ === 0 ? exists : 0
    )
    assert.deepStrictEqual(replaced.requests, own)

    const taken = refusing({ "create flow 0": exists, "delete flow 0": noEntry })
    const chosen = run(new Commit(table(rows), undefined), taken)
    const free = ["delete flow 0 without port", "create flow 0 without port"]
    assert.deepStrictEqual(chosen.requests, [...own, ...free])
    assert.deepStrictEqual([chosen.counts.flowsCommitted, chosen.counts.flowsFailed], [1, 0])

    const never = run(
      new Commit(table(rows), undefined),
      (request) => request.startsWith("create") ? exists : 0
    )
    assert.deepStrictEqual(never.requests, [...own, ...free])
    assert.deepStrictEqual(never.failures, ["create flow 0 without port: 17"])
  })

  it("lets the kernel choose ports when all others have theirs, before expectations", () => {
    const rows = [{ hasNat: true, keepsPort: true }, {}, { isRelated: true }]
    const kernel = refusing({ "create flow 0": exists, "delete flow 0": noEntry })
    const ends = ["delete flow 0 without port", "create flow 0 without port"]
    const both = run(new Commit(table(rows), expectations(1)), kernel)
    assert.deepStrictEqual(both.requests.slice(-4), [
      "create flow 2",
      ...ends,
      "create expectation 0"
    ])
    const flowsOnly = run(new Commit(table(rows), undefined), kernel)
    assert.deepStrictEqual(flowsOnly.requests.slice(-3), ["create flow 2", ...ends])
    // The peer ended it while it waited.
    const dead = new Set<number>()
    const ended = run(new Commit(table(rows, dead), undefined), (request) => {
      if (request === "create flow 2") dead.add(0)
      return kernel(request)
    })
    assert.strictEqual(ended.requests.at(-1), "create flow 2")
    assert.strictEqual(ended.counts.flowsFailed, 0)
  })

  it("leaves out the helper that the kernel has not, and the master that is gone", () => {
    const commit = new Commit(table([{ isRelated: true, hasHelper: true }]), undefined)
    const { counts, requests } = run(
      commit,
      refusing({ "create flow 0": noEntry, "create flow 0 without master": notSupported })
    )
    assert.deepStrictEqual(requests, [
      "create flow 0",
      "create flow 0 without master",
      "create flow 0 without helper without master"
    ])
    assert.strictEqual(counts.flowsCommitted, 1)
  })

  it("gives up what cannot be helped", () => {
    for (const errno of [noEntry, notSupported, 22]) {
      const { failures, requests } = run(
        new Commit(table([{}]), undefined),
        refusing({ "create flow 0": errno })
      )
      assert.deepStrictEqual(requests, ["create flow 0"])
      assert.deepStrictEqual(failures, [`create flow 0: ${errno}`])
    }
  })

  it("does not try again what the peer has deleted meanwhile", () => {
    const dead = new Set<number>()
    const { counts, requests } = run(new Commit(table([{}], dead), undefined), (request) => {
      dead.add(0)
      return request === "create flow 0" ? exists : 0
    })
    assert.deepStrictEqual(requests, ["create flow 0"])
    assert.deepStrictEqual([counts.flowsCommitted, counts.flowsFailed], [0, 0])
  })

  it("deletes and creates an expectation that exists", () => {
    const kernel = refusing({ "create expectation 0": exists })
    const { counts, requests } = run(new Commit(undefined, expectations(1)), kernel)
    assert.deepStrictEqual(requests, [
      "create expectation 0",
      "delete expectation 0",
      "create expectation 0"
    ])
    assert.strictEqual(counts.expectationsFailed, 1)
  })

  it("ends, and counts every entry once, whatever the kernel answers", () => {
    const rows = Array.from({ length: 64 }, (_, i) => ({
      isRelated: (i & 1) !== 0,
      hasMaster: (i & 2) !== 0,
      hasHelper: (i & 4) !== 0,
      hasNat: (i & 8) !== 0
    }))
    for (let seed = 1; seed < 200; seed++) {
      let state = seed
      const kernel: Kernel = () => {
        state = Math.imul(state, 1_103_515_245) + 12_345 >>> 0
        return [0, noEntry, exists, notSupported, 22, 0][(state >>> 16) % 6]!
      }
      const size = 2 + seed % 30
      const { counts, failures } = run(new Commit(table(rows), expectations(10)), kernel, size)
      assert.strictEqual(counts.flowsCommitted + counts.flowsFailed, 64)
      assert.strictEqual(counts.expectationsCommitted + counts.expectationsFailed, 10)
      assert.strictEqual(failures.length, counts.flowsFailed + counts.expectationsFailed)
    }
  })
})

describe("commitTimeoutSeconds", () => {
  it.each(
    [
      [180, 500, 3, 180],
      [180, undefined, 0, 180],
      [undefined, 500, 0, 500],
      [undefined, 500, 120, 380],
      [undefined, 500, 120.9, 380],
      [undefined, 500, 500, 500],
      [undefined, 500, 501, 60],
      [undefined, 500, -5, 440],
      [undefined, 30, -5, 60],
      [undefined, undefined, 10, 60],
      [undefined, undefined, 0, 60]
    ] as const
  )("setting %s, received %s, age %s: %s", (setting, received, age, expected) => {
    assert.strictEqual(commitTimeoutSeconds(setting, received, age), expected)
  })
})
