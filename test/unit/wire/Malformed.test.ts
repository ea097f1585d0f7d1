/** What an FTFW node counts for 188 hand-made datagrams, header by header, body by body. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { Fault } from "../../../src/core/model/Fault.ts"
import { clearScratch, scratchView } from "../../../src/core/model/FlowView.ts"
import { Ftfw } from "../../../src/core/protocol/Ftfw.ts"
import { Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import { MessageReader } from "../../../src/core/wire/Datagram.ts"
import { decode } from "../../../src/core/wire/FlowAttributes.ts"
import {
  emptyHeader,
  Flag,
  MessageType,
  writeControl
} from "../../../src/core/wire/MessageHeader.ts"
import { bytesOf } from "./RecordedCases.ts"

interface Case {
  readonly id: string
  readonly hex: string
  readonly base_seq: number
  readonly results: { readonly FTFW: { readonly counters: Readonly<Record<string, number>> } }
}

const file = new URL("../../golden/wire/malformed.json", import.meta.url)
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: ReadonlyArray<Case> }

/** Unknown attributes and helper names of 12 characters do not make a message malformed. */
const accepted = new Set([
  "attr-unknown-33",
  "attr-unknown-255",
  "attr-unknown-65535",
  "badpayload-then-valid",
  "helper-12"
])

const makeNode = () => {
  const protocol = new Ftfw({
    ackWindowSize: 300,
    resendQueueSize: 100,
    firstSeq: () => 1,
    nowMs: 0
  })
  const faults = { truncated: 0, bad_size: 0, bad_version: 0, bad_payload: 0 }
  const reader = new MessageReader()
  const header = emptyHeader()
  const view = scratchView()
  const receive = (bytes: Uint8Array) => {
    reader.reset(bytes, 0, bytes.length)
    while (reader.hasNext) {
      const fault = reader.next(header)
      if (fault === Fault.truncated) faults.truncated++
      if (fault === Fault.badSize) faults.bad_size++
      if (fault === Fault.badVersion) faults.bad_version++
      if (fault !== Fault.none || protocol.handleMessage(header, 0) !== Verdict.apply) continue
      if (header.type > MessageType.flowDestroy) continue
      clearScratch(view)
      const body = decode(bytes, reader.bodyAt, reader.bodyEnd, view, { unknownAttributes: 0 })
      if (body !== Fault.none) faults.bad_payload++
    }
  }
  const counters = () => ({
    ...faults,
    bad_header: protocol.counters.malformedHeader,
    lost: protocol.counters.lost,
    before: protocol.counters.before
  })
  return { counters, receive }
}

const aliveWithHello = (seq: number): Uint8Array => {
  const bytes = new Uint8Array(8)
  writeControl(bytes, 0, Flag.alive | Flag.hello, seq, 0, 0)
  return bytes
}

describe("an FTFW node that receives a hand-made datagram", () => {
  for (const { base_seq, hex, id, results } of cases) {
    it(`counts as recorded: ${id}`, () => {
      const node = makeNode()
      node.receive(aliveWithHello(base_seq))

      node.receive(bytesOf(hex))

      const recorded = results.FTFW.counters
      // Bodies of expectations are another decoder's.
      const isLeftOut = accepted.has(id) || id.startsWith("exp-")
      assert.deepStrictEqual(node.counters(), {
        truncated: recorded["truncated"] ?? 0,
        bad_size: recorded["bad_size"] ?? 0,
        bad_version: recorded["bad_version"] ?? 0,
        bad_payload: isLeftOut ? 0 : recorded["bad_payload"] ?? 0,
        bad_header: recorded["bad_header"] ?? 0,
        lost: recorded["lost"] ?? 0,
        before: recorded["before"] ?? 0
      })
    })
  }
})
