/** The traffic goes through whoever has the address, and knows what must survive a failover. */
import { assert, describe, it } from "@effect/vitest"
import { scratchView } from "../../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeDump,
  requestOptions
} from "../../../src/core/netlink/CtnetlinkEncode.ts"
import { NlmsgCursor } from "../../../src/core/netlink/Nlmsg.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { keyOf, StatusBit, tcpStates } from "../kernel/KernelFlow.ts"
import type { Machine } from "../machine/Machine.ts"
import { MachineFake } from "../machine/MachineFake.ts"
import { World } from "../World.ts"
import type { TrafficOptions } from "./Traffic.ts"
import { Traffic } from "./Traffic.ts"
import type { TrafficConnection } from "./TrafficConnection.ts"
import { trafficKinds } from "./TrafficConnection.ts"

const setUp = (options: Partial<TrafficOptions> = {}, seed = "seed") => {
  const world = new World({ seed })
  const a = new MachineFake(world, "A", "B")
  const b = new MachineFake(world, "B", "A")
  let holders: ReadonlyArray<Machine> = [a]
  const traffic = new Traffic({ world, holders: () => holders, labels: true, ...options })
  const move = (...to: ReadonlyArray<Machine>) => {
    holders = to
  }
  return { world, a, b, traffic, move }
}

/** Some of every kind, translated or not, of both families. */
const openSome = (traffic: Traffic, count: number, established?: boolean) => {
  const more = established === undefined ? {} : { established }
  for (const kind of trafficKinds) {
    for (const translated of [false, true]) {
      for (const family of [4, 6] as const) traffic.open(count, kind, translated, family, more)
    }
  }
}

const words = new Int32Array(1_024)
const bytes = new Uint8Array(words.buffer)

/** What a daemon's commit does, with the daemon's own codec: the flows of `from` appear in `to`. */
const commit = (
  from: FakeKernel,
  to: FakeKernel,
  isWanted: (flow: KernelFlow) => boolean = () => true
) => {
  const dumper = from.openSocket()
  const writer = to.openSocket()
  dumper.send(bytes, encodeDump(words, 0, 1, 0))
  const flows = from.flows
  const children: Array<() => void> = []
  const cursor = new NlmsgCursor()
  let count = 0
  for (let part = dumper.take(); part !== undefined; part = dumper.take()) {
    const copy = Uint8Array.from(part)
    const its = new Int32Array(copy.buffer)
    cursor.reset(its, 0, copy.length)
    while (cursor.next()) {
      if (cursor.type !== 0x0100) continue
      const view = scratchView()
      assert.strictEqual(decodeFlow(its, copy, cursor.bodyAt, cursor.end, view), 0)
      // A dump tells the flows in the order of their creation.
      const flow = flows[count++]!
      if (!isWanted(flow)) continue
      const create = () => {
        // As the daemon does when the kernel refused it with its master.
        const withoutMaster = flow.master !== undefined && !isWanted(flow.master)
        const options = { ...requestOptions(), timeoutSeconds: 60, withoutMaster }
        writer.send(bytes, encodeCreate(words, 0, 1, view, options))
      }
      if (flow.master === undefined) create()
      else children.push(create)
    }
  }
  assert.strictEqual(count, flows.length)
  for (const create of children) create()
  dumper.close()
  writer.close()
}

const reasons = (casualties: ReadonlyArray<{ readonly reason: string }>) => [
  ...new Set(casualties.map(({ reason }) => reason.replace(/ [0-9a-f]+:\d+/g, " _")))
]
const none = { "ended": 0, "spoke before the commit": 0, "port given away": 0, "kernel refused": 0 }
const all = () => true

