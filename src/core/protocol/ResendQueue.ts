/**
 * Hot. Messages sent and not yet acknowledged, in the order of their numbers.
 *
 * A peer acknowledges ranges, and what lies before a range may stay for ever: upstream never
 * acknowledges everything. A walk from the head would pay for those leftovers at each ACK. So the
 * queue keeps a cursor where the last range ended, from which the next one is a step away, and a
 * second cursor behind which no flow is left to sweep.
 *
 * Source: specification, "The synchronisation engines", sections 12.4 and 22 (10).
 */
import { Flag } from "../wire/MessageHeader.ts"
import * as Seq from "../wire/Seq.ts"
import type { MessagePool } from "./MessagePool.ts"
import { MessageList, none } from "./MessagePool.ts"
import { Entity } from "./SyncProtocol.ts"

/**
 * Numbers are comparable over half the circle. Leftovers older than this have to go before they
 * look newer than what is sent now.
 */
const spanDefault = 2 ** 30

export class ResendQueue {
  readonly #pool: MessagePool
  readonly #list: MessageList
  readonly #lengthMax: number
  readonly #spanMax: number
  /** First message not before the last range asked for; `none` when every message was. */
  #cursor = none
  /** First message that `pollOverdue` has not looked at. */
  #sweep = none

  constructor(pool: MessagePool, list: number, lengthMax: number, spanMax = spanDefault) {
    this.#pool = pool
    this.#list = new MessageList(pool, list)
    this.#lengthMax = lengthMax
    this.#spanMax = spanMax
  }

  get length(): number {
    return this.#list.length
  }

  get head(): number {
    return this.#list.head
  }

  has(node: number): boolean {
    return this.#list.has(node)
  }

  /** The message that must leave before one numbered `seq` may be appended, or `none`. */
  surplus(seq: number): number {
    const head = this.#list.head
    if (head === none) return none
    const full = this.#list.length >= this.#lengthMax
    return full || Seq.distance(this.#pool.seq[head]!, seq) > this.#spanMax ? head : none
  }

  /** Appends a message just sent as `seq`, which follows all numbers in the queue. */
  append(node: number, seq: number): void {
    this.#pool.seq[node] = seq
    this.#list.append(node)
    if (this.#cursor === none) this.#cursor = node
    if (this.#sweep === none) this.#sweep = node
  }

  remove(node: number): void {
    const next = this.#pool.next[node]!
    if (this.#cursor === node) this.#cursor = next
    if (this.#sweep === node) this.#sweep = next
    this.#list.remove(node)
  }

  /**
   * The oldest message numbered `from` or later, or `none`. Ranges that follow each other cost
   * O(1).
   */
  seek(from: number): number {
    const { next, previous, seq } = this.#pool
    let node = this.#cursor === none ? this.#list.tail : this.#cursor
    while (node !== none && !Seq.before(seq[node]!, from)) node = previous[node]!
    node = node === none ? this.#list.head : node
    while (node !== none && Seq.before(seq[node]!, from)) node = next[node]!
    this.#cursor = node
    return node
  }

  /**
   * The next flow, expectation or resync request numbered before `mark`, oldest first, or `none`.
   * Each message is looked at once. ACKs and NACKs stay where they are: they are worth nothing
   * late.
   */
  pollOverdue(mark: number): number {
    const { flags, kind, next, seq } = this.#pool
    while (this.#sweep !== none && Seq.before(seq[this.#sweep]!, mark)) {
      const node = this.#sweep
      this.#sweep = next[node]!
      if (kind[node] !== Entity.control || (flags[node]! & Flag.resync) !== 0) return node
    }
    return none
  }
}
