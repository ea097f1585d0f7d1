/** Established TCP flows over IPv4 as requests to the kernel, through the addon. */
import { Base, Has } from "../../src/core/model/FlowLayout.ts"
import { scratchView, setHas, setNumber } from "../../src/core/model/FlowView.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import type { RequestOptions } from "../../src/core/netlink/CtnetlinkEncode.ts"
import { requestOptions } from "../../src/core/netlink/CtnetlinkEncode.ts"
import { fillIpv4 } from "../model/Flows.ts"

const seenReplyAssuredConfirmed = 0x0e

const view = scratchView()

/** Flow number `n`; the same record every time, overwritten. */
export const flowNumber = (n: number, mark: number): FlowView => {
  fillIpv4(view, n)
  setNumber(view, Base.status, seenReplyAssuredConfirmed)
  if (mark !== 0) {
    setNumber(view, Base.mark, mark)
    setHas(view, Has.mark)
  }
  return view
}

export const flowOptions = (ack: boolean): RequestOptions => ({
  ...requestOptions(),
  timeoutSeconds: 3_600,
  ack
})
