/** What does a line of a dump cost, over IPv6 against IPv4? */
import { FlowTable } from "../../src/core/model/FlowTable.ts"
import { FlowView, scratchView } from "../../src/core/model/FlowView.ts"
import { formatCachedFlow } from "../../src/core/text/FormatFlow.ts"
import { fillIpv4, fillIpv6 } from "../model/Flows.ts"
import { compare } from "./Compare.ts"

const flows = 20_000
const tableOf = (fill: typeof fillIpv4): FlowTable => {
  const table = new FlowTable({ flowsMax: flows, bucketsHint: flows, seed: [1, 2] })
  const scratch = scratchView()
  for (let n = 0; n < flows; n++) table.insert(fill(scratch, n * 7919))
  return table
}

const options = { nowSeconds: 86_400, wallSeconds: 0 }

/** Formats the table into chunks of bytes, as the control socket sends them. */
const dump = (table: FlowTable): () => void => {
  const view = new FlowView()
  return () => {
    let chunk = ""
    for (let slot = 0; slot < table.slotsHigh; slot++) {
      chunk += formatCachedFlow(table.view(slot, view), options)
      if (chunk.length > 65_536) {
        Buffer.from(chunk, "latin1")
        chunk = ""
      }
    }
  }
}

export const title = "text: line of a dump"

export const run = (quick: boolean): void => {
  compare(
    "line of a dump, converted to bytes",
    { baseline: ["IPv4", dump(tableOf(fillIpv4))], subject: ["IPv6", dump(tableOf(fillIpv6))] },
    { times: quick ? 1 : 3, events: flows }
  )
}
