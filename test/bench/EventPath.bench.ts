/**
 * What does a kernel event cost from its bytes to the datagram (decode, cache, protocol, encode),
 * and its message at the peer from the datagram to the cache, in a table of a million flows named
 * in random order? Against copying the bytes of the same events.
 */
import { Change } from "../../src/core/model/Change.ts"
import { compareNumbers } from "./Compare.ts"
import { cpuNs, median } from "./Measurement.ts"
import type { Measurement } from "./Measurement.ts"
import { Node, Wire } from "./Pair.ts"
import { eventSlotBytes, RecordedEvents } from "./RecordedEvents.ts"

export const title = "from kernel event to datagram"

/** Events of one drain. */
const batchEvents = 1_024
const nsPerEventMax = 1_000

/** 0 … count - 1 in random order, the same one every time. */
const shuffled = (count: number): Uint32Array => {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  let state = 0x2545_f491
  for (let i = count - 1; i > 0; i--) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    const j = (state >>> 0) % (i + 1)
    const swap = order[i]!
    order[i] = order[j]!
    order[j] = swap
  }
  return order
}

interface Costs {
  readonly copy: Array<number>
  readonly send: Array<number>
  readonly receive: Array<number>
  readonly acknowledge: Array<number>
}

class Run {
  readonly #events: RecordedEvents
  readonly #sender: Node
  readonly #receiver: Node
  readonly #forth = new Wire()
  readonly #back = new Wire()
  readonly #made = new Uint8Array(batchEvents * eventSlotBytes)
  readonly #bytes = new Uint8Array(batchEvents * eventSlotBytes)
  readonly #words = new Int32Array(this.#bytes.buffer)
  readonly #lengths = new Int32Array(batchEvents)
  #nowMs = 0

  constructor(events: RecordedEvents, flowsMax: number) {
    this.#events = events
    this.#sender = new Node(flowsMax, 1_000)
    this.#receiver = new Node(flowsMax, 2_000)
  }

  get sizes(): readonly [internal: number, external: number, unacknowledged: number] {
    return [
      this.#sender.internal.stats.active,
      this.#receiver.external.stats.active,
      this.#sender.protocol.resendLength
    ]
  }

  get lost(): number {
    return this.#sender.protocol.counters.resendQueueFull + this.#receiver.protocol.counters.lost
  }

  /** All flows of `order`, batch by batch; what a batch costs per event goes to `costs`. */
  all(change: Change, order: Uint32Array, costs: Costs): void {
    for (let from = 0; from + batchEvents <= order.length; from += batchEvents) {
      for (let i = 0; i < batchEvents; i++) {
        this.#events.write(this.#made, i * eventSlotBytes, change, order[from + i]!)
      }
      this.#lengths.fill(this.#events.lengthOf(change))
      this.#batch(costs)
    }
  }

  #batch({ acknowledge, copy, receive, send }: Costs): void {
    // As many events as a drain has at 200 000 a second.
    this.#nowMs += 5
    const start = cpuNs()
    const bytes = this.#bytes
    const length = this.#lengths[0]!
    for (let i = 0; i < batchEvents; i++) {
      const at = i * eventSlotBytes
      bytes.set(this.#made.subarray(at, at + length), at)
    }
    const copied = cpuNs()
    this.#sender.ingest(this.#words, bytes, eventSlotBytes, this.#lengths)
    this.#sender.send(this.#forth.carry, this.#nowMs)
    const sent = cpuNs()
    this.#forth.deliver(this.#receiver, this.#nowMs)
    this.#receiver.send(this.#back.carry, this.#nowMs)
    const received = cpuNs()
    this.#back.deliver(this.#sender, this.#nowMs)
    this.#sender.send(this.#forth.carry, this.#nowMs)
    const acknowledged = cpuNs()
    copy.push((copied - start) / batchEvents)
    send.push((sent - copied) / batchEvents)
    receive.push((received - sent) / batchEvents)
    acknowledge.push((acknowledged - received) / batchEvents)
  }
}

const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

export const run = (quick: boolean): ReadonlyArray<Measurement> => {
  // Whole batches, about 200 000 and about a million.
  const flows = (quick ? 196 : 977) * batchEvents
  const results: Array<Measurement> = []
  for (const family of ["IPv4", "IPv6"] as const) {
    const run = new Run(new RecordedEvents(family), 2 * flows)
    const inOrder = Uint32Array.from({ length: flows }, (_, i) => i)
    const order = shuffled(flows)
    const phase = (name: string, change: Change, flowOrder: Uint32Array, expected: number) => {
      const costs: Costs = { copy: [], send: [], receive: [], acknowledge: [] }
      run.all(change, flowOrder, costs)
      const [internal, external] = run.sizes
      if (internal !== expected || external !== expected || run.lost > 0) {
        throw new Error(`${internal} and ${external} flows, ${run.lost} lost`)
      }
      const [copy, sends, receives, acks] = [
        costs.copy,
        costs.send,
        costs.receive,
        costs.acknowledge
      ].map(median) as [number, number, number, number]
      compareNumbers(
        `${name}, ${flows} flows over ${family}`,
        ["sender", sends + acks],
        ["copy", copy],
        `mean ${(mean(costs.send) + mean(costs.acknowledge)).toFixed(0)} ns, ` +
          `of it acks ${acks.toFixed(0)} ns; receiver ${receives.toFixed(0)} ns`
      )
      return [sends + acks, receives, copy] as const
    }
    phase("create while the table grows", Change.created, inOrder, flows)
    const measured = [
      ["update", ...phase("update", Change.updated, order, flows)],
      ["destroy", ...phase("destroy", Change.destroyed, order, 0)],
      ["create", ...phase("create", Change.created, order, flows)]
    ] as const
    for (const [name, send, , copy] of measured) {
      results.push({
        name: `${family} ${name}, event to datagram, ${flows} flows in random order`,
        value: send,
        unit: "ns",
        aim: { atMost: nsPerEventMax }
      }, {
        name: "    ratio to copying its bytes",
        value: send / copy,
        unit: "×"
      })
    }
    results.push({
      name: `${family} datagram to peer's cache, mean of update, destroy, create`,
      value: mean(measured.map(([, , receive]) => receive)),
      unit: "ns"
    })
  }
  return results
}
