/**
 * Plays a recorded exchange with the original against our FTFW: the peer's datagrams and what was
 * done to node A go in, and every message of A must come out as recorded: type, flags, number,
 * range, flow, order and, within the recording's accuracy, time.
 *
 * Where we deliberately send more than the original (the differences from upstream), a recording is
 * told so: `extra` messages come out at that point, and later numbers are translated.
 */
import { assert } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { Ftfw } from "../../../src/core/protocol/Ftfw.ts"
import type { Change, Inbound, Outbound } from "../../../src/core/protocol/SyncProtocol.ts"
import { Entity } from "../../../src/core/protocol/SyncProtocol.ts"
import { Flag } from "../../../src/core/wire/MessageHeader.ts"

interface Attribute {
  readonly name: string
  readonly value: unknown
}

interface Message {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly from?: number
  readonly to?: number
  readonly attrs?: ReadonlyArray<Attribute>
}

interface Item {
  readonly t: number
  readonly action?: string
  readonly observed?: string
  readonly value?: unknown
  readonly from?: string
  readonly messages?: ReadonlyArray<Message>
}

export interface Plan {
  readonly ackWindowSize: number
  /**
   * For recordings that begin in the middle: the peer's numbers that A acknowledged before. A said
   * HELLO and acknowledged them, then the peer acknowledged that (one more number).
   */
  readonly peerBefore?: ReadonlyArray<number>
  /** Messages of A between its start and the recording. */
  readonly ownBefore?: number
  /** What an action does to A; undefined: nothing that A's protocol sees. */
  readonly act: (action: string, recording: Recording) => void
  /** A datagram of the peer that crossed with one of A: captured before it, read after it. */
  readonly crossedSeq?: number
  /** Flows that are told when they appear in the recording for the first time (or change type). */
  readonly tellAsSeen?: (port: number) => boolean
}

/** The recording machine was loaded, and its alarms count from a clock read before sleeping. */
const toleranceMs = 160

const show = (message: Pick<Message, "type" | "flags" | "seq" | "from" | "to">, port: number) =>
  `type=${message.type} flags=${message.flags} seq=${message.seq}` +
  (message.type === 10 ? ` range=${message.from ?? 0}-${message.to ?? 0}` : ` port=${port}`)

const portOf = (message: Message): number => {
  const attribute = message.attrs?.find(({ name }) => name === "PORT")
  return (attribute?.value as { readonly sport: number } | undefined)?.sport ?? 0
}

