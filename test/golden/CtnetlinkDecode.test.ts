/** Every recorded message about a flow decodes to what was recorded of it, field by field. */
import { assert, describe, it } from "@effect/vitest"
import { Fault } from "../../src/core/model/Fault.ts"
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import { NlmsgCursor, NlmsgType } from "../../src/core/netlink/Nlmsg.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { describeFlow } from "../fakes/FlowDescription.ts"
import type { RecordedNlattr, RecordedNlmsg } from "./CtnetlinkMessages.ts"
import { ctnetlinkRecordings, memoryOf } from "./CtnetlinkMessages.ts"

/** What the recorded tree of attributes says, in the same terms. */
const expectedOf = (attrs: ReadonlyArray<RecordedNlattr>): FlowDescription => {
  const flow: FlowDescription = {}
  const tuple = (attr: RecordedNlattr) => {
    const out: Record<string, unknown> = {}
    const names: Record<string, string> = {
      CTA_IP_V4_SRC: "src",
      CTA_IP_V6_SRC: "src",
      CTA_IP_V4_DST: "dst",
      CTA_IP_V6_DST: "dst",
      CTA_PROTO_NUM: "proto",
      CTA_PROTO_SRC_PORT: "sport",
      CTA_PROTO_DST_PORT: "dport",
      CTA_PROTO_ICMP_ID: "icmpId",
      CTA_PROTO_ICMP_TYPE: "icmpType",
      CTA_PROTO_ICMP_CODE: "icmpCode",
      CTA_PROTO_ICMPV6_ID: "icmpId",
      CTA_PROTO_ICMPV6_TYPE: "icmpType",
      CTA_PROTO_ICMPV6_CODE: "icmpCode",
      CTA_TUPLE_ZONE: "zone"
    }
    const walk = (attr: RecordedNlattr) => {
      if (attr.children !== undefined) attr.children.forEach(walk)
      else out[names[attr.name!]!] = attr.value
    }
    walk(attr)
    return out
  }
  const child = (attr: RecordedNlattr, type: number) =>
    attr.children!.find((a) => a.type === type)?.value
  for (const attr of attrs) {
    switch (attr.type) {
      case 1:
        flow.orig = tuple(attr)
        break
      case 2:
        flow.reply = tuple(attr)
        break
      case 3:
        flow.status = attr.value as number
        break
      case 4:
        for (const info of attr.children!) {
          const state = { state: child(info, 1) as number }
          if (info.type === 3) {
            const out: NonNullable<FlowDescription["sctp"]> = state
            if (child(info, 2) !== undefined) out.vtagOrig = child(info, 2) as number
            if (child(info, 3) !== undefined) out.vtagReply = child(info, 3) as number
            flow.sctp = out
          } else {
            assert.strictEqual(info.type, 1, "no DCCP was recorded")
            const out: Record<string, unknown> = {}
            const flags = (type: number, flag: string, mask: string) => {
              const pair = child(info, type) as { flags: number; mask: number } | undefined
              if (pair === undefined) return
              out[flag] = pair.flags
              if (pair.mask !== 0) out[mask] = pair.mask
            }
            if (state.state !== undefined) out["state"] = state.state
            if (child(info, 2) !== undefined) out["wscaleOrig"] = child(info, 2)
            if (child(info, 3) !== undefined) out["wscaleReply"] = child(info, 3)
            flags(4, "flagsOrig", "maskOrig")
            flags(5, "flagsReply", "maskReply")
            flow.tcp = out
          }
        }
        break
      case 5:
        flow.helper = child(attr, 1) as string
        break
      case 6:
      case 13:
      case 25:
        break
      case 7:
        flow.timeout = attr.value as number
        break
      case 8:
        flow.mark = attr.value as number
        break
      case 9:
        flow.countersOrig = { packets: child(attr, 1) as string, bytes: child(attr, 2) as string }
        break
      case 10:
        flow.countersReply = { packets: child(attr, 1) as string, bytes: child(attr, 2) as string }
        break
      case 11:
        flow.use = attr.value as number
        break
      case 12:
        flow.id = attr.value as number
        break
      case 14:
        flow.master = tuple(attr)
        break
      case 15:
      case 16:
        flow[attr.type === 15 ? "seqAdjOrig" : "seqAdjReply"] = {
          correctionPos: child(attr, 1) as number,
          offsetBefore: child(attr, 2) as number,
          offsetAfter: child(attr, 3) as number
        }
        break
      case 18:
        flow.zone = attr.value as number
        break
      case 20: {
        const stop = child(attr, 2) as string | undefined
        flow.timestamp = { start: child(attr, 1) as string }
        if (stop !== undefined) flow.timestamp.stop = stop
        break
      }
      case 21:
        flow.markMask = attr.value as number
        break
      case 22:
        flow.labels = attr.value as string
        break
      case 23:
        flow.labelsMask = (attr.value as string).padEnd(32, "0")
        break
      case 24:
        flow.synproxy = {
          isn: child(attr, 1) as number,
          its: child(attr, 2) as number,
          tsoff: child(attr, 3) as number
        }
        break
      case 26:
        flow.statusMask = attr.value as number
        break
      case 27:
        flow.timestampEvent = attr.value as string
        break
      default:
        assert.fail(`attribute ${attr.type} was recorded, but this test does not know it`)
    }
  }
  return flow
}

