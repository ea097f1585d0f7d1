/** What a peer's external cache shows after every step of every recorded case. */
import { assert, describe, it } from "@effect/vitest"
import { ExternalCache } from "../../../src/core/cache/ExternalCache.ts"
import type { Change } from "../../../src/core/model/Change.ts"
import { Fault } from "../../../src/core/model/Fault.ts"
import { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { clearScratch, FlowView, scratchView } from "../../../src/core/model/FlowView.ts"
import { formatCachedFlow } from "../../../src/core/text/FormatFlow.ts"
import { MessageReader } from "../../../src/core/wire/Datagram.ts"
import { decode } from "../../../src/core/wire/FlowAttributes.ts"
import { emptyHeader, MessageType } from "../../../src/core/wire/MessageHeader.ts"
import { bytesOf, flowCases } from "../wire/RecordedCases.ts"

const masked = (line: string): string => line.trimEnd().replace(/since \d+s/, "since Ns")

/** A node that receives: its external cache and what `-e` prints of it. */
const makePeer = () => {
  const table = new FlowTable({ flowsMax: 100, bucketsHint: 16, seed: [5, 6] })
  const cache = new ExternalCache({ table })
  const reader = new MessageReader()
  const header = emptyHeader()
  const scratch = scratchView()
  const receive = (bytes: Uint8Array) => {
    reader.reset(bytes, 0, bytes.length)
    while (reader.hasNext) {
      assert.strictEqual(reader.next(header), Fault.none)
      if (header.type > MessageType.flowDestroy) continue
      clearScratch(scratch)
      const { bodyAt, bodyEnd } = reader
      const unknown = { unknownAttributes: 0 }
      assert.strictEqual(decode(bytes, bodyAt, bodyEnd, scratch, unknown), Fault.none)
      cache.apply(header.type as Change, scratch, 0)
    }
  }
  const dump = (): ReadonlyArray<string> => {
    const lines: Array<string> = []
    for (let slot = table.nextUsed(0); slot >= 0; slot = table.nextUsed(slot + 1)) {
      const view = table.view(slot, new FlowView())
      lines.push(masked(formatCachedFlow(view, { nowSeconds: 0, wallSeconds: 0 })))
    }
    return lines.sort()
  }
  return { dump, receive }
}

/**
 * What we show where the original rejects what it sends itself: helper names above 11 characters.
 */
const longHelpers: Readonly<Record<string, string>> = {
  "ct-helper-abcdefghijkl": "abcdefghijkl",
  "ct-helper-abcdefghijklmno": "abcdefghijklmno",
  "ct-helper-abcdefghijklmnopqrst": "abcdefghijklmno"
}

/** Its recording lacks the messages of this one step. */
const isUnrecorded = (id: string, action: string): boolean =>
  id === "traffic-ftp-nat-seqadj" && action === "connections closed"

describe("the external cache of a peer", () => {
  for (const recorded of flowCases) {
    // In mode ALARM entries also expire: another formatter's.
    if (recorded.config.mode === "ALARM") continue
    it(`shows what was recorded in ${recorded.id}`, () => {
      const peer = makePeer()
      for (const step of recorded.steps) {
        for (const { hex } of step.datagrams) peer.receive(bytesOf(hex))
        const lines = step.peer_external_cache
        if (lines === undefined || isUnrecorded(recorded.id, step.action)) continue
        const helper = longHelpers[recorded.id]
        if (helper !== undefined && step.action === "NEW") {
          assert.deepStrictEqual(lines, [])
          assert.deepStrictEqual(peer.dump().map((line) => / helper=(\S+) /.exec(line)?.[1]), [
            helper
          ])
        } else assert.deepStrictEqual(peer.dump(), lines.map(masked).sort())
      }
    })
  }
})
