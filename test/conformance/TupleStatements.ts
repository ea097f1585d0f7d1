/**
 * Tuples that lack something or have too much, and what single requests leave in a flow.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2, 4.1 and 4.4.
 */
import { attribute, nest, text, u16, u32, u8 } from "../sim/kernel/NetlinkWriter.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  both,
  create,
  Flag,
  get,
  helper,
  inverse,
  ipNest,
  labels,
  labelsMask,
  mark,
  master,
  orig,
  protoInfo,
  protoNest,
  remove,
  reply,
  request,
  seqAdjReply,
  sized,
  status,
  tcp,
  tcp6,
  tcpInfo,
  timeout,
  Type,
  udp,
  update,
  zone
} from "./Requests.ts"
import type { Setting, Statement } from "./Statement.ts"

const flow = tcp(1000)

const asking = (
  name: string,
  expected: string,
  prepared: ReadonlyArray<Uint8Array>,
  bytes: Uint8Array,
  setting: Setting = "plain"
): Statement => ({
  name: `tuples: ${name}`,
  setting,
  expected,
  run: (b) => {
    b.do(...prepared)
    return b.ask(bytes)
  }
})

/** Creation with this original tuple, whatever it is. */
const madeOf = (name: string, expected: string, original: Attribute, family = 2) =>
  asking(
    name,
    expected,
    [],
    request(
      Type.new,
      Flag.create | Flag.ack,
      [original, reply(inverse(family === 2 ? flow : tcp6(1000))), timeout(100)],
      { family }
    )
  )

const tuples: ReadonlyArray<Statement> = [
  madeOf("an empty one", "EINVAL", nest(1)),
  madeOf("no destination", "EINVAL", nest(1, nest(1, attribute(1, [1, 2, 3, 4])), protoNest(flow))),
  madeOf("no source", "EINVAL", nest(1, nest(1, attribute(2, [1, 2, 3, 4])), protoNest(flow))),
  madeOf("a short address", "ERANGE", nest(1, nest(1, attribute(1, [1, 2])), protoNest(flow))),
  madeOf(
    "a short address of IPv6",
    "ERANGE",
    nest(1, nest(1, attribute(3, [1, 2])), protoNest(flow)),
    10
  ),
  madeOf("an empty protocol", "EINVAL", nest(1, ipNest(flow), nest(2))),
  madeOf("no number", "EINVAL", nest(1, ipNest(flow), nest(2, u16(2, 1), u16(3, 2)))),
  madeOf("no source port", "EINVAL", nest(1, ipNest(flow), nest(2, u8(1, 6), u16(3, 2)))),
  madeOf("no destination port", "EINVAL", nest(1, ipNest(flow), nest(2, u8(1, 6), u16(2, 2)))),
  madeOf("a short port", "ERANGE", nest(1, ipNest(flow), nest(2, u8(1, 6), u8(2, 2), u16(3, 2)))),
  madeOf("a long port", "ACK", nest(1, ipNest(flow), nest(2, u8(1, 6), u32(2, 77), u16(3, 2)))),
  madeOf(
    "two numbers",
    "ACK",
    nest(1, ipNest(flow), nest(2, u8(1, 17), u8(1, 6), u16(2, 2), u16(3, 2)))
  ),
  madeOf("unknown attributes", "ACK", nest(1, ipNest(flow), protoNest(flow), u32(9, 1))),
  madeOf("a short zone", "ERANGE", nest(1, ipNest(flow), protoNest(flow), u8(3, 1))),
  madeOf(
    "both families",
    "ACK",
    nest(
      1,
      nest(
        1,
        attribute(1, [1, 2, 3, 4]),
        attribute(2, [1, 2, 3, 5]),
        attribute(3, Array.from({ length: 16 }, () => 7)),
        attribute(4, Array.from({ length: 16 }, () => 8))
      ),
      protoNest(flow)
    )
  ),
  asking(
    "ICMP of IPv6's kind",
    "ACK",
    [],
    create({ src: "fd00::1", dst: "fd00::2", l4: 1, icmp: { id: 7, type: 8, code: 0 } })
  ),
  asking("an address of all zeros", "ACK", [], create({ ...flow, src: "0.0.0.0" })),
  asking("the same address twice", "ACK", [], create({ ...flow, dst: flow.src })),
  asking(
    "the same end twice",
    "EEXIST",
    [create({ ...flow, dst: flow.src, dport: 1000 })],
    create({ ...flow, dst: flow.src, dport: 1000 })
  ),
  asking("ports of 0", "ACK", [], create(tcp(0, 0))),
  asking(
    "a reply that is no answer",
    "ACK",
    [],
    request(Type.new, Flag.create | Flag.ack, [orig(flow), reply(tcp(5, 6)), timeout(9)])
  ),
  asking(
    "a reply that is the same",
    "ACK",
    [],
    request(Type.new, Flag.create | Flag.ack, [orig(flow), reply(flow), timeout(9)])
  ),
  asking(
    "a family that is unknown",
    "EOPNOTSUPP",
    [],
    request(Type.new, Flag.create | Flag.ack, both(flow), { family: 7 })
  ),
  asking("no tuple, and no creation", "ENOENT", [], request(Type.new, Flag.ack, [mark(1)])),
  asking("a repeated attribute: the last counts", "ACK", [], create(flow, mark(1), mark(2)))
]

