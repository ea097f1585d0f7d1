/**
 * The table of flows against a Map: any sequence of commands gives the same flows, found by the
 * same keys, with the same content.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import {
  Address,
  addressWords,
  Base,
  baseWords,
  Has,
  rareWords
} from "../../src/core/model/FlowLayout.ts"
import { FlowTable } from "../../src/core/model/FlowTable.ts"
import {
  FlowView,
  has,
  presentOf,
  presentRareOf,
  scratchView,
  setHas
} from "../../src/core/model/FlowView.ts"
import { SlotIndex } from "../../src/core/model/SlotIndex.ts"
import { fillIpv4, fillIpv6, withHelper, withLabels, withMark, withZone } from "./Flows.ts"

/** Everything stored of a flow, as text: presence bits and the words of the three parts. */
const contentOf = (view: FlowView): string => {
  const base = Array.from(view.base.subarray(view.baseWord, view.baseWord + Base.hash))
  const address = Array.from(
    view.address.subarray(view.addressWord, view.addressWord + addressWords)
  )
  const rare = Array.from(view.rare.subarray(view.rareWord, view.rareWord + rareWords))
  return [presentOf(view), presentRareOf(view), ...base, ...address, ...rare].join()
}

const Flow = Schema.Struct({
  n: Schema.Literals([0, 1, 1 << 14]),
  family: Schema.Literals([4, 6]),
  zone: Schema.Literals([0, 256]),
  mark: Schema.Literals([0, 1, 0x8000_0001]),
  helper: Schema.Literals(["", "ftp", "abcdefghijklmno"]),
  labels: Schema.Literals([-2, -1, 0, 127])
})
type Flow = typeof Flow.Type

const fill = (view: FlowView, flow: Flow): FlowView => {
  if (flow.family === 4) fillIpv4(view, flow.n)
  else fillIpv6(view, flow.n)
  if (flow.zone !== 0) withZone(view, flow.zone)
  if (flow.mark !== 0) withMark(view, flow.mark)
  if (flow.helper !== "") withHelper(view, flow.helper)
  if (flow.labels !== -2) withLabels(view, 4, flow.labels)
  return view
}

const keyOf = (flow: Flow): string => `${flow.family} ${flow.n} ${flow.zone}`

/** The simplest thing that could be right: attributes accumulate, field by field. */
const merged = (old: Flow, update: Flow): Flow => ({
  ...old,
  mark: update.mark !== 0 ? update.mark : old.mark,
  helper: update.helper !== "" ? update.helper : old.helper,
  labels: update.labels !== -2 ? update.labels : old.labels
})

const Command = Schema.Union([
  Schema.TaggedStruct("Put", { flow: Flow }),
  Schema.TaggedStruct("Replace", { flow: Flow }),
  Schema.TaggedStruct("Release", { flow: Flow })
])
const commands = Arbitrary.array(Arbitrary.schema(Command), { minLength: 40, maxLength: 120 })

