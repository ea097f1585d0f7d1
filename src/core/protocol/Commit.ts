/**
 * Puts the external cache into the kernel: in which order, how fast, and what to do when the kernel
 * refuses.
 *
 * The owner takes a batch of requests, encodes and sends them in order, reports what was refused,
 * and closes the batch; what is to be tried next is in a later batch:
 *
 * ```text
 * create ── EEXIST ──► update ── refused ──► delete, create ── refused ──► failed
 *    │                   (plain flows only; others: delete, create at once)
 *    ├── EOPNOTSUPP, and the flow names a helper ──► the same without the helper
 *    ├── ENOENT, and the flow has a master ────────► the same without the master
 *    ├── EEXIST again, and the port is kept ───────► the same with any port
 *    └── anything else ──► failed
 * ```
 *
 * A flow that cannot have its helper or its master back still carries its connection, which is what
 * a commit is for. (Upstream gives it up.) An update cannot change NAT, master or helper, so only a
 * flow without them may be updated in place. A port that another flow has already is not worth the
 * flow either: the kernel chooses one, as it does for upstream, when all others have theirs.
 *
 * Flows without master go first, because the kernel attaches a flow to a master that is there.
 *
 * Source: specification, "The synchronisation engines", section 14; "The kernel interface",
 * sections 4.1, 4.2 and 5.
 */
import { assert } from "../assert.ts"
import { Entity } from "./SyncProtocol.ts"

/** Refusals that lead somewhere. Source: Linux, errno. */
export const CommitErrno = { noEntry: 2, exists: 17, notSupported: 95 } as const

export const CommitOperation = { create: 0, update: 1, delete: 2 } as const
export type CommitOperation = (typeof CommitOperation)[keyof typeof CommitOperation]

/** What a request leaves out of the flow. Bits. */
export const CommitOmit = { nothing: 0, helper: 1, master: 2, keptPort: 4 } as const

/** What became of a request when its batch was finished. */
export const CommitOutcome = {
  /** The entry is in the kernel. */
  committed: 0,
  /** Nothing is decided yet: a later batch goes on, or this deletion was a step of it. */
  pending: 1,
  /** Given up; `errnos` says why. */
  failed: 2
} as const
export type CommitOutcome = (typeof CommitOutcome)[keyof typeof CommitOutcome]

/** Requests of one round, in order. Owned by the caller, overwritten by `pollBatch`. */
export class CommitBatch {
  readonly entities: Uint8Array
  readonly slots: Int32Array
  readonly operations: Uint8Array
  readonly omits: Uint8Array
  /** `CommitOutcome`, after `finishBatch`. */
  readonly outcomes: Uint8Array
  /** The kernel's last word on a request that failed. */
  readonly errnos: Int32Array
  count = 0

  /** `countMax`: requests it holds. At least two: a deletion and its creation go together. */
  constructor(countMax: number) {
    assert(countMax >= 2, "a batch holds a deletion and its creation")
    this.entities = new Uint8Array(countMax)
    this.slots = new Int32Array(countMax)
    this.operations = new Uint8Array(countMax)
    this.omits = new Uint8Array(countMax)
    this.outcomes = new Uint8Array(countMax)
    this.errnos = new Int32Array(countMax)
  }
}

/** The external cache, as far as a commit must know it. */
export interface CommitSource {
  /** As `BulkSource.walk`. */
  walk(cursor: number, max: number, visit: (slot: number) => void): number
  /** The slot holds an entry now. A peer may have deleted it since the last batch. */
  isLive(slot: number): boolean
}

export interface CommitFlows extends CommitSource {
  /** Anything is known of a master tuple: the create request names it. */
  hasMaster(slot: number): boolean
  /** The master tuple is whole: protocols, both addresses, both ports. */
  hasCompleteMaster(slot: number): boolean
  hasHelper(slot: number): boolean
  /** Translated, but not the port of its source, which another flow may have. */
  keepsPort(slot: number): boolean
  /** Neither NAT nor master nor helper, so an update restores it whole. */
  isPlain(slot: number): boolean
}

export interface CommitCounts {
  flowsCommitted: number
  flowsFailed: number
  expectationsCommitted: number
  expectationsFailed: number
}

/** Passes, in order. */
const Pass = { unrelated: 0, related: 1, expectations: 2, done: 3 } as const

/** How far an entry has come; decides what a refusal leads to. */
const Stage = { first: 0, updating: 1, recreating: 2 } as const
type Stage = (typeof Stage)[keyof typeof Stage]

