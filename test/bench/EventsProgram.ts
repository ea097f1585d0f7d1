/**
 * Runs inside a namespace for `Daemons.bench.ts`: makes kernel events at a given rate, by creating,
 * updating and deleting flows through the addon. Told what to do by messages, one at a time.
 */
import { RequestBatch } from "../../src/actors/RequestBatch.ts"
import type { Change } from "../../src/core/model/Change.ts"
import { NetlinkOption, solNetlink } from "../../src/core/netlink/Nlmsg.ts"
import { loadNativeAddon } from "../../src/layers/live/NativeAddon.ts"
import { flowNumber, flowOptions } from "./KernelFlows.ts"

export interface EventOrder {
  readonly change: Change
  readonly count: number
  readonly perSecond: number
  /** What updates set: another value each time, or nothing changes and nothing is reported. */
  readonly mark: number
}

export interface EventReport {
  /** Requests that the kernel refused. */
  readonly refused: number
  readonly perSecond: number
}

/** Requests of one send when events come fast. */
const fastBatch = 16
/** Below this rate every event is a send of its own. */
const fastRate = 10_000
const tickMs = 1

const addon = loadNativeAddon()
const opened = addon.openNetlink(12)
if (typeof opened === "number") throw new Error(`netlink socket: errno ${-opened}`)
const socket = opened
socket.setOption(solNetlink, NetlinkOption.capAck, 1)
const requests = new RequestBatch()
const options = flowOptions(false)
const answers = new Uint8Array(64 * 256)
const lengths = new Int32Array(64)

const send = ({ change, mark }: EventOrder, from: number, to: number): number => {
  requests.clear()
  for (let n = from; n < to; n++) {
    const flow = flowNumber(n, mark)
    if (change === 0) requests.create(flow, n, options)
    else if (change === 1) requests.update(flow, n, options)
    else requests.delete(flow, n, false)
  }
  const sent = socket.send(requests.bytes, requests.length)
  if (sent < 0) throw new Error(`not sent: errno ${-sent}`)
  return Math.max(0, socket.receive(answers, 256, lengths, 64))
}

const make = async (order: EventOrder): Promise<EventReport> => {
  const { count, perSecond } = order
  const batch = perSecond >= fastRate ? fastBatch : 1
  const start = performance.now()
  let done = 0
  let refused = 0
  while (done < count) {
    const due = Math.min(count, Math.ceil(((performance.now() - start) * perSecond) / 1e3))
    while (done < due) {
      const to = Math.min(due, done + batch)
      refused += send(order, done, to)
      done = to
    }
    await new Promise((next) => setTimeout(next, tickMs))
  }
  return { refused, perSecond: (count * 1e3) / (performance.now() - start) }
}

process.on("message", (order: EventOrder) => {
  make(order).then((report) => process.send?.(report), (cause: unknown) => {
    process.stderr.write(`${String(cause)}\n`)
    process.exit(1)
  })
})
process.send?.("ready")