const echoes = [8, 0, 13, 14, 15, 16, 17, 18, 3, 11].map((type) =>
  asking(
    `ICMP of type ${type}`,
    [8, 0, 13, 14, 15, 16, 17, 18].includes(type) ? "ACK" : "EINVAL",
    [],
    create({ src: flow.src, dst: flow.dst, l4: 1, icmp: { id: 7, type, code: 0 } })
  )
)
const echoes6 = [128, 129, 139, 140, 133, 1].map((type) =>
  asking(
    `ICMPv6 of type ${type}`,
    [128, 129, 139, 140].includes(type) ? "ACK" : "EINVAL",
    [],
    create({ src: "fd00::1", dst: "fd00::2", l4: 58, icmp: { id: 7, type, code: 0 } })
  )
)

const ftp = tcp(1000, 21)
const sctp: Tuple = { ...flow, l4: 132 }
const sctpInfo = (state: number, ...tags: ReadonlyArray<Attribute>) =>
  protoInfo(nest(3, u8(1, state), ...tags))
const tags = [u32(2, 1), u32(3, 2)]

const contents: ReadonlyArray<Statement> = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map((state) =>
    asking(`SCTP in state ${state}`, "ACK", [], create(sctp, sctpInfo(state, ...tags)))
  ),
  asking("SCTP in state 9", "ERANGE", [], create(sctp, sctpInfo(9, ...tags))),
  asking("SCTP in state 10", "ERANGE", [], create(sctp, sctpInfo(10, ...tags))),
  asking("SCTP without a state", "EINVAL", [], create(sctp, protoInfo(nest(3, ...tags)))),
  asking("SCTP with one tag", "EINVAL", [], create(sctp, sctpInfo(4, u32(2, 1)))),
  asking(
    "SCTP changed",
    "ACK",
    [create(sctp, sctpInfo(1, ...tags))],
    update(sctp, sctpInfo(4, u32(2, 8), u32(3, 9)))
  ),
  asking("SCTP changed in its state alone", "EINVAL", [create(sctp)], update(sctp, sctpInfo(4))),
  asking("SCTP told of TCP", "ACK", [create(sctp)], update(sctp, tcpInfo({ state: 3 }))),
  asking("TCP told of SCTP", "ACK", [create(flow)], update(flow, sctpInfo(4, ...tags))),
  asking("SCTP with an empty nest", "EINVAL", [create(sctp)], update(sctp, protoInfo(nest(3)))),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((state) =>
    asking(`TCP in state ${state}`, "ACK", [create(flow)], update(flow, tcpInfo({ state })))
  ),
  asking(
    "window scales after the flags",
    "ACK",
    [create(flow, tcpInfo({ flags: [1, 1], replyFlags: [1, 1] }))],
    update(flow, tcpInfo({ scales: [3, 4] }))
  ),
  asking(
    "window scales and the flag of one direction",
    "ACK",
    [],
    create(flow, tcpInfo({ scales: [3, 4], flags: [1, 1] }))
  ),
  asking(
    "window scales, and flags that are taken away",
    "ACK",
    [create(flow, tcpInfo({ scales: [3, 4], flags: [1, 1], replyFlags: [1, 1] }))],
    update(flow, tcpInfo({ scales: [5, 6], flags: [0, 1], replyFlags: [0, 1] }))
  ),
  asking(
    "a helper with information",
    "ACK",
    [],
    create(ftp, nest(5, text(1, "ftp"), attribute(2, [1, 2, 3])))
  ),
  asking("a helper on UDP", "ACK", [], create(udp(1000, 69), helper("tftp"))),
  asking("a helper for both", "ACK", [], create(udp(1000, 5060), helper("sip"))),
  asking("a helper on IPv6", "ACK", [], create(tcp6(1000), helper("ftp"))),
  asking("a helper of fifteen letters", "EOPNOTSUPP", [], create(ftp, helper("fifteen-letters"))),
  asking(
    "a helper's name that goes on after its end",
    "ACK",
    [],
    create(ftp, nest(5, attribute(1, [0x66, 0x74, 0x70, 0, 0x78, 0])))
  ),
  asking("a helper and a status without", "ACK", [], create(ftp, helper("ftp"), status(8))),
  asking(
    "a helper of a flow with a master, the same",
    "ACK",
    [create(ftp), create(tcp(2000, 21), master(ftp), helper("ftp"))],
    update(tcp(2000, 21), helper("ftp"))
  ),
  asking(
    "a helper of a flow with a master, another",
    "EBUSY",
    [create(ftp), create(tcp(2000, 21), master(ftp), helper("ftp"))],
    update(tcp(2000, 21), helper("sip"))
  ),
  asking(
    "a helper of a flow with a master that has none",
    "EBUSY",
    [create(ftp), create(tcp(2000, 21), master(ftp))],
    update(tcp(2000, 21), helper("ftp"))
  ),
  asking(
    "a helper taken from a flow with a master",
    "EBUSY",
    [create(ftp), create(tcp(2000, 21), master(ftp), helper("ftp"))],
    update(tcp(2000, 21), helper(""))
  ),
  asking("a master by its reply", "ACK", [create(ftp)], create(tcp(2000), master(inverse(ftp)))),
  asking(
    "a master in a zone",
    "ACK",
    [create(ftp, zone(5))],
    create(tcp(2000), master(ftp), zone(5))
  ),
  asking(
    "a master in another zone",
    "ENOENT",
    [create(ftp, zone(5))],
    create(tcp(2000), master(ftp))
  ),
  asking(
    "a master in the zone of its tuple",
    "EINVAL",
    [create(ftp, zone(5))],
    create(tcp(2000), master({ ...ftp, zone: 5 }))
  ),
  asking(
    "a master's master",
    "ACK",
    [create(ftp), create(tcp(2000), master(ftp))],
    create(tcp(3000), master(tcp(2000)))
  ),
  asking("an own master", "ENOENT", [], create(ftp, master(ftp))),
  asking("SEQ_ADJ of the reply alone", "ACK", [], create(flow, seqAdjReply(1, 2, 3))),
  asking("a status that is NATed and expected", "EBUSY", [], create(flow, status(0x199))),
  asking(
    "EXPECTED of what has a master",
    "ACK",
    [create(ftp), create(tcp(2000), master(ftp))],
    update(tcp(2000), status(9))
  ),
  asking(
    "no longer EXPECTED",
    "EBUSY",
    [create(ftp), create(tcp(2000), master(ftp))],
    update(tcp(2000), status(8))
  ),
  asking("half of the labels", "ACK", [], create(flow, labels(1, 2, 3, 4, 5, 6, 7, 8)), "labels"),
  asking(
    "labels under a mask",
    "ACK",
    [],
    create(
      flow,
      labels(...Array.from({ length: 16 }, () => 0xff)),
      labelsMask(...Array.from({ length: 16 }, () => 0x0f))
    ),
    "labels"
  ),
  asking("labels of three bytes", "ACK", [], create(flow, labels(1, 2, 3)), "labels"),
  asking("labels of no bytes", "ACK", [], create(flow, labels()), "labels"),
  asking(
    "counters that are sent",
    "ACK",
    [],
    create(flow, nest(9, sized(1, 8, 5), sized(2, 8, 6))),
    "counters"
  ),
  asking(
    "counters read and zeroed",
    "msg(type=0x100,flags=0x2)",
    [create(flow)],
    request(Type.getZero, 0, [orig(flow)]),
    "counters"
  ),
  asking("counters of a get", "msg(type=0x100,flags=0x2)", [create(flow)], get(flow), "counters"),
  asking("a timestamp that is sent", "ACK", [], create(flow, nest(20, sized(1, 8, 5))), "counters")
]

