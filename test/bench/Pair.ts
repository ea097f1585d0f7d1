/**
 * A sender and a receiver without kernel and network: the core functions that the actors call for
 * every event and every message, in their order, and nothing else.
 *
 * The receiver acknowledges as a real one does, so that the sender's resend queue lives the life it
 * has in production.
 */
import { ExternalCache } from "../../src/core/cache/ExternalCache.ts"
import { InternalCache } from "../../src/core/cache/InternalCache.ts"
import { Origin } from "../../src/core/cache/Origin.ts"
import type { Change } from "../../src/core/model/Change.ts"
import { Fault } from "../../src/core/model/Fault.ts"
import { FlowTable } from "../../src/core/model/FlowTable.ts"
import { clearScratch, FlowView, scratchView } from "../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import { flowChangeOf } from "../../src/core/netlink/FlowChange.ts"
import { NlmsgCursor } from "../../src/core/netlink/Nlmsg.ts"
import { Ftfw } from "../../src/core/protocol/Ftfw.ts"
import { HeaderAllowance, SendBuffer } from "../../src/core/protocol/SendBuffer.ts"
import type { Datagrams } from "../../src/core/protocol/SendBuffer.ts"
import type { Outbound } from "../../src/core/protocol/SyncProtocol.ts"
import { Entity, Verdict } from "../../src/core/protocol/SyncProtocol.ts"
import { MessageReader } from "../../src/core/wire/Datagram.ts"
import { decode, encode, flowAttributesBytesMax } from "../../src/core/wire/FlowAttributes.ts"
import {
  emptyHeader,
  headerBytes,
  writeControl,
  writeHeader
} from "../../src/core/wire/MessageHeader.ts"

const messageBytesMax = headerBytes + flowAttributesBytesMax
const encodeOptions = { windowTracking: false, timeout: true }
/** Ethernet's. */
const mtuBytes = 1_500
/** The configuration's defaults. */
const ackWindowSize = 300
const resendQueueSize = 131_072

export class Node {
  readonly internal: InternalCache
  readonly external: ExternalCache
  readonly protocol: Ftfw
  readonly #sendBuffer = new SendBuffer(mtuBytes, HeaderAllowance.udpIpv4)
  readonly #scratch = scratchView()
  readonly #view = new FlowView()
  readonly #cursor = new NlmsgCursor()
  readonly #reader = new MessageReader()
  readonly #header = emptyHeader()
  readonly #counters = { unknownAttributes: 0 }
  readonly #out: Outbound = {
    kind: Entity.control,
    slot: 0,
    change: 0,
    flags: 0,
    seq: 0,
    ackFrom: 0,
    ackTo: 0
  }

  constructor(flowsMax: number, firstSeq: number) {
    const table = () => new FlowTable({ flowsMax, bucketsHint: 65_536, seed: [firstSeq, 77] })
    this.protocol = new Ftfw({
      ackWindowSize,
      resendQueueSize,
      firstSeq: () => firstSeq,
      nowMs: 0
    })
    this.internal = new InternalCache({
      table: table(),
      forget: (slot) => this.protocol.forget(Entity.flow, slot),
      renew: (slot) => this.protocol.renew(Entity.flow, slot)
    })
    this.external = new ExternalCache({ table: table() })
  }

  /** Kernel events in slots of equal size → cache → protocol. As the actor `Ingest`. */
  ingest(words: Int32Array, bytes: Uint8Array, slotBytes: number, lengths: Int32Array): void {
    const cursor = this.#cursor
    const scratch = this.#scratch
    for (let i = 0; i < lengths.length; i++) {
      const from = i * slotBytes
      cursor.reset(words, from, from + lengths[i]!)
      while (cursor.next()) {
        const kind = flowChangeOf(cursor)
        if (kind === -1) throw new Error("an event that is none")
        clearScratch(scratch)
        const fault = decodeFlow(words, bytes, cursor.bodyAt, cursor.end, scratch)
        if (fault !== Fault.none) throw new Error(`fault ${fault} in a recorded event`)
        const slot = this.internal.apply(kind, scratch, Origin.other, 1)
        if (slot >= 0) this.protocol.tell(Entity.flow, slot, this.internal.change)
      }
    }
  }

  /** Everything there is to send → `peer`. As the actor `Sync`; `carry` is the network. */
  send(carry: (datagrams: Datagrams) => void, nowMs: number): void {
    const { protocol } = this
    const buffer = this.#sendBuffer
    if (protocol.nextWakeupMs() <= nowMs) protocol.handleTimer(nowMs)
    for (;;) {
      const more = this.#fill(nowMs)
      if (!buffer.isEmpty) carry(buffer.take())
      for (;;) {
        const slot = protocol.pollReleased(Entity.flow)
        if (slot < 0) break
        this.internal.release(slot)
      }
      if (!more) return
    }
  }

  /** Messages of a peer → protocol → external cache. As the actor `LinkReceiver`. */
  receive(bytes: Uint8Array, ends: Int32Array, count: number, nowMs: number): void {
    const reader = this.#reader
    const header = this.#header
    const scratch = this.#scratch
    let from = 0
    for (let i = 0; i < count; i++) {
      reader.reset(bytes, from, ends[i]!)
      from = ends[i]!
      while (reader.hasNext) {
        if (reader.next(header) !== Fault.none) throw new Error("a message that is none")
        const verdict = this.protocol.handleMessage(header, nowMs)
        if (verdict === Verdict.control) continue
        if (verdict !== Verdict.apply) throw new Error(`verdict ${verdict}`)
        clearScratch(scratch)
        const { bodyAt, bodyEnd } = reader
        const fault = decode(reader.bytes, bodyAt, bodyEnd, scratch, this.#counters)
        if (fault !== Fault.none) throw new Error(`fault ${fault} in a message`)
        this.external.apply(header.type as Change, scratch, 1)
      }
    }
  }

  #fill(nowMs: number): boolean {
    const out = this.#out
    const buffer = this.#sendBuffer
    const { bytes } = buffer
    for (;;) {
      const at = buffer.reserve(messageBytesMax)
      if (at < 0) return true
      if (!this.protocol.pollOutbound(out, nowMs)) return false
      if (out.kind === Entity.control) {
        buffer.commit(writeControl(bytes, at, out.flags, out.seq, out.ackFrom, out.ackTo))
        continue
      }
      this.internal.table.view(out.slot, this.#view)
      const end = encode(this.#view, bytes, at + headerBytes, encodeOptions)
      writeHeader(bytes, at, out.change, out.flags, end - at, out.seq)
      buffer.commit(end)
    }
  }
}

/** Datagrams on their way: what was sent is copied, as a network would. */
export class Wire {
  bytes = new Uint8Array(1 << 21)
  ends = new Int32Array(4_096)
  count = 0
  #end = 0

  readonly carry = (datagrams: Datagrams): void => {
    const { bytes, count, ends } = datagrams
    this.bytes.set(bytes.subarray(0, ends[count - 1]), this.#end)
    for (let i = 0; i < count; i++) this.ends[this.count + i] = this.#end + ends[i]!
    this.#end = this.ends[this.count + count - 1]!
    this.count += count
  }

  /** Delivers all of it. */
  deliver(to: Node, nowMs: number): void {
    to.receive(this.bytes, this.ends, this.count, nowMs)
    this.count = 0
    this.#end = 0
  }
}
