/** What a node tells its peer for the kernel events of every recorded case, byte by byte. */
import { assert, describe, it } from "@effect/vitest"
import { InternalCache } from "../../../src/core/cache/InternalCache.ts"
import { Origin } from "../../../src/core/cache/Origin.ts"
import { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { FlowView, scratchView } from "../../../src/core/model/FlowView.ts"
import { encode } from "../../../src/core/wire/FlowAttributes.ts"
import { headerBytes } from "../../../src/core/wire/MessageHeader.ts"
import { readKernelEvent } from "../wire/KernelEvent.ts"
import type { RecordedCase, RecordedStep } from "../wire/RecordedCases.ts"
import { bytesOf, encodeOptionsOf, flowCases, hexOf } from "../wire/RecordedCases.ts"

/** Message type and attributes, as text. */
type Told = string

const makeNode = (recorded: RecordedCase) => {
  const table = new FlowTable({ flowsMax: 100, bucketsHint: 16, seed: [5, 6] })
  const cache = new InternalCache({ table, forget: () => {}, renew: () => {} })
  const scratch = scratchView()
  const view = new FlowView()
  const out = new Uint8Array(1024)
  const handle = (event: string, isDump: boolean): ReadonlyArray<Told> => {
    const kind = readKernelEvent(bytesOf(event), scratch)
    const slot = isDump ? cache.refresh(scratch, 0) : cache.apply(kind, scratch, Origin.other, 0)
    if (slot < 0) return []
    const end = encode(table.view(slot, view), out, 0, encodeOptionsOf(recorded))
    const told = `${cache.changeOf(slot)} ${hexOf(out.subarray(0, end))}`
    if (cache.isDead(slot)) cache.release(slot)
    return [told]
  }
  return { handle, table }
}

const recordedOf = (step: RecordedStep): ReadonlyArray<Told> =>
  step.datagrams.flatMap(({ hex, messages }) => {
    let at = 0
    return messages.map(({ len, type }) => {
      at += len
      return `${type} ${hex.slice(2 * (at - len + headerBytes), 2 * at)}`
    })
  })

/**
 * The kernel reported no ports and the original sends what its memory held; nothing is known, so
 * nothing but zeros is told.
 */
const leftOverPorts: Readonly<Record<string, readonly [recorded: string, ours: string]>> = {
  "ct-unknown-dccp-kernel": ["0008000300000002", "0008000300000000"]
}

/** The events of the step before it were not recorded, so what the cache knows is not known. */
const isUnknown = (id: string, action: string): boolean =>
  id === "traffic-ftp-nat-seqadj" && action === "conntrack -F"

describe("a node", () => {
  for (const recorded of flowCases) {
    it(`tells its peer what was recorded in ${recorded.id}`, () => {
      const node = makeNode(recorded)
      const [leftOver, ours] = leftOverPorts[recorded.id] ?? ["", ""]
      for (const step of recorded.steps) {
        if (isUnknown(recorded.id, step.action)) continue
        const isDump = step.action.includes("-R")
        const events = step.netlink_events ?? []
        const told = events.flatMap((event) => node.handle(event, isDump))
        const expected = recordedOf(step).map((told) => told.replace(leftOver, ours))
        // Events in quick succession are told together, by the last of them: how many depends on
        // the moment. The last state is always told.
        let next = 0
        for (const message of told) if (message === expected[next]) next++
        assert.strictEqual(next, expected.length, `${step.action}: ${told.join("\n")}`)
        assert.strictEqual(expected.at(-1), told.at(-1))
      }
    })
  }
})