const isMalformed = (attrs: ReadonlyArray<RecordedNlattr>): boolean =>
  attrs.some((a) => a.malformed === true || (a.children !== undefined && isMalformed(a.children)))

/** `flow` names what only people need beside the fields. */
const plain = (flow: Record<string, unknown>): Record<string, unknown> => {
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(flow)) {
    if (["family", "kind", "event", "statusBits", "stateName"].includes(key) || value === null) {
      continue
    }
    out[key] = typeof value === "object" && !Array.isArray(value)
      ? plain(value as Record<string, unknown>)
      : value
  }
  return out
}

const isAboutFlow = (message: RecordedNlmsg) =>
  // Statistics of expectations arrive as type 0x0103, beside those of flows.
  message.decoded.nlmsg.type >>> 8 === 1 && (message.decoded.nlmsg.type & 0xff) <= 2 &&
  message.flow !== undefined

describe("recorded ctnetlink messages", () => {
  const view = scratchView()
  const cursor = new NlmsgCursor()
  for (const recording of ctnetlinkRecordings) {
    it(recording.name, () => {
      for (const message of recording.messages) {
        const { bytes, length, words } = memoryOf(message.hex)
        cursor.reset(words, 0, length)
        assert.isTrue(cursor.next(), message.step)
        const { nlmsg } = message.decoded
        assert.deepStrictEqual(
          [cursor.type, cursor.flags, cursor.seq, cursor.pid, cursor.end],
          [nlmsg.type, nlmsg.flags, nlmsg.seq, nlmsg.pid, nlmsg.len]
        )
        if (cursor.type === NlmsgType.error) {
          assert.strictEqual(cursor.requestSeq, message.decoded.original!.seq)
        }
        if (isAboutFlow(message)) {
          clearScratch(view)
          const attrs = message.decoded.attrs ?? []
          const fault = decodeFlow(words, bytes, cursor.bodyAt, cursor.end, view)
          if (isMalformed(attrs)) {
            assert.strictEqual(fault, Fault.wrongLength, message.step)
            continue
          }
          assert.strictEqual(fault, Fault.none, message.step)
          const description = describeFlow(view)
          assert.deepStrictEqual(description, expectedOf(attrs), message.step)
          if (message.source !== "request") {
            assert.deepStrictEqual(
              description as unknown as Record<string, unknown>,
              plain(message.flow!),
              message.step
            )
          }
        }
        assert.isFalse(cursor.next())
        assert.strictEqual(cursor.fault, Fault.none)
      }
    })
  }

  it("are more than 500", () => {
    const count = ctnetlinkRecordings.reduce(
      (sum, recording) => sum + recording.messages.filter(isAboutFlow).length,
      0
    )
    assert.isAbove(count, 500)
  })
})
