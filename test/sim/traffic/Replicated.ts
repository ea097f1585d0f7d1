/**
 * Which connections of the traffic a daemon could restore, by what it was told: an entry with the
 * tuple, established, translated as the ends of the connection see it. An entry that lacks any of
 * it would be committed, and the connection would not live on; that is for other invariants.
 */
import type { KernelTuple } from "../kernel/KernelFlow.ts"
import { hasPorts, inverted, isSameTuple, keyOf, StatusBit } from "../kernel/KernelFlow.ts"
import type { Machine } from "../machine/Machine.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import type { TrafficConnection } from "./TrafficConnection.ts"

const [tcpEstablished, sctpEstablished] = [3, 4]

export interface Committer {
  readonly kind: Machine["kind"]
  /** TCPWindowTracking: TCP entries are committed strict, with the scales that were told. */
  readonly windowTracking: boolean
}

/**
 * Upstream commits TCP entries with their window scales but without the flags that make them count,
 * SCTP entries with a damaged tag, translated sources that kept their port with any port, and no
 * translated ports but those of TCP and UDP.
 * Source: specification, "The synchronisation engines", sections 14 and 22 (1).
 */
const isSpoiledBy = ({ kind, windowTracking }: Committer, told: ReferenceFlow): boolean => {
  if (kind !== "reference") return false
  const { dnatAddress, protocol, snatAddress, snatPort } = told
  if (snatAddress !== undefined && snatPort === undefined) return true
  const isTranslated = snatAddress !== undefined || dnatAddress !== undefined
  if (isTranslated && protocol !== 6 && protocol !== 17) return true
  return (protocol === 6 && windowTracking) || (protocol === 132 && !windowTracking)
}

/**
 * `flows`: the external cache of the machine that becomes primary, as the wire told it;
 * `committer`: that machine.
 */
export const replicatedIn = (
  flows: Iterable<ReferenceFlow>,
  committer: Committer
): (connection: TrafficConnection) => boolean => {
  const known = new Map<string, ReferenceFlow>()
  const claims = new Map<string, number>()
  for (const flow of flows) {
    const original = originalOf(flow)
    if (original === undefined) continue
    const { zone = 0 } = flow
    known.set(keyOf(original, zone), flow)
    const reply = keyOf(inverted(sentBy(flow, original)), zone)
    claims.set(reply, (claims.get(reply) ?? 0) + 1)
  }
  return (connection) => {
    const { l4, original, reply, tags, zone } = connection
    const flow = known.get(keyOf(original, zone))
    if (flow === undefined || reply === undefined) return false
    // Another entry has the same answers, since its end was lost: the first committed gets them.
    if ((claims.get(keyOf(reply, zone)) ?? 0) > 1) return false
    if (((flow.status ?? 0) & StatusBit.seenReply) === 0) return false
    if (isSpoiledBy(committer, flow)) return false
    if (l4 === 6 && flow.tcpState !== tcpEstablished) return false
    if (l4 === 6 && committer.windowTracking && !hasScales(flow)) return false
    if (l4 === 132) {
      if (flow.sctpState !== sctpEstablished) return false
      if (flow.sctpTagOriginal !== tags[0] || flow.sctpTagReply !== tags[1]) return false
    }
    return isSameTuple(sentBy(flow, original), inverted(reply))
  }
}

/** Entries of a kernel that upstream committed have none, and then cannot tell any. */
const hasScales = ({ tcpScaleOriginal = 0, tcpScaleReply = 0 }: ReferenceFlow): boolean =>
  tcpScaleOriginal > 0 && tcpScaleReply > 0

const originalOf = (flow: ReferenceFlow): KernelTuple | undefined => {
  const { addresses, icmpCode = 0, icmpId = 0, icmpType = 0, ports, protocol = 0 } = flow
  if (addresses === undefined) return undefined
  return {
    src: addresses.source,
    dst: addresses.destination,
    l4: protocol,
    a: ports?.source ?? icmpId,
    b: ports?.destination ?? (icmpType << 8 | icmpCode)
  }
}

/** The first packet as it leaves. Ports that are told of protocols without ports mean nothing. */
const sentBy = (flow: ReferenceFlow, original: KernelTuple): KernelTuple => {
  const withPorts = hasPorts(original.l4)
  return {
    ...original,
    src: flow.snatAddress ?? original.src,
    dst: flow.dnatAddress ?? original.dst,
    a: withPorts ? flow.snatPort ?? original.a : original.a,
    b: withPorts ? flow.dnatPort ?? original.b : original.b
  }
}
