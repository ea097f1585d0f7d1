/** Laws of the ctnetlink codec: over all bytes, and over all flows. */
import { assert, describe, it } from "@effect/vitest"
import { Fault } from "../../src/core/model/Fault.ts"
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import { deriveCommitted } from "../../src/core/netlink/Committed.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import {
  encodeCreate,
  encodeDelete,
  encodeDump,
  encodeFlush,
  encodeGet,
  encodeUpdate,
  requestBytesMax,
  requestOptions
} from "../../src/core/netlink/CtnetlinkEncode.ts"
import { NlmsgCursor } from "../../src/core/netlink/Nlmsg.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { describeFlow, flowOf } from "../fakes/FlowDescription.ts"
import { treeOf } from "../fakes/NlattrTree.ts"
import type { NlattrTree } from "../fakes/NlattrTree.ts"
import { randomFlow, randomOf } from "../fakes/RandomFlow.ts"
import { ctnetlinkRecordings, memoryOf } from "../golden/CtnetlinkMessages.ts"
import { byName } from "../golden/WireRequests.ts"

const recorded = ctnetlinkRecordings.flatMap(({ messages }) => messages)
  .filter((message) => message.decoded.nlmsg.type >>> 8 === 1 && message.flow !== undefined)
  .map((message) => memoryOf(message.hex))

const wordsIn = (view: ReturnType<typeof scratchView>) => [...view.base, ...view.detail]

describe("decodeFlow", () => {
  const view = scratchView()
  const empty = wordsIn(scratchView())

  it("takes any bytes without exception, and its record can be cleared afterwards", () => {
    const random = randomOf(1)
    const faults = new Map<number, number>()
    for (let round = 0; round < 60_000; round++) {
      const { bytes, length } = recorded[random(recorded.length)]!
      const changed = Uint8Array.from(bytes)
      const words = new Int32Array(changed.buffer)
      if (round % 3 === 0) {
        for (let i = 20; i < length; i++) changed[i] = random(256)
      } else {
        // Lengths and types are where it hurts.
        for (let n = random(4) + 1; n > 0; n--) {
          const at = 20 + (random(length - 20) & ~3) + random(4)
          changed[at] = random(2) === 0 ? random(32) : random(256)
        }
      }
      const end = round % 5 === 0 ? 16 + random(length - 15) : length
      const fault = decodeFlow(words, changed, 16, end, view)
      faults.set(fault, (faults.get(fault) ?? 0) + 1)
      clearScratch(view)
      assert.deepStrictEqual(wordsIn(view), empty, `round ${round}`)
    }
    for (const fault of [Fault.none, Fault.truncated, Fault.badSize, Fault.wrongLength]) {
      assert.isAbove(faults.get(fault) ?? 0, 100)
    }
  })

  it("reads nothing beyond the end", () => {
    for (const { bytes, length } of recorded) {
      const framed = new Uint8Array(((length + 3) & ~3) + 64).fill(0xff)
      framed.set(bytes)
      const words = new Int32Array(framed.buffer)
      assert.strictEqual(decodeFlow(words, framed, 16, length, view), decodeAlone(bytes, length))
      assert.deepStrictEqual(describeFlow(view), describeFlow(alone))
      clearScratch(view)
    }
  })

  const alone = scratchView()
  const decodeAlone = (bytes: Uint8Array, length: number): Fault => {
    clearScratch(alone)
    return decodeFlow(new Int32Array(bytes.buffer), bytes, 16, length, alone)
  }

  it("does not depend on the order of attributes", () => {
    const random = randomOf(2)
    for (const { bytes, length } of recorded) {
      const parts: Array<Uint8Array> = []
      for (let at = 20; at < length;) {
        const size = bytes[at]! | (bytes[at + 1]! << 8)
        if (size < 4) return
        parts.push(bytes.slice(at, at + ((size + 3) & ~3)))
        at += (size + 3) & ~3
      }
      for (let i = parts.length - 1; i > 0; i--) {
        const j = random(i + 1)
        const part = parts[i]!
        parts[i] = parts[j]!
        parts[j] = part
      }
      const shuffled = new Uint8Array(bytes.length)
      shuffled.set(bytes.slice(0, 20))
      let at = 20
      for (const part of parts) {
        shuffled.set(part, at)
        at += part.length
      }
      const fault = decodeAlone(bytes, length)
      if (fault !== Fault.none) continue
      clearScratch(view)
      assert.strictEqual(
        decodeFlow(new Int32Array(shuffled.buffer), shuffled, 16, length, view),
        Fault.none
      )
      assert.deepStrictEqual(describeFlow(view), describeFlow(alone))
    }
  })
})

