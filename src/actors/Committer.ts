/**
 * Puts the external cache into the kernel: in batches, in steps, masters before the flows they
 * announced.
 *
 * Requests ask for no acknowledgement, so silence is success. What follows from a refusal is
 * decided in `core/protocol/Commit`. Nothing of it is told to peers; the internal cache learns it
 * from our own records, and flows for which the kernel may have chosen another port are read back.
 *
 * Source: specification, "The synchronisation engines", section 14; "ctnetlink", sections 4 and 5.
 */
import * as Effect from "effect/Effect"
import { Origin } from "../core/cache/Origin.ts"
import { Change } from "../core/model/Change.ts"
import { Base, Has, HasRare } from "../core/model/FlowLayout.ts"
import type { FlowView } from "../core/model/FlowView.ts"
import {
  has,
  hasRare,
  isTranslated,
  numberOf,
  presentRareOf,
  scratchView
} from "../core/model/FlowView.ts"
import { deriveCommitted } from "../core/netlink/Committed.ts"
import type { RequestOptions } from "../core/netlink/CtnetlinkEncode.ts"
import { requestOptions } from "../core/netlink/CtnetlinkEncode.ts"
import { isTranslationExact, keepsPort } from "../core/netlink/CtnetlinkNat.ts"
import { errnoText } from "../core/netlink/Errno.ts"
import { flowChangeOf } from "../core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import type { CommitFlows } from "../core/protocol/Commit.ts"
import {
  Commit,
  CommitBatch,
  CommitOmit,
  CommitOperation,
  CommitOutcome,
  commitTimeoutSeconds
} from "../core/protocol/Commit.ts"
import { formatFlow } from "../core/text/FormatFlow.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import type { Answers, KernelTable, KernelTableError } from "../layers/KernelTable.ts"
import { requestsMax } from "../layers/KernelTable.ts"
import type { LogSink } from "../layers/LogSink.ts"
import { readFlow } from "./KernelMessage.ts"
import type { Replica } from "./Replica.ts"
import { askKernel, RequestBatch } from "./RequestBatch.ts"
import { say } from "./Say.ts"

type Kernel = KernelTable["Service"]

const keyHashOf = (view: FlowView): number => view.base[view.baseWord + Base.hash]!

const masterComplete = HasRare.masterL4Protocol | HasRare.masterPorts
const masterAddresses = HasRare.masterIpv4 | HasRare.masterIpv6
const masterAny = masterComplete | masterAddresses

/** What a commit must know of the external cache. */
const flowsOf = (replica: Replica): CommitFlows => {
  const { external, view } = replica
  const { table } = external
  const rare = (slot: number) => presentRareOf(table.view(slot, view))
  return {
    walk: (cursor, max, visit) => {
      const end = Math.min(cursor + max, table.slotsHigh)
      for (let slot = cursor; slot < end; slot++) if (external.holds(slot)) visit(slot)
      return end < table.slotsHigh ? end : -1
    },
    isLive: (slot) => external.holds(slot),
    hasMaster: (slot) => (rare(slot) & masterAny) !== 0,
    hasCompleteMaster: (slot) => {
      const present = rare(slot)
      return (present & masterComplete) === masterComplete && (present & masterAddresses) !== 0
    },
    hasHelper: (slot) => (rare(slot) & HasRare.helperName) !== 0,
    keepsPort: (slot) => keepsPort(table.view(slot, view)),
    isPlain: (slot) => {
      table.view(slot, view)
      return !isTranslated(view) && !hasRare(view, HasRare.helperName) &&
        (presentRareOf(view) & masterAny) === 0
    }
  }
}

/** Seconds until the kernel forgets the flow in `slot` of the external cache. */
const timeoutOf = (replica: Replica, slot: number, view: FlowView): number =>
  commitTimeoutSeconds(
    replica.settings.sync.commitTimeoutSeconds,
    has(view, Has.timeout) ? numberOf(view, Base.timeoutSeconds) : undefined,
    replica.nowSeconds() - replica.external.table.updatedSeconds(slot)
  )

