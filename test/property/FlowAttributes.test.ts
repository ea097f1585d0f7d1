/** Laws of the attributes of flows: over all flows, and over all bytes. */
import { assert, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Fault } from "../../src/core/model/Fault.ts"
import { Address, Base, Has, HasRare, Rare } from "../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import {
  clearScratch,
  has,
  presentOf,
  presentRareOf,
  scratchView,
  setHas,
  setHasRare,
  setNumber
} from "../../src/core/model/FlowView.ts"
import { decode, encode } from "../../src/core/wire/FlowAttributes.ts"
import { fillIpv4, fillIpv6, withHelper, withLabels, withMark, withZone } from "../model/Flows.ts"

const Byte = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const Number32 = Schema.Literals([0, 1, 0x80, 0x8000_0001, 0xffff_ffff])

const Flow = Schema.Struct({
  n: Schema.Literals([0, 77, 123_456]),
  family: Schema.Literals([4, 6]),
  status: Schema.Literals([-1, 0xe, 0x8e, 0x10e, 0x18e]),
  mark: Number32,
  zone: Schema.Literals([0, 5, 0xffff]),
  helper: Schema.Literals(["", "ftp", "abcdefghijk", "abcdefghijklmno"]),
  labelWords: Schema.Literals([-1, 1, 2, 4]),
  label: Schema.Literals([-1, 0, 31]),
  /** Words that are exchanged in the reply tuple: source address, source port, and so on. */
  snat: Schema.Boolean,
  dnat: Schema.Boolean,
  spat: Schema.Boolean,
  dpat: Schema.Boolean,
  synproxy: Schema.Boolean,
  timeout: Schema.Boolean
})
type Flow = typeof Flow.Type

const fill = (view: FlowView, flow: Flow): FlowView => {
  if (flow.family === 4) fillIpv4(view, flow.n)
  else fillIpv6(view, flow.n)
  const { address, addressWord, base } = view
  if (flow.status >= 0) setNumber(view, Base.status, flow.status)
  else {
    base[Base.status] = 0
    base[Base.present] = base[Base.present]! & ~Has.status
  }
  if (flow.mark !== 0) withMark(view, flow.mark)
  if (flow.zone !== 0) withZone(view, flow.zone)
  if (flow.helper !== "") withHelper(view, flow.helper)
  if (flow.labelWords >= 0) withLabels(view, flow.labelWords, flow.label)
  // Over IPv6 only the last word differs, so that all of an address must be compared.
  if (flow.snat && flow.family === 4) base[Base.replyDestination] = 0x0100_0001
  if (flow.dnat && flow.family === 4) base[Base.replySource] = 0x0100_0002
  if (flow.snat && flow.family === 6) address[addressWord + Address.replyDestination + 2] = 0x0100
  if (flow.dnat && flow.family === 6) address[addressWord + Address.replySource + 2] = 0x0200
  const reply = base[Base.replyPorts]!
  const destination = flow.spat ? 0x0101_0000 : reply & 0xffff_0000
  const source = flow.dpat ? 0x0202 : reply & 0xffff
  base[Base.replyPorts] = destination | source
  if (flow.synproxy) {
    for (let i = 0; i < 3; i++) view.rare[view.rareWord + Rare.synproxyIsn + i] = 0x1000 + i
    setHasRare(view, HasRare.synproxyIsn | HasRare.synproxyIts | HasRare.synproxyTsoff)
  }
  return view
}

