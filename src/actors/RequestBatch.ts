/**
 * Hot. Requests to the kernel, encoded back to back as `KernelTable.apply` wants them, with the
 * slots they are about.
 */
import * as Effect from "effect/Effect"
import { assert } from "../core/assert.ts"
import type { FlowView } from "../core/model/FlowView.ts"
import type { RequestOptions } from "../core/netlink/CtnetlinkEncode.ts"
import {
  encodeCreate,
  encodeDelete,
  encodeDump,
  encodeGet,
  encodeUpdate,
  requestBytesMax
} from "../core/netlink/CtnetlinkEncode.ts"
import type { Answers, KernelTable, KernelTableError, Requests } from "../layers/KernelTable.ts"
import { requestsMax } from "../layers/KernelTable.ts"
import type { Replica } from "./Replica.ts"

export class RequestBatch implements Requests {
  readonly bytes: Uint8Array
  readonly slots = new Int32Array(requestsMax)
  readonly #words: Int32Array
  length = 0
  firstSeq = 1
  count = 0

  constructor() {
    const memory = new ArrayBuffer(requestsMax * requestBytesMax)
    this.bytes = new Uint8Array(memory)
    this.#words = new Int32Array(memory)
  }

  get hasRoom(): boolean {
    return this.count < requestsMax
  }

  /**
   * Empties the batch; the next requests have other numbers, so that no late answer is taken for
   * theirs.
   */
  clear(): void {
    this.firstSeq = (this.firstSeq + this.count) >>> 0
    this.length = 0
    this.count = 0
  }

  create(view: FlowView, slot: number, options: RequestOptions): void {
    this.#add(encodeCreate(this.#words, this.length, this.#seq(), view, options), slot)
  }

  update(view: FlowView, slot: number, options: RequestOptions): void {
    this.#add(encodeUpdate(this.#words, this.length, this.#seq(), view, options), slot)
  }

  /**
   * Deletes by tuple and zone, and by id when `withId`: then a later flow of the same tuple is
   * safe.
   */
  delete(view: FlowView, slot: number, withId: boolean): void {
    this.#add(encodeDelete(this.#words, this.length, this.#seq(), view, withId), slot)
  }

  get(view: FlowView, slot: number): void {
    this.#add(encodeGet(this.#words, this.length, this.#seq(), view), slot)
  }

  #seq(): number {
    return (this.firstSeq + this.count) >>> 0
  }

  #add(end: number, slot: number): void {
    assert(end > 0 && this.hasRoom, "a batch has room for its requests")
    this.slots[this.count] = slot
    this.count++
    this.length = end
  }
}

/**
 * Hands the requests to the kernel and what it answered to `judge`, before anybody else can ask:
 * there is one object for all answers.
 */
export const askKernel = <A>(
  replica: Replica,
  kernel: KernelTable["Service"],
  requests: RequestBatch,
  judge: (answers: Answers) => A
): Effect.Effect<A, KernelTableError> =>
  replica.kernelTurn.withPermit(Effect.map(kernel.apply(requests), judge))

/** The request that dumps the flows of both families. */
export const dumpRequest = (): Uint8Array => {
  const words = new Int32Array(requestBytesMax / 4)
  const end = encodeDump(words, 0, 1, 0)
  return new Uint8Array(words.buffer, 0, end)
}
