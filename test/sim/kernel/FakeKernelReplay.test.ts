/**
 * The simulated kernel, given the recorded requests, answers and reports what a real one did: the
 * same bytes but for ids, port ids and seconds that had passed.
 */
import { assert, describe, it } from "@effect/vitest"
import type { RecordedNlmsg } from "../../golden/CtnetlinkMessages.ts"
import { ctnetlinkRecordings, memoryOf } from "../../golden/CtnetlinkMessages.ts"
import { FakeKernel } from "./FakeKernel.ts"
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { KernelTraffic } from "./KernelTraffic.ts"

const messagesOf = (name: string): ReadonlyArray<RecordedNlmsg> =>
  ctnetlinkRecordings.find((recording) => recording.name === name)!.messages

/** Positions of the values of the top-level attributes of a type. */
const valueOf = (bytes: Uint8Array, wanted: number): number => {
  for (let at = 20; at + 4 <= bytes.length;) {
    const length = bytes[at]! | (bytes[at + 1]! << 8)
    const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
    if (type === wanted) return at + 4
    if (length < 4) return -1
    at += (length + 3) & ~3
  }
  return -1
}

interface Comparable {
  readonly hex: string
  readonly timeout: number | undefined
}

/** Without sequence number, port id and flow id; the timeout apart. */
const comparable = (message: Uint8Array): Comparable => {
  const bytes = message.slice()
  const type = bytes[4]! | (bytes[5]! << 8)
  bytes.fill(0, 8, 16)
  if (type === 2) bytes.fill(0, 28, 36)
  let timeout: number | undefined
  if (type >> 8 === 1) {
    const id = valueOf(bytes, 12)
    if (id >= 0) bytes.fill(0, id, id + 4)
    const at = valueOf(bytes, 7)
    if (at >= 0) {
      timeout = new DataView(bytes.buffer).getUint32(at)
      bytes.fill(0, at, at + 4)
    }
    const stamp = valueOf(bytes, 27)
    if (stamp >= 0) assert.fail("nf_conntrack_timestamp was on in this recording")
  }
  return { hex: Buffer.from(bytes).toString("hex"), timeout }
}

const check = (actual: Uint8Array | undefined, message: RecordedNlmsg) => {
  assert.isDefined(actual, `${message.step}: ${message.source} ${message.group ?? ""}`)
  const mine = comparable(actual!)
  const { bytes, length } = memoryOf(message.hex)
  const theirs = comparable(bytes.subarray(0, length))
  assert.strictEqual(mine.hex, theirs.hex, `${message.step}: ${message.source}`)
  if (theirs.timeout === undefined) assert.isUndefined(mine.timeout)
  else {
    assert.isAtLeast(mine.timeout!, theirs.timeout, message.step)
    assert.isAtMost(mine.timeout! - theirs.timeout, 2, message.step)
  }
}

const groups: Readonly<Record<string, number>> = { NEW: 1, UPDATE: 2, DESTROY: 3 }

const setUp = (labels = false) => {
  const kernel = new FakeKernel({ labels })
  const requester = kernel.openSocket()
  const listeners = new Map<string, FakeNetlinkSocket>()
  for (const [name, group] of Object.entries(groups)) {
    const socket = kernel.openSocket()
    socket.join(group)
    socket.setReceiveBuffer(1 << 20)
    listeners.set(name, socket)
  }
  return { kernel, requester, listeners }
}

/** Recorded requests whose port ids and ids are ours. */
const send = (socket: FakeNetlinkSocket, { hex }: RecordedNlmsg) => {
  const { bytes, length } = memoryOf(hex)
  socket.send(bytes, length)
}

const isOfFlows = (message: RecordedNlmsg) =>
  message.decoded.nlmsg.type >>> 8 === 1 || message.decoded.nlmsg.type === 2

