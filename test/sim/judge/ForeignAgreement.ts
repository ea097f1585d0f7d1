/**
 * Q1 and Q2 against a peer that is not ours, whose inside is only seen through a window. What it
 * loses by upstream's ways it declares; nothing else is held against us.
 */
import { FlowView } from "../../../src/core/model/FlowView.ts"
import { formatFlow } from "../../../src/core/text/FormatFlow.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import type { Disagreement } from "./Agreement.ts"
import type { Ledger } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { liveSlots } from "./LiveSlots.ts"
import type { SenderWatch } from "./SenderWatch.ts"
import type { ForeignWindow } from "./Side.ts"
import { asKept, differenceLines, differingFields, keyOf, lineOfFlow, toldOf } from "./WireFlow.ts"

/** Our internal cache against the external cache of the other one. */
export const foreignReceives = (
  life: Life,
  sender: SenderWatch,
  outgoing: Ledger,
  window: ForeignWindow
): ReadonlyArray<Disagreement> => {
  const found: Array<Disagreement> = []
  const theirs = new Map<string, ReferenceFlow>()
  for (const flow of window.externalFlows()) {
    const key = keyOf(flow)
    if (key !== undefined) theirs.set(key, asKept(flow))
  }
  const { internal: { table } } = life.replica
  const slots = liveSlots(life)
  for (const [key, slot] of slots) {
    const told = outgoing.find(key)
    if (told === undefined || told.isDoubtful) continue
    const view = table.view(slot, new FlowView())
    const has = asKept(toldOf(view, sender.toldOptions))
    const is = theirs.get(key)
    if (is === undefined) {
      const line = formatFlow(view, { timeout: true, wallSeconds: 0 })
      found.push({
        where: `only in ${life.machine} internal`,
        lines: [line, ...told.historyLines.map((text) => `  ${text}`)]
      })
      continue
    }
    // What we do not have any more stays there after an update: upstream merges, as we do.
    const fields = differingFields(is, has).filter((field) =>
      has[field] !== undefined && (field !== "timeout" || !told.isTimeoutSilent)
    )
    if (fields.length === 0) continue
    found.push({
      where: `${outgoing.receiver} external differs from ${life.machine} internal`,
      lines: [lineOfFlow(is), ...differenceLines(is, has)]
    })
  }
  for (const [key, flow] of theirs) {
    if (slots.has(key)) continue
    const told = outgoing.find(key)
    if (told === undefined || told.isDoubtful) continue
    found.push({
      where: `only in ${outgoing.receiver} external`,
      lines: [lineOfFlow(flow), ...told.historyLines.map((text) => `  ${text}`)]
    })
  }
  return found
}

/** What the other one told last and we never applied. */
export const foreignTold = (ledger: Ledger): ReadonlyArray<Disagreement> => {
  const found: Array<Disagreement> = []
  for (const told of ledger.flows()) {
    if (!told.isOwed) continue
    found.push({
      where: `told by ${ledger.sender} and not applied by ${ledger.receiver}`,
      lines: [ledger.lineOf(told.key), ...told.historyLines.map((text) => `  ${text}`)]
    })
  }
  return found
}
