/**
 * A flow as one XML element, as `-x` shows it: one line, no declaration and no root element.
 *
 * The format is an interface, so its oddities stay: ICMP has neither type nor identifier, SCTP and
 * DCCP states take their names from TCP, and a direction that is not known is an empty element with
 * numbers of zero.
 *
 * Source: specification, "Command line, life cycle …", section 9.10.
 */
import { Address, Base, Detail, Has, HasRare, swap32 } from "../model/FlowLayout.ts"
import {
  detail64Of,
  type FlowView,
  l4Of,
  numberOf,
  presentOf,
  presentRareOf,
  securityContextOf,
  stateOf
} from "../model/FlowView.ts"
import { l3NameOf, nameOf, tupleKindOf } from "../model/Protocol.ts"
import { Status } from "../model/Status.ts"
import * as TcpState from "../model/TcpState.ts"
import { hex16, high16Of, low16Of } from "./Decimal.ts"
import { formatIpv4, formatIpv6 } from "./FormatAddress.ts"
import { deltaTimeOf, type FlowLineOptions, helperNameOf } from "./FormatFlow.ts"

/** The element without a line feed. */
export const formatFlowXml = (view: FlowView, options: FlowLineOptions): string => {
  let text = "<flow>" + formatDirection(view, "original") + formatDirection(view, "reply") +
    `<meta direction="independent">${formatIndependent(view, options)}</meta>`
  if ((presentRareOf(view) & HasRare.helperName) !== 0) {
    text += element("helper", helperNameOf(view))
  }
  return text + "</flow>"
}

const element = (name: string, content: string | number | bigint): string =>
  `<${name}>${content}</${name}>`

const formatDirection = (view: FlowView, direction: "original" | "reply"): string => {
  const isOriginal = direction === "original"
  const present = presentOf(view)
  const presentRare = presentRareOf(view)
  const hasIpv4 = (present & (isOriginal ? Has.originalIpv4 : Has.replyIpv4)) !== 0
  const hasIpv6 = (present & (isOriginal ? Has.originalIpv6 : Has.replyIpv6)) !== 0
  const l3 = hasIpv4 ? 2 : hasIpv6 ? 10 : 0
  const l4 = isOriginal || l3 !== 0 ? l4Of(view) : 0
  let text = `<meta direction="${direction}">` +
    `<layer3 protonum="${l3}" protoname="${l3NameOf(l3)}">` +
    element("src", l3 === 0 ? "" : formatEnd(view, isOriginal, 0, hasIpv4)) +
    element("dst", l3 === 0 ? "" : formatEnd(view, isOriginal, 1, hasIpv4)) +
    `</layer3><layer4 protonum="${l4}" protoname="${nameOf(l4)}">`
  const ports = view.base[view.baseWord + (isOriginal ? Base.originalPorts : Base.replyPorts)]!
  const kind = tupleKindOf(l4)
  if (kind === "ports") {
    text += element("sport", low16Of(ports)) + element("dport", high16Of(ports))
  } else if (kind === "greKeys") {
    text += element("srckey", "0x" + hex16(low16Of(ports))) +
      element("dstkey", "0x" + hex16(high16Of(ports)))
  }
  text += "</layer4>"
  if ((present & (isOriginal ? Has.originalZone : Has.replyZone)) !== 0) {
    const at = view.baseWord + (isOriginal ? Base.zone : Base.replyZone)
    text += element("zone", low16Of(view.base[at]!))
  }
  if ((presentRare & (isOriginal ? HasRare.countersOriginal : HasRare.countersReply)) !== 0) {
    const at = isOriginal ? Detail.countersOriginal : Detail.countersReply
    text += element(
      "counters",
      element("packets", detail64Of(view, at)) + element("bytes", detail64Of(view, at + 2))
    )
  }
  return text + "</meta>"
}

/** The source (0) or destination (1) address of a direction. */
const formatEnd = (view: FlowView, isOriginal: boolean, end: 0 | 1, isIpv4: boolean): string => {
  const first = view.base[
    view.baseWord + (isOriginal ? Base.originalSource : Base.replySource) + end
  ]!
  if (isIpv4) return formatIpv4(first)
  const at = view.addressWord + (isOriginal ? Address.originalSource : Address.replySource) +
    end * 3
  return formatIpv6(first, view.address[at]!, view.address[at + 1]!, view.address[at + 2]!)
}

const formatIndependent = (view: FlowView, options: FlowLineOptions): string => {
  const present = presentOf(view)
  const presentRare = presentRareOf(view)
  let text = ""
  if ((present & Has.state) !== 0) text += element("state", TcpState.nameOf(stateOf(view)))
  if (options.timeout && (present & Has.timeout) !== 0) {
    text += element("timeout", numberOf(view, Base.timeoutSeconds))
  }
  if ((present & Has.mark) !== 0) text += element("mark", numberOf(view, Base.mark))
  if ((presentRare & HasRare.secmark) !== 0) {
    text += element("secmark", swap32(view.detail[Detail.secmark]!) >>> 0)
  }
  if ((presentRare & HasRare.securityContext) !== 0) {
    text += element("secctx", securityContextOf(view))
  }
  if ((present & Has.zone) !== 0) {
    text += element("zone", low16Of(view.base[view.baseWord + Base.zone]!))
  }
  if ((presentRare & HasRare.use) !== 0) {
    text += element("use", swap32(view.detail[Detail.use]!) >>> 0)
  }
  if ((present & Has.id) !== 0) text += element("id", numberOf(view, Base.id))
  if ((present & Has.status) !== 0) {
    const status = numberOf(view, Base.status)
    if ((status & Status.assured) !== 0) text += "<assured/>"
    if ((status & Status.seenReply) === 0) text += "<unreplied/>"
  }
  if ((presentRare & HasRare.timestampStart) !== 0) {
    text += element("deltatime", deltaTimeOf(view, options.wallSeconds))
  }
  return text
}
