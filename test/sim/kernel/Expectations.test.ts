/**
 * Expectations of the simulated kernel, against recorded helpers and requests: the same bytes but
 * for ids, port ids and seconds that had passed. What requests are answered: test/conformance.
 */
import { assert, describe, it } from "@effect/vitest"
import type { RecordedNlmsg } from "../../golden/CtnetlinkMessages.ts"
import { ctnetlinkRecordings, memoryOf } from "../../golden/CtnetlinkMessages.ts"
import type { FakeKernelOptions } from "./FakeKernel.ts"
import { FakeKernel } from "./FakeKernel.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { StatusBit } from "./KernelFlow.ts"
import type { Connection } from "./KernelTraffic.ts"
import { hexOfAddress, KernelTraffic, tupleOf } from "./KernelTraffic.ts"

const messagesOf = (name: string): ReadonlyArray<RecordedNlmsg> =>
  ctnetlinkRecordings.find((recording) => recording.name === name)!.messages

/** Without sequence number, port id and id; the seconds apart. */
const comparable = (message: Uint8Array) => {
  const bytes = message.slice()
  const type = bytes[4]! | (bytes[5]! << 8)
  bytes.fill(0, 8, 16)
  if (type === 2) bytes.fill(0, 24, 36)
  const [idType, timeoutType] = type >> 8 === 2 ? [5, 4] : [12, 7]
  let seconds = 0
  const end = type === 2 ? 0 : bytes.length
  for (let at = 20; at + 4 <= end;) {
    const length = bytes[at]! | (bytes[at + 1]! << 8)
    const attributeType = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
    if (attributeType === timeoutType) seconds = new DataView(bytes.buffer).getUint32(at + 4)
    if (attributeType === timeoutType || attributeType === idType) bytes.fill(0, at + 4, at + 8)
    at += Math.max(4, (length + 3) & ~3)
  }
  return { hex: Buffer.from(bytes).toString("hex"), seconds }
}

const check = (actual: Uint8Array | undefined, message: RecordedNlmsg) => {
  const name = `${message.step}: ${message.group ?? message.source}`
  assert.isDefined(actual, name)
  const { bytes, length } = memoryOf(message.hex)
  const [mine, theirs] = [comparable(actual!), comparable(bytes.subarray(0, length))]
  assert.strictEqual(mine.hex, theirs.hex, name)
  // In a recording some seconds had passed.
  assert.isAtLeast(mine.seconds, theirs.seconds, name)
  assert.isAtMost(mine.seconds - theirs.seconds, 4, name)
}

const groups = { NEW: 1, UPDATE: 2, DESTROY: 3, EXP_NEW: 4, EXP_DESTROY: 6 } as const
type Group = keyof typeof groups

const setUp = (options: FakeKernelOptions = {}) => {
  const kernel = new FakeKernel(options)
  const requester = kernel.openSocket()
  const traffic = new KernelTraffic(kernel)
  const listenerOf = (group: Group) => {
    const socket = kernel.openSocket()
    socket.join(groups[group])
    socket.setReceiveBuffer(1 << 20)
    return socket
  }
  const listeners = {
    NEW: listenerOf("NEW"),
    UPDATE: listenerOf("UPDATE"),
    DESTROY: listenerOf("DESTROY"),
    EXP_NEW: listenerOf("EXP_NEW"),
    EXP_DESTROY: listenerOf("EXP_DESTROY")
  }
  return { kernel, requester, traffic, listeners }
}

const control: Connection = { src: "10.1.0.2", dst: "10.2.0.2", sport: 48_001, dport: 21 }

/** A helper's control connection. */
const openControl = (traffic: KernelTraffic, connection: Connection, helper = "ftp") => {
  const flow = helper === "ftp"
    ? traffic.establishTcp({ ...connection, helper })!
    : traffic.openUdp({ ...connection, helper })!
  flow.status |= StatusBit.helper
  return flow
}

const expectData = (kernel: FakeKernel, master: KernelFlow, data: Connection, l4 = 6) =>
  kernel.expect({ family: master.family, master, tuple: tupleOf(l4, data) })

/** What a translating helper notes: the port before, and the direction. */
const translated = (direction: 0 | 1, port: number) => ({
  fn: "nat-follow-master",
  translation: { direction, address: hexOfAddress("0.0.0.0"), port }
})

