/**
 * Hot. Address translation of a flow, as a request must name it and as the kernel then shows it.
 *
 * The kernel sets translation up itself: it wants the reply tuple as if nothing were translated,
 * the mirrored original, and the translation beside it. A peer's entry has the translation in
 * fields of its own; for an entry of the kernel it is the difference between the tuples. Both keep
 * the translated values where the reply tuple has them, so only what is translated differs.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1;
 * "The replication protocol", sections 8.2 and 8.3.
 */
import { Address, Base, Has } from "../model/FlowLayout.ts"
import type { FlowView } from "../model/FlowView.ts"
import { l4Of } from "../model/FlowView.ts"
import { Protocol } from "../model/Protocol.ts"

/** What is translated. */
export const Translation = {
  sourceAddress: 1,
  sourcePort: 2,
  destinationAddress: 4,
  destinationPort: 8,
  source: 3,
  destination: 12
} as const

/**
 * Protocols whose ports the kernel's allocator honours. ICMP has no ports: the numbers that peers
 * send for it mean nothing.
 */
export const hasPorts = (l4: number): boolean => {
  switch (l4) {
    case Protocol.tcp:
    case Protocol.udp:
    case Protocol.udplite:
    case Protocol.sctp:
    case Protocol.dccp:
      return true
    default:
      return false
  }
}

export const isIcmp = (l4: number): boolean => l4 === Protocol.icmp || l4 === Protocol.icmpv6

/** Type of the answer to an ICMP or ICMPv6 query; 255, which the kernel refuses, when none is. */
export const icmpReplyType = (l4: number, type: number): number => {
  if (l4 === Protocol.icmp) {
    switch (type) {
      case 0:
        return 8
      case 8:
        return 0
      case 13:
      case 15:
      case 17:
        return type + 1
      case 14:
      case 16:
      case 18:
        return type - 1
      default:
        return 255
    }
  }
  switch (type) {
    case 128:
    case 139:
      return type + 1
    case 129:
    case 140:
      return type - 1
    default:
      return 255
  }
}

/** The ports word of the untranslated reply tuple. */
export const mirroredPorts = (view: FlowView): number => {
  const ports = view.base[view.baseWord + Base.originalPorts]!
  const l4 = l4Of(view)
  if (!isIcmp(l4)) return (ports >>> 16) | (ports << 16)
  return (ports & ~0xff_0000) | (icmpReplyType(l4, (ports >>> 16) & 0xff) << 16)
}

/** Another flow may have the port that the source keeps, though the flow is translated. */
export const keepsPort = (view: FlowView): boolean => {
  const translation = translationOf(view)
  return translation !== 0 && (translation & Translation.sourcePort) === 0 && hasPorts(l4Of(view))
}

/**
 * A request that says the port leaves the kernel no choice in the translation of this flow. Since
 * 6.17 the kernel knows no ports of DCCP.
 */
export const isTranslationExact = (view: FlowView): boolean => {
  const l4 = l4Of(view)
  return hasPorts(l4) && l4 !== Protocol.dccp
}

/** `Translation` bits of the flow. */
export const translationOf = (view: FlowView): number => {
  const { base, baseWord } = view
  const present = base[baseWord + Base.present]!
  const ports = hasPorts(l4Of(view))
  if ((present & (Has.replyIpv4 | Has.replyIpv6)) === 0) {
    let bits = 0
    if ((present & (Has.snatIpv4 | Has.snatIpv6)) !== 0) bits |= Translation.sourceAddress
    if ((present & (Has.dnatIpv4 | Has.dnatIpv6)) !== 0) bits |= Translation.destinationAddress
    if (ports && (present & Has.snatPort) !== 0) bits |= Translation.sourcePort
    if (ports && (present & Has.dnatPort) !== 0) bits |= Translation.destinationPort
    return bits
  }
  const isIpv6 = (present & Has.replyIpv6) !== 0
  let bits = 0
  if (
    base[baseWord + Base.replyDestination] !== base[baseWord + Base.originalSource] ||
    (isIpv6 && restDiffers(view, Address.replyDestination, Address.originalSource))
  ) bits |= Translation.sourceAddress
  if (
    base[baseWord + Base.replySource] !== base[baseWord + Base.originalDestination] ||
    (isIpv6 && restDiffers(view, Address.replySource, Address.originalDestination))
  ) bits |= Translation.destinationAddress
  if (ports && (present & Has.replyPorts) !== 0) {
    const original = base[baseWord + Base.originalPorts]!
    const reply = base[baseWord + Base.replyPorts]!
    if (reply >>> 16 !== (original & 0xffff)) bits |= Translation.sourcePort
    if ((reply & 0xffff) !== original >>> 16) bits |= Translation.destinationPort
  }
  return bits
}

const restDiffers = (view: FlowView, a: number, b: number): boolean => {
  const { address, addressWord } = view
  for (let i = 0; i < 3; i++) {
    if (address[addressWord + a + i] !== address[addressWord + b + i]) return true
  }
  return false
}
