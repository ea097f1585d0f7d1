/**
 * What no recording shows of the reference peer's engine, said by the specification, "The
 * synchronisation engines", sections 8, 9 and 12.
 */
import { expect, test } from "vitest"
import { ReferenceDaemon } from "./ReferenceDaemon.ts"
import type { SeenFlow } from "./ReferenceFlow.ts"
import type { ReferenceMessage } from "./ReferenceWire.ts"
import { decodeDatagram, encodeMessage, Flag } from "./ReferenceWire.ts"

const alone = (ackWindowSize: number) => {
  const losses: Array<string> = []
  const daemon = new ReferenceDaemon({
    ackWindowSize,
    resendQueueSize: 100,
    hashSize: 1_024,
    hashLimit: 1_000,
    tcpWindowTracking: false,
    commitTimeoutSeconds: undefined,
    datagramLimitBytes: 1_472
  }, { nowMs: () => 0, epochSeconds: () => 0, lost: (what) => losses.push(what), log: () => {} })
  Object.assign(daemon.engine.state, { hello: "done", next: 100, last: 9 })
  const hear = (sequence: number, flags: number = Flag.alive, from = 0, to = 0) =>
    daemon.receive(encodeMessage({ type: "CTL", flags, sequence, from, to }))
  const say = () => daemon.turn().flatMap((bytes) => decodeDatagram(bytes))
  return { daemon, hear, say, losses }
}
const flow = (port: number): SeenFlow => ({
  original: {
    addresses: { source: "0a000001", destination: "0a000002" },
    protocol: 6,
    ports: { source: port, destination: 80 }
  },
  reply: {}
})
const acks = (messages: ReadonlyArray<ReferenceMessage>) =>
  messages.map(({ flags, from, to }) => [flags, from, to])

test("after a gap the window begins with the message that showed it", () => {
  const { hear, say } = alone(3)
  hear(10)
  hear(11)
  hear(20)
  expect(acks(say())).toEqual([[Flag.ack, 10, 11], [Flag.nack, 12, 19]])
  hear(21)
  expect(say()).toEqual([])
  hear(22)
  expect(acks(say())).toEqual([[Flag.ack, 20, 22]])
})

test("a window of one never closes again after a gap", () => {
  const { daemon, hear, say } = alone(1)
  hear(10)
  expect(acks(say())).toEqual([[Flag.ack, 10, 10]])
  hear(12)
  expect(acks(say())).toEqual([[Flag.nack, 11, 11]])
  for (let sequence = 13; sequence < 100; sequence++) hear(sequence)
  expect(say()).toEqual([])
  daemon.engine.alarm()
  expect(acks(say())).toEqual([[Flag.ack, 12, 99]])
})

test("what is sent again goes to the end of the resend queue, with its state of now", () => {
  const { daemon, hear, say } = alone(300)
  for (const port of [1, 2, 3]) daemon.event({ kind: "new", causer: 0, flow: flow(port) }, false)
  say()
  daemon.event({ kind: "destroy", causer: 0, flow: flow(3) }, true)
  hear(10, Flag.nack, 100, 100)
  hear(11, Flag.nack, 102, 102)
  expect(say().map(({ flow, sequence, type }) => [type, sequence, flow?.ports?.source]))
    .toEqual([["CT_NEW", 103, 1], ["CT_DEL", 104, 3]])
  expect(daemon.engine.resendQueueText.slice(1))
    .toEqual(["object -> seq:101", "object -> seq:103", "object -> seq:104"])
  hear(12, Flag.ack, 103, 104)
  expect(daemon.engine.resendQueueText.slice(1)).toEqual(["object -> seq:101"])
  expect(daemon.internal.objects.length).toBe(2)
})

test("a number is forgotten when the flow changes before it is acknowledged", () => {
  const { daemon, hear, say } = alone(300)
  daemon.event({ kind: "new", causer: 0, flow: flow(1) }, false)
  say()
  daemon.event({ kind: "update", causer: 0, flow: flow(1) }, false)
  hear(10, Flag.nack, 100, 100)
  expect(say().map(({ sequence, type }) => [type, sequence])).toEqual([["CT_UPD", 101]])
  daemon.event({ kind: "destroy", causer: 0, flow: flow(1) }, false)
  daemon.event({ kind: "new", causer: 0, flow: flow(1) }, false)
  expect(say().map(({ sequence, type }) => [type, sequence])).toEqual([["CT_NEW", 102]])
  expect(daemon.engine.resendQueueText.slice(1)).toEqual(["object -> seq:102"])
})

test("a flush and a commit drop what was to be told, and the judge hears of it", () => {
  const { daemon, losses, say } = alone(300)
  daemon.event({ kind: "new", causer: 0, flow: flow(1) }, false)
  daemon.event({ kind: "new", causer: 0, flow: flow(1) }, true)
  expect(say()).toEqual([])
  daemon.event({ kind: "new", causer: 0, flow: flow(2) }, false)
  daemon.flushInternal()
  expect(say()).toEqual([])
  expect(losses).toEqual([
    "a commit drops what was to be told of the flow before",
    "a flush of the internal cache drops what was to be told"
  ])
})