const gets: ReadonlyArray<Statement> = [
  asking(
    "a get by reply",
    "msg(type=0x100,flags=0x2)",
    [create(flow)],
    request(Type.get, 0, [reply(inverse(flow))])
  ),
  asking(
    "a get by the reply as original",
    "msg(type=0x100,flags=0x2)",
    [create(flow)],
    get(inverse(flow))
  ),
  asking(
    "a get of the other family",
    "EINVAL",
    [create(flow)],
    request(Type.get, 0, [orig(flow)], { family: 10 })
  ),
  asking(
    "a get of family 0",
    "EOPNOTSUPP",
    [create(flow)],
    request(Type.get, 0, [orig(flow)], { family: 0 })
  ),
  asking("a get in two zones", "EINVAL", [create(flow)], get({ ...flow, zone: 5 }, zone(5))),
  asking("a get of a master", "msg(type=0x100,flags=0x2)", [
    create(ftp),
    create(tcp(2000), master(ftp))
  ], get(ftp)),
  asking(
    "a get with its version",
    "msg(type=0x100,flags=0x2)",
    [create(flow)],
    request(Type.get, 0, [orig(flow)], { version: 1 })
  ),
  asking("a deletion in the wrong zone", "ENOENT", [create(flow, zone(5))], remove(flow, zone(6))),
  asking("a deletion with a short id", "ERANGE", [create(flow)], remove(flow, sized(12, 2, 1)))
]

export const tupleStatements: ReadonlyArray<Statement> = [
  ...tuples,
  ...echoes,
  ...echoes6,
  ...contents,
  ...gets
]
