/**
 * Two FTFW machines, x and y, each with an internal and an external table of a few flows, over two
 * one-way channels that lose, repeat and reorder as they are told. Time is a number.
 *
 * What a machine must never do is checked while it runs; what must hold at the end is asked by
 * `disagreement`. A loss that the protocol declares (an overflow that was noticed, a restart) is
 * remembered, so that an undeclared one stands out.
 */
import { assert } from "@effect/vitest"
import { Ftfw } from "../../src/core/protocol/Ftfw.ts"
import type { Inbound, Outbound } from "../../src/core/protocol/SyncProtocol.ts"
import { Change, Entity, Verdict } from "../../src/core/protocol/SyncProtocol.ts"
import { Flag } from "../../src/core/wire/MessageHeader.ts"

export interface Flow {
  readonly key: number
  version: number
  isDead: boolean
}

/** One message per datagram: the header, and the flow as it was when it was encoded. */
export interface Packet {
  readonly header: Inbound
  readonly change: Change
  readonly key: number
  readonly version: number
}

export interface PairOptions {
  readonly ackWindowSize: number
  readonly resendQueueSize: number
  readonly firstSeq: number
}

export type Side = "x" | "y"

const emptyOutbound = (): Outbound => ({
  kind: Entity.flow,
  slot: 0,
  change: Change.created,
  flags: 0,
  seq: 0,
  ackFrom: 0,
  ackTo: 0
})

export class PairNode {
  readonly name: Side
  readonly flows: Array<Flow | undefined> = []
  readonly external = new Map<number, number>()
  /** Packets on their way to the other node, oldest first. */
  readonly wire: Array<Packet> = []
  /** Deletions whose telling was lost and declared: the peer may keep these keys. */
  readonly surplus = new Set<number>()
  /** Newest version applied per key, since this node started. */
  readonly applied = new Map<number, number>()
  machine: Ftfw
  /** A live flow may have been lost, declared. */
  needsBulk = false
  restarts = 0

  constructor(name: Side, machine: Ftfw) {
    this.name = name
    this.machine = machine
  }

  slotOf(key: number): number {
    return this.flows.findIndex((flow) => flow !== undefined && !flow.isDead && flow.key === key)
  }

  liveKeys(): Map<number, number> {
    const live = this.flows.filter((flow): flow is Flow => flow !== undefined && !flow.isDead)
    return new Map(live.map(({ key, version }) => [key, version]))
  }
}

export class Pair {
  readonly options: PairOptions
  readonly x: PairNode
  readonly y: PairNode
  /** Called for every message that a machine sends. */
  onSend: (from: PairNode, packet: Packet, out: Outbound) => void = () => {}
  onReceive: (to: PairNode, packet: Packet, verdict: Verdict) => void = () => {}
  nowMs = 0
  #version = 0
  readonly #out = emptyOutbound()

