/**
 * How many bytes does a flow take at a million flows: in the cache with its index, and in the whole
 * process, protocol state included?
 *
 * The process is measured from outside (array buffers, and resident memory), so that nothing is
 * forgotten; the peer's cache lives in the same process and is counted as a second cache.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Change } from "../../src/core/model/Change.ts"
import type { Measurement } from "./Measurement.ts"
import { Node, Wire } from "./Pair.ts"
import { eventSlotBytes, RecordedEvents } from "./RecordedEvents.ts"

export const title = "memory of a million flows"

const batchEvents = 1_000
const flows = 1_000_000
const bytesPerFlowMax = 200

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const memory = (): {
  readonly outside: number
  readonly heap: number
  readonly resident: number
} => {
  collectGarbage()
  const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
  return { outside: arrayBuffers, heap: heapUsed, resident: rss }
}

/** Fills a pair of caches; the pair must be kept until memory was read. */
const fill = (events: RecordedEvents): readonly [Node, Node] => {
  const sender = new Node(2 * flows, 1_000)
  const receiver = new Node(2 * flows, 2_000)
  const [forth, back] = [new Wire(), new Wire()]
  const bytes = new Uint8Array(batchEvents * eventSlotBytes)
  const words = new Int32Array(bytes.buffer)
  const lengths = new Int32Array(batchEvents).fill(events.lengthOf(Change.created))
  for (let n = 0; n < flows; n += batchEvents) {
    const nowMs = n / 200
    for (let i = 0; i < batchEvents; i++) {
      events.write(bytes, i * eventSlotBytes, Change.created, n + i)
    }
    sender.ingest(words, bytes, eventSlotBytes, lengths)
    sender.send(forth.carry, nowMs)
    forth.deliver(receiver, nowMs)
    receiver.send(back.carry, nowMs)
    back.deliver(sender, nowMs)
    sender.send(forth.carry, nowMs)
  }
  const [told, heard] = [sender.internal.stats.active, receiver.external.stats.active]
  if (told !== flows || heard !== flows) throw new Error(`${told} and ${heard} flows`)
  return [sender, receiver]
}

export const run = (): ReadonlyArray<Measurement> => {
  // What was measured stays, so that its collection is not taken for a saving of the next.
  const kept: Array<readonly [Node, Node]> = []
  const results = (["IPv4", "IPv6"] as const).flatMap((family) => {
    const events = new RecordedEvents(family)
    const before = memory()
    const pair = fill(events)
    kept.push(pair)
    const after = memory()
    const perFlow = (bytes: number) => bytes / flows / pair.length
    const table = pair[0].internal.table
    const outside = perFlow(after.outside - before.outside)
    const heap = perFlow(after.heap - before.heap)
    process.stdout.write(
      `${family}: table and index ${(table.bytesAllocated / table.size).toFixed(1)}, ` +
        `all array buffers ${outside.toFixed(1)}, JavaScript heap ${heap.toFixed(1)} ` +
        `bytes per flow and cache, two caches of ${flows} flows\n`
    )
    const of = (what: string) => `${family} ${what}, ${flows} flows`
    return [{
      name: of("bytes per flow: table and index, as allocated"),
      value: table.bytesAllocated / table.size,
      unit: "bytes",
      aim: { atMost: bytesPerFlowMax }
    }, {
      name: of("bytes per flow: whole process, allocated"),
      value: outside + heap,
      unit: "bytes",
      aim: { atMost: bytesPerFlowMax }
    }, {
      name: of("bytes per flow: whole process, resident"),
      value: perFlow(after.resident - before.resident),
      unit: "bytes",
      aim: { atMost: bytesPerFlowMax }
    }]
  })
  if (kept.some(([{ internal }]) => internal.stats.active !== flows)) throw new Error("flows left")
  return results
}
