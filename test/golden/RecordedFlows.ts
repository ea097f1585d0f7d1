/**
 * Turns the recorded `conntrack -I …` commands into flow records: as the kernel reports the new
 * flow to the internal cache, or as the peer's external cache knows it.
 */
import * as DccpState from "../../src/core/model/DccpState.ts"
import { Address, Base, Has, swap32 } from "../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import {
  scratchView,
  setHas,
  setL3,
  setL4,
  setNumber,
  setState
} from "../../src/core/model/FlowView.ts"
import { numberOf, Protocol, tupleKindOf } from "../../src/core/model/Protocol.ts"
import * as SctpState from "../../src/core/model/SctpState.ts"
import { bitOf, Status } from "../../src/core/model/Status.ts"
import * as TcpState from "../../src/core/model/TcpState.ts"

export type Side = "internal" | "external"

/** The words of an address in network order. */
export const addressWords = (text: string): ReadonlyArray<number> => {
  if (!text.includes(":")) {
    const octets = text.split(".").map(Number)
    return [octets[0]! | (octets[1]! << 8) | (octets[2]! << 16) | (octets[3]! << 24)]
  }
  const [head, tail] = text.split("::")
  const groups = (part: string | undefined) =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => parseInt(group, 16))
  const [first, last] = [groups(head), groups(tail)]
  const all = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last]
  return [0, 2, 4, 6].map((i) => swap32((all[i]! << 16) | all[i + 1]!))
}

const portsWord = (source: number, destination: number): number =>
  swap32((source << 16) | destination)

const icmpReplyTypes = new Map([[8, 0], [128, 129]])

const putAddress = (view: FlowView, word: number, more: number, text: string): void => {
  const words = addressWords(text)
  view.base[view.baseWord + word] = words[0]!
  for (let i = 1; i < words.length; i++) view.address[view.addressWord + more + i - 1] = words[i]!
}

/** The flow that a recorded creation command makes. */
export const flowOfCommand = (command: string, side: Side): FlowView => {
  const words = command.split(" ")
  const valueOf = (option: string): string | undefined => {
    const at = words.indexOf(option)
    return at < 0 ? undefined : words[at + 1]
  }
  const numeric = (option: string): number => Number(valueOf(option) ?? 0)
  const view = scratchView()
  const name = valueOf("-p")!
  const l4 = numberOf(name) >= 0 ? numberOf(name) : Number(name)
  const [source, destination] = [valueOf("-s")!, valueOf("-d")!]
  const isIpv6 = source.includes(":")
  const internal = side === "internal"

  setL3(view, isIpv6 ? 10 : 2)
  setL4(view, l4)
  setHas(view, Has.l4Protocol | Has.status | Has.mark)
  putAddress(view, Base.originalSource, Address.originalSource, source)
  putAddress(view, Base.originalDestination, Address.originalDestination, destination)
  setHas(view, isIpv6 ? Has.originalIpv6 : Has.originalIpv4)

  const [dnatAddress, dnatPort] = (valueOf("--dst-nat") ?? "").split(":")
  const replySource = dnatAddress === "" ? destination : dnatAddress!
  const replyDestination = valueOf("--src-nat") ?? source
  if (internal) {
    putAddress(view, Base.replySource, Address.replySource, replySource)
    putAddress(view, Base.replyDestination, Address.replyDestination, replyDestination)
    setHas(view, (isIpv6 ? Has.replyIpv6 : Has.replyIpv4) | Has.id | Has.timeout)
    setNumber(view, Base.id, 4_205_440_239)
    setNumber(view, Base.timeoutSeconds, numeric("-t"))
  }

  const kind = tupleKindOf(l4)
  // The kernel knows no DCCP since 6.x, and messages carry neither UDP-Lite ports nor GRE keys.
  const known = internal
    ? l4 !== Protocol.dccp
    : l4 !== Protocol.dccp && l4 !== Protocol.gre && l4 !== Protocol.udplite
  if (kind === "icmp") {
    const prefix = l4 === Protocol.icmp ? "--icmp" : "--icmpv6"
    const [type, code, id] = ["-type", "-code", "-id"].map((end) => numeric(prefix + end))
    const word = (t: number) => swap32((id! << 16) | (t << 8) | code!)
    view.base[Base.originalPorts] = word(type!)
    setHas(view, Has.icmpType | Has.icmpCode | Has.icmpId)
    if (internal) {
      view.base[Base.replyPorts] = word(icmpReplyTypes.get(type!)!)
      setHas(view, Has.replyPorts)
    }
  } else if (kind !== "none" && known) {
    const [from, to] = kind === "ports" ? ["--sport", "--dport"] : ["--srckey", "--dstkey"]
    view.base[Base.originalPorts] = portsWord(numeric(from!), numeric(to!))
    setHas(view, Has.originalPorts)
    if (internal) {
      const replyPort = dnatPort === undefined ? numeric(to!) : Number(dnatPort)
      view.base[Base.replyPorts] = portsWord(replyPort, numeric(from!))
      setHas(view, Has.replyPorts)
    }
  }

  const state = valueOf("--state")
  if (state !== undefined && l4 !== Protocol.dccp) {
    const table = l4 === Protocol.sctp ? SctpState : l4 === Protocol.tcp ? TcpState : DccpState
    setState(view, table.numberOf(state))
    setHas(view, Has.state)
  }
  const status = (valueOf("-u") ?? "").split(",").filter((word) => word !== "")
    .reduce((bits, word) => bits | bitOf(word), Status.confirmed)
  setNumber(view, Base.status, status)
  setNumber(view, Base.mark, numeric("-m"))
  if (valueOf("-w") !== undefined) {
    view.base[Base.zone] = swap32(numeric("-w") << 16)
    setHas(view, Has.zone)
  }
  return view
}
