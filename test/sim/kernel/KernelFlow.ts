/**
 * A flow in the simulated kernel: its tuples, its state, and how long it lives.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2, 5 and 7.
 */

/** Addresses are hexadecimal. `a` and `b`: ports, GRE keys; ICMP: identifier, type << 8 | code. */
export interface KernelTuple {
  readonly src: string
  readonly dst: string
  readonly l4: number
  readonly a: number
  readonly b: number
}

export const Direction = { original: 0, reply: 1 } as const
export type Direction = (typeof Direction)[keyof typeof Direction]

export interface KernelFlow {
  readonly id: number
  /** 2 or 10. */
  readonly family: number
  readonly original: KernelTuple
  reply: KernelTuple
  readonly zone: number
  /** The directions that the zone is for. */
  readonly zoneIn: "both" | "original" | "reply"
  status: number
  expiresAtMs: number
  mark: number
  tcp?: { state: number; scales: [number, number]; flags: [number, number] }
  sctp?: { state: number; tags: [number, number] }
  helper?: string
  /** 16 bytes, or undefined without room for labels. */
  labels?: Uint8Array
  seqAdj?: [ReadonlyArray<number>, ReadonlyArray<number>]
  synproxy?: ReadonlyArray<number>
  master?: KernelFlow
  /** Flows whose master this is. */
  children: number
  counters?: [{ packets: bigint; bytes: bigint }, { packets: bigint; bytes: bigint }]
  /** Nanoseconds since the epoch. */
  startNs?: bigint
  readonly hasEvents: boolean
  isGone: boolean
}

export const Ip4 = 2
export const Ip6 = 10

export const StatusBit = {
  expected: 0x1,
  seenReply: 0x2,
  assured: 0x4,
  confirmed: 0x8,
  srcNat: 0x10,
  dstNat: 0x20,
  seqAdjust: 0x40,
  srcNatDone: 0x80,
  dstNatDone: 0x100,
  dying: 0x200,
  fixedTimeout: 0x400,
  helper: 0x2000
} as const

export const tcpStates = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2"
] as const
export type TcpStateName = (typeof tcpStates)[number]

/** Seconds by state: the kernel's defaults. */
export const tcpTimeouts = [0, 120, 60, 432_000, 120, 60, 30, 120, 10, 120] as const

export const isIcmp = (l4: number): boolean => l4 === 1 || l4 === 58

/** Protocols with a pair of ports that translation may change. */
export const hasPorts = (l4: number): boolean => [6, 17, 132, 136].includes(l4)

/** Ports, or the keys of GRE. */
export const hasPair = (l4: number): boolean => hasPorts(l4) || l4 === 47

/** The answer to an ICMP query, or undefined when the type is no query. */
export const icmpAnswer = (l4: number, type: number): number | undefined => {
  const pairs = l4 === 1 ? [[8, 0], [13, 14], [15, 16], [17, 18]] : [[128, 129], [139, 140]]
  for (const [query, answer] of pairs) {
    if (type === query) return answer
    if (type === answer) return query
  }
  return undefined
}

/** The tuple of the answer when nothing is translated. */
export const inverted = (tuple: KernelTuple): KernelTuple => {
  const { a, b, dst, l4, src } = tuple
  if (isIcmp(l4)) {
    const type = icmpAnswer(l4, b >> 8) ?? 255
    return { src: dst, dst: src, l4, a, b: (type << 8) | (b & 0xff) }
  }
  return { src: dst, dst: src, l4, a: b, b: a }
}

export const zoneOf = (flow: KernelFlow, direction: Direction): number => {
  const wanted = direction === Direction.original ? "original" : "reply"
  return flow.zoneIn === "both" || flow.zoneIn === wanted ? flow.zone : 0
}

export const keyOf = (tuple: KernelTuple, zone: number): string =>
  `${tuple.l4}/${zone}/${tuple.src}/${tuple.dst}/${tuple.a}/${tuple.b}`

export const isSameTuple = (x: KernelTuple, y: KernelTuple): boolean => keyOf(x, 0) === keyOf(y, 0)
