/**
 * Rules of FTFW one by one; whole conversations are in FtfwRecorded, the model test, transcripts.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { Fault } from "../../../src/core/model/Fault.ts"
import type { FtfwOptions } from "../../../src/core/protocol/Ftfw.ts"
import { Ftfw } from "../../../src/core/protocol/Ftfw.ts"
import type { Outbound } from "../../../src/core/protocol/SyncProtocol.ts"
import { Change, Entity, Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import * as Header from "../../../src/core/wire/MessageHeader.ts"

const { Flag } = Header
const control = 10
const { flow } = Entity

const start = (options: Partial<FtfwOptions> = {}) => {
  const firstSeq = () => 1000
  const defaults = { ackWindowSize: 300, resendQueueSize: 1000, firstSeq, nowMs: 0 }
  return new Ftfw({ ...defaults, ...options })
}

const hear = (machine: Ftfw, seq: number, type = 0, flags = 0, ackFrom = 0, ackTo = 0) =>
  machine.handleMessage({ type, flags, seq, ackFrom, ackTo }, 0)

/** Everything there is to say, as text. Flags are left out when they are none. */
const say = (machine: Ftfw, nowMs = 0): Array<string> => {
  const out: Outbound = {
    kind: flow,
    slot: 0,
    change: Change.created,
    flags: 0,
    seq: 0,
    ackFrom: 0,
    ackTo: 0
  }
  const said: Array<string> = []
  while (machine.pollOutbound(out, nowMs)) {
    const names = Object.entries(Flag).filter(([, bit]) => (out.flags & bit) !== 0).map(([n]) => n)
    const isRanged = (out.flags & Header.rangeFlags) !== 0
    const what = out.kind === Entity.control
      ? isRanged ? [`${out.ackFrom}-${out.ackTo}`] : []
      : [["created", "updated", "destroyed"][out.change]!, `${out.kind}/${out.slot}`]
    said.push([out.seq, ...names, ...what].join(" "))
  }
  return said
}

/** A machine whose peer has answered: it has said 1000, the peer 500. */
const greeted = (options: Partial<FtfwOptions> = {}) => {
  const machine = start(options)
  machine.handleTimer(1000)
  assert.deepStrictEqual(say(machine, 1000), ["1000 alive hello"])
  hear(machine, 500, control, Flag.alive | Flag.helloBack)
  return machine
}

describe("hello", () => {
  it("says HELLO until it is answered, and answers once", () => {
    const machine = start()
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.created)
    assert.deepStrictEqual(say(machine), ["1000 hello created 0/1", "1001 hello created 0/2"])
    hear(machine, 7, control, Flag.alive | Flag.hello | Flag.helloBack)
    machine.tell(flow, 3, Change.created)
    assert.deepStrictEqual(say(machine).at(-1), "1004 created 0/3")
  })

  it("does not take an answer that comes before the first message", () => {
    const machine = start()
    hear(machine, 7, control, Flag.alive | Flag.helloBack)
    machine.tell(flow, 1, Change.created)
    assert.deepStrictEqual(say(machine), ["1000 hello created 0/1"])
  })

  it("takes effect even in a malformed message", () => {
    const machine = greeted()
    assert.strictEqual(hear(machine, 501, control, Flag.hello), Verdict.malformed)
    machine.tell(flow, 1, Change.created)
    assert.deepStrictEqual(say(machine), ["1001 helloBack created 0/1"])
    assert.strictEqual(machine.counters.malformedHeader, 1)
    assert.strictEqual(hear(machine, 501), Verdict.apply, "its number was not taken")
  })

  it("reads the first number when the first message is built", () => {
    let clock = 5
    const machine = start({ firstSeq: () => clock })
    machine.tell(flow, 1, Change.created)
    clock = 2 ** 32 + 6
    assert.deepStrictEqual(say(machine), ["6 hello created 0/1"])
  })
})