describe("requests", () => {
  const words = new Int32Array(512)
  const bytes = new Uint8Array(words.buffer)
  const cursor = new NlmsgCursor()
  const options = { ...requestOptions(), timeoutSeconds: 90 }

  const decoded = (at: number, end: number): FlowDescription => {
    cursor.reset(words, at, end)
    assert.isTrue(cursor.next())
    assert.strictEqual(cursor.end, end)
    const view = scratchView()
    assert.strictEqual(decodeFlow(words, bytes, cursor.bodyAt, end, view), Fault.none)
    return describeFlow(view)
  }

  it("say of every flow what the record says, and fit their room", () => {
    const random = randomOf(3)
    let longest = 0
    for (let round = 0; round < 5_000; round++) {
      const flow = randomFlow(random, round % 2 === 0)
      const view = flowOf(flow)
      const at = random(20) * 4
      words.fill(-1)
      const end = encodeCreate(words, at, round, view, options)
      longest = Math.max(longest, end - at)
      treeOf(bytes, at, end)
      const sent = decoded(at, end)
      assert.deepStrictEqual(sent.orig, flow.orig)
      assert.deepStrictEqual(sent.reply!.src, flow.orig!.dst)
      assert.deepStrictEqual(sent.reply!.dst, flow.orig!.src)
      assert.strictEqual(sent.reply!.sport, flow.orig!.dport)
      assert.strictEqual(sent.zone, flow.zone)
      assert.strictEqual(sent.mark, flow.mark)
      assert.strictEqual(sent.helper, flow.helper)
      assert.strictEqual(sent.labels, flow.labels)
      assert.deepStrictEqual(sent.seqAdjOrig, flow.seqAdjOrig)
      assert.deepStrictEqual(sent.seqAdjReply, flow.seqAdjReply)
      assert.deepStrictEqual(sent.master, flow.master)
      assert.deepStrictEqual(sent.dccp, flow.dccp)
      assert.strictEqual(sent.timeout, 90)
      assert.strictEqual(sent.status! & 0x209, 8)
      assert.strictEqual(sent.status! | 0x201, (flow.status ?? 0) | 0x209)
      if (flow.tcp?.state !== undefined) {
        assert.strictEqual(sent.tcp!.state, flow.tcp.state > 9 ? 0 : flow.tcp.state)
      }
      const get = decoded(at, encodeGet(words, at, round, view))
      const gone = decoded(at, encodeDelete(words, at, round, view, true))
      const key: FlowDescription = { orig: flow.orig! }
      if (flow.zone !== undefined) key.zone = flow.zone
      assert.deepStrictEqual(get, key)
      if (flow.id !== undefined) key.id = flow.id
      assert.deepStrictEqual(gone, key)
      const update = decoded(at, encodeUpdate(words, at, round, view, options))
      assert.isUndefined(update.reply)
      assert.isUndefined(update.helper)
      assert.isUndefined(update.master)
      assert.strictEqual(update.timeout, ((flow.status ?? 0) & 0x400) !== 0 ? undefined : 90)
    }
    assert.isAtMost(longest, requestBytesMax)
  })

  it("have the stated length when they have everything", () => {
    const tuple = { src: "fd01::2", dst: "fd02::2", proto: 6, sport: 1, dport: 2 }
    const adjusted = { correctionPos: 1, offsetBefore: 2, offsetAfter: 3 }
    const flow = flowOf({
      orig: { ...tuple, zone: 1 },
      reply: { src: "fd02::3", dst: "fd01::3", proto: 6, sport: 3, dport: 4, zone: 2 },
      master: { ...tuple, sport: 5 },
      zone: 3,
      mark: 1,
      tcp: { state: 3, wscaleOrig: 7, wscaleReply: 7 },
      seqAdjOrig: adjusted,
      seqAdjReply: adjusted,
      helper: "abcdefghijklmno",
      labels: "00000001".repeat(4),
      labelsMask: "00000001".repeat(4),
      synproxy: { isn: 1, its: 2, tsoff: 3 }
    })
    assert.strictEqual(encodeCreate(words, 0, 1, flow, options), requestBytesMax)
  })

  it("are the same for a kernel's entry as for what a peer learns of it", () => {
    const random = randomOf(4)
    for (let round = 0; round < 3_000; round++) {
      const flow = randomFlow(random, false)
      const own = flowOf(flow)
      encodeCreate(words, 0, 1, own, options)
      const tree = byName(treeOf(bytes, 0, words[0]!))
      const derived = scratchView()
      deriveCommitted(own, options, derived)
      // What the kernel then holds, committed again, asks for the same translation.
      encodeCreate(words, 0, 1, derived, options)
      const again = byName(treeOf(bytes, 0, words[0]!))
      for (const name of ["TUPLE_ORIG", "TUPLE_REPLY", "NAT_SRC", "NAT_DST"]) {
        assert.deepStrictEqual(again[name] as NlattrTree, tree[name] as NlattrTree, name)
      }
      assert.deepStrictEqual(describeFlow(derived).reply!.src, flow.reply!.src)
      assert.deepStrictEqual(describeFlow(derived).reply!.dst, flow.reply!.dst)
      if (![33, 47].includes(flow.orig!.proto!)) {
        assert.strictEqual(describeFlow(derived).reply!.sport, flow.reply!.sport)
        assert.strictEqual(describeFlow(derived).reply!.dport, flow.reply!.dport)
      }
    }
  })

  it("are not written where they may not fit", () => {
    const view = flowOf(randomFlow(randomOf(5), true))
    const at = words.length * 4 - requestBytesMax + 4
    words.fill(-1)
    assert.strictEqual(encodeCreate(words, at, 1, view, options), -1)
    assert.strictEqual(encodeUpdate(words, at, 1, view, options), -1)
    assert.strictEqual(encodeDelete(words, at, 1, view, false), -1)
    assert.strictEqual(encodeGet(words, at, 1, view), -1)
    assert.strictEqual(encodeDump(words, at, 1, 0), -1)
    assert.strictEqual(encodeFlush(words, at, 1), -1)
    assert.isTrue(words.every((word) => word === -1))
    assert.isAbove(encodeCreate(words, at - 4, 1, view, options), at)
  })
})