describe("connections", () => {
  it("are tracked as what they are, with unique tuples", () => {
    const { a, traffic } = setUp()
    openSome(traffic, 60)
    const { opened, refused } = traffic.counters
    assert.strictEqual(refused, 0)
    assert.strictEqual(a.kernel.size, opened)
    assert.strictEqual(traffic.alive.length, opened)
    const tuples = new Set(traffic.alive.map(({ original, zone }) => keyOf(original, zone)))
    assert.strictEqual(tuples.size, opened)
    const seen = new Set(traffic.alive.map(({ l4 }) => l4))
    assert.sameMembers([...seen], [6, 17, 1, 58, 132, 47, 136, 50])
    for (const connection of traffic.alive) {
      const flow = traffic.flow(connection)!
      assert.strictEqual(flow.isGone, false)
      const isChanged = (flow.status & (StatusBit.srcNat | StatusBit.dstNat)) !== 0
      assert.strictEqual(isChanged, connection.isTranslated, connection.name)
      assert.strictEqual(
        flow.helper,
        connection.kind === "ftp" && flow.master === undefined
          ? "ftp"
          : undefined
      )
      assert.strictEqual(flow.master === undefined, connection.master === undefined)
    }
    assert.isTrue(traffic.alive.some(({ master }) => master !== undefined))
  })

  it("are decided by their number alone", () => {
    const one = setUp()
    openSome(one.traffic, 5)
    const other = setUp()
    other.traffic.open(3, "udp")
    other.traffic.open(2, "tcp", true, 6)
    const [, , , , fifth] = one.traffic.alive
    assert.strictEqual(fifth!.index, 4)
    const same = other.traffic.alive[4]!
    assert.strictEqual(same.eagerness, fifth!.eagerness)
    assert.strictEqual(same.mark, fifth!.mark)
    const elsewhere = setUp({}, "another seed")
    openSome(elsewhere.traffic, 5)
    const names = ({ alive }: Traffic) => alive.map(({ name }) => name)
    assert.notDeepEqual(names(elsewhere.traffic), names(one.traffic))
  })

  it("get through their handshake as told", () => {
    const { traffic } = setUp()
    openSome(traffic, 10, true)
    for (const connection of traffic.alive) {
      const flow = traffic.flow(connection)!
      assert.notStrictEqual(flow.status & StatusBit.seenReply, 0)
      if (flow.tcp !== undefined) assert.strictEqual(tcpStates[flow.tcp.state], "ESTABLISHED")
    }
    const silent = setUp()
    silent.traffic.open(20, "tcp", true, 4, { established: false })
    silent.traffic.open(20, "udp", false, 6, { established: false })
    for (const connection of silent.traffic.alive) {
      assert.strictEqual(silent.traffic.flow(connection)!.status & StatusBit.seenReply, 0)
    }
  })

  it("share one address, and get a port of their own", () => {
    const { traffic } = setUp()
    traffic.open(400, "tcp", "source")
    assert.strictEqual(traffic.counters.refused, 0)
    const replies = new Set(traffic.alive.map(({ reply }) => keyOf(reply!, 0)))
    assert.strictEqual(replies.size, 400)
    const addresses = new Set(traffic.alive.map(({ reply }) => reply!.dst))
    assert.deepStrictEqual([...addresses], ["cb007101"])
    const moved = traffic.alive.filter(({ original, reply }) => reply!.b !== original.a)
    assert.isAbove(moved.length, 100)
  })

  it("are translated as told", () => {
    for (
      const [told, wanted] of [
        ["source", StatusBit.srcNat],
        ["destination", StatusBit.dstNat],
        ["both", StatusBit.srcNat | StatusBit.dstNat],
        ["none", 0]
      ] as const
    ) {
      const { traffic } = setUp()
      for (const kind of trafficKinds) traffic.open(5, kind, told)
      for (const connection of traffic.alive) {
        const { status } = traffic.flow(connection)!
        assert.strictEqual(status & (StatusBit.srcNat | StatusBit.dstNat), wanted)
      }
    }
  })

  it("are refused by a full table, and unanswered when nobody has the address", () => {
    const { a, move, traffic } = setUp()
    traffic.open(10, "tcp")
    move()
    traffic.open(5, "tcp")
    assert.strictEqual(traffic.counters.unanswered, 5)
    move(a)
    a.state = "off"
    traffic.open(5, "tcp")
    assert.strictEqual(traffic.counters.unanswered, 10)
    assert.strictEqual(traffic.alive.length, 10)
  })

  it("live in zones", () => {
    const { a, traffic } = setUp()
    traffic.open(5, "tcp", true, 4, { zone: 7, established: true })
    for (const connection of traffic.alive) {
      assert.isUndefined(a.kernel.find(connection.original))
      assert.strictEqual(a.kernel.find(connection.original, 7)?.zone, 7)
    }
    assert.isTrue(traffic.tryPackets().every(({ fate }) => fate === "survived"))
  })
})

