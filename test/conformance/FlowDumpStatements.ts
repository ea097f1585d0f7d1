/**
 * Dumps, single gets, statistics and messages that nobody knows: the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 4.4 to 4.7.
 */
import { withNineFlows } from "./NineFlows.ts"
import { dumpText, probe, Section } from "./Probes.ts"
import type { Attribute, Header, Tuple } from "./Requests.ts"
import {
  create,
  dump,
  filter,
  Flag,
  get,
  id,
  inverse,
  mark,
  markMask,
  orig,
  reply,
  request,
  status,
  statusMask,
  tcp,
  tcp6,
  Type,
  zone
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const stating = (name: string, run: Statement["run"]): Statement => probe(Section.table, name, run)

const flow = tcp(1000)

const dumping = (
  name: string,
  header: Header,
  ...filters: ReadonlyArray<Attribute>
): Statement =>
  stating(`dump ${name}`, (b) => dumpText(withNineFlows(b).dump(dump(header, ...filters))))

const all: Header = { family: 0 }
const dumps: ReadonlyArray<Statement> = [
  dumping("fam 0", all),
  dumping("fam 2", { family: 2 }),
  dumping("fam 10", { family: 10 }),
  dumping("fam 7", { family: 7 }),
  stating(
    "dump ctrzero",
    (b) => dumpText(withNineFlows(b).dump(request(Type.getZero, Flag.dump, [], all)))
  ),
  dumping("mark 1", all, mark(1)),
  dumping("mark 1/1", all, mark(1), markMask(1)),
  dumping("mark 3/1 (val outside mask)", all, mark(3), markMask(1)),
  dumping("mask only", all, markMask(1)),
  dumping("mark 0/ffffffff", all, mark(0), markMask(0xffff_ffff)),
  dumping("mark 0/0", all, mark(0), markMask(0)),
  dumping("status 4/4", all, status(4), statusMask(4)),
  dumping("status 4", all, status(4)),
  dumping("status 0/4", all, status(0), statusMask(4)),
  dumping("status 0/0", all, status(0), statusMask(0)),
  dumping("status 0", all, status(0)),
  dumping("status mask only", all, statusMask(4)),
  dumping("zone 5", all, zone(5)),
  dumping("zone 0", all, zone(0)),
  dumping("zone 77", all, zone(77))
]

/** The bits of a filter: addresses, zone, protocol, ports. */
const [ipSrc, ipDst, tupleZone, protoNum, srcPort, dstPort] = [1, 2, 4, 8, 0x10, 0x20]
const v4: Header = { family: 2 }
const v6: Header = { family: 10 }
const elsewhere: Tuple = { ...flow, src: "10.9.9.9" }

const filters: ReadonlyArray<Statement> = [
  dumping("filter ip src v4", v4, filter(ipSrc), orig(flow)),
  dumping("filter ip src v4 no match", v4, filter(ipSrc), orig(elsewhere)),
  dumping("filter proto+sport v4", v4, filter(protoNum | srcPort), orig(flow)),
  dumping("filter proto", v4, filter(protoNum), orig(flow)),
  dumping("filter sport without protonum flag", v4, filter(srcPort), orig(flow)),
  dumping("filter w/o tuple", v4, filter(ipSrc)),
  dumping("filter fam 0", all, filter(ipSrc), orig(flow)),
  dumping("filter flags 0", v4, filter(0, 0)),
  dumping("filter unknown flag 0x800", v4, filter(0x800), orig(flow)),
  dumping("filter flag 0x1000", v4, filter(0x1000), orig(flow)),
  dumping("filter v6 src fd00::1", v6, filter(ipSrc), orig(tcp6(2000))),
  dumping("filter v6 src fd00::9", v6, filter(ipSrc), orig(tcp6(2000, "fd00::9"))),
  dumping("filter v6 dst fd00::2", v6, filter(ipDst), orig(tcp6(2000))),
  dumping("filter reply src v4", v4, filter(0, ipSrc), reply(inverse(flow))),
  dumping("filter reply dport", v4, filter(0, protoNum | dstPort), reply(inverse(flow))),
  dumping("filter both", v4, filter(ipSrc, ipSrc), orig(flow), reply(inverse(flow))),
  dumping("tuple orig without filter attr", v4, orig(flow)),
  dumping(
    "filter zone flag (4) with tuple zone 5",
    v4,
    filter(tupleZone),
    orig({ ...flow, zone: 5 })
  )
]

const special = (name: string, type: number, flags: number): Statement =>
  stating(name, (b) => b.ask(request(type, flags, [])))

const others: ReadonlyArray<Statement> = [
  stating("dump dying", (b) => dumpText(b.dump(request(Type.dying, Flag.dump, [], all)))),
  stating(
    "dump unconfirmed",
    (b) => dumpText(b.dump(request(Type.unconfirmed, Flag.dump, [], all)))
  ),
  special("get dying without DUMP", Type.dying, 0),
  special("get unconfirmed without DUMP", Type.unconfirmed, 0),
  special("message type 8 (MAX)", 0x0108, Flag.ack),
  special("subsys 2 type 4", 0x0204, Flag.ack),
  special("subsys 20", 0x1400, Flag.ack),
  special("subsys 9 CTHELPER get", 0x0901, Flag.dump),
  special("subsys 8 CTTIMEOUT get", 0x0801, Flag.dump)
]

const getting = (name: string, bytes: Uint8Array): Statement =>
  stating(name, (b) => {
    b.do(create(flow))
    return b.ask(bytes)
  })

const gets: ReadonlyArray<Statement> = [
  getting("GET no tuple", request(Type.get, 0, [])),
  getting("GET with ACK", request(Type.get, Flag.ack, [orig(flow)])),
  getting("GET without ACK", get(flow)),
  getting("GET missing", get(tcp(2000))),
  getting("GET ctrzero single", request(Type.getZero, 0, [orig(flow)])),
  getting("GET by id mismatch (id ignored?)", get(flow, id(Uint8Array.of(1, 2, 3, 4))))
]

/** One message per processor: as many as this machine has. */
const perCpu = (name: string, type: number): Statement => {
  const once = (answer: string) => answer.replace(/(msg\(\S+\))( \1)+/, "$1 …")
  const statement = stating(name, (b) => once(b.ask(request(type, Flag.dump, [], all))))
  return { ...statement, expected: once(statement.expected!) }
}

const statistics: ReadonlyArray<Statement> = [
  getting("STATS no ack", request(Type.stats, 0, [])),
  getting("STATS ack", request(Type.stats, Flag.ack, [])),
  perCpu("STATS_CPU dump", Type.statsCpu),
  getting("STATS_CPU nodump", request(Type.statsCpu, Flag.ack, [])),
  perCpu("EXP STATS_CPU dump", 0x0203)
]

export const flowDumpStatements: ReadonlyArray<Statement> = [
  ...dumps,
  ...filters,
  ...others,
  ...gets,
  ...statistics
]
