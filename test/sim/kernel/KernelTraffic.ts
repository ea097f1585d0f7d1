/**
 * Packets for the simulated kernel: connections that open, talk and close, with the events that a
 * real kernel reports of them.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 5 and 7.1; the
 * flags and timeouts are those of the recorded connections.
 */
import { addressWordsOf } from "../../fakes/Address.ts"
import type { FakeKernel } from "./FakeKernel.ts"
import type { KernelFlow, KernelTuple, TcpStateName } from "./KernelFlow.ts"
import {
  hasPorts,
  icmpAnswer,
  inverted,
  isSameTuple,
  StatusBit,
  tcpStates,
  tcpTimeouts
} from "./KernelFlow.ts"

/** A connection as a test names it. Addresses are text. */
export interface Connection {
  readonly src: string
  readonly dst: string
  readonly sport?: number
  readonly dport?: number
  /** The new source, the new destination. */
  readonly snat?: { readonly address?: string; readonly port?: number }
  readonly dnat?: { readonly address?: string; readonly port?: number }
  /** The host has rules that translate: every flow then carries both DONE bits. */
  readonly hasNatRules?: boolean
  readonly zone?: number
  readonly mark?: number
  readonly helper?: string
  readonly master?: KernelFlow
}

/** How the state changes the flags of both directions. */
const tcpFlags: Partial<Record<TcpStateName, [original: number, reply: number]>> = {
  SYN_SENT: [0x03, 0x00],
  SYN_RECV: [0x03, 0x23],
  ESTABLISHED: [0x23, 0x23],
  FIN_WAIT: [0x37, 0x23],
  CLOSE_WAIT: [0x27, 0x23],
  LAST_ACK: [0x27, 0x33],
  TIME_WAIT: [0x27, 0x23]
}

const udpTimeoutSeconds = 30
const udpStreamTimeoutSeconds = 120
const icmpTimeoutSeconds = 30
const genericTimeoutSeconds = 600
/** An SCTP association that is up: the default of kernels since 4.20. */
const sctpTimeoutSeconds = 210
const sctpEstablished = 4
const windowScale = 10
/** Flags of a direction of a TCP flow. */
const [flagScale, flagsOfHandshake, flagLiberal] = [0x01, 0x03, 0x08]

/** What a packet is, beyond its tuple. */
export interface Segment {
  /**
   * TCP: data 60 000 bytes ahead of what the other end confirmed, as a bulk transfer sends it. The
   * kernel lets it pass only if it knows the window scale, or is liberal.
   */
  readonly isFarAhead?: boolean
  /** SCTP: the verification tag. */
  readonly tag?: number
}

/** What became of a packet. */
export interface PacketFate {
  readonly state: "new" | "established" | "invalid"
  /** The packet as it leaves; undefined when nothing tracks it. */
  readonly sent?: KernelTuple
}

/** What was asked for before: traffic has few addresses. */
const knownAddresses = new Map<string, string>()
const knownAddressesMax = 4_096

/** The address as the kernel's flows have it. */
export const hexOfAddress = (text: string): string => {
  let hex = knownAddresses.get(text)
  if (hex !== undefined) return hex
  hex = Array.from(
    new Uint8Array(Int32Array.from(addressWordsOf(text)).buffer),
    (byte) => byte.toString(16).padStart(2, "0")
  ).join("")
  if (knownAddresses.size >= knownAddressesMax) knownAddresses.clear()
  knownAddresses.set(text, hex)
  return hex
}

/** The tuple of the first packet. `type` (of an ICMP query) takes the place of ports. */
export const tupleOf = (l4: number, connection: Connection, type?: number): KernelTuple => ({
  src: hexOfAddress(connection.src),
  dst: hexOfAddress(connection.dst),
  l4,
  a: connection.sport ?? 0,
  b: type === undefined ? connection.dport ?? 0 : type << 8
})

/** The first packet as it leaves, if the rules get what they want. */
export const translatedTuple = (
  original: KernelTuple,
  { dnat, snat }: Connection
): KernelTuple => {
  const ports = hasPorts(original.l4)
  return {
    ...original,
    src: snat?.address === undefined ? original.src : hexOfAddress(snat.address),
    dst: dnat?.address === undefined ? original.dst : hexOfAddress(dnat.address),
    a: ports ? snat?.port ?? original.a : original.a,
    b: ports ? dnat?.port ?? original.b : original.b
  }
}