describe("a peer that starts again", () => {
  const unacknowledged = () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    machine.requestResync()
    machine.tell(Entity.expectation, 1, Change.created)
    for (let seq = 501; seq <= 503; seq++) hear(machine, seq)
    assert.deepStrictEqual(say(machine), [
      "1001 created 0/1",
      "1002 resync 0-0",
      "1003 created 1/1"
    ])
    return machine
  }
  const again = ["1004 helloBack created 0/1", "1005 resync 0-0", "1006 created 1/1"]

  it("is sent what it may have missed, in order", () => {
    const machine = unacknowledged()
    machine.pollNotice()
    hear(machine, 40, control, Flag.alive | Flag.hello)
    assert.deepStrictEqual(machine.pollNotice(), { _tag: "PeerRestarted", requeued: 3 })
    assert.deepStrictEqual(say(machine), again)
  })

  it("is not sent the same again while it goes on saying hello", () => {
    const machine = unacknowledged()
    for (let seq = 40; seq < 5000; seq++) hear(machine, seq, 0, Flag.hello)
    const said = say(machine)
    assert.deepStrictEqual(said.slice(0, 3), again)
    assert.strictEqual(said.filter((line) => line.includes("created")).length, 2)
    for (let seq = 5000; seq < 5100; seq++) hear(machine, seq, 0, Flag.hello)
    assert.isFalse(say(machine).some((line) => line.includes("created")))
  })

  it("hears nothing about the numbers of its previous life", () => {
    const machine = greeted({ ackWindowSize: 2 })
    hear(machine, 501)
    hear(machine, 504)
    assert.isAbove(machine.txLength, 0)
    hear(machine, 300, control, Flag.alive | Flag.hello)
    hear(machine, 301, control, Flag.alive | Flag.hello)
    assert.deepStrictEqual(say(machine), ["1001 ack helloBack 300-300"])
    assert.strictEqual(machine.txLength, 0)
  })

  it("gets no acknowledgement of what it lost between two greetings, but a report", () => {
    const machine = start()
    hear(machine, 50, 0, Flag.hello)
    hear(machine, 53, 0, Flag.hello)
    machine.handleTimer(1000)
    assert.deepStrictEqual(say(machine, 1000), [
      "1000 nack hello helloBack 51-52",
      "1001 ack hello 53-53"
    ])
    assert.strictEqual(machine.counters.lost, 0)
  })

  it("knows nothing of us before it answers: its ACK is about an earlier life", () => {
    const machine = start()
    machine.tell(flow, 1, Change.created)
    say(machine)
    hear(machine, 9, control, Flag.ack, 990, 1005)
    assert.strictEqual(machine.resendLength, 1)
    hear(machine, 10, control, Flag.ack | Flag.helloBack, 1000, 1000)
    assert.strictEqual(machine.resendLength, 0)
  })

  it("is not greeted anew by a control message that is sent again", () => {
    const machine = start()
    hear(machine, 5)
    hear(machine, 8)
    assert.deepStrictEqual(say(machine), ["1000 ack hello 5-5", "1001 nack hello 6-7"])
    hear(machine, 9, control, Flag.nack | Flag.helloBack, 1000, 1001)
    assert.deepStrictEqual(say(machine), ["1002 ack 5-5", "1003 nack 6-7"])
  })
})

describe("acknowledging", () => {
  it("acknowledges a full window, and what is open after a second", () => {
    const machine = greeted({ ackWindowSize: 3 })
    for (let seq = 501; seq <= 503; seq++) hear(machine, seq)
    assert.deepStrictEqual(say(machine, 1500), ["1001 ack 500-502"])
    assert.strictEqual(machine.nextWakeupMs(), 2500)
    machine.handleTimer(2499)
    assert.deepStrictEqual(say(machine, 2499), [])
    machine.handleTimer(2500)
    assert.deepStrictEqual(say(machine, 2500), ["1002 ack 503-503"])
    machine.handleTimer(3500)
    assert.deepStrictEqual(say(machine, 3500), ["1003 alive"])
  })

  it("leaves the window as it is when the second is over", () => {
    const machine = greeted({ ackWindowSize: 3 })
    hear(machine, 501)
    machine.handleTimer(2000)
    assert.deepStrictEqual(say(machine, 2000), ["1001 ack 500-501"])
    hear(machine, 502)
    assert.deepStrictEqual(say(machine, 2001), ["1002 ack 502-502"])
  })

  it("acknowledges at once behind a gap when the window is one", () => {
    const machine = greeted({ ackWindowSize: 1 })
    say(machine)
    hear(machine, 504)
    assert.deepStrictEqual(say(machine), ["1002 nack 501-503", "1003 ack 504-504"])
    hear(machine, 505)
    assert.deepStrictEqual(say(machine), ["1004 ack 505-505"])
  })

  it("does not answer an ACK with an ACK in a window of one", () => {
    const machine = greeted({ ackWindowSize: 1 })
    say(machine)
    hear(machine, 501, control, Flag.ack, 1001, 1001)
    assert.deepStrictEqual(say(machine), [])
    machine.handleTimer(5000)
    assert.deepStrictEqual(say(machine, 5000), ["1002 ack 501-501"])
  })

  it("queues one alive message, however long nobody asks for it", () => {
    const machine = start()
    for (let second = 1; second < 50; second++) machine.handleTimer(second * 1000)
    assert.strictEqual(machine.txLength, 1)
  })
})

