/**
 * Creation of flows: keys, sizes, status, marks, zones and labels. The recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1.
 */
import { attribute, nest, u16, u32 } from "../sim/kernel/NetlinkWriter.ts"
import { probe, Section } from "./Probes.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  addressBytes,
  both,
  create,
  Flag,
  get,
  inverse,
  ipNest,
  labels,
  mark,
  markMask,
  orig,
  protoNest,
  remove,
  reply,
  request,
  sized,
  status,
  tcp,
  timeout,
  Type,
  udp,
  update,
  zone
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const stating = (name: string, run: Statement["run"]): Statement => probe(Section.create, name, run)

/** One request to an empty table. */
const simple = (name: string, bytes: Uint8Array): Statement => stating(name, (b) => b.ask(bytes))

/** One request after others that succeed. */
const after = (
  prepared: ReadonlyArray<Uint8Array>,
  name: string,
  bytes: Uint8Array
): Statement =>
  stating(name, (b) => {
    b.do(...prepared)
    return b.ask(bytes)
  })

const flow = tcp(1000)
const createFlags = Flag.create | Flag.excl | Flag.ack
/** A creation with these attributes alone. */
const raw = (...attributes: ReadonlyArray<Attribute>) => request(Type.new, createFlags, attributes)
/** A creation whose timeout is this attribute. */
const withTimeout = (attribute: Attribute) => raw(...both(flow), attribute)

const keys: ReadonlyArray<Statement> = [
  simple("create, orig+reply+timeout", create(flow)),
  after([create(flow)], "create, duplicate with EXCL", create(flow)),
  after(
    [create(flow)],
    "create, duplicate without EXCL (update)",
    request(Type.new, Flag.create | Flag.ack, [...both(flow), timeout(50), mark(3)])
  ),
  simple("create, no timeout", raw(...both(flow))),
  stating("create, timeout 0", (b) => {
    const answer = b.ask(withTimeout(timeout(0)))
    b.ask(get(flow))
    return answer
  }),
  simple("create, timeout 0xffffffff", withTimeout(timeout(0xffff_ffff))),
  simple("create, only orig", raw(orig(flow), timeout(100))),
  simple("create, only reply", raw(reply(flow), timeout(100))),
  simple("create, no tuple", raw(timeout(100))),
  simple("create, without CREATE flag (no such flow)", update(flow, timeout(100))),
  simple(
    "create, family 0",
    request(Type.new, createFlags, [...both(flow), timeout(100)], { family: 0 })
  ),
  simple(
    "create, family 10 with v4 tuple",
    request(Type.new, createFlags, [...both(flow), timeout(100)], { family: 10 })
  ),
  simple(
    "create, different l4 protos",
    raw(orig(flow), reply(inverse(udp(1000, 80))), timeout(100))
  ),
  simple(
    "create, version 1",
    request(Type.new, createFlags, [...both(flow), timeout(100)], { version: 1 })
  )
]

const portless: Tuple = { ...flow, sport: undefined, dport: undefined }
/** A tuple whose nests are not marked as such. */
const unmarked = (type: number, tuple: Tuple): Attribute => {
  const { dst, l4, sport, src } = tuple
  const ip = attribute(1, [...attribute(1, addressBytes(src)), ...attribute(2, addressBytes(dst))])
  const ports = [...u16(2, sport!), ...u16(3, tuple.dport!)]
  return attribute(type, [...ip, ...attribute(2, [...attribute(1, [l4]), ...ports])])
}

