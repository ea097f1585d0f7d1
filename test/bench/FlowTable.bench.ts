/**
 * What do a look-up, an update and an insertion cost in a table of a million flows, against a Map
 * with one object per flow, and how many bytes does a flow take?
 */
import { FlowTable } from "../../src/core/model/FlowTable.ts"
import { scratchView } from "../../src/core/model/FlowView.ts"
import { fillIpv4, fillIpv6 } from "../model/Flows.ts"
import { compare } from "./Compare.ts"

export const title = "model: table of flows"

/** Budget of a flow and cache, protocol state included. */
const bytesPerFlowMax = 200

export const run = (quick: boolean): void => {
  const flows = quick ? 20_000 : 1_000_000
  for (const [family, fill] of [["IPv4", fillIpv4], ["IPv6", fillIpv6]] as const) {
    const table = new FlowTable({
      flowsMax: 2 * flows,
      bucketsHint: 65_536,
      seed: [0x1234_5678, 0x9abc_def0]
    })
    const view = scratchView()
    const map = new Map<string, { state: number; timeoutSeconds: number }>()
    // Scattered, as flows come: neighbours in time are not neighbours in the key space.
    const nth = (i: number) => (Math.imul(i, 0x9e37_79b1) >>> 0) % (1 << 27)
    let tableNext = 0
    let mapNext = 0
    const batch = Math.floor(flows / 10)
    compare(`insert, while growing to ${flows} flows over ${family}`, {
      baseline: ["Map", () => {
        for (let i = 0; i < batch; i++) {
          map.set(`${family} ${nth(mapNext++)}`, { state: 3, timeoutSeconds: 1 })
        }
      }],
      subject: ["table", () => {
        for (let i = 0; i < batch; i++) {
          if (table.insert(fill(view, nth(tableNext++))) < 0) throw new Error("full")
        }
      }]
    }, { times: 1, events: batch, rounds: 9 })
    let probe = 0
    const slots: Array<number> = []
    for (let i = 0; i < 1000; i++) slots.push(nth((i * 977) % tableNext))
    compare(`find among ${table.size} flows over ${family}, making the key included`, {
      baseline: ["make the key", () => void fill(view, nth((probe += 7919) % tableNext))],
      subject: ["find", () => {
        if (table.find(fill(view, nth((probe += 7919) % tableNext))) < 0) {
          throw new Error("lost")
        }
      }]
    }, { times: quick ? 20_000 : 300_000 })
    compare(`miss among ${table.size} flows over ${family}, making the key included`, {
      baseline: ["make the key", () => void fill(view, nth((probe += 7919) % tableNext))],
      subject: ["miss", () => {
        const n = nth((probe += 7919) % tableNext) + (1 << 27)
        if (table.find(fill(view, n)) >= 0) throw new Error("found a flow that never was")
      }]
    }, { times: quick ? 20_000 : 300_000 })
    const bytes = table.bytesAllocated / table.size
    process.stdout.write(`${family}: ${bytes.toFixed(1)} bytes per flow at ${table.size} flows\n`)
    if (!quick && bytes > bytesPerFlowMax) throw new Error(`more than ${bytesPerFlowMax} bytes`)
  }
}