describe("sending", () => {
  it("sends the last of several changes, once", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.created)
    machine.tell(flow, 1, Change.updated)
    machine.tell(flow, 2, Change.destroyed)
    assert.deepStrictEqual(say(machine), ["1001 updated 0/1", "1002 destroyed 0/2"])
  })

  it("moves a flow that is told again out of the resend queue", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.created)
    say(machine)
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual([machine.txLength, machine.resendLength], [1, 1])
    hear(machine, 501, control, Flag.nack, 1001, 1001)
    assert.deepStrictEqual(say(machine), ["1003 updated 0/1"])
  })

  it("sends what is reported missing behind what waits, with its present change", () => {
    const machine = greeted()
    for (const slot of [1, 2, 3]) machine.tell(flow, slot, Change.created)
    say(machine)
    machine.tell(flow, 2, Change.destroyed)
    hear(machine, 501, control, Flag.nack, 1001, 1003)
    assert.deepStrictEqual(say(machine), [
      "1004 destroyed 0/2",
      "1005 created 0/1",
      "1006 created 0/3"
    ])
  })

  it("keeps what lies before an acknowledged range", () => {
    const machine = greeted()
    for (const slot of [1, 2, 3, 4]) machine.tell(flow, slot, Change.created)
    say(machine)
    hear(machine, 501, control, Flag.ack, 1002, 1003)
    const left = Array.from(machine.resendEntries(), ({ seq }) => seq)
    assert.deepStrictEqual(left, [1001, 1004])
  })

  it("sends again what stays unacknowledged two sweeps after later ones were, but not ACKs", () => {
    const machine = greeted()
    hear(machine, 503)
    machine.tell(flow, 1, Change.created)
    machine.requestResync()
    machine.tell(flow, 2, Change.created)
    say(machine, 1000)
    hear(machine, 504, control, Flag.ack, 1005, 1005)
    const repeated: Array<string> = []
    for (let nowMs = 2000; nowMs <= 9000; nowMs += 1000) {
      machine.handleTimer(nowMs)
      repeated.push(...say(machine, nowMs).map((line) => `${nowMs}: ${line}`))
    }
    assert.deepStrictEqual(repeated.filter((line) => /created|resync|nack/.test(line)), [
      "4000: 1008 created 0/1",
      "4000: 1009 resync 0-0"
    ])
  })

  it("does not wait for silence to do so", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.created)
    say(machine, 1000)
    hear(machine, 501, control, Flag.ack, 1002, 1002)
    let repeated = false
    for (let nowMs = 1100; nowMs < 6000; nowMs += 100) {
      machine.tell(flow, 3, Change.updated)
      repeated = repeated || say(machine, nowMs).some((line) => line.endsWith("created 0/1"))
    }
    assert.isTrue(repeated)
  })

  it("tells everything again with the last change, and not what nobody needs any more", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.updated)
    machine.tell(flow, 3, Change.destroyed)
    say(machine)
    hear(machine, 501, control, Flag.ack, 1001, 1003)
    for (const slot of [1, 2, 3, 4]) machine.tellAgain(flow, slot)
    assert.deepStrictEqual(say(machine), [
      "1004 created 0/1",
      "1005 updated 0/2",
      "1006 created 0/4"
    ])
    assert.strictEqual(machine.pollReleased(flow), 3)
  })
})