describe("recorded helpers", () => {
  const pick = (name: string, wanted: ReadonlyArray<number>) =>
    wanted.map((index) => messagesOf(name)[index]!)

  it("expect data connections, over IPv4 and IPv6, until these or the end of the master", () => {
    const { kernel, listeners, traffic } = setUp()
    const master = openControl(traffic, control)
    const toServer = { src: "10.1.0.2", dst: "10.2.0.2" }
    listeners.NEW.take()
    expectData(kernel, master, { ...toServer, dport: 20_001 })
    const data = traffic.openTcp({ ...toServer, sport: 49_001, dport: 20_001 })!
    assert.strictEqual(data.master, master)
    expectData(kernel, master, { src: "10.2.0.2", dst: "10.1.0.2", dport: 20_002 })
    const toServer6 = { src: "fd01::2", dst: "fd02::2" }
    const master6 = openControl(traffic, { ...toServer6, sport: 48_005, dport: 21 })
    expectData(kernel, master6, { ...toServer6, dport: 20_001 })
    traffic.openTcp({ ...toServer6, sport: 49_005, dport: 20_001 })
    kernel.remove(master)
    const [created, created6, ...rest] = pick("helper-ftp", [8, 38, 3, 16, 30])
    check(listeners.NEW.take(), created!)
    listeners.NEW.take()
    check(listeners.NEW.take(), created6!)
    for (const message of rest) check(listeners.EXP_NEW.take(), message)
    for (const message of pick("helper-ftp", [10, 40, 61])) {
      check(listeners.EXP_DESTROY.take(), message)
    }
    assert.isUndefined(listeners.EXP_NEW.take())
    assert.isUndefined(listeners.EXP_DESTROY.take())
    assert.lengthOf(kernel.expectations, 0)
  })

  it("expect the answer of a TFTP server, from any port", () => {
    const { kernel, listeners, requester, traffic } = setUp()
    const tftp = { ...control, sport: 48_100, dport: 69 }
    const master = openControl(traffic, tftp, "tftp")
    expectData(kernel, master, { src: "10.2.0.2", dst: "10.1.0.2", dport: 48_100 }, 17)
    const [created, gone] = pick("helper-ftp", [63, 68])
    check(listeners.EXP_NEW.take(), created!)
    const flush = messagesOf("ctnetlink-requests").find((m) => m.step === "delete expectation")!
    const { bytes } = memoryOf(flush.hex)
    bytes[0] = 20
    requester.send(bytes, 20)
    check(listeners.EXP_DESTROY.take(), gone!)
  })

  it("translate the data connection as the control connection", () => {
    const { kernel, listeners, traffic } = setUp()
    const master = openControl(traffic, {
      src: "10.1.0.2",
      dst: "10.1.0.111",
      sport: 49_001,
      dport: 21,
      snat: { address: "10.2.0.1" },
      dnat: { address: "10.2.0.2" }
    })
    listeners.NEW.take()
    const toServer = { src: "10.1.0.2", dst: "10.1.0.111" }
    kernel.expect({
      family: 2,
      master,
      tuple: tupleOf(6, { ...toServer, dport: 20_001 }),
      ...translated(0, 20_001)
    })
    traffic.openTcp({ ...toServer, sport: 50_001, dport: 20_001 })
    kernel.expect({
      family: 2,
      master,
      tuple: tupleOf(6, { src: "10.2.0.2", dst: "10.2.0.1", dport: 20_002 }),
      ...translated(1, 20_002)
    })
    const [first, data, gone, second] = pick("helper-ftp-nat", [3, 8, 10, 16])
    check(listeners.EXP_NEW.take(), first!)
    check(listeners.NEW.take(), data!)
    check(listeners.EXP_DESTROY.take(), gone!)
    check(listeners.EXP_NEW.take(), second!)
    // The server's connection to the translated port reaches the client.
    const back = traffic.openTcp({ src: "10.2.0.2", dst: "10.2.0.1", sport: 20, dport: 20_002 })!
    const { dst, src } = back.reply
    assert.deepStrictEqual([src, dst], ["10.1.0.2", "10.1.0.111"].map(hexOfAddress))
    assert.strictEqual(back.reply.a, 20_002)
  })
})

