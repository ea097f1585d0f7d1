/**
 * Runs inside a namespace for `Commit.bench.ts`: puts flows into the kernel's table, in batches
 * without acknowledgements and one at a time with, by turns, and reports the costs by message.
 */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { RequestBatch } from "../../src/actors/RequestBatch.ts"
import { encodeFlush } from "../../src/core/netlink/CtnetlinkEncode.ts"
import { NlmsgCursor } from "../../src/core/netlink/Nlmsg.ts"
import type { KernelTable } from "../../src/layers/KernelTable.ts"
import { requestsMax } from "../../src/layers/KernelTable.ts"
import * as KernelTableNetlink from "../../src/layers/live/KernelTableNetlink.ts"
import { loadNativeAddon } from "../../src/layers/live/NativeAddon.ts"
import { flowNumber, flowOptions } from "./KernelFlows.ts"
import { cpuNs } from "./Measurement.ts"

export interface CommitCosts {
  /** CPU ns per flow, one number a round. */
  readonly batched: ReadonlyArray<number>
  readonly single: ReadonlyArray<number>
  /** Entries in the kernel's table after each of them. */
  readonly entries: ReadonlyArray<number>
}

type Table = KernelTable["Service"]

const addon = loadNativeAddon()
const [flows, rounds] = process.argv.slice(2, 4).map(Number) as [number, number]

const flush = (): void => {
  const socket = addon.openNetlink(12)
  if (typeof socket === "number") throw new Error(`netlink socket: errno ${-socket}`)
  const words = new Int32Array(256)
  const end = encodeFlush(words, 0, 1, 0, true)
  socket.send(new Uint8Array(words.buffer), end)
  const answer = new Int32Array(1_024)
  const lengths = new Int32Array(1)
  const count = socket.receive(new Uint8Array(answer.buffer), 4_096, lengths, 1)
  const cursor = new NlmsgCursor()
  cursor.reset(answer, 0, lengths[0]!)
  if (count !== 1 || !cursor.next() || cursor.errno !== 0) throw new Error("not flushed")
  socket.close()
}

const entries = (): number =>
  Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_count", "latin1"))

/** All flows, `batchSize` requests at a time; CPU ns per flow. */
const commit = (table: Table, batchSize: number, ack: boolean): number => {
  const requests = new RequestBatch()
  const options = flowOptions(ack)
  const start = cpuNs()
  for (let n = 0; n < flows; n += batchSize) {
    requests.clear()
    const end = Math.min(n + batchSize, flows)
    for (let i = n; i < end; i++) requests.create(flowNumber(i, 0), i, options)
    const { errnos } = Effect.runSync(table.apply(requests))
    for (let i = 0; i < end - n; i++) {
      if (errnos[i] !== 0) throw new Error(`flow ${n + i} was refused: errno ${errnos[i]}`)
    }
  }
  return (cpuNs() - start) / flows
}

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const { table } = yield* KernelTableNetlink.open(addon)
  const costs = {
    batched: [] as Array<number>,
    single: [] as Array<number>,
    entries: [] as Array<number>
  }
  for (let round = 0; round < rounds; round++) {
    flush()
    costs.batched.push(commit(table, requestsMax, false))
    costs.entries.push(entries())
    flush()
    costs.single.push(commit(table, 1, true))
    costs.entries.push(entries())
  }
  flush()
  process.send?.(costs satisfies CommitCosts)
})))
process.disconnect?.()
