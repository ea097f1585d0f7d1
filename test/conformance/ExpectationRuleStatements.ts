/**
 * Expectations: rules that no probe was recorded of, each found by asking a real kernel (6.18).
 */
import { attribute, nest, text, u32 } from "../sim/kernel/NetlinkWriter.ts"
import type { Bench } from "./Bench.ts"
import {
  classAttribute,
  createFtp,
  createSip,
  data,
  dumpExpected,
  expect,
  expectMedia,
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
  withHelper
} from "./ExpectRequests.ts"
import { attributesOf, namesOf } from "./NlmsgText.ts"
import type { Attribute, Header, Tuple } from "./Requests.ts"
import {
  create,
  Flag,
  flush,
  helper,
  inverse,
  ipNest,
  remove,
  sized,
  tcp,
  tcp6,
  update
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const all: Header = { family: 0 }
const v4: Header = { family: 2 }

const stating = (name: string, expected: string, run: (bench: Bench) => string): Statement => ({
  name: `expectations found: ${name}`,
  setting: "plain",
  expected,
  run: (b) => {
    b.do(createFtp, createSip)
    const answer = run(b)
    b.dump(dumpExpected(all))
    return answer
  }
})

const after = (
  prepared: ReadonlyArray<Uint8Array>,
  name: string,
  expected: string,
  bytes: Uint8Array
): Statement =>
  stating(name, expected, (b) => {
    b.do(...prepared)
    return b.ask(bytes)
  })
const simple = (name: string, expected: string, bytes: Uint8Array): Statement =>
  after([], name, expected, bytes)

const message = "msg(type=0x200,flags=0x2)"
const first = data(2000)
const expectFirst = expect(first)
const media = { ...fullMask, l4: 17 }

/** Entries of a dump of all, the answer to `bytes` before. */
const counting = (b: Bench, bytes: Uint8Array): string =>
  `${b.ask(bytes)}, ${b.dump(dumpExpected(all)).entries.length} left`

const sizes: ReadonlyArray<Statement> = ([
  ["TIMEOUT of two bytes", "ERANGE", sized(4, 2, 1)],
  ["TIMEOUT of eight bytes", "ACK", sized(4, 8, 1)],
  ["ID of two bytes", "ERANGE", sized(5, 2, 1)],
  ["FLAGS of two bytes", "ERANGE", sized(8, 2, 1)],
  ["CLASS of two bytes", "ERANGE", sized(9, 2, 1)],
  ["ZONE of one byte", "ERANGE", sized(7, 1, 0)],
  ["HELP_NAME of 15 letters", "ACK", helpName("a".repeat(15))],
  ["HELP_NAME of 16 letters", "EINVAL", helpName("a".repeat(16))],
  ["HELP_NAME without its end", "EINVAL", attribute(6, [0x66, 0x74, 0x70])],
  ["FN without its end", "EINVAL", attribute(11, [0x73, 0x69, 0x70])],
  ["FN empty", "EINVAL", fnAttribute("")],
  ["attribute 12", "ACK", u32(12, 1)],
  ["FLAGS 8", "EINVAL", flagsAttribute(8)],
  ["FLAGS 7", "ACK", flagsAttribute(7)],
  ["CLASS 1 of ftp", "EINVAL", classAttribute(1)]
] as const).map(([name, expected, more]) => simple(name, expected, expect(first, {}, more)))

const functions: ReadonlyArray<Statement> = ["sip", "Q.931", "callforwarding"].map((name) =>
  simple(`FN ${name}`, "ACK", expect(first, {}, fnAttribute(name)))
)

const nowhere: Tuple = { ...first, src: "0.0.0.0", dst: "0.0.0.0", sport: 0, dport: 0 }
const translations: ReadonlyArray<Statement> = ([
  ["NAT with address, port and destination", "ACK", [0, { ...nowhere, ...data(9) }]],
  ["NAT of the reply direction with a port alone", "ACK", [1, { ...nowhere, sport: 9 }]],
  ["NAT to nothing is none", "ACK", [1, nowhere]],
  ["NAT of another protocol", "ACK", [0, { ...nowhere, l4: 17, sport: 9 }]],
  ["NAT with direction 5", "ERANGE", [5, nowhere]],
  ["NAT without tuple", "EINVAL", [0, undefined]],
  ["NAT without direction", "EINVAL", [undefined, nowhere]]
] as const).map(([name, expected, [direction, tuple]]) =>
  simple(name, expected, expect(first, {}, natAttribute(direction, tuple)))
)

/** A creation of the first whose mask is this nest. */
const withMask = (name: string, expected: string, mask: Attribute): Statement =>
  simple(
    name,
    expected,
    expectRequest(ExpectType.new, Flag.create | Flag.ack, [
      masterAttribute(ftpMaster),
      tupleAttribute(first),
      mask
    ])
  )
const masks: ReadonlyArray<Statement> = [
  withMask("MASK with addresses alone", "EINVAL", nest(3, ipNest(fullMask))),
  withMask("MASK that is empty", "EINVAL", nest(3)),
  withMask("MASK of another protocol", "ACK", maskAttribute(media)),
  withMask(
    "MASK of a network and any destination",
    "ACK",
    maskAttribute({ ...fullMask, src: "255.255.255.0", dst: "0.0.0.0", sport: 0xff00, dport: 0 })
  ),
  simple(
    "what the mask hides of the tuple is kept",
    "ACK",
    expectMedia(3000, { ...media, src: "255.255.255.0" }, { src: "10.0.0.99", sport: 0x1234 })
  ),
  simple(
    "of IPv6, whose master is of IPv4",
    "EINVAL",
    expect({ ...tcp6(0), dport: 2000 })
  ),
  after(
    [withHelper(tcp6(1000), "ftp")],
    "of IPv6",
    "ACK",
    expect({ ...tcp6(0), dport: 2000 }, { master: tcp6(1000) })
  ),
  simple(
    "of family 0",
    "EOPNOTSUPP",
    expectRequest(ExpectType.new, Flag.create | Flag.ack, [
      masterAttribute(ftpMaster),
      tupleAttribute(first),
      maskAttribute(fullMask)
    ], all)
  )
]

const finding: ReadonlyArray<Statement> = [
  after(
    [expectFirst],
    "a get does not look at what the mask hides",
    message,
    getExpected({
      ...first,
      sport: 77
    })
  ),
  after([expectFirst], "a get looks at the destination", "ENOENT", getExpected(data(2001))),
  after(
    [expect(first, {}, flagsAttribute(2))],
    "an inactive one is found as well",
    message,
    getExpected(first)
  ),
  after(
    [expectFirst],
    "an acknowledged get",
    `${message} ACK`,
    expectRequest(ExpectType.get, Flag.ack, [tupleAttribute(first)])
  ),
  stating("a get and a deletion with the right ID", `${message}, ACK`, (b) => {
    b.do(expectFirst)
    const [entry] = b.read(getExpected(first))
    const id = idAttribute(attributesOf(entry!).find(({ type }) => type === 5)!.value)
    return `${b.ask(getExpected(first, id))}, ${b.ask(removeExpected(first, id))}`
  }),
  stating(
    "attributes come in the order of the specification",
    "TUPLE MASK MASTER NAT TIMEOUT ID FLAGS CLASS HELP_NAME FN",
    (b) => {
      b.do(expect(
        first,
        {},
        natAttribute(0, { ...nowhere, sport: 9 }),
        fnAttribute("nat-follow-master"),
        flagsAttribute(1)
      ))
      return b.read(getExpected(first)).map(namesOf).join()
    }
  )
]

const clashes: ReadonlyArray<Statement> = [
  after(
    [expectFirst],
    "another source port that the mask hides is the same",
    "EEXIST",
    expect({
      ...first,
      sport: 5
    })
  ),
  after(
    [expectFirst],
    "another mask of the same is the same",
    "EEXIST",
    expect(first, { mask: { ...fullMask, sport: 0xffff } })
  ),
  after(
    [expectMedia(3000)],
    "one that some flow would fulfil as well",
    "EBUSY",
    expectMedia(3000, { ...media, src: "0.0.0.0" }, { src: "0.0.0.0" })
  ),
  after(
    [expectFirst, withHelper(tcp(1003, 21), "ftp")],
    "the same of another master",
    "EEXIST",
    expect(first, { master: tcp(1003, 21) })
  ),
  stating("the fifth of a class pushes the first out", "ACK, 4 left", (b) => {
    b.do(...[3000, 3002, 3004, 3006].map((port) => expectMedia(port)))
    return counting(b, expectMedia(3008))
  }),
  stating("each class has its own limit", "ACK, 6 left", (b) => {
    b.do(...[3000, 3002, 3004, 3006].map((port) => expectMedia(port)))
    const signalling = expect(data(4000, 17), { master: sipMaster })
    const others = expect(data(4001, 17), { master: sipMaster }, classAttribute(3))
    b.do(signalling)
    return counting(b, others)
  })
]

const updating = (more: ReadonlyArray<Attribute>) => expect(first, { flags: 0 }, ...more)
const updates: ReadonlyArray<Statement> = [
  after([expectFirst], "an update of nothing", "ACK", updating([])),
  after(
    [expectFirst],
    "an update of the timeout, 46 days",
    "ACK",
    updating([
      timeoutAttribute(4_000_000)
    ])
  ),
  after(
    [expectFirst],
    "an update changes the timeout alone",
    "ACK",
    updating([
      timeoutAttribute(30),
      flagsAttribute(3),
      fnAttribute("nosuch"),
      natAttribute(0, undefined)
    ])
  ),
  after(
    [expectFirst],
    "an update needs a mask",
    "EINVAL",
    expectRequest(ExpectType.new, Flag.ack, [
      masterAttribute(ftpMaster),
      tupleAttribute(first),
      timeoutAttribute(40)
    ])
  ),
  after(
    [expectFirst],
    "an update needs a master",
    "EINVAL",
    expectRequest(ExpectType.new, Flag.ack, [
      tupleAttribute(first),
      maskAttribute(fullMask),
      timeoutAttribute(40)
    ])
  ),
  after(
    [expectFirst],
    "an update does not look at the master",
    "ACK",
    expect(first, { flags: 0, master: tcp(1999, 21) }, timeoutAttribute(40))
  )
]

const goneAfter = (name: string, bytes: Uint8Array): Statement =>
  stating(name, "ACK, 0 left", (b) => {
    b.do(expectFirst)
    return counting(b, bytes)
  })

const deletions: ReadonlyArray<Statement> = [
  goneAfter("a flush of IPv6 takes those of IPv4", flushExpected({ family: 10 })),
  goneAfter("and so does one of version 1", flushExpected({ family: 10, version: 1 })),
  goneAfter("a deletion by master alone is a flush", flushExpected(v4, masterAttribute(sipMaster))),
  goneAfter("without its helper a flow expects nothing", update(ftpMaster, helper(""))),
  stating("a flush of the flows takes them along", "ACK, 0 left", (b) => {
    b.do(expectFirst, remove(sipMaster))
    return counting(b, flush(all))
  }),
  after(
    [expectFirst],
    "a deletion with an echo",
    "msg(type=0x202,flags=0x0) ACK",
    expectRequest(ExpectType.delete, Flag.ack | Flag.echo, [tupleAttribute(first)])
  ),
  simple(
    "a creation with an echo",
    "msg(type=0x200,flags=0x600) ACK",
    expect(first, { flags: Flag.create | Flag.excl | Flag.echo })
  ),
  after(
    [expectFirst],
    "an echo of the flow's end tells of no expectation",
    "msg(type=0x102,flags=0x0) ACK",
    expectRequest(0x0102, Flag.ack | Flag.echo, [masterAttribute(ftpMaster)])
  ),
  after(
    [expectFirst, remove(ftpMaster)],
    "a get after the master is gone",
    "ENOENT",
    getExpected(
      first
    )
  )
]

const dumps: ReadonlyArray<Statement> = [
  stating("a dump by master, newest first", `${message} ${message} ${message} DONE(0)`, (b) => {
    b.do(...[3000, 3002, 3004].map((port) => expectMedia(port)))
    return b.ask(dumpExpected(v4, masterAttribute(sipMaster)))
  }),
  after(
    [expectFirst],
    "a dump by master, named by its reply",
    `${message} DONE(0)`,
    dumpExpected(v4, masterAttribute(inverse(ftpMaster)))
  ),
  after(
    [create(plainMaster)],
    "an acknowledged dump by a master without helper",
    "ACK",
    expectRequest(ExpectType.get, Flag.dump | Flag.ack, [masterAttribute(plainMaster)])
  ),
  simple(
    "a dump by master of the wrong family",
    "EINVAL",
    dumpExpected({ family: 10 }, masterAttribute(ftpMaster))
  ),
  simple(
    "a dump by master of no family",
    "EOPNOTSUPP",
    dumpExpected(all, masterAttribute(ftpMaster))
  ),
  after(
    [expectFirst],
    "a dump does not look at TUPLE",
    `${message} DONE(0)`,
    dumpExpected(all, tupleAttribute(data(9)))
  ),
  simple("an empty dump", "DONE(0)", dumpExpected(all)),
  simple("message 4", "EINVAL", expectRequest(0x0204, Flag.ack, [])),
  simple("statistics without a dump", "no answer", expectRequest(ExpectType.stats, 0, [])),
  simple("a message about nothing", "EINVAL", expectRequest(ExpectType.new, Flag.ack, [])),
  simple(
    "a helper's name that is a number",
    "ACK",
    flushExpected(v4, text(6, "0"))
  )
]

export const expectationRuleStatements: ReadonlyArray<Statement> = [
  ...sizes,
  ...functions,
  ...translations,
  ...masks,
  ...finding,
  ...clashes,
  ...updates,
  ...deletions,
  ...dumps
]
