import { assert, it } from "@effect/vitest"
import { getSystemErrorMap } from "node:util"
import { Errno, errnoName, errnoNumber, errnoText } from "../../../src/core/netlink/Errno.ts"

it("names are those of the system", () => {
  const names = new Map([...getSystemErrorMap()].map(([number, [name]]) => [name, -number]))
  for (const [name, number] of Object.entries(Errno)) {
    const expected = name === "opnotsupp" ? "EOPNOTSUPP" : `E${name.toUpperCase()}`
    assert.strictEqual(errnoName(number), expected)
    assert.strictEqual(errnoNumber(expected), number)
    if (names.has(expected)) assert.strictEqual(names.get(expected), number)
  }
})

it("texts are those of the C library", () => {
  assert.strictEqual(errnoText(17), "File exists")
  assert.strictEqual(errnoText(2), "No such file or directory")
  assert.strictEqual(errnoText(95), "Operation not supported")
  assert.strictEqual(errnoText(34), "Numerical result out of range")
  assert.strictEqual(errnoText(12), "Cannot allocate memory")
  assert.strictEqual(errnoText(4711), "Unknown error 4711")
})

it("unknown numbers and names are told", () => {
  assert.strictEqual(errnoName(4711), "errno 4711")
  assert.strictEqual(errnoNumber("ENONSENSE"), -1)
})