  constructor(options: PairOptions) {
    this.options = options
    this.x = new PairNode("x", this.#machine(options.firstSeq))
    this.y = new PairNode("y", this.#machine((options.firstSeq + 7) >>> 0))
  }

  node(side: Side): PairNode {
    return side === "x" ? this.x : this.y
  }

  peerOf(node: PairNode): PairNode {
    return node === this.x ? this.y : this.x
  }

  open(node: PairNode, key: number): void {
    if (node.slotOf(key) >= 0) return this.update(node, key)
    // The cache takes the flow's former self out of the protocol, as its contract says.
    const former = node.flows.findIndex((flow) => flow?.key === key)
    if (former >= 0) {
      node.machine.forget(Entity.flow, former)
      node.flows[former] = undefined
    }
    const free = node.flows.findIndex((flow) => flow === undefined)
    const slot = free >= 0 ? free : node.flows.length
    node.flows[slot] = { key, version: ++this.#version, isDead: false }
    node.machine.tell(Entity.flow, slot, Change.created)
  }

  update(node: PairNode, key: number): void {
    const slot = node.slotOf(key)
    if (slot < 0) return
    node.flows[slot]!.version = ++this.#version
    node.machine.tell(Entity.flow, slot, Change.updated)
  }

  close(node: PairNode, key: number): void {
    const slot = node.slotOf(key)
    if (slot < 0) return
    node.flows[slot]!.version = ++this.#version
    node.flows[slot]!.isDead = true
    node.machine.tell(Entity.flow, slot, Change.destroyed)
  }

  /**
   * The daemon dies and starts again: its protocol state and external table are gone, the kernel's
   * flows are not. As the usual scripts, it asks for everything and sends everything.
   */
  restart(node: PairNode, firstSeq: number): void {
    const peer = this.peerOf(node)
    for (const [slot, flow] of node.flows.entries()) {
      if (flow?.isDead !== true) continue
      if (peer.external.has(flow.key)) node.surplus.add(flow.key)
      node.flows[slot] = undefined
    }
    // A restart takes longer than a datagram.
    node.wire.length = 0
    peer.wire.length = 0
    node.external.clear()
    node.applied.clear()
    node.restarts++
    node.machine = this.#machine(firstSeq)
    node.machine.requestResync()
    this.bulk(node)
  }

  bulk(node: PairNode): void {
    for (const [slot, flow] of node.flows.entries()) {
      if (flow !== undefined) node.machine.tellAgain(Entity.flow, slot)
    }
  }

  /** Puts all that `node` has to say on the wire. */
  send(node: PairNode): void {
    const { machine } = node
    while (machine.pollOutbound(this.#out, this.nowMs)) {
      const { ackFrom, ackTo, change, flags, kind, seq, slot } = this.#out
      const isFlow = kind === Entity.flow
      const flow = isFlow ? node.flows[slot] : undefined
      assert.isTrue(!isFlow || flow !== undefined, "a message is about a flow that exists")
      if (flow !== undefined) {
        assert.strictEqual(flow.isDead, change === Change.destroyed, "the last change is sent")
      }
      const packet: Packet = {
        header: { type: isFlow ? change : 10, flags, seq, ackFrom, ackTo },
        change,
        key: flow?.key ?? -1,
        version: flow?.version ?? 0
      }
      node.wire.push(packet)
      this.onSend(node, packet, this.#out)
    }
    this.#settle(node)
  }

  /** The oldest packet of `from` arrives. False when there is none. */
  deliver(from: PairNode): boolean {
    const packet = from.wire.shift()
    if (packet === undefined) return false
    this.receive(this.peerOf(from), packet)
    return true
  }

  receive(node: PairNode, packet: Packet): void {
    const verdict = node.machine.handleMessage({ ...packet.header }, this.nowMs)
    this.onReceive(node, packet, verdict)
    assert.notStrictEqual(verdict, Verdict.malformed, "machines understand each other")
    if (verdict === Verdict.apply) {
      const last = node.applied.get(packet.key) ?? 0
      assert.isAtLeast(packet.version, last, `flow ${packet.key} never goes backwards`)
      node.applied.set(packet.key, packet.version)
      if (packet.change === Change.destroyed) node.external.delete(packet.key)
      else node.external.set(packet.key, packet.version)
    }
    if (node.machine.pollBulkRequested()) this.bulk(node)
    this.#settle(node)
  }

  /** Losing, repeating and reordering spare HELLO: what follows a late one is not promised. */
  isGreeting(packet: Packet): boolean {
    return (packet.header.flags & Flag.hello) !== 0
  }

  /** Time passes; whoever has something to do does it. */
  advance(ms: number): void {
    const end = this.nowMs + ms
    for (;;) {
      const next = Math.min(this.x.machine.nextWakeupMs(), this.y.machine.nextWakeupMs())
      if (next > end) break
      this.nowMs = Math.max(this.nowMs, next)
      for (const node of [this.x, this.y]) {
        node.machine.handleTimer(this.nowMs)
        this.send(node)
      }
    }
    this.nowMs = end
  }

  /** No more faults: everything arrives until nobody has anything to say but "alive" and "ack". */
  heal(seconds: number): void {
    for (let step = 0; step < seconds * 4; step++) {
      for (let turns = 0; this.x.wire.length + this.y.wire.length > 0; turns++) {
        assert.isBelow(turns, 2_000, "an exchange comes to rest within a turn of the clock")
        for (const node of [this.x, this.y]) {
          while (this.deliver(node));
          this.send(this.peerOf(node))
        }
      }
      for (const node of [this.x, this.y]) this.send(node)
      this.advance(250)
    }
    while (this.x.wire.length + this.y.wire.length > 0) {
      while (this.deliver(this.x) || this.deliver(this.y));
      for (const node of [this.x, this.y]) this.send(node)
    }
  }

  /** What is wrong at rest; undefined when the tables agree and the queues are drained. */
  disagreement(): string | undefined {
    for (const node of [this.x, this.y]) {
      const { external } = this.peerOf(node)
      const live = node.liveKeys()
      for (const [key, version] of live) {
        if (external.get(key) !== version) {
          return `${node.name} has flow ${key} version ${version}, its peer ${external.get(key)}`
        }
      }
      for (const key of external.keys()) {
        if (!live.has(key) && !node.surplus.has(key)) {
          return `${node.name} lost the end of flow ${key}`
        }
      }
      const { machine } = node
      if (machine.helloState !== "done") return `${node.name} still says hello`
      if (machine.txLength > 0) return `${node.name} still has something to send`
      for (const { kind, seq } of machine.resendEntries()) {
        if (kind !== Entity.control) return `${node.name} still waits for the ack of ${seq}`
      }
      const dead = node.flows.find((flow) => flow?.isDead)
      if (dead !== undefined) return `${node.name} never released flow ${dead.key}`
      if (machine.pollOutbound(this.#out, this.nowMs)) return `${node.name} is not quiet`
    }
    return undefined
  }

  #machine(firstSeq: number): Ftfw {
    return new Ftfw({
      ackWindowSize: this.options.ackWindowSize,
      resendQueueSize: this.options.resendQueueSize,
      firstSeq: () => firstSeq,
      nowMs: this.nowMs
    })
  }

  /** Takes notices and released slots, and judges whether a release was right. */
  #settle(node: PairNode): void {
    let overflowed = false
    for (let n = node.machine.pollNotice(); n !== undefined; n = node.machine.pollNotice()) {
      if (n._tag !== "ResendQueueOverflow") continue
      assert.isAbove(n.dropped, 0)
      assert.isAtLeast(node.machine.counters.resendQueueFull, n.dropped)
      overflowed = true
      node.needsBulk = true
    }
    const { external } = this.peerOf(node)
    for (;;) {
      const slot = node.machine.pollReleased(Entity.flow)
      if (slot < 0) break
      const flow = node.flows[slot]
      assert.isTrue(flow?.isDead, "only a destroyed flow is released")
      const peerHas = external.get(flow!.key) ?? Infinity
      if (overflowed) node.surplus.add(flow!.key)
      else assert.isAbove(peerHas, flow!.version, `the peer knows of the end of flow ${flow!.key}`)
      node.flows[slot] = undefined
    }
    assert.isAtMost(node.machine.resendLength, this.options.resendQueueSize)
  }
}
