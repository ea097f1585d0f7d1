/**
 * What a synchronisation mode (FTFW, NOTRACK, ALARM) is, seen from outside.
 *
 * It knows flows only as slots and messages only as headers. It is told what happened (`handle…`),
 * what is wanted (`tell`, `requestResync`), and asked what to do (`poll…`) until it has nothing
 * more to say. All times are readings of one monotonic clock in milliseconds; the wall clock serves
 * log dates and the first sequence number only.
 *
 * Source: specification, "The synchronisation engines", sections 9 to 12.
 */
import type { Change } from "../model/Change.ts"
import type { Notice } from "./Notice.ts"

export { Change } from "../model/Change.ts"

/** Header of a received message. One object, reused by the caller. */
export interface Inbound {
  type: number
  flags: number
  seq: number
  ackFrom: number
  ackTo: number
}

export const Entity = { flow: 0, expectation: 1, control: 2 } as const
export type Entity = (typeof Entity)[keyof typeof Entity]

/** The next message to send. One object, owned by the caller and overwritten by `pollOutbound`. */
export interface Outbound {
  kind: Entity
  slot: number
  change: Change
  flags: number
  seq: number
  ackFrom: number
  ackTo: number
}

/**
 * What the caller does with a received message. Only `apply` allows it to touch the external cache.
 */
export const Verdict = { apply: 0, control: 1, drop: 2, malformed: 3 } as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

export interface SyncProtocol {
  /** A message arrived over any link. */
  handleMessage(message: Inbound, nowMs: number): Verdict
  handleTimer(nowMs: number): void

  /**
   * The flow or expectation in `slot` changed and peers must hear of it. The latest state is what
   * will be sent.
   */
  tell(entity: Entity, slot: number, change: Change): void
  /** Bulk send: as `tell`, with the last change told of `slot` (`created` when none was). */
  tellAgain(entity: Entity, slot: number): void
  /**
   * Forget every mention of `slot`: the owner removed it without telling anybody (flush), or the
   * same flow appeared again elsewhere. The owner must do so before it tells a successor: the
   * deletion of the predecessor, sent again late, would end the successor at the peer.
   */
  forget(entity: Entity, slot: number): void
  /**
   * A fresh object with the same key takes `slot` over, and peers may still have the former one. As
   * `forget`; and until a peer is known to have the fresh one it is told as `created`, whatever
   * changes meanwhile, because peers merge an `updated` into what they have.
   */
  renew(entity: Entity, slot: number): void
  /** Ask peers for everything they have. */
  requestResync(): void

  /**
   * Fills `out` with the next message, or returns false. The caller encodes and sends it at once.
   * The first message that a process builds takes `firstSeq`, the wall clock's seconds, as its
   * number.
   */
  pollOutbound(out: Outbound, nowMs: number): boolean
  /** A destroyed entry that no peer still needs: its slot may be reused. -1 when there is none. */
  pollReleased(entity: Entity): number
  /** The peer asked for everything: the caller starts a bulk send. */
  pollBulkRequested(): boolean
  pollNotice(): Notice | undefined

  /** When `handleTimer` must be called next; `Infinity` when never. */
  nextWakeupMs(): number

  readonly txLength: number
  readonly resendLength: number
  /** For `-s network` and `-s queue`. */
  readonly counters: SyncCounters
}

export interface SyncCounters {
  lost: number
  before: number
  /** Messages rejected by `handleMessage` as "malformed". */
  malformedHeader: number
  resendQueueFull: number
}

/** What `-s rsqueue` lists, oldest first. */
export interface ResendEntry {
  readonly kind: Entity
  readonly seq: number
  readonly flags: number
}
