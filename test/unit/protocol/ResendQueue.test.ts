import { assert, describe, it } from "@effect/vitest"
import { MessageList, MessagePool, none } from "../../../src/core/protocol/MessagePool.ts"
import { ResendQueue } from "../../../src/core/protocol/ResendQueue.ts"
import { SlotStates } from "../../../src/core/protocol/SlotStates.ts"
import { Entity } from "../../../src/core/protocol/SyncProtocol.ts"

const filled = (lengthMax: number, ...seqs: ReadonlyArray<number>) => {
  const pool = new MessagePool()
  const queue = new ResendQueue(pool, 1, lengthMax)
  for (const seq of seqs) queue.append(pool.allocate(Entity.flow, seq % 1000), seq)
  const seqOf = (node: number) => node === none ? undefined : pool.seq[node]
  return { pool, queue, seqOf }
}

describe("ResendQueue", () => {
  it("finds the oldest number not before another, in any order of asking, across the wrap", () => {
    const { queue, seqOf } = filled(10, 0xfffffffa, 0xfffffffe, 0, 3, 9)
    const answers: ReadonlyArray<readonly [number, number | undefined]> = [
      [0xfffffffb, 0xfffffffe],
      [1, 3],
      [0xfffffff0, 0xfffffffa],
      [10, undefined],
      [9, 9],
      [0, 0],
      [11, undefined],
      [0xfffffffa, 0xfffffffa]
    ]
    for (const [from, expected] of answers) {
      assert.strictEqual(seqOf(queue.seek(from)), expected, `from ${from}`)
    }
  })

  it("finds what was appended after everything was passed, and survives removals", () => {
    const { pool, queue, seqOf } = filled(10, 1, 2)
    assert.isUndefined(seqOf(queue.seek(5)))
    queue.append(pool.allocate(Entity.flow, 7), 6)
    const sixth = queue.seek(5)
    assert.strictEqual(seqOf(sixth), 6)
    queue.remove(sixth)
    assert.isUndefined(seqOf(queue.seek(5)))
    assert.strictEqual(seqOf(queue.seek(2)), 2)
  })

  it("wants its head out when it is full, or when the head's number is too far back", () => {
    const { queue, seqOf } = filled(3, 10, 11)
    assert.strictEqual(queue.surplus(12), none)
    assert.strictEqual(seqOf(queue.surplus(10 + 2 ** 30 + 1)), 10)
    const full = filled(2, 10, 11)
    assert.strictEqual(full.seqOf(full.queue.surplus(12)), 10)
  })

  it("stays fast when most of the queue is never acknowledged", () => {
    const { pool, queue } = filled(1_000_000)
    for (let seq = 0; seq < 400_000; seq++) queue.append(pool.allocate(Entity.control, 0), seq)
    // Every fourth message is acknowledged. A walk from the head would take 1.5e10 steps: minutes.
    const begin = performance.now()
    for (let seq = 3; seq < 400_000; seq += 4) {
      const node = queue.seek(seq)
      if (pool.seq[node] !== seq) assert.fail(`${seq} was not found`)
      queue.remove(node)
    }
    assert.strictEqual(queue.length, 300_000)
    assert.isBelow(performance.now() - begin, 2_000)
  })
})

describe("MessagePool", () => {
  it("grows, keeps what it holds, and uses free messages again", () => {
    const pool = new MessagePool()
    const list = new MessageList(pool, 1)
    for (let slot = 0; slot < 200_000; slot++) list.append(pool.allocate(Entity.flow, slot))
    const capacity = pool.next.length
    let node = list.head
    for (let slot = 0; slot < 200_000; slot++, node = pool.next[node]!) {
      if (pool.slot[node] !== slot) assert.fail(`slot ${slot} was lost`)
    }
    while (list.length > 100) {
      const first = list.head
      list.remove(first)
      pool.release(first)
    }
    for (let slot = 0; slot < 199_900; slot++) list.append(pool.allocate(Entity.flow, slot))
    assert.strictEqual(pool.next.length, capacity)
    assert.strictEqual(pool.length, 200_000)
  })

  it("refuses a message in two lists", () => {
    const pool = new MessagePool()
    const [one, two] = [new MessageList(pool, 1), new MessageList(pool, 2)]
    const node = pool.allocate(Entity.flow, 0)
    one.append(node)
    assert.throws(() => two.append(node))
    assert.throws(() => two.remove(node))
    assert.throws(() => pool.release(node))
  })
})

describe("SlotStates", () => {
  it("knows nothing of slots it was never told of", () => {
    const states = new SlotStates()
    assert.deepStrictEqual([states.messageOf(5), states.changeOf(70_000)], [none, 0])
    states.setMessage(70_000, 3)
    states.setChange(40_000, 2)
    assert.deepStrictEqual([states.messageOf(70_000), states.changeOf(70_000)], [3, 0])
    assert.deepStrictEqual([states.messageOf(40_000), states.changeOf(40_000)], [none, 2])
    assert.deepStrictEqual([states.messageOf(5), states.messageOf(70_001)], [none, none])
  })
})
