/** Flows from a seed: every protocol, every attribute, also what kernels refuse. */
import type { FlowDescription } from "./FlowDescription.ts"

/** Numbers from a seed (mulberry32): a failure repeats. */
export const randomOf = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b_79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** A flow as the kernel could hold it, or a peer announce it. */
export const randomFlow = (
  random: (below: number) => number,
  isPeers: boolean
): FlowDescription => {
  const chance = () => random(2) === 0
  const number = () => (random(4) === 0 ? 0 : random(0xffff_ffff))
  const isV6 = chance()
  const address = () =>
    isV6
      ? `fd00:${random(0xffff).toString(16)}::${random(0xffff).toString(16)}:${
        (1 + random(0xfffe)).toString(16)
      }`
      : `10.${random(256)}.${random(256)}.${random(256)}`
  const proto = [6, 17, 33, 47, 50, 132, 136, isV6 ? 58 : 1][random(8)]!
  const hasPorts = ![50, 1, 58].includes(proto)
  const isIcmp = proto === 1 || proto === 58
  const port = () => random(0x1_0000)
  const flow: FlowDescription = { orig: { src: address(), dst: address(), proto } }
  if (hasPorts) Object.assign(flow.orig!, { sport: port(), dport: port() })
  const query = proto === 1 ? [8, 13, 15, 17][random(4)]! : [128, 139][random(2)]!
  if (isIcmp) Object.assign(flow.orig!, { icmpId: port(), icmpType: query, icmpCode: random(256) })
  if (isPeers) {
    const translation: NonNullable<FlowDescription["translation"]> = {}
    if (chance()) translation.snat = address()
    if (chance()) translation.dnat = address()
    if (chance()) translation.snatPort = port()
    if (chance()) translation.dnatPort = port()
    if (Object.keys(translation).length > 0) flow.translation = translation
  } else {
    const { dport, dst, sport, src } = flow.orig!
    flow.reply = { src: chance() ? dst! : address(), dst: chance() ? src! : address(), proto }
    if (hasPorts) {
      flow.reply.sport = chance() ? dport! : port()
      flow.reply.dport = chance() ? sport! : port()
    }
    if (isIcmp) {
      const type = query === 8 ? 0 : query + 1
      const { icmpCode, icmpId } = flow.orig!
      Object.assign(flow.reply, { icmpId, icmpType: type, icmpCode })
    }
  }
  if (chance()) flow.status = random(0x1_0000)
  if (chance()) flow.mark = number()
  if (chance()) flow.id = number()
  const zone = random(4)
  if (zone === 1) flow.zone = random(0x1_0000)
  if (zone === 2) flow.orig!.zone = random(0x1_0000)
  if (zone === 3 && !isPeers) flow.reply!.zone = random(0x1_0000)
  if (proto === 6 && chance()) {
    flow.tcp = { state: random(12) }
    if (chance()) flow.tcp.wscaleOrig = random(20)
    if (chance()) flow.tcp.wscaleReply = random(20)
  }
  if (proto === 132 && chance()) {
    flow.sctp = { state: random(11) }
    if (chance()) Object.assign(flow.sctp, { vtagOrig: number(), vtagReply: number() })
  }
  if (proto === 33 && chance()) {
    flow.dccp = { state: random(8), role: random(2) }
    if (chance()) flow.dccp.handshakeSeq = String(number())
  }
  if (chance()) flow.helper = "abcdefghijklmno".slice(0, 1 + random(15))
  if (chance()) flow.labels = "0123456789abcdef0123456789abcdef".slice(0, 8 * (1 + random(4)))
  const seqAdj = () => ({ correctionPos: number(), offsetBefore: number(), offsetAfter: number() })
  if (chance()) flow.seqAdjOrig = seqAdj()
  if (chance()) flow.seqAdjReply = seqAdj()
  if (chance()) flow.synproxy = { isn: number(), its: number(), tsoff: number() }
  if (chance()) {
    flow.master = { src: address(), dst: address(), proto: 6, sport: port(), dport: port() }
  }
  return flow
}