export class KernelTraffic {
  readonly #kernel: FakeKernel

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel
  }

  /** A SYN that is forwarded; undefined when the kernel cannot track it. */
  openTcp(connection: Connection): KernelFlow | undefined {
    return this.#open(connection, tupleOf(6, connection), tcpTimeouts[1], {
      tcp: { state: 1, scales: [windowScale, 0], flags: [0x03, 0x00] }
    })
  }

  /** The connection gets into this state, whatever the one before. */
  advanceTcp(flow: KernelFlow, name: TcpStateName): void {
    const { tcp } = flow
    if (tcp === undefined) throw new Error("the flow is no TCP flow")
    const state = tcpStates.indexOf(name)
    // The ends tell each other the window scale in the handshake. A flow that was made through
    // ctnetlink keeps what the request said of it, and that it is liberal.
    const isHandshake = tcp.state === 1 || tcp.state === 2
    const kept = isHandshake ? flagLiberal : flagLiberal | flagsOfHandshake
    const flags = tcpFlags[name] ?? tcp.flags
    tcp.flags = [
      (flags[0] & ~kept) | (tcp.flags[0] & kept),
      (flags[1] & ~kept) | (tcp.flags[1] & kept)
    ]
    tcp.state = state
    if (state >= 2) {
      if (isHandshake) tcp.scales = [windowScale, windowScale]
      flow.status |= StatusBit.seenReply
    }
    if (state >= 3) flow.status |= StatusBit.assured
    this.#kernel.expireIn(flow, tcpTimeouts[state]!)
    this.#kernel.changed(flow, { protoInfo: true })
  }

  /** A connection with its handshake done. */
  establishTcp(connection: Connection): KernelFlow | undefined {
    const flow = this.openTcp(connection)
    if (flow === undefined) return undefined
    this.advanceTcp(flow, "SYN_RECV")
    this.advanceTcp(flow, "ESTABLISHED")
    return flow
  }

  /** Both sides close: the entry is left in TIME_WAIT. */
  closeTcp(flow: KernelFlow): void {
    for (const state of ["FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"] as const) {
      this.advanceTcp(flow, state)
    }
  }

  /** A RST: of a connection that was not answered yet the entry goes at once. */
  resetTcp(flow: KernelFlow): void {
    if ((flow.status & StatusBit.seenReply) !== 0) {
      this.advanceTcp(flow, "CLOSE")
      return
    }
    if (flow.tcp !== undefined) flow.tcp.state = 8
    this.#kernel.remove(flow)
  }

  openUdp(connection: Connection): KernelFlow | undefined {
    return this.#open(connection, tupleOf(17, connection), udpTimeoutSeconds)
  }

  /** An echo request; `sport` is the identifier. */
  openIcmp(connection: Connection): KernelFlow | undefined {
    const isV6 = connection.src.includes(":")
    const tuple = tupleOf(isV6 ? 58 : 1, connection, isV6 ? 128 : 8)
    return this.#open(connection, tuple, icmpTimeoutSeconds)
  }

  /** Any other protocol; SCTP, UDP-Lite and GRE have ports. */
  openOther(l4: number, connection: Connection): KernelFlow | undefined {
    const sctp: Pick<KernelFlow, "sctp"> = l4 === 132 ? { sctp: { state: 1, tags: [0, 0] } } : {}
    return this.#open(connection, tupleOf(l4, connection), genericTimeoutSeconds, sctp)
  }

  /** The first answer to a flow without a connection. */
  answer(flow: KernelFlow): void {
    if ((flow.status & StatusBit.seenReply) !== 0) return
    flow.status |= StatusBit.seenReply
    this.#kernel.changed(flow)
  }

  /** UDP in both directions for more than two seconds. */
  assure(flow: KernelFlow): void {
    flow.status |= StatusBit.seenReply | StatusBit.assured
    this.#kernel.expireIn(flow, udpStreamTimeoutSeconds)
    this.#kernel.changed(flow)
  }

  /** Packets that change nothing but how long the flow lives: no event. */
  keepAlive(flow: KernelFlow): void {
    this.#kernel.expireIn(flow, this.#timeoutOf(flow))
  }

  /** A rule changes the mark: the event has no protocol information. */
  setMark(flow: KernelFlow, mark: number): void {
    flow.mark = mark >>> 0
    this.#kernel.changed(flow, { mark: true })
  }

  /** A rule sets a label. */
  setLabel(flow: KernelFlow, bit: number): void {
    flow.labels ??= new Uint8Array(16)
    flow.labels[bit >> 3]! |= 1 << (bit & 7)
    this.#kernel.changed(flow, { labels: true })
  }

  /** The four-way handshake is over; both ends told their tags. */
  establishSctp(flow: KernelFlow, tags: readonly [number, number]): void {
    flow.sctp = { state: sctpEstablished, tags: [...tags] }
    flow.status |= StatusBit.seenReply | StatusBit.assured
    this.#kernel.expireIn(flow, sctpTimeoutSeconds)
    this.#kernel.changed(flow, { protoInfo: true })
  }

  /**
   * A packet of a connection that ought to exist, as after a failover: what the rules see of it,
   * and how it is translated. TCP packets are data, not SYNs, and loose tracking is off.
   */
  packet(tuple: KernelTuple, zone = 0, segment: Segment = {}): PacketFate {
    const flow = this.#kernel.find(tuple, zone)
    if (flow === undefined) return { state: isStrict(tuple.l4) ? "invalid" : "new" }
    const isOriginal = isSameTuple(tuple, flow.original)
    if (!isAccepted(flow, isOriginal, segment)) return { state: "invalid" }
    const isNew = isOriginal && (flow.status & StatusBit.seenReply) === 0
    this.talk(flow, isOriginal)
    return { state: isNew ? "new" : "established", sent: sentBy(flow, isOriginal) }
  }

  /** What an accepted packet of a known flow changes. */
  talk(flow: KernelFlow, isOriginal: boolean): void {
    const { tcp } = flow
    if (!isOriginal) this.answer(flow)
    // The first packet of a flow that was committed before its handshake was over.
    if (tcp !== undefined && (tcp.state === 0 || tcp.state === 2)) {
      tcp.state = 3
      flow.status |= StatusBit.assured
      this.keepAlive(flow)
      this.#kernel.changed(flow, { protoInfo: true })
      return
    }
    this.keepAlive(flow)
  }

  #open(
    connection: Connection,
    original: KernelTuple,
    timeoutSeconds: number,
    protocol: Pick<KernelFlow, "tcp" | "sctp"> = {}
  ): KernelFlow | undefined {
    const { dnat, hasNatRules, helper, mark, master, snat, zone } = connection
    let status: number = StatusBit.confirmed
    if (snat !== undefined) status |= StatusBit.srcNat
    if (dnat !== undefined) status |= StatusBit.dstNat
    if (snat !== undefined || dnat !== undefined || hasNatRules === true) {
      status |= StatusBit.srcNatDone | StatusBit.dstNatDone
    }
    return this.#kernel.add({
      family: connection.src.includes(":") ? 10 : 2,
      original,
      reply: inverted(translatedTuple(original, connection)),
      status,
      timeoutSeconds,
      ...protocol,
      ...(zone === undefined ? {} : { zone }),
      ...(mark === undefined ? {} : { mark }),
      ...(helper === undefined ? {} : { helper }),
      ...(master === undefined ? {} : { master })
    })
  }

  #timeoutOf(flow: KernelFlow): number {
    if (flow.tcp !== undefined) return tcpTimeouts[flow.tcp.state]!
    if (flow.original.l4 === 17) {
      const isStream = (flow.status & StatusBit.assured) !== 0
      return isStream ? udpStreamTimeoutSeconds : udpTimeoutSeconds
    }
    if (flow.sctp?.state === sctpEstablished) return sctpTimeoutSeconds
    const { b, l4 } = flow.original
    return icmpAnswer(l4, b >> 8) === undefined ? genericTimeoutSeconds : icmpTimeoutSeconds
  }
}

