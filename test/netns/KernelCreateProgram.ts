/**
 * Creates entries in the kernel's table of the namespace it runs in, reads them back, and prints
 * (JSON) what the kernel holds beside what we say that it will hold.
 *
 * The words on the command line choose what: `commit` for the recorded entries of commit.json,
 * `ports` for translated entries of every protocol, `kept` for those whose source keeps its port.
 */
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import { deriveCommitted } from "../../src/core/netlink/Committed.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeFlush,
  encodeGet,
  encodeUpdate,
  requestOptions
} from "../../src/core/netlink/CtnetlinkEncode.ts"
import type { RequestOptions } from "../../src/core/netlink/CtnetlinkEncode.ts"
import { errnoName } from "../../src/core/netlink/Errno.ts"
import { CtType, NetlinkOption, NlmsgCursor, solNetlink } from "../../src/core/netlink/Nlmsg.ts"
import { describeFlow, flowOf } from "../fakes/FlowDescription.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { keptPorts, orders, taken } from "../fakes/KeptPorts.ts"
import { commitCases, entryOf, numberIn } from "../golden/WireRequests.ts"
import { addon, opened } from "../native/Machine.ts"

const socket = opened(addon.openNetlink(12))
socket.setOption(solNetlink, NetlinkOption.capAck, 1)
const words = new Int32Array(512)
const bytes = new Uint8Array(words.buffer)
const slotBytes = 4096
const received = new Uint8Array(16 * slotBytes)
const receivedWords = new Int32Array(received.buffer)
const lengths = new Int32Array(16)
const cursor = new NlmsgCursor()
const answer = scratchView()

/** Sends the request that `end` closes; its errno. A flow that is answered is left in `answer`. */
const ask = (end: number): number => {
  if (socket.send(bytes, end) !== end) throw new Error("the request was not sent")
  const count = socket.receive(received, slotBytes, lengths, 16)
  let errno = -1
  for (let i = 0; i < count; i++) {
    cursor.reset(receivedWords, i * slotBytes, i * slotBytes + lengths[i]!)
    while (cursor.next()) {
      if (cursor.type === CtType.new) {
        clearScratch(answer)
        const fault = decodeFlow(receivedWords, received, cursor.bodyAt, cursor.end, answer)
        if (fault !== 0) throw new Error(`fault ${fault}`)
        errno = 0
      } else errno = cursor.errno
    }
  }
  return errno
}

let seq = 1

interface Outcome {
  readonly id: string
  readonly errno: string
  readonly kernel?: FlowDescription
  readonly derived?: FlowDescription
  /** Errno of an update of the same flow with the same content. */
  readonly update?: string
}

const outcomes: Array<Outcome> = []

const attempt = (id: string, view: FlowView, options: RequestOptions) => {
  const errno = ask(encodeCreate(words, 0, seq++, view, options))
  if (errno !== 0) {
    outcomes.push({ id, errno: errnoName(errno) })
    return
  }
  const got = ask(encodeGet(words, 0, seq++, view))
  if (got !== 0) throw new Error(`${id}: created, but get says ${errnoName(got)}`)
  const kernel = describeFlow(answer)
  const derived = scratchView()
  deriveCommitted(view, options, derived)
  const update = ask(encodeUpdate(words, 0, seq++, view, options))
  outcomes.push({
    id,
    errno: "OK",
    kernel,
    derived: describeFlow(derived),
    update: errnoName(update)
  })
}

const flush = () => {
  if (ask(encodeFlush(words, 0, seq++, 0, true)) !== 0) throw new Error("not flushed")
}

const orig = { src: "10.1.0.2", dst: "10.2.0.2" }

const master = (zone?: number): FlowDescription => ({
  orig: { ...orig, proto: 6, sport: 33333, dport: 21 },
  ...(zone === undefined ? {} : { zone }),
  helper: "ftp"
})

const base = { ...requestOptions(), ack: true, timeoutSeconds: 600 }

