import { assert, describe, it } from "@effect/vitest"
import { Base, Detail, Has, HasRare, Rare, swap32 } from "../../../src/core/model/FlowLayout.ts"
import {
  type FlowView,
  scratchView,
  setHas,
  setHasRare,
  setL4,
  setNumber,
  setState
} from "../../../src/core/model/FlowView.ts"
import { Protocol } from "../../../src/core/model/Protocol.ts"
import { Status } from "../../../src/core/model/Status.ts"
import {
  formatCachedFlow,
  formatExpiringFlow,
  formatFlow
} from "../../../src/core/text/FormatFlow.ts"
import { formatFlowXml } from "../../../src/core/text/FormatFlowXml.ts"
import { flowOfCommand } from "../../golden/RecordedFlows.ts"

const udp = (): FlowView =>
  flowOfCommand("conntrack -I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 -t 9", "internal")

const set64 = (view: FlowView, word: number, high: number, low: number): void => {
  view.detail[word] = swap32(high)
  view.detail[word + 1] = swap32(low)
}

const setText = (bytes: Uint8Array, at: number, text: string): void => {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
}

const options = { timeout: false, wallSeconds: 1_010 }

/** A flow with every field that a line can show. */
const full = (): FlowView => {
  const view = udp()
  setNumber(view, Base.status, Status.confirmed | Status.seenReply | Status.assured)
  setHas(view, Has.zone | Has.originalZone | Has.replyZone)
  view.base[Base.zone] = swap32(65_535 << 16)
  view.base[Base.replyZone] = swap32(8 << 16)
  setNumber(view, Base.mark, 0xffff_ffff)
  setHasRare(
    view,
    HasRare.countersOriginal | HasRare.countersReply | HasRare.secmark |
      HasRare.securityContext | HasRare.timestampStart | HasRare.helperName | HasRare.use
  )
  set64(view, Detail.countersOriginal, 0, 3)
  set64(view, Detail.countersOriginal + 2, 0xffff_ffff, 0xffff_ffff)
  set64(view, Detail.countersReply, 1, 0)
  set64(view, Detail.countersReply + 2, 0, 0x8000_0000)
  view.detail[Detail.secmark] = swap32(77)
  view.detail[Detail.use] = swap32(2)
  setText(view.detailBytes, Detail.securityContext * 4, "system_u:object_r:x_t:s0")
  const startNs = 1_000_999_999_999n
  const at = view.rareWord + Rare.timestampStart
  view.rare[at] = swap32(Number(startNs >> 32n))
  view.rare[at + 1] = swap32(Number(startNs & 0xffff_ffffn))
  setText(view.rareBytes, (view.rareWord + Rare.helperName) * 4, "ftp")
  return view
}

describe("a flow as text", () => {
  it("shows every field in its place, with counters of 64 bits", () => {
    assert.strictEqual(
      formatFlow(full(), options),
      "udp      17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone-orig=65535 " +
        "packets=3 bytes=18446744073709551615 " +
        "src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 zone-reply=8 " +
        "packets=4294967296 bytes=2147483648 [ASSURED] mark=4294967295 secmark=77 " +
        "secctx=system_u:object_r:x_t:s0 zone=65535 delta-time=10 helper=ftp use=2"
    )
  })

  it("shows every field in XML", () => {
    assert.strictEqual(
      formatFlowXml(full(), { ...options, timeout: true }),
      "<flow><meta direction=\"original\"><layer3 protonum=\"2\" protoname=\"ipv4\">" +
        "<src>10.0.0.1</src><dst>10.0.0.2</dst></layer3>" +
        "<layer4 protonum=\"17\" protoname=\"udp\"><sport>1</sport><dport>2</dport></layer4>" +
        "<zone>65535</zone><counters><packets>3</packets><bytes>18446744073709551615</bytes>" +
        "</counters></meta><meta direction=\"reply\"><layer3 protonum=\"2\" protoname=\"ipv4\">" +
        "<src>10.0.0.2</src><dst>10.0.0.1</dst></layer3>" +
        "<layer4 protonum=\"17\" protoname=\"udp\"><sport>2</sport><dport>1</dport></layer4>" +
        "<zone>8</zone><counters><packets>4294967296</packets><bytes>2147483648</bytes>" +
        "</counters></meta><meta direction=\"independent\"><timeout>9</timeout>" +
        "<mark>4294967295</mark><secmark>77</secmark><secctx>system_u:object_r:x_t:s0</secctx>" +
        "<zone>65535</zone><use>2</use><id>4205440239</id><assured/><deltatime>10</deltatime>" +
        "</meta><helper>ftp</helper></flow>"
    )
  })

  it("names the strongest of hardware offload, offload and assured", () => {
    const view = udp()
    const flagsOf = (bits: number): string => {
      setNumber(view, Base.status, Status.seenReply | bits)
      return formatFlow(view, options).match(/\[.*\]/)?.[0] ?? ""
    }
    assert.deepStrictEqual(
      [
        flagsOf(0),
        flagsOf(Status.assured),
        flagsOf(Status.assured | Status.offload),
        flagsOf(Status.assured | Status.offload | Status.hwOffload)
      ],
      ["", "[ASSURED]", "[OFFLOAD]", "[HW_OFFLOAD]"]
    )
  })

  it("says nothing of replies when the status is not known", () => {
    const view = udp()
    view.base[Base.present] = view.base[Base.present]! & ~Has.status
    assert.isFalse(formatFlow(view, options).includes("["))
  })

  it("shows states that have no name as NONE, and DCCP states by their own names", () => {
    const view = udp()
    setL4(view, Protocol.tcp)
    setState(view, 200)
    setHas(view, Has.state)
    assert.isTrue(formatFlow(view, options).startsWith("tcp      6 NONE src="))
    setL4(view, Protocol.dccp)
    setState(view, 4)
    assert.isTrue(formatFlow(view, options).startsWith("dccp     33 OPEN src="))
    assert.isTrue(formatFlowXml(view, options).includes("<state>FIN_WAIT</state>"))
  })

  it("keeps a line in one piece whatever name a peer gives a helper", () => {
    const view = udp()
    setHasRare(view, HasRare.helperName)
    setText(view.rareBytes, (view.rareWord + Rare.helperName) * 4, "a\n<b>&\x1b c")
    assert.isTrue(formatFlow(view, options).endsWith(" helper=a??b????c"))
    assert.isTrue(formatFlowXml(view, options).includes("<helper>a??b????c</helper>"))
  })

  it("ends cache lines with their age and what is left of their life", () => {
    const view = udp()
    view.base[Base.createdSeconds] = 1_000
    const now = { nowSeconds: 1_086_400, wallSeconds: 0 }
    assert.isTrue(formatCachedFlow(view, now).endsWith(" mark=0 [active since 1085400s]\n"))
    assert.isTrue(
      formatExpiringFlow(view, 57, now)
        .endsWith(" mark=0 [expires in 57s] [active since 1085400s]\n")
    )
  })

  it("shows an empty record without failing", () => {
    assert.strictEqual(formatFlow(scratchView(), options), "unknown  0")
  })
})
