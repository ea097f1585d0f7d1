/**
 * The rules of `Rules.ts` on a simulated firewall: a packet passes only as part of a connection
 * whose state the kernel knows, or as the SYN of a new one.
 *
 * What a packet belongs to and how it is translated is for the simulated kernel to say: it does not
 * pick up connections in the middle. It has no TCP windows, so those are not judged here.
 */
import type { FakeKernel } from "../sim/kernel/FakeKernel.ts"
import type { KernelTuple } from "../sim/kernel/KernelFlow.ts"
import { inverted, isSameTuple, tcpStates } from "../sim/kernel/KernelFlow.ts"
import { hexOfAddress, KernelTraffic } from "../sim/kernel/KernelTraffic.ts"
import { kinds } from "./Kinds.ts"

/** A TCP packet as its sender made it. */
export interface Packet {
  readonly tuple: KernelTuple
  readonly flags: "SYN" | "SYN ACK" | "ACK"
  /** Which of the connections, by number: stands for the sequence numbers. */
  readonly connection: number
  /** Its data: all questions up to this number, the answers up to this one. 0: none. */
  readonly question: number
  readonly answer: number
}

const synSent = tcpStates.indexOf("SYN_SENT")
const synReceived = tcpStates.indexOf("SYN_RECV")

const kindOf = ({ b, dst }: KernelTuple) =>
  kinds.find(({ address, port }) => port === b && hexOfAddress(address) === dst)

/** The text of an address; IPv6 without abbreviation. */
export const addressText = (hex: string): string =>
  hex.length === 8
    ? hex.match(/../g)!.map((byte) => parseInt(byte, 16)).join(".")
    : hex.match(/.{4}/g)!.join(":")

export class PacketFilter {
  /** Packets that were dropped because nothing is known of their connection. */
  unknown = 0
  readonly #kernel: FakeKernel

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel
  }

  /** The packet's addresses and ports as it leaves; undefined when it was dropped. */
  pass({ flags, tuple }: Packet): KernelTuple | undefined {
    if (flags === "SYN") return this.#open(tuple)
    this.#shakeHands(flags, tuple)
    const { sent, state } = new KernelTraffic(this.#kernel).packet(tuple)
    if (state === "established") return sent
    this.unknown++
    return undefined
  }

  #open(tuple: KernelTuple): KernelTuple | undefined {
    const known = this.#kernel.find(tuple)
    if (known !== undefined) return inverted(known.reply)
    const kind = kindOf(tuple)
    if (kind === undefined) return undefined
    const { dnat, snat } = kind
    const flow = new KernelTraffic(this.#kernel).openTcp({
      src: addressText(tuple.src),
      dst: kind.address,
      sport: tuple.a,
      dport: kind.port,
      hasNatRules: true,
      ...(snat === undefined ? {} : { snat: { address: snat } }),
      ...(dnat === undefined ? {} : { dnat: { address: dnat } })
    })
    return flow === undefined ? undefined : inverted(flow.reply)
  }

  /** The kernel follows the handshake of a connection that it saw from the beginning. */
  #shakeHands(flags: "SYN ACK" | "ACK", tuple: KernelTuple): void {
    const flow = this.#kernel.find(tuple)
    if (flow?.tcp === undefined) return
    const isReply = !isSameTuple(tuple, flow.original)
    const traffic = new KernelTraffic(this.#kernel)
    if (flags === "SYN ACK" && isReply && flow.tcp.state === synSent) {
      traffic.advanceTcp(flow, "SYN_RECV")
    }
    if (flags === "ACK" && !isReply && flow.tcp.state === synReceived) {
      traffic.advanceTcp(flow, "ESTABLISHED")
    }
  }
}
