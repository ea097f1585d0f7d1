/**
 * What a ctnetlink message says happened to its flow. Source: specification, "ctnetlink", section
 * 1.
 */
import { Change } from "../model/Change.ts"
import type { NlmsgCursor } from "./Nlmsg.ts"
import { CtType, Flag } from "./Nlmsg.ts"

/**
 * The change that the cursor's message reports, or -1 when it is not about a flow. Dump entries are
 * updates.
 */
export const flowChangeOf = (cursor: NlmsgCursor): Change | -1 => {
  if (cursor.type === CtType.delete) return Change.destroyed
  if (cursor.type !== CtType.new) return -1
  return (cursor.flags & Flag.create) !== 0 ? Change.created : Change.updated
}