if (process.argv[2] === "commit") {
  for (const recorded of commitCases) {
    flush()
    const view = entryOf(recorded)
    const { request } = recorded.netlink[0]!
    const timeoutSeconds = numberIn(request.attrs, "TIMEOUT") ?? -1
    const windowTracking = recorded.config.options.includes("TCPWindowTracking On")
    if (recorded.id.endsWith("+master-in-kernel")) {
      const zone = numberIn(request.attrs, "ZONE")
      const errno = ask(encodeCreate(words, 0, seq++, flowOf(master(zone)), base))
      if (errno !== 0) throw new Error(`master: ${errnoName(errno)}`)
    }
    const options = { ...base, timeoutSeconds, windowTracking }
    attempt(recorded.id, view, options)
    attempt(`${recorded.id} again`, view, options)
    if (recorded.id === "ct-master-ipv4") {
      attempt("ct-master-ipv4 without it", view, { ...options, withoutMaster: true })
    }
    if (recorded.id === "ct-helper-netbios-ns") {
      attempt("ct-helper-netbios-ns without it", view, { ...options, withoutHelper: true })
    }
  }
} else if (process.argv[2] === "kept") {
  for (const proto of [6, 17, 132, 136]) {
    const flows = keptPorts(proto)
    for (const order of orders) {
      flush()
      for (const name of order) attempt(`${proto} ${order} ${name}`, flowOf(flows[name]), base)
    }
    for (const [kind, pair] of Object.entries(taken(proto))) {
      flush()
      attempt(`${proto} ${kind} first`, flowOf(pair[0]), base)
      attempt(`${proto} ${kind} second`, flowOf(pair[1]), base)
      attempt(`${proto} ${kind} any`, flowOf(pair[1]), { ...base, withoutKeptPort: true })
    }
  }
} else {
  const translation = { snat: "203.0.113.7", dnat: "10.2.0.99", snatPort: 1025, dnatPort: 8080 }
  for (const proto of [6, 17, 33, 47, 50, 132, 136]) {
    flush()
    const flow: FlowDescription = { orig: { ...orig, proto }, translation }
    if (proto !== 50) Object.assign(flow.orig!, { sport: 40000, dport: 80 })
    attempt(`translated ${proto}`, flowOf(flow), base)
  }
  for (
    const [proto, type, family] of [[1, 8, orig], [58, 128, {
      src: "fd01::2",
      dst: "fd02::2"
    }]] as const
  ) {
    flush()
    const icmp = { icmpId: 77, icmpType: type, icmpCode: 0 }
    const to = proto === 1 ? translation : { ...translation, snat: "fd03::7", dnat: "fd02::99" }
    attempt(
      `translated ${proto}`,
      flowOf({ orig: { ...family, proto, ...icmp }, translation: to }),
      base
    )
  }
  for (let state = 0; state <= 12; state++) {
    flush()
    const tcp = { state, wscaleOrig: 7, wscaleReply: 15 }
    const flow = { orig: { ...orig, proto: 6, sport: 1, dport: 2 }, status: 0x20f, tcp }
    attempt(`tcp ${state}`, flowOf(flow), base)
    flush()
    attempt(`tcp ${state} tracking`, flowOf(flow), { ...base, windowTracking: true })
    flush()
    const sctp = { state, vtagOrig: 0x1234_5678, vtagReply: 0x9abc_def0 }
    attempt(
      `sctp ${state}`,
      flowOf({ orig: { ...orig, proto: 132, sport: 1, dport: 2 }, sctp }),
      base
    )
  }
  flush()
  attempt(
    "sctp without tags",
    flowOf({ orig: { ...orig, proto: 132, sport: 1, dport: 2 }, sctp: { state: 4 } }),
    base
  )
  for (const zone of [{ zone: 5 }, { zone: 0 }]) {
    flush()
    const flow = { orig: { ...orig, proto: 17, sport: 1, dport: 2 }, mark: 7, ...zone }
    attempt(`zone ${zone.zone}`, flowOf(flow), base)
  }
  flush()
  const inZone = { orig: { ...orig, proto: 17, sport: 1, dport: 2, zone: 6 } }
  attempt("original zone", flowOf(inZone), base)
  flush()
  attempt(
    "labels of one word",
    flowOf({ orig: { ...orig, proto: 17, sport: 1, dport: 2 }, labels: "02000000" }),
    base
  )
}

socket.close()
process.stdout.write(JSON.stringify(outcomes))
