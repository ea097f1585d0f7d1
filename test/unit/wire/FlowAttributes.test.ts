/** The attributes of flows, against every message that the original was seen to send. */
import { assert, describe, it } from "@effect/vitest"
import { Fault } from "../../../src/core/model/Fault.ts"
import { Address, Base, Has, HasRare, Rare } from "../../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../../src/core/model/FlowView.ts"
import {
  clearHas,
  clearScratch,
  has,
  hasRare,
  l3Of,
  l4Of,
  numberOf,
  scratchView,
  setHas,
  stateOf
} from "../../../src/core/model/FlowView.ts"
import * as Attributes from "../../../src/core/wire/FlowAttributes.ts"
import { headerBytes } from "../../../src/core/wire/MessageHeader.ts"
import { bytesOf, encodeOptionsOf, flowCases, hexOf } from "./RecordedCases.ts"

const counters = () => ({ unknownAttributes: 0 })

const slice = (view: FlowView, word: number, from: number, bytes: number): string => {
  const at = (view.baseWord + word) * 4 + from
  return hexOf(view.baseBytes.subarray(at, at + bytes))
}

const rareSlice = (view: FlowView, word: number, bytes: number): string => {
  const at = (view.rareWord + word) * 4
  return hexOf(view.rareBytes.subarray(at, at + bytes))
}