describe("the recorded requests", () => {
  it("create, update and get flows as recorded", () => {
    const { listeners, requester } = setUp()
    let compared = 0
    const messages = messagesOf("ctnetlink-requests")
    const end = messages.findIndex(({ step }) => step === "create expectation")
    for (const message of messages.slice(0, end)) {
      assert.isTrue(isOfFlows(message))
      if (message.source === "request") send(requester, message)
      else if (message.source === "answer") check(requester.take(), message)
      else check(listeners.get(message.group!)!.take(), message)
      compared++
    }
    assert.isAbove(compared, 180)
    assert.isUndefined(requester.take())
    for (const socket of listeners.values()) assert.isUndefined(socket.take())
  })

  it("dump, filter and flush what they created", () => {
    const { kernel, listeners, requester } = setUp()
    const messages = messagesOf("ctnetlink-requests")
    for (const message of messages) {
      const { flags, type } = message.decoded.nlmsg
      const isCreate = message.source === "request" && type === 0x100
      if (!isCreate) continue
      send(requester, message)
      assert.isAbove(flags, 0)
      requester.take()
      listeners.get("NEW")!.take()
      listeners.get("UPDATE")!.take()
    }
    /** All entries and the end, unordered, as the order of a hash table means nothing. */
    const dump = (hex: string) => {
      const { bytes, length } = memoryOf(hex)
      requester.send(bytes, length)
      const out: Array<string> = []
      for (let datagram = requester.take(); datagram !== undefined; datagram = requester.take()) {
        for (let at = 0; at < datagram.length;) {
          const size = datagram[at]! | (datagram[at + 1]! << 8)
          out.push(comparable(datagram.slice(at, at + size)).hex)
          at += size
        }
      }
      return out.toSorted()
    }
    const recorded = (step: string) =>
      messages.filter((m) => m.source === "dump" && m.step === step)
        .map((m) => comparable(memoryOf(m.hex).bytes).hex)
        .toSorted()
    const request = (attributes: string, family = "00") => {
      const length = (20 + attributes.length / 2).toString(16).padStart(2, "0")
      return `${length}000000010101030100000000000000${family}000000${attributes}`
    }
    assert.deepStrictEqual(dump(request("")), recorded("dump all"))
    assert.deepStrictEqual(
      dump(request("", "0a")),
      recorded("dump ipv6 only (NLM_F_DUMP_FILTERED)")
    )
    const before = kernel.size
    send(requester, messages.find(({ step }) => step === "flush all")!)
    assert.strictEqual(kernel.size, 0)
    check(requester.take(), messages.find((m) => m.step === "flush all" && m.source === "answer")!)
    const destroyed: Array<string> = []
    const listener = listeners.get("DESTROY")!
    for (let event = listener.take(); event !== undefined; event = listener.take()) {
      destroyed.push(comparable(event).hex)
    }
    assert.strictEqual(destroyed.length, before)
    assert.deepStrictEqual(
      destroyed.toSorted(),
      messages.filter((m) => m.group === "DESTROY")
        .map((m) => comparable(memoryOf(m.hex).bytes).hex)
        .toSorted()
    )
  })

  it("name zones as recorded", () => {
    const { listeners, requester } = setUp()
    const messages = messagesOf("zones")
    const from = messages.findIndex(({ step }) => step === "ctnetlink create zone 9 both")
    let compared = 0
    for (const message of messages.slice(from)) {
      if (message.source === "request") send(requester, message)
      else if (message.source === "answer") check(requester.take(), message)
      else if (message.group === "NEW") check(listeners.get("NEW")!.take(), message)
      else if (message.group === "DESTROY") check(listeners.get("DESTROY")!.take(), message)
      else continue
      compared++
    }
    assert.isAbove(compared, 12)
  })

  it("are refused as recorded", () => {
    const { requester } = setUp()
    for (const message of messagesOf("errors")) {
      // Their answers have texts, which are not simulated.
      if (/EXT_ACK: (ERANGE|EINVAL)/.test(message.step)) continue
      if (message.source === "request") {
        requester.setOption(270, 10, message.step.startsWith("CAP_ACK") ? 1 : 0)
        send(requester, message)
      } else if (message.source === "answer") check(requester.take(), message)
    }
    assert.isUndefined(requester.take())
  })
})