class Session {
  readonly #replica: Replica
  readonly #kernel: Kernel
  readonly #log: LogSink["Service"]
  readonly #commit: Commit
  readonly #batch = new CommitBatch(requestsMax)
  readonly #requests = new RequestBatch()
  readonly #readBack = new RequestBatch()
  readonly #committed = scratchView()
  /** Hashes of the flows' keys: a slot may have another flow when the kernel has answered. */
  readonly #hashes = new Int32Array(requestsMax)
  readonly #options = { ...requestOptions(), isWhole: true }
  readonly #cursor = new NlmsgCursor()

  constructor(replica: Replica, kernel: Kernel, log: LogSink["Service"]) {
    this.#replica = replica
    this.#kernel = kernel
    this.#log = log
    this.#commit = new Commit(flowsOf(replica), undefined)
  }

  /** One batch of requests; false when the commit is done. */
  step(): Effect.Effect<boolean, KernelTableError> {
    return Effect.suspend(() => {
      if (!this.#commit.pollBatch(this.#batch)) return Effect.succeed(false)
      if (this.#batch.count === 0) {
        this.#commit.finishBatch()
        return Effect.succeed(true)
      }
      this.#encode()
      const committed = askKernel(this.#replica, this.#kernel, this.#requests, (answers) => {
        this.#judge(answers)
        return this.#takeIn()
      })
      return Effect.flatMap(
        committed,
        (failures) =>
          this.#logFailures(failures).pipe(
            Effect.andThen(this.#readTranslated()),
            Effect.as(true)
          )
      )
    })
  }

  get counts() {
    return this.#commit.counts
  }

