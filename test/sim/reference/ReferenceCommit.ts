/**
 * How the reference peer writes flows of its external cache into the kernel.
 *
 * Source: specification, "The synchronisation engines", section 14 (and 22: the defect of SCTP tags
 * and DCCP roles).
 */
import { attribute, nest, nfmsg, text, u16, u32, u8 } from "../kernel/NetlinkWriter.ts"
import type { ReferenceFlow } from "./ReferenceWire.ts"

export interface CommitOptions {
  readonly tcpWindowTracking: boolean
  readonly commitTimeoutSeconds: number | undefined
}

const bytesOf = (hex: string): Array<number> =>
  (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16))

const portful = [6, 17, 132, 33, 136, 47]

/** The answer to an ICMP query; 255 when there is none. */
const icmpAnswer = (protocol: number, type: number): number => {
  const pairs = protocol === 1 ? [[8, 0], [13, 14], [15, 16], [17, 18]] : [[128, 129], [139, 140]]
  for (const [query, answer] of pairs) {
    if (type === query) return answer!
    if (type === answer) return query!
  }
  return 255
}

const tuple = (
  type: number,
  source: string,
  destination: string,
  protocol: ReadonlyArray<ReadonlyArray<number>>
): Array<number> => {
  const isV6 = source.length > 8
  return nest(
    type,
    nest(
      1,
      attribute(isV6 ? 3 : 1, bytesOf(source)),
      attribute(isV6 ? 4 : 2, bytesOf(destination))
    ),
    nest(2, ...protocol)
  )
}

const tuples = (flow: ReferenceFlow): { original: Array<number>; reply: Array<number> } => {
  const { addresses, icmpCode = 0, icmpId = 0, icmpType = 0, ports, protocol = 0 } = flow
  const { destination, source } = addresses ?? { source: "00000000", destination: "00000000" }
  const there = [u8(1, protocol)]
  const back = [u8(1, protocol)]
  if (portful.includes(protocol)) {
    const [a, b] = [ports?.source ?? 0, ports?.destination ?? 0]
    there.push(u16(2, a), u16(3, b))
    back.push(u16(2, b), u16(3, a))
  } else if (protocol === 1 || protocol === 58) {
    const first = protocol === 1 ? 4 : 7
    const answer = icmpAnswer(protocol, icmpType)
    there.push(u8(first + 2, icmpCode), u8(first + 1, icmpType), u16(first, icmpId))
    back.push(u8(first + 2, icmpCode), u8(first + 1, answer), u16(first, icmpId))
  }
  return {
    original: tuple(1, source, destination, there),
    reply: tuple(2, destination, source, back)
  }
}

export const isRelated = (flow: ReferenceFlow): boolean =>
  flow.masterAddresses !== undefined && flow.masterProtocol !== undefined &&
  flow.masterPorts !== undefined

const master = (flow: ReferenceFlow): Array<number> => {
  const { masterAddresses, masterPorts, masterProtocol } = flow
  if (masterAddresses === undefined || masterPorts === undefined) return []
  return tuple(14, masterAddresses.source, masterAddresses.destination, [
    u8(1, masterProtocol ?? 0),
    u16(2, masterPorts.source),
    u16(3, masterPorts.destination)
  ])
}

const protocolInfo = (flow: ReferenceFlow, options: CommitOptions): Array<number> => {
  const isLiberal = !options.tcpWindowTracking
  if (flow.protocol === 6) {
    const { tcpScaleOriginal, tcpScaleReply, tcpState } = flow
    return nest(
      4,
      nest(
        1,
        tcpState === undefined ? [] : u8(1, tcpState),
        isLiberal ? attribute(4, [8, 8]) : [],
        isLiberal ? attribute(5, [8, 8]) : [],
        tcpScaleOriginal === undefined ? [] : u8(2, tcpScaleOriginal),
        tcpScaleReply === undefined ? [] : u8(3, tcpScaleReply)
      )
    )
  }
  if (flow.protocol === 132 && flow.sctpState !== undefined) {
    const { sctpState, sctpTagOriginal = 0, sctpTagReply = 0 } = flow
    // The liberal flags are written where the tag's low byte is.
    const tag = isLiberal ? ((sctpTagOriginal & ~0xff) | 0x08) >>> 0 : sctpTagOriginal
    return nest(4, nest(3, u8(1, sctpState), u32(2, tag), u32(3, sctpTagReply)))
  }
  if (flow.protocol === 33 && flow.dccpState !== undefined) {
    return nest(4, nest(2, u8(1, flow.dccpState), u8(2, isLiberal ? 8 : flow.dccpRole ?? 0)))
  }
  return []
}