export class Recording {
  readonly machine: Ftfw
  readonly #items: ReadonlyArray<Item>
  readonly #plan: Plan
  readonly #out: Outbound = {
    kind: Entity.flow,
    slot: 0,
    change: 0,
    flags: 0,
    seq: 0,
    ackFrom: 0,
    ackTo: 0
  }
  #nowMs = 0
  #lastSentMs = 0
  /** Numbers after `#divergedAt` are `#shift` higher than recorded. */
  #shift = 0
  #divergedAt = 0
  #isAnswerSent = false
  readonly #told = new Map<number, number>()
  /** Called after each datagram of the peer. */
  afterPeer: () => void = () => {}
  beforeAction: (action: string) => void = () => {}

  constructor(id: string, plan: Plan) {
    const url = new URL(`../../golden/wire/sequences/${id}.json`, import.meta.url)
    this.#items = (JSON.parse(readFileSync(url, "utf8")) as { timeline: Array<Item> }).timeline
    this.#plan = plan
    const first = this.#items.find(({ from }) => from === "A")!
    const before = plan.peerBefore ?? []
    const own = (plan.ownBefore ?? 0) + (before.length > 0 ? 2 : 0)
    const firstSeq = (first.messages![0]!.seq - own) >>> 0
    // The first alarm is due when A spoke for the first time.
    this.#nowMs = first.t * 1000 - 1000 * (1 + own)
    this.machine = new Ftfw({
      ackWindowSize: plan.ackWindowSize,
      resendQueueSize: 131_072,
      firstSeq: () => firstSeq,
      nowMs: this.#nowMs
    })
    if (before.length > 0) this.#greet(firstSeq, before)
    for (let i = 0; i < (plan.ownBefore ?? 0); i++) this.#speakOnTime()
  }

  /** A flow or several change, in A's internal cache. The slot is the source port. */
  tell(change: Change, ...ports: ReadonlyArray<number>): void {
    for (const port of ports) {
      this.machine.tell(Entity.flow, port, change)
      this.#told.set(port, change)
    }
  }

  run(): void {
    const items = [...this.#items]
    const crossed = items.findIndex(({ from, messages }) =>
      from === "B" && messages![0]!.seq === this.#plan.crossedSeq
    )
    if (crossed >= 0) items.splice(crossed, 2, items[crossed + 1]!, items[crossed]!)
    for (const item of items) {
      this.#nowMs = item.t * 1000
      if (item.action !== undefined) {
        this.beforeAction(item.action)
        this.#plan.act(item.action, this)
      } else if (item.observed !== undefined) this.#compareObserved(item.observed, item.value)
      else if (item.from === "B") {
        for (const message of item.messages!) this.#receive(message)
        this.afterPeer()
      } else item.messages!.forEach((message, i) => this.#expect(item, message, i))
    }
  }

  /**
   * Our row of the differences: these flows are sent now, in this order, the first with HELLO_BACK.
   */
  expectExtra(...ports: ReadonlyArray<number>): void {
    for (const [i, port] of ports.entries()) {
      // Polled as of the last message, so that the alarm stays where the recording has it.
      assert.isTrue(this.machine.pollOutbound(this.#out, this.#lastSentMs), `extra flow ${port}`)
      assert.deepStrictEqual([this.#out.kind, this.#out.slot], [Entity.flow, port])
      assert.strictEqual(this.#out.flags & Flag.helloBack, i === 0 ? Flag.helloBack : 0)
      if (i === 0) this.#divergedAt = (this.#out.seq - 1) >>> 0
    }
    assert.strictEqual(this.machine.txLength, 0)
    this.#shift = ports.length
    this.#isAnswerSent = true
  }

  #greet(firstSeq: number, peerSeqs: ReadonlyArray<number>): void {
    this.#speakOnTime()
    const back = { type: 10, flags: Flag.ack | Flag.hello | Flag.helloBack, seq: peerSeqs[0]! }
    this.#receive({ ...back, from: firstSeq, to: firstSeq })
    for (const seq of peerSeqs.slice(1)) this.#receive({ type: 10, flags: Flag.alive, seq })
    const own = this.#speakOnTime()
    this.#receive({ type: 10, flags: Flag.ack, seq: peerSeqs.at(-1)! + 1, from: own, to: own })
  }

  #speakOnTime(): number {
    this.#nowMs = this.machine.nextWakeupMs()
    this.#lastSentMs = this.#nowMs
    this.machine.handleTimer(this.#nowMs)
    assert.isTrue(this.machine.pollOutbound(this.#out, this.#nowMs))
    assert.isFalse(this.machine.pollOutbound(this.#out, this.#nowMs))
    return this.#out.seq
  }

  #receive(message: Message): void {
    const isAfter = (seq: number) => this.#shift > 0 && ((seq - this.#divergedAt) | 0) > 0
    const isFirst = (seq: number) => seq === (this.#divergedAt + 1) >>> 0
    const { from = 0, to = 0 } = message
    const inbound: Inbound = {
      type: message.type,
      flags: message.flags,
      seq: message.seq,
      ackFrom: isAfter(from) && !isFirst(from) ? (from + this.#shift) >>> 0 : from,
      ackTo: isAfter(to) ? (to + this.#shift) >>> 0 : to
    }
    this.machine.handleMessage(inbound, this.#nowMs)
  }

  #expect(item: Item, message: Message, i: number): void {
    const port = portOf(message)
    if (message.type !== 10 && this.#plan.tellAsSeen?.(port) === true) {
      if (this.#told.get(port) !== message.type) this.tell(message.type as Change, port)
    }
    if (i === 0 && this.machine.txLength === 0) {
      const early = this.machine.nextWakeupMs() - this.#nowMs
      assert.isBelow(early, toleranceMs, `at ${item.t} s the alarm is not due`)
      this.machine.handleTimer(Math.max(this.#nowMs, this.machine.nextWakeupMs()))
    }
    const out = this.#out
    assert.isTrue(this.machine.pollOutbound(out, this.#nowMs), `at ${item.t} s nothing to send`)
    this.#lastSentMs = this.#nowMs
    const type = out.kind === Entity.control ? 10 : 3 * out.kind + out.change
    const actual = { type, flags: out.flags, seq: out.seq, from: out.ackFrom, to: out.ackTo }
    const seq = (message.seq + this.#shift) >>> 0
    const answer = this.#isAnswerSent ? message.flags & Flag.helloBack : 0
    this.#isAnswerSent = this.#isAnswerSent && answer === 0
    const expected = { ...message, seq, flags: message.flags & ~answer }
    assert.strictEqual(show(actual, out.slot), show(expected, port), `at ${item.t} s`)
    if (i + 1 === item.messages!.length && this.#plan.tellAsSeen === undefined) {
      assert.strictEqual(this.machine.txLength, 0, `at ${item.t} s A says no more`)
    }
  }

  #compareObserved(what: string, value: unknown): void {
    const { counters } = this.machine
    if (what === "A counters") {
      const { bad_header, before, lost } = value as Record<string, number>
      assert.deepStrictEqual(
        [counters.malformedHeader, counters.before, counters.lost],
        [bad_header, before, lost]
      )
    } else if (what === "A -s rsqueue") {
      const lines = (value as ReadonlyArray<string>).map((line) =>
        line.replace(/seq:(\d+)/, (_, seq: string) => `seq:${Number(seq) + this.#shift}`)
      )
      const ours = Array.from(
        this.machine.resendEntries(),
        ({ flags, kind, seq }) =>
          kind === Entity.control ? `control -> seq:${seq} flags:${flags}` : `object -> seq:${seq}`
      )
      assert.strictEqual(this.machine.resendLength, ours.length)
      // A listing may have been asked for just before A spoke, and was noted just after.
      const isJustBefore = this.#nowMs - this.#lastSentMs < toleranceMs
      if (isJustBefore && ours.length === lines.length) ours.pop()
      // One recording kept the first line only.
      const kept = lines.length === 1 ? [] : ours
      assert.deepStrictEqual([`resent queue (len=${ours.length})`, ...kept], lines)
    }
  }
}
