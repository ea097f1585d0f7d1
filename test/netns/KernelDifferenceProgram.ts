/**
 * Gives the same random requests to the kernel of the namespace it runs in and to the simulated
 * one, and prints (JSON) how many there were and where the two differ.
 *
 * Arguments: seed, number of rounds.
 */
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeDelete,
  encodeFlush,
  encodeGet,
  encodeUpdate,
  requestOptions
} from "../../src/core/netlink/CtnetlinkEncode.ts"
import { errnoName } from "../../src/core/netlink/Errno.ts"
import { CtType, NetlinkOption, NlmsgCursor, solNetlink } from "../../src/core/netlink/Nlmsg.ts"
import type { NetlinkHandle } from "../../src/layers/live/NativeAddon.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { describeFlow, flowOf } from "../fakes/FlowDescription.ts"
import { randomFlow, randomOf } from "../fakes/RandomFlow.ts"
import { addon, opened } from "../native/Machine.ts"
import { FakeKernel } from "../sim/kernel/FakeKernel.ts"

const words = new Int32Array(512)
const bytes = new Uint8Array(words.buffer)
const slotBytes = 4096
const received = new Uint8Array(16 * slotBytes)
const receivedWords = new Int32Array(received.buffer)
const lengths = new Int32Array(16)
const cursor = new NlmsgCursor()
const answer = scratchView()

interface Outcome {
  errno: string
  flow?: FlowDescription
  events: Array<unknown>
}

class Side {
  readonly #socket: NetlinkHandle
  readonly #listener: NetlinkHandle

  constructor(open: (protocol: number) => NetlinkHandle | number) {
    this.#socket = opened(open(12))
    this.#socket.setOption(solNetlink, NetlinkOption.capAck, 1)
    this.#listener = opened(open(12))
    this.#listener.setReceiveBuffer(1 << 22)
    for (const group of [1, 2, 3]) this.#listener.join(group)
  }

  ask(end: number): Outcome {
    const out: Outcome = { errno: "none", events: [] }
    this.#socket.send(bytes, end)
    for (const { flow } of this.#read(this.#socket)) {
      if (flow !== undefined) out.flow = flow
      out.errno = errnoName(cursor.errno)
    }
    for (const { flow, kind } of this.#read(this.#listener)) out.events.push([kind, flow])
    return out
  }

  *#read(socket: NetlinkHandle): Generator<{ kind: string; flow: FlowDescription | undefined }> {
    for (
      let count = socket.receive(received, slotBytes, lengths, 16);
      count > 0;
      count = socket.receive(received, slotBytes, lengths, 16)
    ) {
      for (let i = 0; i < count; i++) {
        cursor.reset(receivedWords, i * slotBytes, i * slotBytes + lengths[i]!)
        while (cursor.next()) {
          const isFlow = cursor.type === CtType.new || cursor.type === CtType.delete
          clearScratch(answer)
          if (isFlow) {
            const fault = decodeFlow(receivedWords, received, cursor.bodyAt, cursor.end, answer)
            if (fault !== 0) throw new Error(`fault ${fault}`)
          }
          const kind = `${cursor.type.toString(16)}/${cursor.flags.toString(16)}`
          yield { kind, flow: isFlow ? comparable(describeFlow(answer)) : undefined }
        }
      }
    }
  }
}

/** Ids are opaque, and seconds pass. */
const comparable = (flow: FlowDescription): FlowDescription => {
  const { id: _, timeout: __, timestampEvent: ___, ...rest } = flow
  return rest
}

const random = randomOf(Number(process.argv[2]))
const rounds = Number(process.argv[3])
const kernel = new FakeKernel({ labels: true })
const sides = [new Side((protocol) => addon.openNetlink(protocol)), new Side(kernel.openNetlink)]
const differences: Array<unknown> = []
const errnos: Record<string, number> = {}
/** Flows that were asked for, so that later requests meet earlier ones. */
const recent: Array<FlowDescription> = []

const both = (what: string, flow: FlowDescription, end: number): void => {
  const request = words.slice(0, end >> 2)
  const outcomes = sides.map((side) => {
    words.set(request)
    return side.ask(end)
  })
  const [real, fake] = outcomes.map((outcome) => JSON.stringify(outcome))
  const name = `${what} ${outcomes[0]!.errno}`
  errnos[name] = (errnos[name] ?? 0) + 1
  if (real !== fake) differences.push({ what, flow, real: outcomes[0], fake: outcomes[1] })
}

const changed = (flow: FlowDescription): FlowDescription => {
  const other = randomFlow(random, random(2) === 0)
  const proto = flow.orig!.proto
  return {
    ...other,
    ...(other.orig!.proto === proto ? {} : { tcp: {}, sctp: {}, dccp: {} }),
    orig: flow.orig!
  }
}

let seq = 1
for (let round = 0; round < rounds && differences.length < 20; round++) {
  const isOld = recent.length > 0 && random(3) > 0
  const old = isOld ? recent[random(recent.length)]! : undefined
  const flow = old === undefined
    ? randomFlow(random, random(2) === 0)
    : random(2) === 0
    ? old
    : changed(old)
  // No kernel knows these helpers; ftp is one that it knows for TCP.
  if (flow.helper !== undefined) flow.helper = random(2) === 0 ? "ftp" : "nonsense"
  const master = recent[random(Math.max(recent.length, 1))]?.orig
  if (flow.master !== undefined && master !== undefined && random(2) === 0) flow.master = master
  const view: FlowView = flowOf(flow)
  const options = {
    ...requestOptions(),
    ack: true,
    timeoutSeconds: 1000 + random(100_000),
    windowTracking: random(2) === 0,
    withoutHelper: random(4) > 0,
    withoutMaster: random(4) > 0,
    withoutKeptPort: random(4) === 0
  }
  switch (random(5)) {
    case 0:
    case 1:
      both("create", flow, encodeCreate(words, 0, seq++, view, options))
      recent.push(flow)
      if (recent.length > 30) recent.shift()
      break
    case 2:
      both("update", flow, encodeUpdate(words, 0, seq++, view, options))
      break
    case 3:
      both("delete", flow, encodeDelete(words, 0, seq++, view, false, true))
      break
    case 4:
      break
  }
  both("get", flow, encodeGet(words, 0, seq++, view))
  if (random(500) === 0) {
    words.fill(0)
    for (const side of sides) side.ask(encodeFlush(words, 0, seq++, 0, true))
  }
}
process.stdout.write(JSON.stringify({ errnos, differences }))
process.exit(0)