describe("recorded traffic", () => {
  const { kernel, listeners } = setUp()
  const traffic = new KernelTraffic(kernel)
  const take = (name: string, step: string) => {
    for (const message of messagesOf(name)) {
      if (message.source !== "event" || message.step !== step) continue
      check(listeners.get(message.group!)!.take(), message)
    }
  }

  it("opens and closes a TCP connection, over IPv4 and IPv6", () => {
    for (
      const [name, src, dst] of [["ipv4", "10.1.0.2", "10.2.0.2"], ["ipv6", "fd01::2", "fd02::2"]]
    ) {
      const file = `tcp-lifecycle-${name}`
      const { flow } = messagesOf(file).find(({ group }) => group === "NEW")!
      const { dport, sport } = flow!["orig"] as { sport: number; dport: number }
      const made = traffic.establishTcp({ src: src!, dst: dst!, sport, dport })!
      take(file, "three-way handshake done")
      traffic.advanceTcp(made, "FIN_WAIT")
      traffic.advanceTcp(made, "CLOSE_WAIT")
      take(file, "client closed (FIN)")
      traffic.advanceTcp(made, "LAST_ACK")
      traffic.advanceTcp(made, "TIME_WAIT")
      take(file, "server closed")
      kernel.remove(made)
      take(file, "destroy event (portid of requester in nlmsg_pid)")
    }
  })

  it("refuses and resets TCP connections", () => {
    const addresses = { src: "10.1.0.2", dst: "10.2.0.2" }
    const file = "tcp-reset-and-refused"
    const [first, second] = messagesOf(file)
      .filter(({ group }) => group === "NEW")
      .map(({ flow }) => flow!["orig"] as { sport: number; dport: number })
    const { dport, sport } = first!
    traffic.resetTcp(traffic.openTcp({ ...addresses, sport, dport })!)
    take(file, "refused connect")
    const made = traffic.establishTcp({
      ...addresses,
      sport: second!.sport,
      dport: second!.dport
    })!
    take(file, "established")
    traffic.resetTcp(made)
    take(file, "RST sent by client")
  })

  it("sees UDP and ICMP answered", () => {
    for (
      const [version, src, dst] of [["v4", "10.1.0.2", "10.2.0.2"], ["v6", "fd01::2", "fd02::2"]]
    ) {
      const { flow } = messagesOf("udp").find((m) => m.step === `${version} first packet`)!
      const { dport, sport } = flow!["orig"] as { sport: number; dport: number }
      const made = traffic.openUdp({ src: src!, dst: dst!, sport, dport })!
      take("udp", `${version} first packet`)
      traffic.answer(made)
      take("udp", `${version} reply`)
      traffic.assure(made)
      take("udp", `${version} stream after >2s: ASSURED`)
      const echo = messagesOf("icmp").find((m) => m.step === `${version} echo`)!.flow!
      const { icmpId } = echo["orig"] as { icmpId: number }
      traffic.answer(traffic.openIcmp({ src: src!, dst: dst!, sport: icmpId })!)
      take("icmp", `${version} echo`)
    }
  })

  it("translates", () => {
    const addresses = { src: "10.1.0.2", dst: "10.2.0.2" }
    const original = (step: string) =>
      messagesOf("nat").find((m) => m.step === step)!.flow!["orig"] as {
        dst: string
        sport: number
        dport: number
      }
    const cases = [
      ["snat", { snat: { address: "10.2.0.1" } }],
      ["snat+port", { snat: { address: "10.2.0.1", port: 5555 } }],
      ["dnat+masquerade", {
        snat: { address: "10.2.0.1" },
        dnat: { address: "10.2.0.2", port: 8101 }
      }],
      ["no nat rule matched", { hasNatRules: true }]
    ] as const
    for (const [step, translation] of cases) {
      const { dport, dst, sport } = original(step)
      traffic.establishTcp({ ...addresses, dst, sport, dport, ...translation })
      take("nat", step)
    }
  })

  it("ends a flow when its time is over, with the time left out", () => {
    const { dport, sport } = messagesOf("udp").find((m) => m.step === "short-lived flow")!
      .flow!["orig"] as { sport: number; dport: number }
    const flow = traffic.openUdp({ src: "10.1.0.2", dst: "10.2.0.2", sport, dport })!
    kernel.expireIn(flow, 1)
    listeners.get("NEW")!.take()
    kernel.advanceTo(kernel.nowMs + 999)
    assert.isUndefined(listeners.get("DESTROY")!.take())
    kernel.advanceTo(kernel.nowMs + 1)
    take("udp", "destroy on timeout (no portid)")
  })
})