/** What a peer must know of the flow: a record that is made from the plan, not from bytes. */
const expected = (view: FlowView, flow: Flow): FlowView => {
  fill(view, flow)
  const { address, addressWord, base } = view
  const source = flow.status < 0 || (flow.status & 0x80) !== 0
  const destination = flow.status < 0 || (flow.status & 0x100) !== 0
  const translated = (yes: boolean, word: number, rest: number, bit: number) => {
    if (yes) return setHas(view, bit)
    base[word] = 0
    for (let i = 0; i < 3; i++) address[addressWord + rest + i] = 0
  }
  const [snatBit, dnatBit] = flow.family === 4
    ? [Has.snatIpv4, Has.dnatIpv4]
    : [Has.snatIpv6, Has.dnatIpv6]
  translated(source && flow.snat, Base.replyDestination, Address.replyDestination, snatBit)
  translated(destination && flow.dnat, Base.replySource, Address.replySource, dnatBit)
  base[Base.replyPorts] = base[Base.replyPorts]! &
    ((source && flow.spat ? -0x1_0000 : 0) | (destination && flow.dpat ? 0xffff : 0))
  if (source && flow.spat) setHas(view, Has.snatPort)
  if (destination && flow.dpat) setHas(view, Has.dnatPort)
  setHas(view, Has.status)
  base[Base.present] = base[Base.present]! & ~(Has.replyIpv4 | Has.replyIpv6 | Has.replyPorts)
  if (!flow.timeout) {
    base[Base.timeoutSeconds] = 0
    base[Base.present] = base[Base.present]! & ~Has.timeout
  }
  if (flow.label < 0 && flow.labelWords >= 0) {
    view.rare[view.rareWord + Rare.misc] = 0
    base[Base.presentRare] = base[Base.presentRare]! & ~HasRare.labels
  }
  return view
}

const storedOf = (view: FlowView) => ({
  present: presentOf(view),
  presentRare: presentRareOf(view),
  words: Array.from(view.base)
})

it.prop("say all that a peer must know of a flow", { flow: Flow }, ({ flow }) => {
  const sent = fill(scratchView(), flow)
  const wire = new Uint8Array(512).fill(0xee)
  const end = encode(sent, wire, 8, { windowTracking: false, timeout: flow.timeout })
  const back = scratchView()

  assert.strictEqual(decode(wire, 8, end, back, { unknownAttributes: 0 }), Fault.none)

  assert.deepStrictEqual(storedOf(back), storedOf(expected(scratchView(), flow)))
  assert.isTrue(wire.subarray(0, 8).every((byte) => byte === 0xee))
  assert.isTrue(wire.subarray(end).every((byte) => byte === 0xee))
}, { arbitrary: { runs: 500 } })

const inRange = (fault: Fault): boolean =>
  fault === Fault.none || fault === Fault.badSize || fault === Fault.wrongLength

it.prop("survive any bytes", { bytes: Schema.Array(Byte) }, ({ bytes }) => {
  const view = scratchView()
  const fault = decode(Uint8Array.from(bytes), 0, bytes.length, view, { unknownAttributes: 0 })
  assert.isTrue(inRange(fault))
})

const Attribute = Schema.Struct({
  id: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 34 }))),
  length: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 3, maximum: 44 }))),
  value: Byte,
  isFixed: Schema.Boolean
})

/** Right lengths by identifier, so that lists get through the first checks. */
const lengths = [
  12,
  36,
  5,
  8,
  5,
  8,
  8,
  8,
  12,
  36,
  5,
  8,
  8,
  8,
  6,
  6,
  28,
  5,
  8,
  8,
  5,
  5,
  5,
  5,
  6,
  5,
  5,
  9,
  20,
  20,
  20,
  16,
  6,
  7,
  4
]

it.prop(
  "leave nothing behind in a record that is cleared, whatever was received",
  { attributes: Schema.Array(Attribute), cut: Byte },
  ({ attributes, cut }) => {
    const bytes = attributes.flatMap(({ id, isFixed, length, value }) => {
      const size = isFixed ? lengths[id]! : length
      const body = Array.from({ length: ((size + 3) & ~3) - 4 }, () => value)
      return [0, size, 0, id, ...body]
    })
    const view = scratchView()
    const end = Math.max(0, bytes.length - (cut & 7))

    assert.isTrue(inRange(decode(Uint8Array.from(bytes), 0, end, view, { unknownAttributes: 0 })))
    clearScratch(view)

    assert.isTrue(view.base.every((word) => word === 0))
    assert.isFalse(has(view, 1))
  },
  { arbitrary: { runs: 500 } }
)