describe("their lives", () => {
  it("go on: states, answers, marks and labels", () => {
    const { a, traffic } = setUp()
    openSome(traffic, 20)
    let events = 0
    a.kernel.observe({ updated: () => events++ })
    traffic.update(4_000)
    assert.strictEqual(traffic.counters.updated, 4_000)
    assert.isAtLeast(events, 3_900)
    assert.isTrue(a.kernel.flows.some(({ labels }) => labels?.some((byte) => byte !== 0)))
    assert.isTrue(traffic.alive.some(({ phase }) => phase === "closing"))
    assert.isAbove(traffic.counters.closed, 0)
  })

  it("change what is told, and nothing else", () => {
    const { a, traffic } = setUp()
    traffic.open(20, "tcp", false, 4, { established: true })
    const states = () => a.kernel.flows.map(({ tcp }) => tcp!.state)
    const marks = () => a.kernel.flows.map(({ mark }) => mark)
    const before = { states: states(), marks: marks() }
    traffic.update(50, "label")
    assert.deepStrictEqual({ states: states(), marks: marks() }, before)
    traffic.update(50, "mark")
    assert.deepStrictEqual(states(), before.states)
    assert.notDeepEqual(marks(), before.marks)
    traffic.update(50, "state")
    assert.notDeepEqual(states(), before.states)
  })

  it("end: closed, reset, expired", () => {
    const { a, traffic } = setUp()
    traffic.open(30, "tcp", false, 4, { established: true })
    traffic.close(10)
    traffic.reset(10)
    const states = a.kernel.flows.map(({ tcp }) => tcpStates[tcp!.state]!)
    const count = (name: string) => states.filter((state) => state === name).length
    assert.deepStrictEqual(["TIME_WAIT", "CLOSE", "ESTABLISHED"].map(count), [10, 10, 10])
    traffic.expire(10)
    assert.strictEqual(a.kernel.size, 20)
    assert.strictEqual(traffic.alive.length, 0)
    traffic.close(1)
    traffic.update(1)
    assert.strictEqual(traffic.counters.closed, 10)
  })

  it("are lived again with the same tuple, where the kernel lets them", () => {
    const { a, traffic } = setUp()
    traffic.open(10, "tcp", true, 4, { established: true })
    traffic.open(10, "udp", true, 4, { established: true })
    const before = new Set(a.kernel.flows.map(({ original }) => keyOf(original, 0)))
    const flows = new Set(a.kernel.flows)
    traffic.expire(5)
    traffic.close(15)
    traffic.reopen(20)
    // UDP that fell silent is still in the table.
    const { opened, reopened } = traffic.counters
    assert.strictEqual(opened, 20 + reopened)
    assert.isAtLeast(reopened, 10)
    for (const connection of traffic.alive) {
      assert.strictEqual(connection.generation, 1)
      assert.isTrue(before.has(keyOf(connection.original, 0)))
      assert.isFalse(flows.has(traffic.flow(connection)!))
    }
  })

  it("last as long as packets come, and no longer", () => {
    const { a, traffic, world } = setUp()
    for (const kind of trafficKinds) traffic.open(5, kind, true, 4, { established: true })
    const { length } = traffic.alive
    for (let i = 0; i < 100; i++) {
      world.runUntil(world.nowMs + 20_000)
      traffic.beat()
    }
    assert.strictEqual(a.kernel.flows.length, length)
    assert.strictEqual(traffic.counters.renewed, 0)
    world.runUntil(world.nowMs + 1_000_000)
    const left = a.kernel.flows.map(({ original }) => original.l4)
    assert.deepStrictEqual([...new Set(left)], [6])
  })

  it("speak in parts, each of them once", () => {
    const { b, move, traffic } = setUp()
    openSome(traffic, 4, true)
    move(b)
    const sizes: Array<number> = []
    for (let part = 0; part < 4; part++) {
      traffic.beat(part, 4)
      sizes.push(b.kernel.size)
    }
    const { alive, counters } = traffic
    assert.strictEqual(counters.invalid + counters.renewed, alive.length)
    assert.strictEqual(b.kernel.size, counters.renewed)
    assert.isTrue(sizes.every((size, part) => part === 0 || size > sizes[part - 1]!))
  })

  it("make a new flow where the old one is gone, but for TCP and SCTP, which give up", () => {
    const { a, b, move, traffic, world } = setUp({ giveUpMs: 10_000 })
    openSome(traffic, 5, true)
    const strict = traffic.alive.filter(({ l4 }) => l4 === 6 || l4 === 132).length
    const others = traffic.alive.length - strict
    move(b)
    traffic.beat()
    assert.strictEqual(b.kernel.size, others)
    assert.strictEqual(traffic.counters.renewed, others)
    assert.strictEqual(traffic.counters.invalid, strict)
    world.runUntil(5_000)
    traffic.beat()
    assert.strictEqual(traffic.counters.renewed, others)
    assert.strictEqual(traffic.counters.lost, 0)
    world.runUntil(10_000)
    traffic.beat()
    assert.strictEqual(traffic.counters.lost, strict)
    assert.strictEqual(traffic.alive.length, others)
    assert.isAbove(a.kernel.size, others)
  })
})

