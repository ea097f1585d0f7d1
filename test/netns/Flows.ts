/**
 * The flows that the tests create: number n is always the same, all numbers are different flows.
 *
 * They are a mix of what a firewall sees: TCP in all states, UDP, ICMP and some SCTP, IPv4 and
 * IPv6, plain and translated (source, destination, port), with marks, labels, a zone, a helper, a
 * master, adjusted sequence numbers, SYN proxy numbers. The addresses are private ones, since
 * nothing is ever sent to them.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 4.
 */
import { Status } from "../../src/core/model/Status.ts"
import type { FlowDescription, TupleDescription } from "../fakes/FlowDescription.ts"

const replied = Status.seenReply
const assured = Status.seenReply | Status.assured

/** TCP states that the kernel has: SYN_SENT to SYN_SENT2. */
const tcpStates = 9
const established = 3

/** Flows are numbered by 20-bit numbers. */
const pairOf = (n: number, isIpv6: boolean) => {
  const [high, mid, low] = [(n >>> 16) & 0xf, (n >>> 8) & 0xff, n & 0xff]
  return isIpv6
    ? { src: `fd01::${high + 1}:${(n & 0xffff).toString(16)}:1`, dst: `fd02::${mid + 1}:2` }
    : { src: `10.${16 + high}.${mid}.${low}`, dst: `10.200.${mid}.2` }
}

const hex = (value: number): string => value.toString(16)

/** What NAT makes of the flow; the ports are its own, so that replies never clash. */
const translationOf = (n: number, isIpv6: boolean, kind: number, hasPorts: boolean) => {
  const snat = isIpv6 ? `fd03::${hex(1 + (n >>> 12))}` : `203.0.113.${1 + (n >>> 12)}`
  const dnat = isIpv6 ? `fd04::${hex(1 + (n >>> 8))}:9` : `10.201.${n >>> 8}.9`
  const source = { snat, ...(hasPorts ? { snatPort: 1024 + (n & 0xfff) * 8 } : {}) }
  const destination = { dnat, ...(hasPorts ? { dnatPort: 8080 } : {}) }
  switch (kind) {
    case 0:
      return source
    case 1:
      return destination
    case 2:
      return { ...source, ...destination }
    default:
      return undefined
  }
}

/** Seconds that the kernel shall keep the flow: longer than any test. */
const timeoutOf = (n: number): number => 3_600 + (n % 1_000)

/** Flow number `n` as it is created. */
export const flowAt = (n: number): FlowDescription => {
  const isIpv6 = n % 3 === 2
  const ends = pairOf(n, isIpv6)
  const ports = { sport: 1_024 + ((n * 7) % 60_000), dport: 80 + (n % 5) }
  const flow: FlowDescription = {
    status: assured | Status.confirmed,
    timeout: timeoutOf(n)
  }
  // Every thirteenth has no mark, so that the kernel's events leave it out.
  if (n % 13 !== 0) flow.mark = (n * 2_654_435_761) >>> 0
  let tuple: TupleDescription
  switch (n % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5: {
      tuple = { ...ends, proto: 6, ...ports }
      const state = n % 2 === 0 ? established : 1 + (n % tcpStates)
      flow.tcp = { state, wscaleOrig: n % 15, wscaleReply: (n >>> 4) % 15 }
      if (state === 1 || state === 9) flow.status = Status.confirmed
      else if (state === 2) flow.status = replied | Status.confirmed
      break
    }
    case 6:
    case 7:
      tuple = { ...ends, proto: 17, ...ports }
      flow.status = [0, replied, assured][n % 3]! | Status.confirmed
      break
    case 8: {
      const request = isIpv6 ? 128 : 8
      tuple = {
        ...ends,
        proto: isIpv6 ? 58 : 1,
        icmpId: n & 0xffff,
        icmpType: request,
        icmpCode: 0
      }
      flow.status = (n % 4 === 0 ? 0 : replied) | Status.confirmed
      break
    }
    default:
      tuple = { ...ends, proto: 132, ...ports }
      flow.sctp = { state: 4, vtagOrig: 0x1000_0000 + n, vtagReply: 0x2000_0000 + n }
  }
  flow.orig = tuple
  const hasPorts = tuple.proto === 6 || tuple.proto === 17
  const translation = translationOf(n, isIpv6, n % 11, hasPorts)
  if (translation !== undefined) flow.translation = translation
  if (n % 17 === 0) flow.zone = 1 + (n % 5)
  if (n % 19 === 0) flow.labels = `${hex(1 + (n & 0xff)).padStart(8, "0")}${"0".repeat(23)}1`
  if (tuple.proto === 6 && !isIpv6 && n % 23 === 0) {
    flow.orig = { ...tuple, dport: 21 }
    flow.helper = "ftp"
  }
  if (n % 29 === 0) addMaster(n, flow)
  if (n % 31 === 0) flow.status! |= Status.fixedTimeout
  if (tuple.proto === 6 && n % 37 === 0) {
    flow.seqAdjOrig = { correctionPos: n, offsetBefore: 2, offsetAfter: 5 }
    flow.seqAdjReply = { correctionPos: 2 * n, offsetBefore: -3 >>> 0, offsetAfter: 7 }
  }
  if (tuple.proto === 6 && n % 41 === 0) flow.synproxy = { isn: n, its: 2 * n, tsoff: 3 * n }
  return flow
}

/** The flow before this one is its master, when it is a TCP flow that the kernel finds. */
const addMaster = (n: number, flow: FlowDescription): void => {
  const master = n > 0 ? flowAt(n - 1) : undefined
  if (master?.orig?.proto !== 6 || master.zone !== undefined || flow.zone !== undefined) return
  flow.master = master.orig
}

/** Flow number `n` after its update: another mark, more time, and TCP has moved on. */
export const updatedFlowAt = (n: number): FlowDescription => {
  const flow = flowAt(n)
  flow.mark = (n * 40_503 + 1) >>> 0
  // The kernel refuses to touch a fixed timeout.
  if ((flow.status! & Status.fixedTimeout) === 0) flow.timeout = timeoutOf(n) + 2_000
  else delete flow.timeout
  flow.status = assured | Status.confirmed | (flow.master === undefined ? 0 : Status.expected)
  if (flow.tcp !== undefined) flow.tcp.state = 1 + ((flow.tcp.state! + 2) % tcpStates)
  if (flow.orig?.proto === 1 || flow.orig?.proto === 58) flow.status &= ~Status.assured
  return flow
}
