/** The messages of a datagram, against what the original counted for 188 hand-made ones. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { ExternalCache } from "../../../src/core/cache/ExternalCache.ts"
import type { Change } from "../../../src/core/model/Change.ts"
import { Fault } from "../../../src/core/model/Fault.ts"
import { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { clearScratch, scratchView } from "../../../src/core/model/FlowView.ts"
import { MessageReader } from "../../../src/core/wire/Datagram.ts"
import { decode } from "../../../src/core/wire/FlowAttributes.ts"
import { emptyHeader, helloFlags, MessageType } from "../../../src/core/wire/MessageHeader.ts"
import { bytesOf } from "./RecordedCases.ts"

interface Case {
  readonly id: string
  readonly hex: string
  readonly results: {
    readonly FTFW: {
      readonly counters: Readonly<Record<string, number>>
      readonly external_cache: Readonly<Record<string, number>>
    }
  }
}

const file = new URL("../../golden/wire/malformed.json", import.meta.url)
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: ReadonlyArray<Case> }

/**
 * Where we are more tolerant than the original: what a newer peer, or a long helper name, needs.
 */
const accepted = new Set([
  "attr-unknown-33",
  "attr-unknown-255",
  "attr-unknown-65535",
  "badpayload-then-valid",
  "helper-12"
])

/** Reads a datagram as a receiver does that trusts headers, and applies what is about flows. */
const receive = (bytes: Uint8Array) => {
  const counts = { truncated: 0, bad_size: 0, bad_version: 0, bad_payload: 0 }
  const table = new FlowTable({ flowsMax: 16, bucketsHint: 16, seed: [0, 0] })
  const cache = new ExternalCache({ table })
  const unknown = { unknownAttributes: 0 }
  const reader = new MessageReader()
  const header = emptyHeader()
  const view = scratchView()
  reader.reset(bytes, 0, bytes.length)
  while (reader.hasNext) {
    const fault = reader.next(header)
    if (fault === Fault.truncated) counts.truncated++
    if (fault === Fault.badSize) counts.bad_size++
    if (fault === Fault.badVersion) counts.bad_version++
    if (fault !== Fault.none || header.type > MessageType.flowDestroy) continue
    if ((header.flags & ~helloFlags) !== 0) continue
    clearScratch(view)
    const { bodyAt, bodyEnd } = reader
    if (decode(reader.bytes, bodyAt, bodyEnd, view, unknown) !== Fault.none) counts.bad_payload++
    else cache.apply(header.type as Change, view, 0)
  }
  return { counts, stats: cache.stats, unknown: unknown.unknownAttributes }
}

describe("a datagram", () => {
  for (const { hex, id, results } of cases) {
    // Bodies of expectations are another decoder's.
    if (id.startsWith("exp-")) continue
    const recorded = results.FTFW

    it(`counts as recorded: ${id}`, () => {
      const { counts, stats, unknown } = receive(bytesOf(hex))

      const { bad_payload = 0, bad_size = 0, bad_version = 0, truncated = 0 } = recorded.counters
      const { active = 0, created = 0 } = recorded.external_cache
      const tolerated = accepted.has(id) ? 1 : 0
      assert.deepStrictEqual(counts, {
        truncated,
        bad_size,
        bad_version,
        bad_payload: bad_payload - tolerated
      })
      assert.strictEqual(stats.created, created + tolerated)
      // What the message that we accept creates is the flow that the next one replaces.
      const replaced = id === "badpayload-then-valid" ? 1 : 0
      assert.strictEqual(stats.active, active + tolerated - replaced)
      assert.strictEqual(unknown, tolerated === 1 && id !== "helper-12" ? 1 : 0)
    })
  }

  it("without a byte holds no message and no fault", () => {
    const reader = new MessageReader()
    reader.reset(new Uint8Array(8), 4, 4)

    assert.isFalse(reader.hasNext)
  })
})