const translation = (
  type: number,
  protocol: number,
  address: string | undefined,
  port: number | undefined
): Array<number> => {
  if (address === undefined && port === undefined) return []
  const isPorted = protocol === 6 || protocol === 17
  return nest(
    type,
    address === undefined ? [] : attribute(address.length > 8 ? 4 : 1, bytesOf(address)),
    port === undefined ? [] : nest(3, ...(isPorted ? [u16(1, port), u16(2, port)] : []))
  )
}

const triple = (
  type: number,
  values: ReadonlyArray<number> | undefined,
  order: ReadonlyArray<number>
): Array<number> =>
  values === undefined ? [] : nest(type, ...order.map((i) => u32(i + 1, values[i]!)))

/** The timeout that is asked for: what is left of the one received. */
export const commitTimeout = (
  flow: ReferenceFlow,
  elapsedSeconds: number,
  options: CommitOptions
): number | undefined => {
  if (options.commitTimeoutSeconds !== undefined) return options.commitTimeoutSeconds
  if (flow.timeout === undefined) return elapsedSeconds >= 1 ? 60 : undefined
  const left = flow.timeout - elapsedSeconds
  return left < 0 ? 60 : left === 0 ? flow.timeout : left
}

const familyOf = (flow: ReferenceFlow): number => (flow.addresses?.source.length ?? 8) > 8 ? 10 : 2

export const createRequest = (
  flow: ReferenceFlow,
  timeout: number | undefined,
  options: CommitOptions
): Uint8Array => {
  const { protocol = 0, seqAdj, status = 0 } = flow
  const { original, reply } = tuples(flow)
  return nfmsg({ type: 0x0100, flags: 0x605, seq: 0, pid: 0 }, familyOf(flow), [
    ...original,
    ...reply,
    ...master(flow),
    ...u32(3, ((status & ~0x1) | 0x8) >>> 0),
    ...(timeout === undefined ? [] : u32(7, timeout)),
    ...(flow.mark === undefined ? [] : u32(8, flow.mark)),
    ...protocolInfo(flow, options),
    ...translation(6, protocol, flow.snatAddress, flow.snatPort),
    ...translation(13, protocol, flow.dnatAddress, flow.dnatPort),
    ...triple(15, seqAdj?.slice(0, 3), [0, 1, 2]),
    ...triple(16, seqAdj?.slice(3), [0, 1, 2]),
    ...(flow.helper === undefined ? [] : nest(5, text(1, flow.helper))),
    ...(flow.zone === undefined ? [] : u16(18, flow.zone)),
    ...(flow.labels === undefined ? [] : attribute(22, [
      ...new Uint8Array(Uint32Array.from(flow.labels).buffer)
    ])),
    ...(flow.synproxy === undefined ? [] : nest(
      24,
      u32(1, flow.synproxy[1]!),
      u32(2, flow.synproxy[0]!),
      u32(3, flow.synproxy[2]!)
    ))
  ])
}

export const deleteRequest = (flow: ReferenceFlow): Uint8Array =>
  nfmsg({ type: 0x0102, flags: 0x005, seq: 0, pid: 0 }, familyOf(flow), [
    ...tuples(flow).original,
    ...(flow.zone === undefined ? [] : u16(18, flow.zone))
  ])