  #encode(): void {
    const { external, view } = this.#replica
    const requests = this.#requests
    const batch = this.#batch
    requests.clear()
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i]!
      external.table.view(slot, view)
      this.#hashes[i] = keyHashOf(view)
      const options = this.#setOptions(slot, view, batch.omits[i]!)
      switch (batch.operations[i]) {
        case CommitOperation.create:
          requests.create(view, slot, options)
          break
        case CommitOperation.update:
          requests.update(view, slot, options)
          break
        default:
          requests.delete(view, slot, false)
      }
    }
  }

  /** One object, overwritten by the next call. */
  #setOptions(slot: number, view: FlowView, omit: number): RequestOptions {
    const options = this.#options
    options.timeoutSeconds = timeoutOf(this.#replica, slot, view)
    options.windowTracking = this.#replica.settings.sync.tcpWindowTracking
    options.withoutHelper = (omit & CommitOmit.helper) !== 0
    options.withoutMaster = (omit & CommitOmit.master) !== 0
    options.withoutKeptPort = (omit & CommitOmit.keptPort) !== 0
    return options
  }

  #judge(answers: Answers): void {
    for (let i = 0; i < this.#batch.count; i++) {
      const errno = answers.errnos[i]!
      if (errno !== 0) this.#commit.handleRefusal(i, errno)
    }
    this.#commit.finishBatch()
  }

  /** Takes what is now in the kernel into the internal cache; what is not: complaint, flow, … */
  #takeIn(): ReadonlyArray<string> {
    const { external, internal, view } = this.#replica
    const batch = this.#batch
    const nowSeconds = this.#replica.nowSeconds()
    const failures: Array<string> = []
    this.#readBack.clear()
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i]!
      // Its peer ended the flow meanwhile. If the kernel has it, it has a timeout there.
      if (!external.holds(slot)) continue
      external.table.view(slot, view)
      if (keyHashOf(view) !== this.#hashes[i]) continue
      if (batch.outcomes[i] === CommitOutcome.failed) {
        failures.push(
          `${this.#isDeletionRefused(i) ? "commit-destroy" : "commit-create"}: ` +
            errnoText(batch.errnos[i]!),
          formatFlow(view, { timeout: true, wallSeconds: 0 })
        )
        // It made room for itself, and came to nothing.
        if (this.#wasDeleted(i)) internal.apply(Change.destroyed, view, Origin.commit, nowSeconds)
      }
      if (batch.outcomes[i] !== CommitOutcome.committed) continue
      const options = this.#setOptions(slot, view, batch.omits[i]!)
      if (isTranslated(view) && (options.withoutKeptPort || !isTranslationExact(view))) {
        this.#readBack.get(view, slot)
        continue
      }
      deriveCommitted(view, options, this.#committed)
      const change = batch.operations[i] === CommitOperation.update
        ? Change.updated
        : Change.created
      internal.apply(change, this.#committed, Origin.commit, nowSeconds)
    }
    return failures
  }

  /** The flow in the place of creation `i` was to be deleted before. */
  #isReplacement(i: number): boolean {
    const { operations, slots } = this.#batch
    return i > 0 && operations[i - 1] === CommitOperation.delete && slots[i - 1] === slots[i]
  }

  /** Creation `i` failed because the flow in its place could not be deleted. */
  #isDeletionRefused(i: number): boolean {
    const { errnos } = this.#batch
    return this.#isReplacement(i) && errnos[i - 1] !== 0 && errnos[i - 1] === errnos[i]
  }

  /** The flow in the place of creation `i` is gone. */
  #wasDeleted(i: number): boolean {
    return this.#isReplacement(i) && this.#batch.errnos[i - 1] === 0
  }

  #logFailures(failures: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (let i = 0; i < failures.length; i += 2) {
        yield* Effect.logError(failures[i]!)
        yield* this.#log.flow(failures[i + 1]!)
      }
    })
  }

  #readTranslated(): Effect.Effect<void, KernelTableError> {
    if (this.#readBack.count === 0) return Effect.void
    return askKernel(this.#replica, this.#kernel, this.#readBack, ({ messages }) => {
      const { internal, scratch } = this.#replica
      const cursor = this.#cursor
      for (let i = 0; i < messages.count; i++) {
        const from = i * messages.slotBytes
        cursor.reset(messages.words, from, from + Math.abs(messages.lengths[i]!))
        while (cursor.next()) {
          if (flowChangeOf(cursor) < 0 || !readFlow(messages, cursor, scratch)) continue
          internal.apply(Change.created, scratch, Origin.commit, this.#replica.nowSeconds())
        }
      }
    })
  }
}

/**
 * Commits all flows of the external cache and returns when the kernel has the last of them. At most
 * one commit runs: `isRunning` tells, and a second one returns at once.
 */
export class Committer {
  readonly #replica: Replica
  readonly #kernel: Kernel
  readonly #log: LogSink["Service"]
  #isRunning = false

  constructor(replica: Replica, kernel: Kernel, log: LogSink["Service"]) {
    this.#replica = replica
    this.#kernel = kernel
    this.#log = log
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  commit(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isRunning) return say(LogTexts.commitAlreadyRunning)
      this.#isRunning = true
      return Effect.ensuring(this.#run(), Effect.sync(() => (this.#isRunning = false)))
    })
  }

  #run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const session = new Session(this.#replica, this.#kernel, this.#log)
      const startMs = this.#replica.nowMs()
      while (yield* session.step()) yield* Effect.yieldNow
      const { flowsCommitted, flowsFailed } = session.counts
      yield* say(LogTexts.committed(flowsCommitted, "entries"))
      if (flowsFailed > 0) yield* say(LogTexts.notCommitted(flowsFailed, "entries"))
      yield* say(
        LogTexts.commitDuration(Math.max(0, Math.round((this.#replica.nowMs() - startMs) * 1_000)))
      )
    }).pipe(
      Effect.catchTag(
        "KernelTableError",
        (error) => Effect.logError(`the commit was given up: ${error.message}`)
      )
    )
  }
}
