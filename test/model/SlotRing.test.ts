import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { SlotRing } from "../../src/core/model/SlotRing.ts"

const Command = Schema.Union([
  Schema.TaggedStruct("Push", { slot: Schema.Literals([1, 2, 3, 4, 5]) }),
  Schema.TaggedStruct("Shift", {})
])
const commands = Arbitrary.array(Arbitrary.schema(Command), { maxLength: 60 })

describe("SlotRing", () => {
  it.prop("behaves like a bounded array", { commands }, ({ commands }) => {
    const ring = new SlotRing(3)
    const model: Array<number> = []
    let dropped = 0
    for (const command of commands) {
      if (command._tag === "Push") {
        const evicted = model.length === 3 ? model.shift()! : -1
        if (evicted >= 0) dropped++
        model.push(command.slot)
        assert.strictEqual(ring.push(command.slot), evicted)
      } else {
        assert.strictEqual(ring.shift(), model.shift() ?? -1)
      }
      assert.strictEqual(ring.length, model.length)
      assert.strictEqual(ring.dropped, dropped)
    }
  })

  it("keeps the order when it grows in the middle of a lap", () => {
    const ring = new SlotRing(1_000)
    for (let slot = 0; slot < 50; slot++) ring.push(slot)
    for (let slot = 0; slot < 40; slot++) assert.strictEqual(ring.shift(), slot)
    for (let slot = 50; slot < 500; slot++) ring.push(slot)
    for (let slot = 40; slot < 500; slot++) assert.strictEqual(ring.shift(), slot)
    assert.strictEqual(ring.shift(), -1)
  })
})
