/** Hot. Flows in the kernel's messages, as far as the caches can take them. */
import { Fault } from "../core/model/Fault.ts"
import { Has } from "../core/model/FlowLayout.ts"
import type { FlowView } from "../core/model/FlowView.ts"
import { clearScratch, presentOf } from "../core/model/FlowView.ts"
import { decodeFlow } from "../core/netlink/CtnetlinkDecode.ts"
import type { NlmsgCursor } from "../core/netlink/Nlmsg.ts"
import type { NetlinkBatch } from "../layers/KernelEvents.ts"

/**
 * Reads the flow of the cursor's message into `scratch`; false when it is malformed, or when it has
 * no original tuple and so no place in a cache.
 */
export const readFlow = (batch: NetlinkBatch, cursor: NlmsgCursor, scratch: FlowView): boolean => {
  clearScratch(scratch)
  const fault = decodeFlow(batch.words, batch.bytes, cursor.bodyAt, cursor.end, scratch)
  return fault === Fault.none && (presentOf(scratch) & (Has.originalIpv4 | Has.originalIpv6)) !== 0
}
