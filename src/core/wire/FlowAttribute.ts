/**
 * Hot. One attribute of a flow on the wire: its number, its size, its header, and how words of a
 * record are put behind it.
 *
 * Codecs work on the 32-bit words of aligned memory, since every attribute occupies whole words. A
 * header of fixed size is then one comparison.
 *
 * Source: specification, "The replication protocol", sections 7 and 8.
 */

/** Identifiers on the wire. Section 8. */
export const FlowAttribute = {
  ipv4: 0,
  ipv6: 1,
  l4Protocol: 2,
  ports: 3,
  tcpState: 4,
  status: 5,
  timeout: 6,
  mark: 7,
  masterIpv4: 8,
  masterIpv6: 9,
  masterL4Protocol: 10,
  masterPorts: 11,
  sourceNatIpv4: 12,
  destinationNatIpv4: 13,
  sourceNatPort: 14,
  destinationNatPort: 15,
  sequenceAdjustment: 16,
  sctpState: 17,
  sctpTagOriginal: 18,
  sctpTagReply: 19,
  dccpState: 20,
  dccpRole: 21,
  icmpType: 22,
  icmpCode: 23,
  icmpId: 24,
  windowScaleOriginal: 25,
  windowScaleReply: 26,
  helperName: 27,
  labels: 28,
  sourceNatIpv6: 29,
  destinationNatIpv6: 30,
  synproxy: 31,
  zone: 32
} as const

/** Bytes before the value: length and identifier, two bytes each, big-endian. */
export const headerBytes = 4

/** Bytes of a value by identifier; 0 for those of variable size. */
export const valueBytes = Uint8Array.of(
  // ipv4 to timeout
  8,
  32,
  1,
  4,
  1,
  4,
  4,
  // mark to destinationNatPort
  4,
  8,
  32,
  1,
  4,
  4,
  4,
  2,
  2,
  // sequenceAdjustment to dccpRole
  24,
  1,
  4,
  4,
  1,
  1,
  // icmpType to windowScaleReply
  1,
  1,
  2,
  1,
  1,
  // helperName, labels, sourceNatIpv6 to zone
  0,
  0,
  16,
  16,
  12,
  2
)

/** Layer-3 protocol numbers of records. */
export const L3 = { ipv4: 2, ipv6: 10 } as const

/** Layer-4 protocols that have attributes of their own. */
export const L4 = { icmp: 1, tcp: 6, udp: 17, dccp: 33, icmpv6: 58, sctp: 132 } as const

/** An attribute's header as the machine's word. */
export const header = (id: number, bytes: number): number =>
  (id << 24) | ((id & 0xff00) << 8) | (((bytes + headerBytes) & 0xff) << 8)

/** Headers by identifier; -1, which no identifier can have, for those of variable size. */
export const headers = Int32Array.from(
  valueBytes,
  (bytes, id) => bytes === 0 ? -1 : header(id, bytes)
)

export const putByte = (words: Int32Array, to: number, id: number, value: number): number => {
  words[to] = headers[id]!
  words[to + 1] = value & 0xff
  return to + 2
}

export const putHalf = (words: Int32Array, to: number, id: number, value: number): number => {
  words[to] = headers[id]!
  words[to + 1] = value & 0xffff
  return to + 2
}

export const putWord = (words: Int32Array, to: number, id: number, value: number): number => {
  words[to] = headers[id]!
  words[to + 1] = value
  return to + 2
}

export const swapHalf = (half: number): number => ((half & 0xff) << 8) | ((half >>> 8) & 0xff)
