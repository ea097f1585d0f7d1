/**
 * Changes many entries of the kernel's table in the namespace it runs in, or prints them all.
 *
 *     FlowProgram.ts create|update|delete FROM COUNT
 *     FlowProgram.ts churn FROM COUNT      creates and deletes the flows, then creates them again
 *     FlowProgram.ts dump                  one JSON description per line
 *
 * Fails when the kernel refuses any request. The numbers are those of `Flows.ts`.
 */
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeDelete,
  encodeDump,
  encodeUpdate,
  requestBytesMax,
  requestOptions
} from "../../src/core/netlink/CtnetlinkEncode.ts"
import { errnoName } from "../../src/core/netlink/Errno.ts"
import { CtType, NlmsgCursor, NlmsgType } from "../../src/core/netlink/Nlmsg.ts"
import { describeFlow, flowOf } from "../fakes/FlowDescription.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { addon, EAGAIN, opened } from "../native/Machine.ts"
import { flowAt, updatedFlowAt } from "./Flows.ts"

const socket = opened(addon.openNetlink(12))
const words = new Int32Array(16_384)
const bytes = new Uint8Array(words.buffer)
const slotBytes = 32_768
const slots = 16
const received = new Uint8Array(slots * slotBytes)
const receivedWords = new Int32Array(received.buffer)
const lengths = new Int32Array(slots)
const cursor = new NlmsgCursor()

let refused = 0

/** Sends what is in `words`; the kernel has worked through it when `send` returns. */
const send = (end: number): void => {
  if (socket.send(bytes, end) !== end) throw new Error("the requests were not sent")
  for (;;) {
    const count = socket.receive(received, slotBytes, lengths, slots)
    if (count === -EAGAIN) return
    if (count < 0) throw new Error(`errno ${-count}`)
    for (let i = 0; i < count; i++) {
      cursor.reset(receivedWords, i * slotBytes, i * slotBytes + lengths[i]!)
      while (cursor.next()) {
        if (cursor.type !== NlmsgType.error || cursor.errno === 0) continue
        refused++
        process.stderr.write(`flow ${cursor.seq}: ${errnoName(cursor.errno)}\n`)
      }
    }
  }
}

const options = { ...requestOptions(), windowTracking: true }

const encoders = {
  create: (at: number, n: number) => encode(encodeCreate, at, n, flowAt(n)),
  update: (at: number, n: number) => encode(encodeUpdate, at, n, updatedFlowAt(n)),
  delete: (at: number, n: number) => encodeDelete(words, at, n, flowOf(flowAt(n)), false)
}

const encode = (
  encoder: typeof encodeCreate,
  at: number,
  n: number,
  flow: FlowDescription
): number => {
  options.timeoutSeconds = flow.timeout ?? -1
  return encoder(words, at, n, flowOf(flow), options)
}

const change = (kind: keyof typeof encoders, from: number, count: number): void => {
  let at = 0
  for (let n = from; n < from + count; n++) {
    at = encoders[kind](at, n)
    if (at + requestBytesMax > bytes.length) {
      send(at)
      at = 0
    }
  }
  if (at > 0) send(at)
}

/** Describes every entry. The kernel produces the answer while it is read. */
const dump = (): ReadonlyArray<FlowDescription> => {
  const view = scratchView()
  const flows: Array<FlowDescription> = []
  const end = encodeDump(words, 0, 1, 0)
  if (socket.send(bytes, end) !== end) throw new Error("the dump was not asked for")
  for (;;) {
    const count = socket.receive(received, slotBytes, lengths, slots)
    if (count < 0) throw new Error(`dump: errno ${-count}`)
    for (let i = 0; i < count; i++) {
      cursor.reset(receivedWords, i * slotBytes, i * slotBytes + lengths[i]!)
      while (cursor.next()) {
        if (cursor.type === NlmsgType.done) return flows
        if (cursor.type !== CtType.new) continue
        clearScratch(view)
        const fault = decodeFlow(receivedWords, received, cursor.bodyAt, cursor.end, view)
        if (fault !== 0) throw new Error(`dump: fault ${fault}`)
        flows.push(describeFlow(view))
      }
    }
  }
}

const [command, from, count] = process.argv.slice(2)

switch (command) {
  case "create":
  case "update":
  case "delete":
    change(command, Number(from), Number(count))
    break
  case "churn":
    change("create", Number(from), Number(count))
    change("delete", Number(from), Number(count))
    change("create", Number(from), Number(count))
    break
  case "dump":
    process.stdout.write(dump().map((flow) => `${JSON.stringify(flow)}\n`).join(""))
    break
  default:
    throw new Error(`unknown command ${command}`)
}
socket.close()
if (refused > 0) {
  process.stderr.write(`${refused} requests were refused\n`)
  process.exitCode = 1
}