describe("recorded requests", () => {
  it("create, get, update and delete an expectation", () => {
    const { kernel, listeners, requester } = setUp()
    const messages = messagesOf("ctnetlink-requests")
    const from = messages.findIndex(({ step }) => step === "create expectation")
    const before = messages.slice(0, from).filter(({ source }) => source === "request")
    const isMaster = ({ hex }: RecordedNlmsg) => hex.includes("66747000")
    const send = ({ hex }: RecordedNlmsg) => {
      const { bytes, length } = memoryOf(hex)
      requester.send(bytes, length)
    }
    for (const message of before.filter(isMaster)) send(message)
    while (requester.take() !== undefined);
    let compared = 0
    for (const message of messages.slice(from, from + 12)) {
      if (message.source === "request") send(message)
      else if (message.source === "answer") check(requester.take(), message)
      else if (message.source === "event") check(listeners[message.group as Group].take(), message)
      else {
        // A dump is taken apart by message.
        if (message.decoded.nlmsg.type !== 0x200) continue
        assert.lengthOf(kernel.expectations, 1)
      }
      compared++
    }
    assert.isAtLeast(compared, 10)
    assert.lengthOf(kernel.expectations, 0)
  })
})

describe("expected flows", () => {
  const tuple = tupleOf(17, { ...control, sport: 0, dport: 7_777 })
  const open = (traffic: KernelTraffic, dport = 7_777) =>
    traffic.openUdp({ src: control.src, dst: control.dst, sport: 5_555, dport })!

  it("get the master and its mark; the expectation goes before they come", () => {
    const { kernel, traffic } = setUp({ events: 1 })
    const master = openControl(traffic, control)
    master.mark = 7
    const both = kernel.openSocket()
    for (const group of [1, 6]) both.join(group)
    kernel.expect({ family: 2, master, tuple })
    const flow = open(traffic)
    assert.strictEqual(flow.master, master)
    assert.strictEqual(flow.mark, 7)
    assert.strictEqual(flow.status, StatusBit.confirmed | StatusBit.expected)
    assert.isUndefined(flow.helper)
    assert.deepStrictEqual([both.take()![5], both.take()![5]], [2, 1])
    assert.isUndefined(both.take())
  })

  it("do so again when the expectation is permanent, and never when it is inactive", () => {
    const { kernel, traffic } = setUp()
    const master = openControl(traffic, control)
    kernel.expect({ family: 2, master, tuple, flags: 1 })
    assert.strictEqual(open(traffic).master, master)
    assert.lengthOf(kernel.expectations, 1)
    kernel.expect({
      family: 2,
      master,
      tuple: tupleOf(17, { ...control, sport: 0, dport: 7_778 }),
      flags: 2
    })
    assert.isUndefined(open(traffic, 7_778).master)
    assert.lengthOf(kernel.expectations, 1)
  })

  it("must come in time", () => {
    const { kernel, listeners, traffic } = setUp()
    const master = openControl(traffic, control)
    kernel.expect({ family: 2, master, tuple })
    kernel.advanceTo(299_999)
    assert.lengthOf(kernel.expectations, 1)
    assert.strictEqual(kernel.nextExpiryMs(), 300_000)
    kernel.advanceTo(300_000)
    assert.lengthOf(kernel.expectations, 0)
    assert.strictEqual(comparable(listeners.EXP_DESTROY.take()!).seconds, 0)
    assert.isUndefined(open(traffic).master)
  })

  it("must be of the master's zone", () => {
    const { kernel, traffic } = setUp()
    const master = openControl(traffic, { ...control, zone: 5 })
    kernel.expect({ family: 2, master, tuple })
    assert.isUndefined(open(traffic).master)
    const zoned = { src: control.src, dst: control.dst, sport: 5_555, dport: 7_777, zone: 5 }
    assert.strictEqual(traffic.openUdp(zoned)!.master, master)
  })

  it("are not expected of flows without a helper, nor beyond the limit of all", () => {
    const { kernel, traffic } = setUp({ expectationsMax: 1 })
    assert.isUndefined(
      kernel.expect({ family: 2, master: traffic.establishTcp(control)!, tuple })
    )
    const first = openControl(traffic, { ...control, sport: 1 })
    const second = openControl(traffic, { ...control, sport: 2 })
    assert.isDefined(kernel.expect({ family: 2, master: first, tuple }))
    const other = tupleOf(17, { ...control, sport: 0, dport: 7_778 })
    assert.isUndefined(kernel.expect({ family: 2, master: second, tuple: other }))
    // One of the same master takes the place of the first.
    assert.isDefined(kernel.expect({ family: 2, master: first, tuple: other }))
  })

  it("report to nobody when their master does not", () => {
    const { kernel, listeners, traffic } = setUp({ events: 0 })
    const master = openControl(traffic, control)
    kernel.expect({ family: 2, master, tuple })
    kernel.remove(master)
    assert.lengthOf(kernel.expectations, 0)
    assert.isUndefined(listeners.EXP_NEW.take())
    assert.isUndefined(listeners.EXP_DESTROY.take())
  })
})