describe("a flow table", () => {
  it.prop("behaves like a map", { commands }, ({ commands }) => {
    const table = new FlowTable({ flowsMax: 9, bucketsHint: 1, seed: [7, -1] })
    const model = new Map<string, { flow: Flow; slot: number }>()
    const scratch = scratchView()
    const view = new FlowView()
    for (const command of commands) {
      const { flow } = command
      const known = model.get(keyOf(flow))
      fill(scratch, flow)
      assert.strictEqual(table.find(scratch), known === undefined ? -1 : known.slot)
      switch (command._tag) {
        case "Put":
          if (known !== undefined) {
            table.merge(known.slot, scratch)
            known.flow = merged(known.flow, flow)
          } else {
            const slot = table.insert(scratch)
            assert.strictEqual(slot < 0, model.size === 9)
            if (slot >= 0) model.set(keyOf(flow), { flow, slot })
          }
          break
        case "Replace":
          if (known !== undefined) {
            table.replace(known.slot, scratch)
            known.flow = flow
          }
          break
        case "Release":
          if (known !== undefined) {
            table.release(known.slot)
            model.delete(keyOf(flow))
          }
          break
      }
      assert.strictEqual(table.size, model.size)
    }
    const used: Array<number> = []
    for (let slot = table.nextUsed(0); slot >= 0; slot = table.nextUsed(slot + 1)) used.push(slot)
    assert.deepStrictEqual(
      used,
      Array.from(model.values(), ({ slot }) => slot).sort((a, b) => a - b)
    )
    for (const { flow, slot } of model.values()) {
      assert.strictEqual(contentOf(table.view(slot, view)), contentOf(fill(scratch, flow)))
    }
  }, { arbitrary: { runs: 300, size: 100 } })

  it("tells flows apart whose hashes are equal", () => {
    // Among so many keys a few pairs have the same 32-bit hash.
    const count = 200_000
    const scratch = scratchView()
    const make = (n: number, family: number) => {
      if (family === 4) fillIpv4(scratch, 0)
      else fillIpv6(scratch, 0)
      const last = scratch.addressWord + Address.originalDestination + 2
      if (family === 6) scratch.address[last] = n
      else scratch.base[Base.originalDestination] = n
      return scratch
    }
    for (const family of [4, 6]) {
      const table = new FlowTable({ flowsMax: count, bucketsHint: count, seed: [9, 10] })
      let lost = 0
      for (let n = 0; n < count; n++) {
        if (table.find(make(n, family)) !== -1 || table.insert(scratch) !== n) lost++
      }
      for (let n = 0; n < count; n++) if (table.find(make(n, family)) !== n) lost++
      assert.strictEqual(lost, 0)
    }
  })

  it("makes room for an address that is learned later", () => {
    const table = new FlowTable({ flowsMax: 4, bucketsHint: 1, seed: [3, 4] })
    const scratch = scratchView()
    const slot = table.insert(fillIpv4(scratch, 1))
    scratch.base[Base.replyDestination] = 0xfd
    for (let i = 0; i < 3; i++) {
      scratch.address[scratch.addressWord + Address.replyDestination + i] = i + 1
    }
    setHas(scratch, Has.snatIpv6)

    table.merge(slot, scratch)

    const view = table.view(slot, new FlowView())
    assert.isTrue(has(view, Has.snatIpv6))
    const at = view.addressWord + Address.replyDestination
    assert.deepStrictEqual(Array.from(view.address.subarray(at, at + 3)), [1, 2, 3])
    assert.strictEqual(table.find(fillIpv4(scratch, 1)), slot)
  })

  it("finds every flow while its index grows, and after half of them went", () => {
    const count = 40_000
    const table = new FlowTable({ flowsMax: count, bucketsHint: 1, seed: [3, 4] })
    const scratch = scratchView()
    const slots = new Int32Array(count)
    const make = (n: number) => (n & 1) === 0 ? fillIpv4(scratch, n) : fillIpv6(scratch, n)
    for (let n = 0; n < count; n++) {
      slots[n] = table.insert(make(n))
      // Flows from before the growth must be found during it.
      const earlier = (n * 7919) % (n + 1)
      assert.strictEqual(table.find(make(earlier)), slots[earlier])
    }
    assert.strictEqual(table.insert(make(count)), -1)
    for (let n = 0; n < count; n += 3) table.release(slots[n]!)

    for (let n = 0; n < count; n++) {
      assert.strictEqual(table.find(make(n)), n % 3 === 0 ? -1 : slots[n])
    }
  })

  it("needs no rare part for fields that are zero", () => {
    const table = new FlowTable({ flowsMax: 4, bucketsHint: 1, seed: [3, 4] })
    const scratch = scratchView()
    const before = table.bytesAllocated

    const slot = table.insert(withLabels(fillIpv4(scratch, 1), 0, -1))

    assert.strictEqual(table.bytesAllocated - before, (1 << 14) * baseWords * 4)
    const view = table.view(slot, new FlowView())
    assert.strictEqual(presentRareOf(view), 1)
  })

  it("gives slots back to be used again", () => {
    const table = new FlowTable({ flowsMax: 2, bucketsHint: 1, seed: [3, 4] })
    const scratch = scratchView()
    table.release(table.insert(withHelper(fillIpv6(scratch, 0), "ftp")))
    const before = table.bytesAllocated
    for (let n = 0; n < 50_000; n++) {
      const slot = table.insert(withHelper(fillIpv6(scratch, n), "ftp"))
      assert.strictEqual(slot, 0)
      table.release(slot)
    }
    assert.strictEqual(table.slotsHigh, 1)
    assert.strictEqual(table.bytesAllocated, before)
  })
})

describe("the index of slots", () => {
  const hashes: Record<string, (slot: number) => number> = {
    "the same for all": () => 5,
    "at the end of the table": (slot) => -1 - (slot % 3),
    "few different": (slot) => Math.imul(slot % 7, 0x9e37_79b1)
  }
  for (const [name, hashOf] of Object.entries(hashes)) {
    it(`finds every slot when hashes are ${name}`, () => {
      const index = new SlotIndex(1)
      const present = new Set<number>()
      const found = (slot: number) => {
        const hash = hashOf(slot)
        for (let bucket = index.first(hash);; bucket = index.next(bucket, hash)) {
          const candidate = index.slotAt(bucket)
          if (candidate < 0 || candidate === slot) return candidate === slot
        }
      }
      for (let step = 0; step < 1700; step++) {
        index.insert(step, hashOf(step))
        present.add(step)
        if (step % 4 === 3) {
          const gone = (step * 7919) % (step - 1)
          if (present.delete(gone)) index.remove(gone, hashOf(gone))
        }
        if (step % 50 === 0 || (step > 760 && step < 830)) {
          for (let slot = 0; slot <= step; slot += 7) {
            assert.strictEqual(found(slot), present.has(slot))
          }
        }
      }
      for (let slot = 0; slot < 1700; slot++) {
        assert.strictEqual(found(slot), present.has(slot))
      }
    })
  }

  it("finds a slot whose run goes round the end of the table when the run loses its first", () => {
    const hashes = [-1, -2, -3, -1, -2, -3]
    const index = new SlotIndex(1)
    hashes.forEach((hash, slot) => index.insert(slot, hash))

    index.remove(2, hashes[2]!)

    const slotsOf = (hash: number) => {
      const slots: Array<number> = []
      let bucket = index.first(hash)
      for (; bucket !== -1; bucket = index.next(bucket, hash)) slots.push(index.slotAt(bucket))
      return slots.sort()
    }
    assert.deepStrictEqual([slotsOf(-1), slotsOf(-2), slotsOf(-3)], [[0, 3], [1, 4], [5]])
  })
})
