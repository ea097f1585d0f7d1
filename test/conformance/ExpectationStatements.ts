/**
 * Expectations: the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6.
 */
import type { Bench } from "./Bench.ts"
import {
  classAttribute,
  createFtp,
  createSip,
  data,
  dumpExpected,
  expect,
  expectRequest,
  ExpectType,
  flagsAttribute,
  flushExpected,
  fnAttribute,
  ftpMaster,
  fullMask,
  getExpected,
  helpName,
  idAttribute,
  maskAttribute,
  masterAttribute,
  natAttribute,
  plainMaster,
  removeExpected,
  sipMaster,
  timeoutAttribute,
  tupleAttribute,
  withHelper,
  zoneAttribute
} from "./ExpectRequests.ts"
import { probe, Section } from "./Probes.ts"
import type { Attribute, Header } from "./Requests.ts"
import { create, Flag, inverse, remove, tcp, zone } from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const all: Header = { family: 0 }

/** What the table has in the end is part of the statement. */
const stating = (name: string, run: (bench: Bench) => string): Statement =>
  probe(Section.expectations, name, (b) => {
    const answer = run(b)
    b.dump(dumpExpected(all))
    return answer
  })

/** One request to a table with an ftp and a sip connection, after others that succeed. */
const after = (
  prepared: ReadonlyArray<Uint8Array>,
  name: string,
  bytes: Uint8Array
): Statement =>
  stating(name, (b) => {
    b.do(createFtp, createSip, ...prepared)
    return b.ask(bytes)
  })
const simple = (name: string, bytes: Uint8Array): Statement => after([], name, bytes)

const first = data(2000)
const second = data(2001)
/** A creation of the first with more attributes. */
const creating = (name: string, ...more: ReadonlyArray<Attribute>): Statement =>
  simple(name, expect(first, {}, ...more))

const createFlags = Flag.create | Flag.excl | Flag.ack
/** A creation that lacks something. */
const lacking = (name: string, ...attributes: ReadonlyArray<Attribute>): Statement =>
  simple(name, expectRequest(ExpectType.new, createFlags, attributes))

const changed = { ...first, src: "192.0.2.9", dst: "0.0.0.0", sport: 3000, dport: 0 }
const translation = natAttribute(0, changed)
const fn = fnAttribute("nat-follow-master")

const creations: ReadonlyArray<Statement> = [
  creating(
    "exp create all attrs no timeout",
    idAttribute(7),
    helpName("ftp"),
    zoneAttribute(0),
    flagsAttribute(1),
    classAttribute(0),
    translation,
    fn
  ),
  creating("exp create with timeout", timeoutAttribute(33)),
  lacking("exp create no mask", masterAttribute(ftpMaster), tupleAttribute(first)),
  lacking("exp create no master", tupleAttribute(first), maskAttribute(fullMask)),
  lacking("exp create no tuple", masterAttribute(ftpMaster), maskAttribute(fullMask)),
  after(
    [create(plainMaster)],
    "exp create, master has no helper",
    expect(first, { master: plainMaster })
  ),
  simple("exp create, master missing", expect(first, { master: tcp(1999, 21) })),
  creating("exp create, helper name ftp", helpName("ftp")),
  creating("exp create, helper name other (irc)", helpName("irc")),
  creating("exp create, helper name unknown", helpName("nosuch")),
  creating("exp create, class 0", classAttribute(0)),
  creating("exp create, class 9 without helper name", classAttribute(9)),
  creating("exp create, class 9 with helper name", classAttribute(9), helpName("ftp")),
  creating("exp create, flags PERMANENT 1", flagsAttribute(1)),
  creating("exp create, flags INACTIVE 2", flagsAttribute(2)),
  creating("exp create, flags USERSPACE 4", flagsAttribute(4)),
  creating("exp create, flags 0xff", flagsAttribute(0xff)),
  creating("exp create, NAT", translation),
  creating("exp create, NAT without dir", natAttribute(undefined, changed)),
  creating("exp create, FN nat-follow-master", fn),
  creating("exp create, FN unknown", fnAttribute("nosuch")),
  creating("exp create"),
  creating("exp timeout 0", timeoutAttribute(0)),
  simple(
    "exp udp master sip",
    expect(data(3000, 17), { master: sipMaster }, classAttribute(1))
  ),
  simple("exp master tuple given as reply", expect(first, { master: inverse(ftpMaster) }))
]

const zonedMaster = withHelper(ftpMaster, "ftp", zone(5))
const zoned = expect(first, {}, zoneAttribute(5))
/** The same connection in zone 5, and what is expected of it. */
const inZone = (name: string, bytes: Uint8Array): Statement =>
  after([zonedMaster, zoned], name, bytes)

const zones: ReadonlyArray<Statement> = [
  simple("exp create, zone 5 (master zone 0)", zoned),
  after([zonedMaster], "exp create, zone 5 master zone 5", zoned),
  inZone("exp get zone 0", getExpected(first)),
  inZone("exp get zone 5", getExpected(first, zoneAttribute(5)))
]

const expectFirst = expect(first)
const updates: ReadonlyArray<Statement> = [
  after([expectFirst], "exp create duplicate EXCL", expectFirst),
  stating("exp duplicate no EXCL (update timeout)", (b) => {
    b.do(createFtp, expectFirst)
    return b.ask(expect(first, { flags: Flag.create }, timeoutAttribute(50), flagsAttribute(1)))
  }),
  simple("exp without CREATE (missing)", expect(first, { flags: 0 })),
  after([expectFirst], "exp second (max_expected of ftp is 1?)", expect(second))
]

const expectSecond = expect(second)
const bySource = (name: string, ...attributes: ReadonlyArray<Attribute>): Statement =>
  after([expectFirst], name, expectRequest(ExpectType.get, 0, attributes))

const gets: ReadonlyArray<Statement> = [
  // The second has pushed the first out.
  after([expectFirst, expectSecond], "exp get by tuple", getExpected(first)),
  bySource("exp get by master", masterAttribute(ftpMaster)),
  bySource("exp get nothing"),
  bySource("exp get id wrong", tupleAttribute(first), idAttribute(5)),
  after(
    [expectFirst, expect(data(3000, 17), { master: sipMaster })],
    "exp dump by master",
    dumpExpected({ family: 2 }, masterAttribute(ftpMaster))
  ),
  simple(
    "exp dump by missing master",
    dumpExpected({ family: 2 }, masterAttribute(tcp(1999, 21)))
  ),
  after([expectFirst], "exp dump fam 10", dumpExpected({ family: 10 })),
  after(
    [create(plainMaster)],
    "exp dump by master w/o helper",
    dumpExpected({ family: 2 }, masterAttribute(plainMaster))
  )
]

const deletions: ReadonlyArray<Statement> = [
  after([expectFirst], "exp del id wrong", removeExpected(first, idAttribute(5))),
  after([expectFirst], "exp del missing", removeExpected(second)),
  after([expectFirst], "exp del ok", removeExpected(first)),
  after(
    [expectFirst, expect(data(3000, 17), { master: sipMaster })],
    "exp del by helper name",
    flushExpected({ family: 2 }, helpName("ftp"))
  ),
  after([expectFirst], "exp del by helper name irc", flushExpected({ family: 2 }, helpName("irc"))),
  after([expectFirst], "exp flush", flushExpected({ family: 2 })),
  after([expectFirst], "delete master ct", remove(ftpMaster))
]

export const expectationStatements: ReadonlyArray<Statement> = [
  ...creations,
  ...zones,
  ...updates,
  ...gets,
  ...deletions
]
