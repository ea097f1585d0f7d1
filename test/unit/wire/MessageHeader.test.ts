/**
 * The checks of the specification's section 12.1, against the recorded counters of the original.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { Fault } from "../../../src/core/model/Fault.ts"
import * as Header from "../../../src/core/wire/MessageHeader.ts"

interface Case {
  readonly id: string
  readonly hex: string
  readonly results: { readonly FTFW: { readonly counters: Record<string, number> } }
}

const golden = new URL("../../golden/wire/", import.meta.url)
const { cases } = JSON.parse(readFileSync(new URL("malformed.json", golden), "utf8")) as {
  readonly cases: ReadonlyArray<Case>
}

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))

/** Counts what a reader of datagrams would: sizes and versions. */
const read = (bytes: Uint8Array) => {
  const header = Header.emptyHeader()
  const counts = { truncated: 0, bad_size: 0, bad_version: 0 }
  let at = 0
  while (at < bytes.length) {
    const fault = Header.decodeHeader(bytes, at, bytes.length, header)
    if (fault === Fault.truncated) counts.truncated++
    if (fault === Fault.badSize) counts.bad_size++
    if (fault !== Fault.none) break
    if (header.version !== Header.version) counts.bad_version++
    at += header.length
  }
  return counts
}

describe("decodeHeader", () => {
  it.each(cases)("moves the recorded counters: $id", ({ hex, results }) => {
    const recorded = results.FTFW.counters
    assert.deepStrictEqual(read(bytesOf(hex)), {
      truncated: recorded["truncated"] ?? 0,
      bad_size: recorded["bad_size"] ?? 0,
      bad_version: recorded["bad_version"] ?? 0
    })
  })

  it("waits for the rest of a stream, byte by byte", () => {
    const header = Header.emptyHeader()
    const ack = bytesOf("1a080010000023290000000500000009")
    for (let end = 0; end < ack.length; end++) {
      assert.strictEqual(Header.decodeStreamHeader(ack, 0, end, header), Fault.incomplete)
    }
    assert.strictEqual(Header.decodeStreamHeader(ack, 0, ack.length, header), Fault.none)
    assert.deepStrictEqual(header, {
      version: 1,
      type: 10,
      flags: Header.Flag.ack,
      length: 16,
      seq: 9001,
      ackFrom: 5,
      ackTo: 9
    })
  })

  it("rejects impossible lengths of a stream", () => {
    const header = Header.emptyHeader()
    for (const hex of ["1000000000000001", "1000000700000001", "1a08000c" + "00".repeat(12)]) {
      const bytes = bytesOf(hex)
      assert.strictEqual(
        Header.decodeStreamHeader(bytes, 0, bytes.length, header),
        Fault.badSize,
        hex
      )
    }
  })

  it("reads at an offset and clears the range of the previous message", () => {
    const header = Header.emptyHeader()
    const bytes = bytesOf("1a080010000023290000000500000009" + "1a10000800001f41")
    assert.strictEqual(Header.decodeHeader(bytes, 0, bytes.length, header), Fault.none)
    assert.strictEqual(Header.decodeHeader(bytes, header.length, bytes.length, header), Fault.none)
    assert.deepStrictEqual([header.flags, header.ackFrom, header.ackTo], [Header.Flag.alive, 0, 0])
  })
})

describe("writeControl", () => {
  const names = ["ack", "ack-hello", "ack-hello-back", "ack-hello-hello-back", "alive"].concat(
    ["alive-hello", "nack", "nack-hello", "resync", "resync-hello"]
  )
  it.each(names)("writes the recorded bytes of %s", (name) => {
    const file = new URL(`control/ctl-ftfw-${name}.json`, golden)
    const { hex, message } = JSON.parse(readFileSync(file, "utf8")) as {
      readonly hex: string
      readonly message: { flags: number; seq: number; from?: number; to?: number }
    }
    const out = new Uint8Array(4 + hex.length / 2).fill(0xee)
    const { flags, from = 0, seq, to = 0 } = message
    const end = Header.writeControl(out, 4, flags, seq, from, to)
    assert.strictEqual(end, out.length)
    assert.deepStrictEqual(out.subarray(4), bytesOf(hex))

    const header = Header.emptyHeader()
    assert.strictEqual(Header.decodeHeader(out, 4, end, header), Fault.none)
    assert.deepStrictEqual([header.flags, header.seq, header.ackFrom, header.ackTo], [
      flags,
      seq,
      from,
      to
    ])
  })
})
