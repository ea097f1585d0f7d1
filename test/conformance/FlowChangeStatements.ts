/**
 * Updates of flows: the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.2.
 */
import { nest, u32 } from "../sim/kernel/NetlinkWriter.ts"
import { probe, Section } from "./Probes.ts"
import type { Attribute } from "./Requests.ts"
import {
  both,
  create,
  Flag,
  get,
  helper,
  inverse,
  labels,
  labelsMask,
  mark,
  markMask,
  master,
  natDst,
  natSrc,
  orig,
  reply,
  request,
  seqAdjOrig,
  seqAdjReply,
  status,
  synproxy,
  tcp,
  tcpInfo,
  timeout,
  Type,
  update,
  zone
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const flow = tcp(1000)
const other = tcp(2000)
const nothing: ReadonlyArray<Attribute> = []

/** A request about a flow that was created with these attributes. */
const on = (
  made: ReadonlyArray<Attribute>,
  name: string,
  bytes: Uint8Array,
  then?: Uint8Array
): Statement =>
  probe(Section.table, name, (b) => {
    b.do(create(flow, ...made))
    const answer = b.ask(bytes)
    if (then !== undefined) b.ask(then)
    return answer
  })

const updating = (
  made: ReadonlyArray<Attribute>,
  name: string,
  ...change: ReadonlyArray<Attribute>
): Statement => on(made, name, update(flow, ...change))

const established = [tcpInfo({ state: 3, flags: [0x0b, 0x0b], replyFlags: [0x0b, 0x0b] })]

const protocols: ReadonlyArray<Statement> = [
  updating(
    established,
    "update tcp flags mask subset: 0xff&0x08 on 0x0b",
    tcpInfo({ flags: [0xff, 0x08], replyFlags: [0, 0x08] })
  ),
  updating(
    established,
    "update tcp: only flags, no state",
    tcpInfo({ flags: [0x10, 0x10], replyFlags: [0x04, 0x04] })
  ),
  updating(established, "update tcp state backwards 3->1", tcpInfo({ state: 1 })),
  updating(established, "update tcp state 3->7", tcpInfo({ state: 7 }))
]

const byTuples = (flags: number, ...attributes: ReadonlyArray<Attribute>) =>
  request(Type.new, flags | Flag.ack, attributes)

const keys: ReadonlyArray<Statement> = [
  updating(nothing, "update nothing (tuple only)"),
  on(nothing, "update by reply tuple: mark", byTuples(0, reply(inverse(flow)), mark(5))),
  on(
    nothing,
    "update by orig tuple = actual reply tuple",
    byTuples(0, orig(inverse(flow)), mark(6))
  ),
  on(
    nothing,
    "update with orig and different reply tuple",
    byTuples(0, orig(flow), reply(inverse(other)), mark(7))
  ),
  updating(nothing, "update zone (different)", zone(9), mark(1)),
  on(nothing, "update with NLM_F_CREATE|no EXCL", byTuples(Flag.create, ...both(flow), mark(8))),
  on(nothing, "update with EXCL only", byTuples(Flag.excl, orig(flow), mark(8))),
  on(nothing, "update missing flow", update(other, mark(1))),
  on(nothing, "update NLM_F_REPLACE", byTuples(Flag.replace, orig(flow), mark(8))),
  on(
    nothing,
    "update without ACK flag (success)",
    request(Type.new, 0, [orig(flow), mark(8)])
  ),
  on(
    nothing,
    "update without ACK flag (error)",
    request(Type.new, 0, [orig(other), mark(8)])
  ),
  on(
    nothing,
    "update NLM_F_ECHO|ACK",
    request(Type.new, Flag.echo | Flag.ack, [orig(flow), mark(8)])
  )
]

const newSource = "192.0.2.1"
const fixed = [status(0x408)]
const lives: ReadonlyArray<Statement> = [
  updating(nothing, "update timeout", timeout(500)),
  on(nothing, "update timeout 0", update(flow, timeout(0)), get(flow)),
  updating(fixed, "update timeout w/ FIXED_TIMEOUT set", timeout(500)),
  updating(fixed, "update status: clear FIXED_TIMEOUT (status 8)", status(8)),
  updating([status(0xe)], "update status: clear SEEN_REPLY", status(0xc)),
  updating([status(0xe)], "update status: clear ASSURED", status(0xa)),
  updating(nothing, "update status: drop CONFIRMED", status(0)),
  updating(nothing, "update status: set ASSURED+SEEN_REPLY", status(0xe)),
  updating(nothing, "update status: set HELPER bit", status(0x2008)),
  updating(nothing, "update status: set EXPECTED", status(9)),
  updating(nothing, "update status: set DYING", status(0x208)),
  updating(nothing, "update status: set SRC_NAT", status(0x18)),
  updating(
    [natSrc({ min: newSource })],
    "update status on NATed flow with status 0x8 only",
    status(8)
  )
]

const refused: ReadonlyArray<Statement> = [
  updating(nothing, "update NAT src", natSrc({ min: newSource })),
  updating(nothing, "update NAT dst", natDst({ min: newSource })),
  updating(
    [natSrc({ min: newSource })],
    "update NAT src same as existing",
    natSrc({ min: newSource })
  ),
  probe(Section.table, "update MASTER", (b) => {
    b.do(create(other), create(flow))
    return b.ask(update(flow, master(other)))
  })
]

const marks: ReadonlyArray<Statement> = [
  updating([mark(0x0f)], "update mark without mask", mark(0x1234)),
  updating([mark(0x0f)], "update mark with mask 0xf0", mark(0x50), markMask(0xf0)),
  updating(
    [mark(0x0f)],
    "update mark val 0xff mask 0xf0 on 0x0f (XOR check)",
    mark(0xff),
    markMask(0xf0)
  ),
  updating([mark(0x0f)], "update mark to 0", mark(0)),
  updating([mark(0x0f)], "update mark mask 0 val 3 on 0x0f", mark(3), markMask(0)),
  updating(nothing, "update secmark", u32(17, 5))
]

/** FTP's control connection, so that its helper fits. */
const withFtp = [helper("ftp")]
const helpers: ReadonlyArray<Statement> = [
  updating(nothing, "update helper on flow w/o helper", helper("ftp")),
  updating(withFtp, "update helper same", helper("ftp")),
  updating(withFtp, "update helper different", helper("sip")),
  updating(withFtp, "update helper \"\" (remove)", helper("")),
  updating(withFtp, "update helper unknown", helper("nonsense"))
]

const twoWords = [1, 0, 0, 0, 0, 0, 0, 0]
const extensions: ReadonlyArray<Statement> = [
  updating(
    nothing,
    "update seqadj on ctnetlink-made flow",
    seqAdjOrig(10, 20, 30),
    seqAdjReply(40, 50, 60)
  ),
  updating(nothing, "update synproxy", synproxy(7, 8, 9)),
  updating(nothing, "update labels, none present (no rule)", labels(...twoWords, ...twoWords)),
  updating(nothing, "update labels len 3", labels(1, 2, 3)),
  updating(
    nothing,
    "update labels with mask len mismatch",
    labels(...twoWords),
    labelsMask(1, 0, 0, 0)
  )
]

/** The same with room for labels, and what the probes do not ask. */
const more = (
  name: string,
  expected: string,
  made: ReadonlyArray<Attribute>,
  ...change: ReadonlyArray<Attribute>
): Statement => ({
  name: `update: ${name}`,
  setting: "labels",
  expected,
  run: (b) => {
    b.do(create(flow, ...made))
    return b.ask(update(flow, ...change))
  }
})

const all = (byte: number) => Array.from({ length: 16 }, () => byte)
const beyondProbes: ReadonlyArray<Statement> = [
  more("all labels without a mask", "ACK", [labels(...all(0x11))], labels(...all(0x22))),
  more("two words of labels clear the rest", "ACK", [labels(...all(0x11))], labels(...twoWords)),
  more(
    "masked labels",
    "ACK",
    [labels(...all(0x11))],
    labels(...all(0xff)),
    labelsMask(...all(0x0f))
  ),
  more(
    "masked labels of two words leave the rest",
    "ACK",
    [labels(...all(0x11))],
    labels(...twoWords),
    labelsMask(0xff, 0, 0, 0, 0, 0, 0, 0)
  ),
  more("labels as they are", "ACK", [labels(...all(0x11))], labels(...all(0x11))),
  more("labels of three bytes", "EINVAL", nothing, labels(1, 2, 3)),
  more("no labels at all", "ACK", [labels(...all(0x11))], labels()),
  more("a mask without labels", "ACK", [labels(...all(0x11))], labelsMask(...all(0xff))),
  more(
    "what comes before an error stays",
    "EINVAL",
    nothing,
    timeout(777),
    mark(9),
    status(0xe),
    tcpInfo({ state: 3 }),
    labels(1, 2, 3)
  ),
  more(
    "what comes after an error is not done",
    "EBUSY",
    nothing,
    timeout(777),
    mark(9),
    status(0),
    tcpInfo({ state: 3 })
  ),
  more("SEEN_REPLY is not taken back", "EBUSY", [status(0xe)], status(8)),
  more("ASSURED without SEEN_REPLY", "ACK", nothing, status(0xc)),
  more("the high bits of a status", "ACK", nothing, status(0xffff_c008)),
  more("an incomplete SEQ_ADJ", "EINVAL", nothing, seqAdjOrig(1, 2)),
  more("an incomplete SYNPROXY", "EINVAL", nothing, synproxy(1, 2)),
  more("a window scale out of range", "ERANGE", nothing, tcpInfo({ scales: [15, 1] })),
  more("a helper without a name", "EINVAL", [helper("ftp")], nest(5)),
  more("no helper where there is none", "ACK", nothing, helper("")),
  more("a helper of another protocol", "EOPNOTSUPP", [helper("ftp")], helper("tftp"))
]

export const flowChangeStatements: ReadonlyArray<Statement> = [
  ...protocols,
  ...keys,
  ...lives,
  ...refused,
  ...marks,
  ...helpers,
  ...extensions,
  ...beyondProbes
]
