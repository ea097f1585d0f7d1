/** Where the living flows of an internal cache are. */
import { FlowView } from "../../../src/core/model/FlowView.ts"
import type { Life } from "./Life.ts"
import { keyOfView } from "./WireFlow.ts"

/** The flows that an internal cache has, alive, by key. */
export const liveSlots = ({ replica: { internal } }: Life): Map<string, number> => {
  const slots = new Map<string, number>()
  const view = new FlowView()
  for (let slot = 0; slot < internal.table.slotsHigh; slot++) {
    if (!internal.holds(slot) || internal.isDead(slot)) continue
    const key = keyOfView(internal.table.view(slot, view))
    if (key !== undefined) slots.set(key, slot)
  }
  return slots
}
