/**
 * Hot. The messages that wait somewhere: in the tx queue, in the resend queue, or as destroyed
 * entries that may be released. A message is a small number, its fields live in typed arrays, and
 * it is in one list at most. Idle flows have no message here.
 *
 * Every list operation is O(1). The arrays double until they are large, then grow by a fixed step,
 * so that one growth never copies for long.
 */
import { assert } from "../assert.ts"

/** No message: the end of a list. */
export const none = -1

const firstCapacity = 256
const growthMax = 1 << 17

const grown = <A extends Int32Array | Uint32Array | Uint8Array>(old: A, larger: A): A => {
  larger.set(old)
  return larger
}

export class MessagePool {
  /** Neighbours in the list; `next` also chains free messages. */
  previous = new Int32Array(firstCapacity)
  next = new Int32Array(firstCapacity)
  /** Number under which it was sent last. Meaningful in the resend queue only. */
  seq = new Uint32Array(firstCapacity)
  /** `Entity`. */
  kind = new Uint8Array(firstCapacity)
  /**
   * Slot of a flow or expectation; of a control message the peer's incarnation it was meant for.
   */
  slot = new Int32Array(firstCapacity)
  /** Flags of a control message. */
  flags = new Uint8Array(firstCapacity)
  /** Range of a control message. */
  from = new Uint32Array(firstCapacity)
  to = new Uint32Array(firstCapacity)
  /** Number of the list it is in; 0 for none. */
  list = new Uint8Array(firstCapacity)
  #free = none
  #unused = 0
  #inUse = 0

  /** Messages in use, in all lists together. */
  get length(): number {
    return this.#inUse
  }

  allocate(kind: number, slot: number): number {
    let node = this.#free
    if (node !== none) this.#free = this.next[node]!
    else {
      if (this.#unused === this.next.length) this.#grow()
      node = this.#unused++
    }
    this.kind[node] = kind
    this.slot[node] = slot
    this.flags[node] = 0
    this.from[node] = 0
    this.to[node] = 0
    this.list[node] = 0
    this.#inUse++
    return node
  }

  /** The message must have left its list. */
  release(node: number): void {
    assert(this.list[node] === 0, "a released message is in no list")
    this.next[node] = this.#free
    this.#free = node
    this.#inUse--
  }

  #grow(): void {
    const capacity = this.next.length + Math.min(this.next.length, growthMax)
    this.previous = grown(this.previous, new Int32Array(capacity))
    this.next = grown(this.next, new Int32Array(capacity))
    this.seq = grown(this.seq, new Uint32Array(capacity))
    this.kind = grown(this.kind, new Uint8Array(capacity))
    this.slot = grown(this.slot, new Int32Array(capacity))
    this.flags = grown(this.flags, new Uint8Array(capacity))
    this.from = grown(this.from, new Uint32Array(capacity))
    this.to = grown(this.to, new Uint32Array(capacity))
    this.list = grown(this.list, new Uint8Array(capacity))
  }
}

/** A first-in first-out list of messages of one pool, from which any member can be taken. */
export class MessageList {
  readonly #pool: MessagePool
  readonly #number: number
  #head = none
  #tail = none
  #length = 0

  /** `number`: what tells this list from the others of the pool. 1 to 255. */
  constructor(pool: MessagePool, number: number) {
    assert(number >= 1 && number <= 255, "a list has a number")
    this.#pool = pool
    this.#number = number
  }

  get head(): number {
    return this.#head
  }

  get tail(): number {
    return this.#tail
  }

  get length(): number {
    return this.#length
  }

  has(node: number): boolean {
    return this.#pool.list[node] === this.#number
  }

  append(node: number): void {
    const pool = this.#pool
    assert(pool.list[node] === 0, "a message is in one list at most")
    pool.list[node] = this.#number
    pool.previous[node] = this.#tail
    pool.next[node] = none
    if (this.#tail === none) this.#head = node
    else pool.next[this.#tail] = node
    this.#tail = node
    this.#length++
  }

  remove(node: number): void {
    const pool = this.#pool
    assert(pool.list[node] === this.#number, "a message leaves the list it is in")
    const previous = pool.previous[node]!
    const next = pool.next[node]!
    if (previous === none) this.#head = next
    else pool.next[previous] = next
    if (next === none) this.#tail = previous
    else pool.previous[next] = previous
    pool.list[node] = 0
    this.#length--
  }
}
