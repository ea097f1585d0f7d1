/**
 * Numbers of the attributes with which the kernel describes a flow.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 2.
 */

/** Attributes of the message. */
export const Cta = {
  tupleOriginal: 1,
  tupleReply: 2,
  status: 3,
  protoInfo: 4,
  help: 5,
  /** Requests only. */
  natSource: 6,
  timeout: 7,
  mark: 8,
  countersOriginal: 9,
  countersReply: 10,
  use: 11,
  id: 12,
  /** Requests only. */
  natDestination: 13,
  tupleMaster: 14,
  seqAdjOriginal: 15,
  seqAdjReply: 16,
  secmark: 17,
  zone: 18,
  securityContext: 19,
  timestamp: 20,
  /** Requests only. */
  markMask: 21,
  labels: 22,
  /** Requests only. */
  labelsMask: 23,
  synproxy: 24,
  /** Requests only. */
  filter: 25,
  /** Requests only. */
  statusMask: 26,
  timestampEvent: 27
} as const

export const Tuple = { ip: 1, proto: 2, zone: 3 } as const

export const Ip = { v4Source: 1, v4Destination: 2, v6Source: 3, v6Destination: 4 } as const

export const Proto = {
  number: 1,
  sourcePort: 2,
  destinationPort: 3,
  icmpId: 4,
  icmpType: 5,
  icmpCode: 6,
  icmpv6Id: 7,
  icmpv6Type: 8,
  icmpv6Code: 9
} as const

export const ProtoInfo = { tcp: 1, dccp: 2, sctp: 3 } as const

export const Tcp = {
  state: 1,
  windowScaleOriginal: 2,
  windowScaleReply: 3,
  flagsOriginal: 4,
  flagsReply: 5
} as const

export const Dccp = { state: 1, role: 2, handshakeSeq: 3 } as const

export const Sctp = { state: 1, tagOriginal: 2, tagReply: 3 } as const

export const Help = { name: 1, info: 2 } as const

export const Counters = { packets: 1, bytes: 2, packets32: 3, bytes32: 4 } as const

export const Timestamp = { start: 1, stop: 2 } as const

export const SeqAdj = { correctionPos: 1, offsetBefore: 2, offsetAfter: 3 } as const

export const Synproxy = { isn: 1, its: 2, tsoff: 3 } as const

export const SecurityContext = { name: 1 } as const

export const Nat = {
  v4MinIp: 1,
  v4MaxIp: 2,
  proto: 3,
  v6MinIp: 4,
  v6MaxIp: 5
} as const

export const NatProto = { portMin: 1, portMax: 2 } as const

/** Bits of the TCP flags. */
export const TcpFlag = {
  windowScale: 0x01,
  sackPerm: 0x02,
  closeInit: 0x04,
  beLiberal: 0x08
} as const