describe("a failover", () => {
  const prepared = (count = 10) => {
    const parts = setUp()
    openSome(parts.traffic, count)
    return parts
  }

  it("is survived by all that were committed, whatever they are", () => {
    const { a, b, move, traffic, world } = prepared()
    const snapshot = traffic.snapshotReplicated(all)
    assert.isAbove(snapshot.remembered.length, 300)
    assert.isBelow(snapshot.remembered.length, traffic.alive.length)
    move(b)
    assert.isTrue(traffic.tryPackets().every(({ fate }) => fate === "lost"))
    commit(a.kernel, b.kernel)
    const report = traffic.checkSurvivors(snapshot)
    assert.deepStrictEqual(report.casualties.map(({ reason }) => reason), [])
    assert.deepStrictEqual(report, {
      casualties: [],
      survivors: snapshot.remembered.length,
      excused: none
    })
    // And back again.
    world.runUntil(1_000)
    const again = traffic.snapshotReplicated(all)
    assert.isAtLeast(again.remembered.length, snapshot.remembered.length)
    a.powerLoss()
    a.powerOn()
    move(a)
    commit(b.kernel, a.kernel)
    assert.strictEqual(traffic.checkSurvivors(again).survivors, again.remembered.length)
    assert.deepStrictEqual(traffic.checkSurvivors(again).casualties, [])
  })

  it("has the casualties that nobody committed, and no others", () => {
    const { a, b, move, traffic } = prepared()
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    const isCommitted = ({ original }: KernelFlow) => original.b % 3 !== 0
    commit(a.kernel, b.kernel, isCommitted)
    const { casualties, survivors } = traffic.checkSurvivors(snapshot)
    const missing = snapshot.remembered.filter(({ connection }) =>
      !isCommitted(a.kernel.find(connection.original, connection.zone)!)
    )
    assert.isAbove(missing.length, 50)
    assert.sameMembers(
      casualties.map(({ connection }) => connection.name),
      missing.map(({ connection }) => connection.name)
    )
    assert.deepStrictEqual(reasons(casualties), ["B has no entry"])
    assert.strictEqual(survivors, snapshot.remembered.length - missing.length)
  })

  it("expects nothing of what was not replicated or not established", () => {
    const { a, b, move, traffic } = prepared()
    const isEven = ({ index }: TrafficConnection) => index % 2 === 0
    const { remembered } = traffic.snapshotReplicated(isEven)
    for (const { connection } of remembered) {
      assert.isTrue(isEven(connection))
      assert.notStrictEqual(connection.eagerness, "silent")
      assert.notStrictEqual(a.kernel.find(connection.original)?.tcp?.state, 2)
    }
    move(b)
    assert.strictEqual(traffic.snapshotReplicated(all).remembered.length, 0)
    move()
    assert.strictEqual(traffic.snapshotReplicated(all).remembered.length, 0)
  })

  const faults: ReadonlyArray<readonly [string, (flow: KernelFlow) => boolean, RegExp]> = [
    ["the translation is not done", (flow) => {
      flow.status &= ~(StatusBit.srcNat | StatusBit.dstNat)
      return true
    }, /a packet leaves B as .* instead of/],
    ["the translated port is another", (flow) => {
      flow.reply = { ...flow.reply, a: flow.reply.a + 1, b: flow.reply.b + 1 }
      return true
    }, /a packet leaves B as .* instead of|an answer is .* on B/],
    ["no answer was seen", (flow) => {
      flow.status &= ~StatusBit.seenReply
      return true
    }, /a packet is new on B/],
    ["TCP is in SYN_SENT", ({ tcp }) => {
      if (tcp !== undefined) tcp.state = 1
      return tcp !== undefined
    }, /a packet is invalid on B/],
    ["TCP knows no window scale", ({ tcp }) => {
      if (tcp !== undefined) tcp.flags = [0, 0]
      return tcp !== undefined
    }, /a packet is invalid on B/],
    ["SCTP has another tag", ({ sctp }) => {
      if (sctp !== undefined) sctp.tags = [sctp.tags[0], sctp.tags[1] ^ 1]
      return sctp !== undefined
    }, /an answer is invalid on B/]
  ]
  it.each(faults)("has casualties when %s", (_, spoil, reason) => {
    const { a, b, move, traffic } = setUp()
    for (const kind of ["tcp", "udp", "sctp"] as const) {
      traffic.open(10, kind, true, 4, { established: true })
    }
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    commit(a.kernel, b.kernel)
    let spoilt = 0
    for (const flow of b.kernel.flows) if (spoil(flow)) spoilt++
    const { casualties, survivors } = traffic.checkSurvivors(snapshot)
    assert.isAbove(spoilt, 0)
    assert.strictEqual(casualties.length, spoilt)
    assert.strictEqual(survivors, 30 - spoilt)
    for (const casualty of casualties) {
      assert.strictEqual(casualty.fate, "refused")
      assert.match(casualty.reason, reason)
    }
  })

  it("excuses those who ended meanwhile, also if they began anew", () => {
    const { a, b, move, traffic } = prepared()
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    traffic.close(40)
    traffic.reset(20)
    traffic.expire(20)
    traffic.reopen(30)
    const { excused, survivors } = traffic.checkSurvivors(snapshot)
    assert.isAbove(excused.ended, 60)
    assert.strictEqual(survivors, 0)
    commit(a.kernel, b.kernel)
    const after = traffic.checkSurvivors(snapshot)
    assert.deepStrictEqual(after.excused, excused)
    assert.deepStrictEqual(after.casualties, [])
    assert.strictEqual(after.survivors, snapshot.remembered.length - excused.ended)
  })

  it("excuses those whose entries the kernel refused", () => {
    const { b, move, traffic } = prepared()
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    const report = traffic.checkSurvivors(snapshot, ({ kind }) => kind === "tcp")
    assert.isAbove(report.excused["kernel refused"], 20)
    assert.isTrue(report.casualties.every(({ connection }) => connection.kind !== "tcp"))
    assert.isAbove(report.casualties.length, 100)
  })

  it("excuses those who spoke before the commit was over, not those who did so after it", () => {
    const { b, move, traffic, world } = prepared()
    const early = traffic.snapshotReplicated(all)
    const late = traffic.snapshotReplicated(all)
    move(b)
    world.runUntil(1_000)
    early.commitEndedMs = 2_000
    late.commitEndedMs = 500
    traffic.beat()
    const isLoose = ({ l4 }: TrafficConnection) => l4 !== 6 && l4 !== 132
    const loose = early.remembered.filter(({ connection }) => isLoose(connection)).length
    const reports = [early, late].map((snapshot) => traffic.checkSurvivors(snapshot))
    assert.deepStrictEqual(
      reports.map(({ excused }) => excused["spoke before the commit"]),
      [loose, 0]
    )
    assert.isTrue(reports[0]!.casualties.every(({ connection }) => !isLoose(connection)))
    const told = reports[1]!.casualties.filter(({ connection }) => isLoose(connection))
    assert.strictEqual(told.length, loose)
    assert.deepStrictEqual(reasons(told), ["its packets made a new entry after the commit"])
  })

  it("excuses those whose port another one got before the commit", () => {
    const { a, b, move, traffic } = setUp()
    traffic.open(500, "tcp", "source", 4, { established: true })
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    traffic.open(500, "tcp", "source", 4, { established: true })
    const { clashed } = traffic.counters
    assert.isAbove(clashed, 0)
    commit(a.kernel, b.kernel)
    const { casualties, excused, survivors } = traffic.checkSurvivors(snapshot)
    assert.deepStrictEqual(casualties, [])
    // The kernel may give ports away in turn.
    assert.isAtLeast(excused["port given away"], clashed)
    assert.isBelow(excused["port given away"], 2 * clashed)
    assert.strictEqual(survivors, 500 - excused["port given away"])
  })

  it("counts as lost whoever gave up", () => {
    const { b, move, traffic, world } = setUp({ giveUpMs: 1_000 })
    traffic.open(5, "tcp", false, 4, { established: true })
    const snapshot = traffic.snapshotReplicated(all)
    move(b)
    for (let i = 0; i < 3; i++) {
      world.runUntil(world.nowMs + 1_000)
      traffic.beat()
    }
    assert.strictEqual(traffic.alive.length, 0)
    assert.deepStrictEqual(
      reasons(traffic.checkSurvivors(snapshot).casualties),
      ["its packets were invalid until its ends gave up"]
    )
  })

  it("lets connections go on and end on the new primary", () => {
    const { a, b, move, traffic } = setUp()
    traffic.open(50, "tcp", true, 4, { established: true })
    move(b)
    traffic.update(50)
    assert.strictEqual(traffic.counters.updated, 0)
    commit(a.kernel, b.kernel)
    traffic.update(200)
    traffic.close(10)
    assert.isAbove(traffic.counters.updated, 190)
    const states = new Set(b.kernel.flows.map(({ tcp }) => tcpStates[tcp!.state]!))
    assert.isTrue(states.has("TIME_WAIT"))
    assert.isTrue(a.kernel.flows.every(({ tcp }) => tcp!.state === 3))
    // The kernel stays liberal with the flows that were committed so.
    assert.isTrue(b.kernel.flows.every(({ tcp }) => (tcp!.flags[0] & 0x08) !== 0))
  })
})