interface Retry {
  readonly entity: Entity
  readonly slot: number
  readonly stage: Stage
  readonly omit: number
}

export class Commit {
  readonly counts: CommitCounts = {
    flowsCommitted: 0,
    flowsFailed: 0,
    expectationsCommitted: 0,
    expectationsFailed: 0
  }
  readonly #flows: CommitFlows | undefined
  readonly #expectations: CommitSource | undefined
  #pass: number = Pass.unrelated
  #cursor = 0
  readonly #retries: Array<Retry> = []
  /** Flows for which the kernel chooses the port, which must not be that of a flow to come. */
  readonly #portless: Array<Retry> = []
  /** The batch that is out, and the stage of each of its requests. */
  #batch: CommitBatch | undefined
  #stages = new Uint8Array(0)

  /** What is absent is not committed. */
  constructor(flows: CommitFlows | undefined, expectations: CommitSource | undefined) {
    this.#flows = flows
    this.#expectations = expectations
  }

  /**
   * Fills `batch` with the next requests; false when everything is done. A batch may be empty: then
   * a step of the walk found nothing for it, and the caller gives way and asks again. Call
   * `finishBatch` before asking for the next.
   */
  pollBatch(batch: CommitBatch): boolean {
    assert(this.#batch === undefined, "a batch is finished before the next")
    batch.count = 0
    if (this.#stages.length < batch.slots.length) this.#stages = new Uint8Array(batch.slots.length)
    this.#addRetries(batch)
    // Masters must be settled before the flows that need them, flows before expectations.
    if (batch.count === 0) {
      this.#skipAbsentPasses()
      if (this.#pass >= Pass.expectations && this.#portless.length > 0) {
        for (const retry of this.#portless.splice(0)) this.#retries.push(retry)
        this.#addRetries(batch)
      } else {
        if (this.#pass === Pass.done) return false
        this.#walk(batch)
      }
    }
    batch.outcomes.fill(CommitOutcome.committed, 0, batch.count)
    batch.errnos.fill(0, 0, batch.count)
    this.#batch = batch
    return true
  }

  /** The kernel refused request number `index` of the batch with a positive `errno`. */
  handleRefusal(index: number, errno: number): void {
    const batch = this.#batch
    assert(batch !== undefined && index >= 0 && index < batch.count, "a refusal answers a request")
    assert(errno > 0, "a refusal has an errno")
    batch.errnos[index] = errno
  }

  /** All answers are in; what was not refused is done. Afterwards `outcomes` and `errnos` hold. */
  finishBatch(): void {
    const batch = this.#batch
    assert(batch !== undefined, "a batch is out")
    this.#batch = undefined
    for (let i = 0; i < batch.count; i++) {
      if (batch.operations[i] === CommitOperation.delete) {
        batch.outcomes[i] = CommitOutcome.pending
        this.#passOnDeletion(batch, i)
        continue
      }
      batch.outcomes[i] = batch.errnos[i] === 0 ? CommitOutcome.committed : this.#judge(batch, i)
      this.#count(batch.entities[i]! as Entity, batch.outcomes[i]! as CommitOutcome)
    }
  }

  /**
   * An entry that could not be deleted cannot be created either; the deletion's errno tells why.
   */
  #passOnDeletion(batch: CommitBatch, i: number): void {
    const errno = batch.errnos[i]!
    if (errno === 0 || errno === CommitErrno.noEntry) return
    if (batch.errnos[i + 1] === CommitErrno.exists) batch.errnos[i + 1] = errno
  }

  /** A refused create or update: what is tried next, or `failed`. */
  #judge(batch: CommitBatch, i: number): CommitOutcome {
    const entity = batch.entities[i]! as Entity
    const slot = batch.slots[i]!
    const stage = this.#stages[i]! as Stage
    const errno = batch.errnos[i]!
    const omit = batch.omits[i]!
    if (stage === Stage.updating) {
      return this.#retry({ entity, slot, stage: Stage.recreating, omit })
    }
    if (errno === CommitErrno.exists && stage === Stage.first) {
      const isUpdatable = entity === Entity.flow && this.#flows!.isPlain(slot)
      const next = isUpdatable ? Stage.updating : Stage.recreating
      return this.#retry({ entity, slot, stage: next, omit })
    }
    const without = omit | this.#omitFor(entity, slot, errno)
    if (without === omit) return CommitOutcome.failed
    const retry = { entity, slot, stage, omit: without }
    if (((without ^ omit) & CommitOmit.keptPort) === 0) return this.#retry(retry)
    this.#portless.push(retry)
    return CommitOutcome.pending
  }

  #omitFor(entity: Entity, slot: number, errno: number): number {
    const flows = this.#flows
    if (entity !== Entity.flow || flows === undefined) return CommitOmit.nothing
    if (errno === CommitErrno.notSupported && flows.hasHelper(slot)) return CommitOmit.helper
    if (errno === CommitErrno.noEntry && flows.hasMaster(slot)) return CommitOmit.master
    if (errno === CommitErrno.exists && flows.keepsPort(slot)) return CommitOmit.keptPort
    return CommitOmit.nothing
  }

  #retry(retry: Retry): CommitOutcome {
    this.#retries.push(retry)
    return CommitOutcome.pending
  }