const shapes: ReadonlyArray<Statement> = [
  simple("create tcp with no ports", create(portless)),
  simple(
    "create tuple no proto nest",
    raw(nest(1, ipNest(flow)), reply(inverse(flow)), timeout(9))
  ),
  simple(
    "create tuple no ip nest",
    raw(nest(1, protoNest(flow)), reply(inverse(flow)), timeout(9))
  ),
  simple(
    "create tuple w/o NLA_F_NESTED",
    raw(unmarked(1, flow), unmarked(2, inverse(flow)), timeout(100))
  ),
  simple("create, short timeout attr (2 bytes)", withTimeout(sized(7, 2, 100))),
  stating("create, long timeout attr (8 bytes)", (b) => {
    // The upper half is the timeout: 0.
    const answer = b.ask(withTimeout(sized(7, 8, 100)))
    b.ask(get(flow))
    return answer
  }),
  simple("create, unknown attr type 40", create(flow, u32(40, 1))),
  simple("create, CTA_TIMESTAMP_EVENT(27)", create(flow, sized(27, 8, 1))),
  simple("create, CTA_USE,CTA_ID ignored", create(flow, u32(11, 77), u32(12, 0x1234_5678)))
]

const statuses: ReadonlyArray<Statement> = ([
  ["status 0", 0],
  ["status CONFIRMED(8)", 8],
  ["status 0xe (SEEN_REPLY|ASSURED|CONFIRMED)", 0xe],
  ["status EXPECTED (9)", 9],
  ["status DYING", 0x208],
  ["status SRC_NAT bit (0x18)", 0x18],
  ["status NAT_DONE 0x188", 0x188],
  ["status SEQ_ADJUST 0x48", 0x48],
  ["status FIXED_TIMEOUT 0x408", 0x408],
  ["status HELPER 0x2008", 0x2008],
  ["status OFFLOAD 0x4008", 0x4008],
  ["status HW_OFFLOAD 0x8008", 0x8008],
  ["status TEMPLATE|UNTRACKED 0x1808", 0x1808],
  ["status bit 16,17 0x30008", 0x3_0008]
] as const).map(([name, bits]) => simple(`create, ${name}`, create(flow, status(bits))))

const marks: ReadonlyArray<Statement> = [
  simple("create, mark", create(flow, mark(0x1234))),
  simple("create, mark + mask", create(flow, mark(0x1234), markMask(0xff))),
  simple("create, mask w/o mark", create(flow, markMask(0xff))),
  simple("create, CTA_SECMARK", create(flow, u32(17, 5)))
]

const inZone5 = [create(flow, zone(5))]
const sixth: Tuple = { ...flow, zone: 6 }
const origInZone6 = [create(sixth)]
const getReply = (tuple: Tuple) => request(Type.get, 0, [reply(inverse(tuple))])
const replyInZone = (tuple: Tuple, number: number): ReadonlyArray<Attribute> => [
  orig(tuple),
  reply({ ...inverse(flow), zone: number }),
  timeout(100)
]

const zones: ReadonlyArray<Statement> = [
  simple("create, zone 5", create(flow, zone(5))),
  after(inZone5, "get without zone", get(flow)),
  after(inZone5, "get with zone 5", get(flow, zone(5))),
  after(inZone5, "delete without zone", remove(flow)),
  after(inZone5, "delete with zone 5", remove(flow, zone(5))),
  simple("create, orig-zone 6", create(sixth)),
  after(origInZone6, "get orig tuple w/o zone", get(flow)),
  after(origInZone6, "get orig tuple zone in tuple", get(sixth)),
  after(origInZone6, "get reply tuple w/o zone", getReply(flow)),
  after(origInZone6, "get CTA_ZONE=6", get(flow, zone(6))),
  simple("create, reply-zone 7", raw(...replyInZone(flow, 7))),
  simple("create, orig-zone 6 and reply-zone 7", raw(...replyInZone(sixth, 7))),
  simple("create, zone 6 and orig-zone 6", create(sixth, zone(6))),
  simple("create, zone 0 and orig zone 6", create(sixth, zone(0)))
]

const label = (bytes: number) => labels(...Array.from({ length: bytes }, () => 0x11))
const labelled: ReadonlyArray<Statement> = [
  simple("create, labels (no ruleset using labels)", create(flow, label(16))),
  simple("create, labels length 3", create(flow, label(3))),
  simple("create, labels length 20", create(flow, label(20)))
]

export const flowCreateStatements: ReadonlyArray<Statement> = [
  ...keys,
  ...shapes,
  ...statuses,
  ...marks,
  ...zones,
  ...labelled
]
