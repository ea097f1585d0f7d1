import { assert, describe, it } from "@effect/vitest"
import * as Seq from "../../../src/core/wire/Seq.ts"

describe("Seq", () => {
  it("wraps", () => {
    assert.strictEqual(Seq.next(0xffffffff), 0)
    assert.strictEqual(Seq.previous(0), 0xffffffff)
    assert.strictEqual(Seq.distance(0xfffffffe, 3), 5)
    assert.strictEqual(Seq.distance(3, 3), 0)
  })

  it("compares on the circle", () => {
    assert.isTrue(Seq.before(0xffffffff, 0))
    assert.isTrue(Seq.after(0, 0xffffffff))
    assert.isFalse(Seq.before(7, 7))
    assert.isFalse(Seq.after(7, 7))
    assert.isTrue(Seq.after(5 + 0x7fffffff, 5))
    assert.isFalse(Seq.after(5 + 0x80000001, 5))
    assert.isTrue(Seq.before(5 + 0x80000001, 5))
  })

  it("says both at half the circle", () => {
    assert.isTrue(Seq.after(0x80000007, 7))
    assert.isTrue(Seq.before(0x80000007, 7))
  })
})