describe("a split brain", () => {
  it("keeps each side's own traffic on its side, until one holder is left", () => {
    const { a, b, move, traffic } = setUp()
    move(a, b)
    traffic.open(10, "tcp", true, 4, { established: true })
    traffic.openAt(b, 10, "udp", true, 4, { established: true })
    assert.deepStrictEqual([a.kernel.size, b.kernel.size], [10, 10])
    traffic.beat()
    assert.isTrue(traffic.tryPackets().every(({ fate }) => fate === "survived"))
    assert.deepStrictEqual([a.kernel.size, b.kernel.size], [10, 10])
    move(a)
    const fates = traffic.tryPackets().map(({ connection, fate }) => [connection.kind, fate])
    assert.isTrue(fates.every(([kind, fate]) => (kind === "tcp") === (fate === "survived")))
    traffic.beat()
    assert.strictEqual(a.kernel.size, 20)
  })

  it("gives the same port to one on each side", () => {
    const { a, b, move, traffic } = setUp()
    move(a, b)
    traffic.open(500, "tcp", "source")
    traffic.openAt(b, 500, "tcp", "source")
    assert.isAbove(traffic.counters.clashed, 0)
    assert.strictEqual(traffic.counters.refused, 0)
  })
})

describe("thousands of connections", () => {
  it("cost each about the same, however many there are", () => {
    const finds = (count: number) => {
      const { a, traffic } = setUp()
      let calls = 0
      const { find } = a.kernel
      a.kernel.find = function(...parameters) {
        calls++
        return find.apply(this, parameters)
      }
      traffic.open(count, "tcp", "source")
      for (let i = 0; i < 3; i++) traffic.beat()
      traffic.update(count)
      traffic.close(count)
      return calls / count
    }
    const [few, many] = [finds(300), finds(6_000)]
    assert.isBelow(many!, 3 * few!)
  })
})