/** Packets that cannot open a connection. */
const isStrict = (l4: number): boolean => l4 === 6 || l4 === 132

/** The tracking of the protocol accepts it. */
const isAccepted = (
  { sctp, tcp }: KernelFlow,
  isOriginal: boolean,
  { isFarAhead = false, tag }: Segment
): boolean => {
  const direction = isOriginal ? 0 : 1
  // A packet has the tag that the other end chose: the kernel keeps it by direction.
  if (sctp !== undefined && tag !== undefined) return sctp.tags[direction] === tag
  if (tcp === undefined) return true
  if (tcp.state === 1) return false
  const isLiberal = ((tcp.flags[0] & tcp.flags[1]) & flagLiberal) !== 0
  if (!isFarAhead || isLiberal) return true
  return (tcp.flags[0] & tcp.flags[1] & flagScale) !== 0 && tcp.scales[1 - direction]! > 0
}

/**
 * The packet after translation. An entry with a translated reply tuple but without the status bits
 * exists, yet no packet is changed by it.
 */
const sentBy = (flow: KernelFlow, isOriginal: boolean): KernelTuple => {
  const toSrc = (flow.status & StatusBit.srcNat) !== 0
  const toDst = (flow.status & StatusBit.dstNat) !== 0
  const packet = isOriginal ? flow.original : flow.reply
  const other = inverted(isOriginal ? flow.reply : flow.original)
  // Of a packet in the reply direction the sides are exchanged.
  const changesSrc = isOriginal ? toSrc : toDst
  const changesDst = isOriginal ? toDst : toSrc
  const ports = hasPorts(packet.l4)
  return {
    ...packet,
    src: changesSrc ? other.src : packet.src,
    dst: changesDst ? other.dst : packet.dst,
    a: changesSrc && ports ? other.a : packet.a,
    b: changesDst && ports ? other.b : packet.b
  }
}