describe("releasing", () => {
  it("releases a destroyed flow when it is acknowledged, and only then", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.destroyed)
    machine.tell(Entity.expectation, 1, Change.destroyed)
    assert.strictEqual(machine.pollReleased(flow), -1)
    say(machine)
    assert.strictEqual(machine.pollReleased(flow), -1)
    hear(machine, 501, control, Flag.ack, 1001, 1001)
    assert.strictEqual(machine.pollReleased(flow), 1)
    assert.strictEqual(machine.pollReleased(flow), -1)
    assert.strictEqual(machine.pollReleased(Entity.expectation), -1)
  })

  it("does not release a flow that came back", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.destroyed)
    say(machine)
    hear(machine, 501, control, Flag.ack, 1001, 1001)
    machine.tell(flow, 1, Change.created)
    assert.strictEqual(machine.pollReleased(flow), -1)
    assert.deepStrictEqual(say(machine), ["1002 created 0/1"])
  })

  it("forgets a flow wherever it waits", () => {
    const machine = greeted()
    for (const slot of [1, 2, 3]) machine.tell(flow, slot, Change.destroyed)
    say(machine)
    hear(machine, 501, control, Flag.ack, 1001, 1001)
    machine.tell(flow, 3, Change.updated)
    for (const slot of [1, 2, 3, 4]) machine.forget(flow, slot)
    assert.strictEqual(machine.pollReleased(flow), -1)
    assert.deepStrictEqual([machine.txLength, machine.resendLength], [0, 0])
    assert.deepStrictEqual(say(machine), [])
    machine.tellAgain(flow, 3)
    assert.deepStrictEqual(say(machine), ["1004 created 0/3"], "the next flow in the slot is new")
  })
})

describe("a flow that takes the slot of another over", () => {
  /** The peer has flow 1; then its end is not told, because it appeared anew. */
  const renewed = () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    say(machine)
    hear(machine, 501, control, Flag.ack, 1001, 1001)
    machine.tell(flow, 1, Change.destroyed)
    machine.renew(flow, 1)
    machine.tell(flow, 1, Change.created)
    return machine
  }

  it("is told as new although it was updated before it was sent", () => {
    const machine = renewed()
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual(say(machine), ["1002 created 0/1"])
  })

  it("is told as new until the peer has it", () => {
    const machine = renewed()
    assert.deepStrictEqual(say(machine), ["1002 created 0/1"])
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual(say(machine), ["1003 created 0/1"], "1002 may be lost")
    hear(machine, 502, control, Flag.nack, 1003, 1003)
    assert.deepStrictEqual(say(machine), ["1004 created 0/1"])
    hear(machine, 503, control, Flag.ack, 1004, 1004)
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual(say(machine), ["1005 updated 0/1"])
  })

  it("is told as new to a peer that starts again, and in a bulk send", () => {
    const machine = renewed()
    say(machine)
    hear(machine, 40, control, Flag.alive | Flag.hello)
    assert.deepStrictEqual(say(machine), ["1003 helloBack created 0/1"])
    machine.tellAgain(flow, 1)
    assert.deepStrictEqual(say(machine), ["1004 created 0/1"])
  })

  it("is told as new after a full resend queue gave it up", () => {
    const machine = greeted({ resendQueueSize: 1 })
    machine.renew(flow, 1)
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 2, Change.created)
    assert.deepStrictEqual(say(machine), ["1001 created 0/1", "1002 created 0/2"])
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual(say(machine), ["1003 created 0/1"])
  })

  it("ends as any other, and leaves nothing to the next flow in the slot", () => {
    const machine = renewed()
    machine.tell(flow, 1, Change.destroyed)
    assert.deepStrictEqual(say(machine), ["1002 destroyed 0/1"])
    hear(machine, 502, control, Flag.ack, 1002, 1002)
    assert.strictEqual(machine.pollReleased(flow), 1)
    machine.tell(flow, 1, Change.created)
    machine.tell(flow, 1, Change.updated)
    assert.deepStrictEqual(say(machine), ["1003 updated 0/1"])
  })
})

