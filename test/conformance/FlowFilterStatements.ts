/**
 * Filters by tuple, of dumps and flushes, beyond the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 4.3 and 4.5.
 */
import { attribute, hostOrder, nest } from "../sim/kernel/NetlinkWriter.ts"
import { dumpText } from "./Probes.ts"
import type { Attribute, Header, Tuple } from "./Requests.ts"
import {
  both,
  create,
  dump,
  filter,
  Flag,
  flush,
  inverse,
  ipNest,
  mark,
  orig,
  protoNest,
  reply,
  request,
  sized,
  status,
  statusMask,
  tcp,
  tcp6,
  timeout,
  Type,
  udp,
  zone
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const echo = (id: number, type = 8, code = 0): Tuple => ({
  src: "10.0.0.1",
  dst: "10.0.0.2",
  l4: 1,
  icmp: { id, type, code }
})
const echo6 = (id: number): Tuple => ({
  src: "fd00::1",
  dst: "fd00::2",
  l4: 58,
  icmp: { id, type: 128, code: 0 }
})
const sctp = (sport: number): Tuple => ({ ...tcp(sport), l4: 132 })
const away: Tuple = { ...tcp(1000), dst: "10.0.0.3" }

/** Flows of every protocol that a filter could know; some in zones. */
const many: ReadonlyArray<Uint8Array> = [
  create(tcp(1000)),
  create(tcp(1001), mark(1)),
  create(away),
  create(udp(1000)),
  create(udp(1000, 80), status(0xe)),
  create(sctp(1000)),
  create(sctp(1001)),
  create({ ...tcp(1000), l4: 47 }),
  create(echo(7)),
  create(echo(8)),
  create(echo(7, 13)),
  create(echo(7, 8, 1)),
  create(tcp6(1000)),
  create(tcp6(1001)),
  create(tcp6(1000, "fd00::9")),
  create(echo6(7)),
  create(echo6(8)),
  create({ ...tcp(3000), zone: 5 }),
  create(tcp(3001), zone(5)),
  request(Type.new, Flag.create | Flag.ack, [
    orig(tcp(3002)),
    reply({ ...inverse(tcp(3002)), zone: 6 }),
    timeout(100)
  ])
]

/** How many entries a dump gave, and how it ended; which ones they are is in the log. */
const dumping = (
  name: string,
  expected: string,
  header: Header,
  ...filters: ReadonlyArray<Attribute>
): Statement => ({
  name: `filter: ${name}`,
  setting: "plain",
  expected,
  run: (b) => {
    b.do(...many)
    const { end, entries } = b.dump(dump(header, ...filters))
    return `${entries.length} ${end}`
  }
})

const v4: Header = { family: 2 }
const v6: Header = { family: 10 }
const all: Header = { family: 0 }

/** The bits of a filter. */
const [src, dst, tupleZone, l4, sport, dport] = [1, 2, 4, 8, 0x10, 0x20]
const [icmpType, icmpCode, icmpId] = [0x40, 0x80, 0x100]
const [icmp6Type, icmp6Code, icmp6Id] = [0x200, 0x400, 0x800]

const onlySource: Attribute = nest(1, nest(1, attribute(1, [10, 0, 0, 1])))

const ofTuples: ReadonlyArray<Statement> = [
  dumping("destination", "1 DONE(0)", v4, filter(dst), orig(away)),
  dumping("source and destination", "1 DONE(0)", v4, filter(src | dst), orig(away)),
  dumping("source alone in its nest", "15 DONE(0)", v4, filter(src), onlySource),
  dumping("destination that is not there", "0 EINVAL", v4, filter(dst), onlySource),
  dumping("protocol that is not there", "0 EINVAL", v4, filter(l4), onlySource),
  dumping("addresses that are not there", "0 EINVAL", v4, filter(src), nest(1, protoNest(echo(7)))),
  dumping("protocol without addresses", "4 DONE(0)", v4, filter(l4), nest(1, protoNest(echo(7)))),
  dumping("empty tuple and no flags", "15 DONE(0)", v4, filter(0, 0), nest(1)),
  dumping("both ports of UDP", "1 DONE(0)", v4, filter(l4 | sport | dport), orig(udp(1000))),
  dumping(
    "source port of SCTP is not compared",
    "2 DONE(0)",
    v4,
    filter(l4 | sport),
    orig(sctp(1000))
  ),
  dumping(
    "port of GRE is not compared",
    "1 DONE(0)",
    v4,
    filter(l4 | sport),
    orig({ ...tcp(9), l4: 47 })
  ),
  dumping(
    "port that is not there",
    "0 EINVAL",
    v4,
    filter(l4 | sport),
    nest(1, ipNest(tcp(1)), nest(2, attribute(1, [6])))
  ),
  dumping(
    "port of an unknown protocol",
    "0 DONE(0)",
    v4,
    filter(l4 | sport),
    orig({ ...tcp(9), l4: 99 })
  ),
  dumping("identifier of ICMP", "3 DONE(0)", v4, filter(l4 | icmpId), orig(echo(7))),
  dumping("type of ICMP", "3 DONE(0)", v4, filter(l4 | icmpType), orig(echo(7))),
  dumping("code of ICMP", "1 DONE(0)", v4, filter(l4 | icmpCode), orig(echo(9, 8, 1))),
  dumping("all of ICMP", "1 DONE(0)", v4, filter(l4 | icmpType | icmpCode | icmpId), orig(echo(7))),
  dumping("no type that ICMP knows", "0 EINVAL", v4, filter(l4 | icmpType), orig(echo(7, 200))),
  dumping("ICMPv6 fields of ICMP", "4 DONE(0)", v4, filter(l4 | icmp6Id), orig(echo(7))),
  dumping("identifier of ICMPv6", "1 DONE(0)", v6, filter(l4 | icmp6Id), orig(echo6(7))),
  dumping(
    "all of ICMPv6",
    "1 DONE(0)",
    v6,
    filter(l4 | icmp6Type | icmp6Code | icmp6Id),
    orig(echo6(8))
  ),
  dumping("ports and ICMP at once", "2 DONE(0)", v4, filter(l4 | sport | icmpId), orig(udp(1000))),
  dumping("source of IPv6 is turned", "1 DONE(0)", v6, filter(src), orig(tcp6(1000))),
  dumping("protocol of IPv6", "3 DONE(0)", v6, filter(l4), orig(tcp6(1000))),
  dumping("port of IPv6", "2 DONE(0)", v6, filter(l4 | sport), orig(tcp6(1000))),
  dumping("reply source", "1 DONE(0)", v4, filter(0, src), reply(inverse(away))),
  dumping("reply identifier", "3 DONE(0)", v4, filter(0, l4 | icmpId), reply(inverse(echo(7)))),
  dumping("reply without its tuple", "0 EINVAL", v4, filter(0, src), orig(tcp(1000))),
  dumping(
    "of both directions",
    "1 DONE(0)",
    v4,
    filter(l4, src),
    orig(tcp(1000)),
    reply(inverse(away))
  ),
  dumping(
    "of both, and none fits",
    "0 DONE(0)",
    v4,
    filter(dst, src),
    orig(tcp(1000)),
    reply(inverse(away))
  ),
  dumping("zone of the tuple", "15 DONE(0)", v4, filter(tupleZone), orig({ ...tcp(1), zone: 5 })),
  dumping("with a mark", "1 DONE(0)", v4, filter(l4), orig(tcp(1000)), mark(1)),
  dumping("with a status", "1 DONE(0)", v4, filter(l4), orig(udp(1000)), status(4), statusMask(4)),
  dumping("with a zone", "2 DONE(0)", v4, filter(l4), orig(tcp(1000)), zone(5)),
  dumping(
    "with a zone of the tuple and another",
    "0 EINVAL",
    v4,
    filter(tupleZone),
    orig({ ...tcp(1), zone: 5 }),
    zone(5)
  ),
  dumping("of family 7", "0 EOPNOTSUPP", { family: 7 }, filter(src), orig(tcp(1))),
  dumping("without flags of family 7", "0 DONE(0)", { family: 7 }, filter(0, 0)),
  dumping("without flags of all families", "20 DONE(0)", all, filter(0, 0)),
  dumping("short flags", "0 EINVAL", v4, nest(25, attribute(1, [1])), orig(tcp(1))),
  dumping(
    "long flags",
    "0 EINVAL",
    v4,
    nest(25, attribute(1, [...hostOrder(dst, 4), 0, 0])),
    orig(away)
  ),
  dumping("high flags", "0 EINVAL", v4, filter(0x8000_0000), orig(tcp(1))),
  dumping("an empty nest", "15 DONE(0)", v4, nest(25)),
  dumping("an unknown attribute inside", "0 EINVAL", v4, nest(25, attribute(3, [1, 0, 0, 0])))
]

const ofZones: ReadonlyArray<Statement> = [
  dumping("zone 5", "2 DONE(0)", all, zone(5)),
  dumping("zone 6", "1 DONE(0)", all, zone(6)),
  dumping("zone 0", "17 DONE(0)", all, zone(0)),
  dumping("a zone of one byte", "0 ERANGE", all, sized(18, 1, 5)),
  dumping("mark and status at once", "0 DONE(0)", all, mark(1), status(4), statusMask(4)),
  dumping("a status with bits outside its mask", "0 DONE(0)", all, status(0xc), statusMask(4))
]

const flushing = (
  name: string,
  expected: string,
  header: Header,
  ...filters: ReadonlyArray<Attribute>
): Statement => ({
  name: `flush by filter: ${name}`,
  setting: "plain",
  expected,
  run: (b) => {
    b.do(...many)
    const answer = b.ask(flush(header, ...filters))
    return `${answer} ${b.dump(dump(all)).entries.length}`
  }
})

const flushes: ReadonlyArray<Statement> = [
  flushing("protocol", "ACK 16", v4, filter(l4), orig(echo(7))),
  flushing("protocol and port", "ACK 19", v4, filter(l4 | sport), orig(tcp(1001))),
  flushing("reply", "ACK 19", v4, filter(0, src), reply(inverse(away))),
  flushing("with a mark", "ACK 19", v4, filter(l4), orig(tcp(1)), mark(1)),
  flushing("of all families", "EOPNOTSUPP 20", all, filter(l4), orig(tcp(1))),
  flushing("without protocol", "EINVAL 20", v4, filter(sport), orig(tcp(1))),
  flushing("an id is no filter", "ACK 16", v4, filter(l4), orig(echo(7)), sized(12, 4, 77))
]

/** What is dumped of flows that share all but the zone. */
const twins: Statement = {
  name: "filter: flows that differ in their zone alone",
  setting: "plain",
  expected: "3 entries ['10.0.0.1:1000/6', '10.0.0.1:1000/6', '10.0.0.1:1000/6']; " +
    "end DONE(0); flags ['0x2', '0x22']",
  run: (b) => {
    b.do(create(tcp(1000)), create(tcp(1000), zone(1)), create(tcp(1000), zone(2)))
    b.ask(request(Type.new, Flag.create | Flag.ack, [...both(tcp(1000)), timeout(9)]))
    return dumpText(b.dump(dump(v4, filter(l4 | sport), orig(tcp(1000)))))
  }
}

export const flowFilterStatements: ReadonlyArray<Statement> = [
  ...ofTuples,
  ...ofZones,
  ...flushes,
  twins
]