const ipv6Slice = (view: FlowView, first: number, rest: number): string => {
  const words = view.address.subarray(view.addressWord + rest, view.addressWord + rest + 3)
  return slice(view, first, 0, 4) +
    hexOf(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
}

const swapped = (hex: string): string => hex.slice(2, 4) + hex.slice(0, 2)

const labelWordsOf = (view: FlowView): string => {
  const native = rareSlice(view, Rare.labels, (view.rare[view.rareWord + Rare.misc]! & 0xff) * 4)
  return native.replace(/(..)(..)(..)(..)/g, "$4$3$2$1")
}

const nameOf = (view: FlowView): string =>
  rareSlice(view, Rare.helperName, 16)
    .replace(/(00)+$/, "")

/** Name and value of everything a decoded record holds, as the recorded attributes have them. */
const contentOf = (view: FlowView): Record<string, string> => {
  const content: Record<string, string> = {}
  const put = (name: string, bit: number, value: () => string) => {
    if (has(view, bit)) content[name] = value()
  }
  const putRare = (name: string, bits: number, value: () => string) => {
    if (hasRare(view, bits)) content[name] = value()
  }
  const protocols = (byte: number) => slice(view, Base.protocols, byte, 1)
  put("IPV4", Has.originalIpv4, () => slice(view, Base.originalSource, 0, 8))
  put("IPV6", Has.originalIpv6, () =>
    ipv6Slice(view, Base.originalSource, Address.originalSource) +
    ipv6Slice(view, Base.originalDestination, Address.originalDestination))
  put("L4PROTO", Has.l4Protocol, () => protocols(1))
  put("PORT", Has.originalPorts, () => slice(view, Base.originalPorts, 0, 4))
  const states: Record<number, string> = { 6: "TCP_STATE", 132: "SCTP_STATE", 33: "DCCP_STATE" }
  put(states[l4Of(view)]!, Has.state, () => protocols(2))
  put("DCCP_ROLE", Has.dccpRole, () => protocols(3))
  put("STATUS", Has.status, () => slice(view, Base.status, 0, 4))
  put("TIMEOUT", Has.timeout, () => slice(view, Base.timeoutSeconds, 0, 4))
  put("MARK", Has.mark, () => slice(view, Base.mark, 0, 4))
  put("ZONE", Has.zone, () => slice(view, Base.zone, 0, 2))
  put("TCP_WSCALE_ORIG", Has.windowScaleOriginal, () => slice(view, Base.zone, 2, 1))
  put("TCP_WSCALE_REPL", Has.windowScaleReply, () => slice(view, Base.zone, 3, 1))
  put("SCTP_VTAG_ORIG", Has.sctpTagOriginal, () => slice(view, Base.sctpTagOriginal, 0, 4))
  put("SCTP_VTAG_REPL", Has.sctpTagReply, () => slice(view, Base.sctpTagReply, 0, 4))
  put("ICMP_ID", Has.icmpId, () => swapped(slice(view, Base.originalPorts, 0, 2)))
  put("ICMP_TYPE", Has.icmpType, () => slice(view, Base.originalPorts, 2, 1))
  put("ICMP_CODE", Has.icmpCode, () => slice(view, Base.originalPorts, 3, 1))
  put("SNAT_IPV4", Has.snatIpv4, () => slice(view, Base.replyDestination, 0, 4))
  put("DNAT_IPV4", Has.dnatIpv4, () => slice(view, Base.replySource, 0, 4))
  put(
    "SNAT_IPV6",
    Has.snatIpv6,
    () => ipv6Slice(view, Base.replyDestination, Address.replyDestination)
  )
  put("DNAT_IPV6", Has.dnatIpv6, () => ipv6Slice(view, Base.replySource, Address.replySource))
  put("SPAT_PORT", Has.snatPort, () => swapped(slice(view, Base.replyPorts, 2, 2)))
  put("DPAT_PORT", Has.dnatPort, () => swapped(slice(view, Base.replyPorts, 0, 2)))
  putRare(
    "MASTER_IPV4",
    HasRare.masterIpv4,
    () => rareSlice(view, Rare.masterSource, 4) + rareSlice(view, Rare.masterDestination, 4)
  )
  putRare("MASTER_IPV6", HasRare.masterIpv6, () => rareSlice(view, Rare.masterSource, 32))
  putRare(
    "MASTER_L4PROTO",
    HasRare.masterL4Protocol,
    () => rareSlice(view, Rare.misc, 4).slice(4, 6)
  )
  putRare("MASTER_PORT", HasRare.masterPorts, () => rareSlice(view, Rare.masterPorts, 4))
  putRare(
    "NAT_SEQ_ADJ",
    HasRare.seqAdjOriginal | HasRare.seqAdjReply,
    () => rareSlice(view, Rare.seqAdjOriginal, 12) + rareSlice(view, Rare.seqAdjReply, 12)
  )
  putRare("HELPER_NAME", HasRare.helperName, () => nameOf(view) + "00")
  putRare("LABELS", HasRare.labels, () => labelWordsOf(view))
  putRare(
    "SYNPROXY",
    HasRare.synproxyIts | HasRare.synproxyIsn | HasRare.synproxyTsoff,
    () =>
      rareSlice(view, Rare.synproxyIts, 4) + rareSlice(view, Rare.synproxyIsn, 4) +
      rareSlice(view, Rare.synproxyTsoff, 4)
  )
  return content
}

const isIcmp = (view: FlowView): boolean => l4Of(view) === 1 || l4Of(view) === 58

/**
 * Turns what a peer learned back into what the sender knew: the reply tuple is the mirrored
 * original one, except for what is translated.
 */
const restoreReply = (view: FlowView, ports: string): void => {
  const { address, base } = view
  const present = base[Base.present]!
  if ((present & (Has.snatIpv4 | Has.snatIpv6)) === 0) {
    base[Base.replyDestination] = base[Base.originalSource]!
    for (let i = 0; i < 3; i++) {
      address[view.addressWord + Address.replyDestination + i] =
        address[view.addressWord + Address.originalSource + i]!
    }
  }
  if ((present & (Has.dnatIpv4 | Has.dnatIpv6)) === 0) {
    base[Base.replySource] = base[Base.originalDestination]!
    for (let i = 0; i < 3; i++) {
      address[view.addressWord + Address.replySource + i] =
        address[view.addressWord + Address.originalDestination + i]!
    }
  }
  const original = base[Base.originalPorts]!
  if (isIcmp(view)) {
    // The same identifier, and types that are never equal to one; `ports` says which were.
    let reply = original
    if (!ports.includes("SPAT")) reply = (reply & 0xffff) | (original << 16)
    if (!ports.includes("DPAT")) reply = (reply & ~0xffff) | (original >>> 16)
    base[Base.replyPorts] = reply
  } else {
    const source = (present & Has.snatPort) !== 0 ? base[Base.replyPorts]! >>> 16 : original
    const destination = (present & Has.dnatPort) !== 0 ? base[Base.replyPorts]! : original >>> 16
    base[Base.replyPorts] = (source << 16) | (destination & 0xffff)
  }
  clearHas(view, Has.snatIpv4 | Has.snatIpv6 | Has.dnatIpv4 | Has.dnatIpv6)
  clearHas(view, Has.snatPort | Has.dnatPort)
  setHas(view, Has.replyPorts | (l3Of(view) === 2 ? Has.replyIpv4 : Has.replyIpv6))
}

describe("flow attributes", () => {
  for (const recorded of flowCases) {
    const messages = recorded.steps.flatMap((step) =>
      step.datagrams.flatMap((datagram) => {
        const bytes = bytesOf(datagram.hex)
        let at = 0
        return datagram.messages.map((message) => {
          const from = at + headerBytes
          at += message.len
          return { bytes, from, end: at, message }
        })
      })
    )
    if (messages.length === 0) continue

    it(`hold what the peer of ${recorded.id} was told`, () => {
      const view = scratchView()
      for (const { bytes, end, from, message } of messages) {
        clearScratch(view)
        const unknown = counters()
        assert.strictEqual(Attributes.decode(bytes, from, end, view, unknown), Fault.none)

        const expected: Record<string, string> = {}
        for (const attribute of message.attrs) {
          // Ports of a translated ICMP flow mean nothing and are not kept.
          if (isIcmp(view) && /^.PAT_PORT$/.test(attribute.name)) continue
          expected[attribute.name] = attribute.hex
        }
        assert.deepStrictEqual(contentOf(view), expected)
        assert.strictEqual(unknown.unknownAttributes, 0)
      }
    })

    it(`are the bytes of ${recorded.id} again`, () => {
      const view = scratchView()
      const out = new Uint8Array(1024)
      for (const { bytes, end, from, message } of messages) {
        clearScratch(view)
        assert.strictEqual(Attributes.decode(bytes, from, end, view, counters()), Fault.none)
        const names = message.attrs.map((attribute) => attribute.name)
        restoreReply(view, names.filter((name) => name.endsWith("PAT_PORT")).join())
        if (
          names.some((name) => /^[SD](NAT|PAT)_/.test(name)) && numberOf(view, Base.status) === 0
        ) {
          clearHas(view, Has.status)
        }

        const to = Attributes.encode(view, out, 16, encodeOptionsOf(recorded))

        assert.strictEqual(hexOf(out.subarray(16, to)), hexOf(bytes.subarray(from, end)))
      }
    })
  }

  it("are found at any offset", () => {
    const { hex, messages } = flowCases.find((one) => one.id === "ct-everything-ipv6")!
      .steps[0]!.datagrams[0]!
    const bytes = bytesOf(hex)
    const view = scratchView()
    for (let shift = 0; shift < 4; shift++) {
      const moved = new Uint8Array(bytes.length + shift)
      moved.set(bytes, shift)
      clearScratch(view)
      const fault = Attributes.decode(moved, headerBytes + shift, moved.length, view, counters())
      assert.strictEqual(fault, Fault.none)
      assert.strictEqual(Object.keys(contentOf(view)).length, messages[0]!.attrs.length)
    }
  })

  const decoded = (hex: string) => {
    const view = scratchView()
    const unknown = counters()
    const bytes = bytesOf(hex)
    const fault = Attributes.decode(bytes, 0, bytes.length, view, unknown)
    return { fault, view, unknown: unknown.unknownAttributes }
  }

  it("of a newer peer are skipped and counted", () => {
    const { fault, unknown, view } = decoded("0008002100000001" + "0008000700000009")

    assert.strictEqual(fault, Fault.none)
    assert.strictEqual(unknown, 1)
    assert.deepStrictEqual(contentOf(view), { MARK: "00000009" })
  })

  it("keep a helper name of 15 characters", () => {
    const name = "6162636465666768696a6b6c6d6e6f"

    assert.deepStrictEqual(contentOf(decoded("0014001b" + name + "00").view), {
      HELPER_NAME: name + "00"
    })
    assert.strictEqual(decoded("0015001b" + name + "7000").fault, Fault.wrongLength)
  })

  it("end a helper name without NUL where the attribute ends", () => {
    const { view } = decoded("0007001b" + "66747000" + "0008000700000009")

    assert.strictEqual(nameOf(view), "667470")
  })

  it("keep the first 128 labels", () => {
    const { fault, view } = decoded("0404001c" + "80000001".repeat(256))

    assert.strictEqual(fault, Fault.none)
    assert.strictEqual(labelWordsOf(view), "80000001".repeat(4))
    assert.strictEqual(decoded("0408001c" + "80000001".repeat(257)).fault, Fault.wrongLength)
  })

  it("let the later of two address families win", () => {
    const ipv4 = "000c0000" + "0a0900010a090002"
    const ipv6 = "00240001" + "fd".repeat(32)

    assert.deepStrictEqual(contentOf(decoded(ipv4 + ipv6).view), { IPV6: "fd".repeat(32) })
    const { view } = decoded(ipv6 + ipv4)
    assert.deepStrictEqual(contentOf(view), { IPV4: "0a0900010a090002" })
    clearScratch(view)
    assert.isTrue(view.base.every((word) => word === 0))
  })

  it("never need more room than they ask for", () => {
    const view = scratchView()
    view.base.fill(-1)
    // The most there can be: IPv6 TCP, translated both ways, every rare field.
    view.base[Base.present] = -1 & ~(Has.originalIpv4 | Has.replyIpv4)
    view.base[Base.presentRare] = -1 & ~HasRare.masterIpv4
    view.base[Base.protocols] = 0x0003_060a
    view.base[Base.originalSource] = 0
    view.base[Base.originalDestination] = 0
    view.base[Base.originalPorts] = 0
    const out = new Uint8Array(1024)

    const end = Attributes.encode(view, out, 0, { windowTracking: true, timeout: true })

    assert.strictEqual(stateOf(view), 3)
    assert.strictEqual(end, Attributes.flowAttributesBytesMax)
  })
})