describe("a full resend queue", () => {
  it("drops its head, counts, and says so once", () => {
    const machine = greeted({ resendQueueSize: 3 })
    for (let slot = 1; slot <= 5; slot++) machine.tell(flow, slot, Change.destroyed)
    say(machine)
    assert.strictEqual(machine.resendLength, 3)
    assert.strictEqual(machine.counters.resendQueueFull, 2)
    assert.deepStrictEqual(machine.pollNotice(), { _tag: "ResendQueueOverflow", dropped: 2 })
    assert.isUndefined(machine.pollNotice())
    assert.deepStrictEqual([machine.pollReleased(flow), machine.pollReleased(flow)], [1, 2])
  })

  it("drops an ACK without calling it a loss", () => {
    const machine = greeted({ resendQueueSize: 1 })
    machine.handleTimer(2000)
    say(machine, 2000)
    machine.tell(flow, 1, Change.created)
    say(machine)
    assert.strictEqual(machine.counters.resendQueueFull, 1)
    assert.isUndefined(machine.pollNotice())
  })
})

describe("receiving", () => {
  it("asks for a bulk send once and says who wanted it", () => {
    const machine = greeted()
    hear(machine, 501, control, Flag.resync)
    assert.isTrue(machine.pollBulkRequested())
    assert.isFalse(machine.pollBulkRequested())
    assert.deepStrictEqual(machine.pollNotice(), { _tag: "ResyncRequestedByPeer" })
  })

  it("tells a flood of requests for a bulk send once", () => {
    const machine = greeted()
    for (let i = 0; i < 1_000; i++) hear(machine, 501 + i, control, Flag.resync)
    assert.isTrue(machine.pollBulkRequested())
    assert.deepStrictEqual(machine.pollNotice(), { _tag: "ResyncRequestedByPeer" })
    assert.isUndefined(machine.pollNotice())
  })

  it("looks at ACK before NACK", () => {
    const machine = greeted()
    machine.tell(flow, 1, Change.created)
    say(machine)
    hear(machine, 501, control, Flag.ack | Flag.nack | Flag.resync | Flag.alive, 1001, 1001)
    assert.deepStrictEqual([machine.txLength, machine.resendLength], [0, 0])
    assert.isFalse(machine.pollBulkRequested())
  })

  it("does not judge the content of an old message", () => {
    const machine = greeted()
    assert.strictEqual(hear(machine, 400, 9), Verdict.drop)
    assert.deepStrictEqual([machine.counters.before, machine.counters.malformedHeader], [1, 0])
  })

  const golden = new URL("../../golden/wire/malformed.json", import.meta.url)
  interface Case {
    readonly id: string
    readonly hex: string
    readonly base_seq: number
    readonly results: {
      readonly FTFW: {
        readonly counters: Record<string, number>
        readonly seq_taken: boolean
        readonly lost_on_probe: number
        readonly before_on_probe: number
      }
    }
  }
  const { cases } = JSON.parse(readFileSync(golden, "utf8")) as { cases: ReadonlyArray<Case> }
  it.each(cases)("counts as recorded: $id", ({ base_seq, hex, id, results }) => {
    const machine = greeted()
    hear(machine, base_seq, control, Flag.alive | Flag.hello)
    const bytes = Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16))
    const header = Header.emptyHeader()
    for (let at = 0; at < bytes.length; at += header.length) {
      if (Header.decodeHeader(bytes, at, bytes.length, header) !== Fault.none) break
      const { ackFrom, ackTo, flags, seq, type } = header
      if (header.version === 1) machine.handleMessage({ type, flags, seq, ackFrom, ackTo }, 0)
    }
    const { before_on_probe, counters, lost_on_probe, seq_taken } = results.FTFW
    assert.strictEqual(machine.counters.malformedHeader, counters["bad_header"] ?? 0)
    assert.strictEqual(machine.counters.lost, counters["lost"] ?? 0)
    if (/then|two/.test(id)) return
    const { before, lost } = machine.counters
    hear(machine, base_seq + 2, control, Flag.alive)
    assert.strictEqual(machine.counters.lost - lost, lost_on_probe)
    assert.strictEqual(machine.counters.before - before, before_on_probe)
    assert.strictEqual(machine.counters.lost === lost, seq_taken)
  })
})