  #count(entity: Entity, outcome: CommitOutcome): void {
    if (outcome === CommitOutcome.pending) return
    const isFlow = entity === Entity.flow
    if (outcome === CommitOutcome.committed) {
      if (isFlow) this.counts.flowsCommitted++
      else this.counts.expectationsCommitted++
    } else if (isFlow) this.counts.flowsFailed++
    else this.counts.expectationsFailed++
  }

  #addRetries(batch: CommitBatch): void {
    let taken = 0
    for (const { entity, omit, slot, stage } of this.#retries) {
      const needed = stage === Stage.recreating ? 2 : 1
      if (batch.count + needed > batch.slots.length) break
      taken++
      // The peer deleted it meanwhile: there is nothing left to commit.
      const source = entity === Entity.flow ? this.#flows! : this.#expectations!
      if (!source.isLive(slot)) continue
      if (stage === Stage.updating) {
        this.#add(batch, entity, slot, CommitOperation.update, stage, omit)
      } else {
        if (needed === 2) this.#add(batch, entity, slot, CommitOperation.delete, stage, omit)
        this.#add(batch, entity, slot, CommitOperation.create, stage, omit)
      }
    }
    this.#retries.splice(0, taken)
  }

  #walk(batch: CommitBatch): void {
    const pass = this.#pass
    const flows = this.#flows
    const entity = pass === Pass.expectations ? Entity.expectation : Entity.flow
    const source = pass === Pass.expectations ? this.#expectations! : flows!
    this.#cursor = source.walk(this.#cursor, batch.slots.length, (slot) => {
      if (
        pass === Pass.expectations || flows!.hasCompleteMaster(slot) === (pass === Pass.related)
      ) {
        this.#add(batch, entity, slot, CommitOperation.create, Stage.first, CommitOmit.nothing)
      }
    })
    if (this.#cursor === -1) {
      this.#pass++
      this.#cursor = 0
    }
  }

  #add(
    batch: CommitBatch,
    entity: Entity,
    slot: number,
    operation: CommitOperation,
    stage: Stage,
    omit: number
  ): void {
    const i = batch.count++
    batch.entities[i] = entity
    batch.slots[i] = slot
    batch.operations[i] = operation
    batch.omits[i] = omit
    this.#stages[i] = stage
  }

  #skipAbsentPasses(): void {
    if (this.#flows === undefined && this.#pass < Pass.expectations) this.#pass = Pass.expectations
    if (this.#expectations === undefined && this.#pass === Pass.expectations) this.#pass = Pass.done
  }
}

/** Timeout of an entry whose own has run out or was never received, in seconds. */
const fallbackSeconds = 60

/**
 * The timeout to commit a flow with, in seconds. `commitTimeout` is the setting CommitTimeout,
 * `receivedSeconds` what the peer sent, `ageSeconds` how long ago.
 *
 * A timeout that just reaches zero is used unchanged, and a clock set back counts as a minute, as
 * upstream does. Unlike upstream, an entry of less than a second without a timeout gets one too:
 * the kernel refuses to create a flow without.
 *
 * Source: specification, "The synchronisation engines", section 14.1.
 */
export const commitTimeoutSeconds = (
  commitTimeout: number | undefined,
  receivedSeconds: number | undefined,
  ageSeconds: number
): number => {
  if (commitTimeout !== undefined) return commitTimeout
  if (receivedSeconds === undefined) return fallbackSeconds
  const remaining = receivedSeconds - (ageSeconds < 0 ? fallbackSeconds : Math.trunc(ageSeconds))
  if (remaining === 0) return receivedSeconds
  return remaining < 0 ? fallbackSeconds : remaining
}
