/**
 * Creation of flows: translation, masters, helpers, protocols and clashes. The recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1.
 */
import { attribute, nest, u32, u8 } from "../sim/kernel/NetlinkWriter.ts"
import { probe, Section } from "./Probes.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  create,
  Flag,
  helper,
  inverse,
  master,
  natDst,
  natSrc,
  orig,
  protoInfo,
  reply,
  request,
  seqAdjOrig,
  seqAdjReply,
  status,
  synproxy,
  tcp,
  tcp6,
  tcpInfo,
  timeout,
  Type,
  udp
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
const newSource = "192.0.2.1"
const newTarget = "192.0.2.2"

/** Creation with a reply tuple of its own. */
const replying = (answer: Tuple, ...more: ReadonlyArray<Attribute>) =>
  request(Type.new, createFlags, [orig(flow), reply(answer), timeout(100), ...more])
const translated: Tuple = { ...inverse(flow), dst: newSource }

const translation: ReadonlyArray<Statement> = [
  simple("create, NAT src", create(flow, natSrc({ min: newSource }))),
  simple("create, NAT src + maxip", create(flow, natSrc({ min: newSource, max: newSource }))),
  simple("create, NAT src + port", create(flow, natSrc({ min: newSource, ports: [5000, 5000] }))),
  simple(
    "create, NAT src + port only min",
    create(flow, natSrc({ min: newSource, ports: [5000] }))
  ),
  simple("create, NAT src port only", create(flow, natSrc({ ports: [5000, 5000] }))),
  simple("create, NAT dst", create(flow, natDst({ min: newTarget }))),
  simple(
    "create, NAT src+dst",
    create(flow, natSrc({ min: newSource }), natDst({ min: newTarget }))
  ),
  simple("create, NATed reply tuple without NAT attr", replying(translated)),
  simple(
    "create, NATed reply tuple + NAT src attr",
    replying(translated, natSrc({ min: newSource }))
  ),
  simple("create, empty NAT src", create(flow, natSrc({}))),
  simple(
    "create, status 0x19e, NAT src",
    create(flow, status(0x19e), natSrc({ min: newSource }))
  )
]

const masterFlow = tcp(2000, 21)
const masters: ReadonlyArray<Statement> = [
  simple("create, master missing", create(flow, master(masterFlow))),
  after([create(masterFlow)], "create, master present", create(flow, master(masterFlow))),
  after(
    [create(masterFlow)],
    "same + status EXPECTED 9",
    create(flow, master(masterFlow), status(9))
  )
]

const ftp = tcp(1000, 21)
const helpers: ReadonlyArray<Statement> = [
  simple("create, helper ftp", create(ftp, helper("ftp"))),
  simple("create, helper unknown", create(ftp, helper("nonsense"))),
  simple("create, helper empty name", create(ftp, helper(""))),
  simple("create, helper no name", create(ftp, nest(5))),
  simple("create, helper too long", create(ftp, helper("a-name-of-16-chr"))),
  simple(
    "create, helper ftp not NUL terminated",
    create(ftp, nest(5, attribute(1, [0x66, 0x74, 0x70])))
  ),
  simple("create, helper tftp on tcp", create(ftp, helper("tftp")))
]

const extensions: ReadonlyArray<Statement> = [
  simple(
    "create, seqadj orig+reply",
    create(flow, seqAdjOrig(1000, 5, 10), seqAdjReply(2000, 0xffff_fffb, 3))
  ),
  simple("create, seqadj orig only", create(flow, seqAdjOrig(1000, 5, 10))),
  simple("create, seqadj incomplete", create(flow, seqAdjOrig(1000, 5))),
  simple("create, synproxy", create(flow, synproxy(1, 2, 3))),
  simple("create, synproxy incomplete", create(flow, synproxy(1, 2)))
]

const both01 = { flags: [1, 1], replyFlags: [1, 1] } as const
const tcpStates: ReadonlyArray<Statement> = [
  simple("create, tcp state 3", create(flow, tcpInfo({ state: 3 }))),
  simple(
    "create, tcp state 3 + wscale + flags",
    create(
      flow,
      tcpInfo({ state: 3, scales: [7, 8], flags: [0x0b, 0x0b], replyFlags: [0x0b, 0x0b] })
    )
  ),
  simple(
    "create, tcp state 3 + wscale only orig",
    create(flow, tcpInfo({ state: 3, scales: [7, undefined], ...both01 }))
  ),
  simple("create, tcp state 9 (SYN_SENT2)", create(flow, tcpInfo({ state: 9 }))),
  simple("create, tcp state 10 (MAX)", create(flow, tcpInfo({ state: 10 }))),
  simple("create, tcp state 200", create(flow, tcpInfo({ state: 200 }))),
  simple("create, tcp empty nest", create(flow, tcpInfo({}))),
  simple("create, tcp no TCP nest", create(flow, protoInfo())),
  simple("create, tcp wscale 15", create(flow, tcpInfo({ state: 3, scales: [15, 15] }))),
  simple(
    "create, tcp flags 1 byte",
    create(flow, protoInfo(nest(1, u8(1, 3), attribute(4, [1]))))
  ),
  simple(
    "create, tcp flags 0xff",
    create(flow, tcpInfo({ state: 3, flags: [0xff, 0xff], replyFlags: [0xff, 0xff] }))
  ),
  ...[
    ["create, tcp wscale 7/8 + both flags 0x01", [7, 8]],
    ["create, tcp wscale 14/14 + both flags 0x01", [14, 14]],
    ["create, tcp wscale 14/15 + both flags 0x01", [14, 15]]
  ].map(([name, scales]) =>
    probe(
      Section.table,
      name as string,
      (b) =>
        b.ask(create(flow, tcpInfo({ state: 3, scales: scales as [number, number], ...both01 })))
    )
  ),
  probe(
    Section.table,
    "create, tcp flags mask 0",
    (b) => b.ask(create(flow, tcpInfo({ state: 3, flags: [0x0b, 0], replyFlags: [0x0b, 0] })))
  )
]

const ofProtocol = (l4: number): Tuple => ({ ...flow, l4 })
const bare = (l4: number): Tuple => ({ src: flow.src, dst: flow.dst, l4 })
const icmp = (type: number, id: number | undefined = 7): Tuple => ({
  ...bare(1),
  icmp: { type, code: 0, ...(id === undefined ? {} : { id }) }
})
const vtags = [u32(2, 0x1111_1111), u32(3, 0x2222_2222)]

const protocols: ReadonlyArray<Statement> = [
  simple("create udp", create(udp(1000))),
  simple("create udp + tcp protoinfo", create(udp(1000), tcpInfo({ state: 3 }))),
  ...[132, 136, 47, 33].map((l4) =>
    simple(`create proto ${l4} with ports`, create(ofProtocol(l4)))
  ),
  simple(
    "create sctp state 4 vtags",
    create(ofProtocol(132), protoInfo(nest(3, u8(1, 4), ...vtags)))
  ),
  simple("create sctp state only", create(ofProtocol(132), protoInfo(nest(3, u8(1, 4))))),
  simple("create dccp protoinfo", create(ofProtocol(33), protoInfo(nest(2, u8(1, 4), u8(2, 1))))),
  simple("create icmp", create(icmp(8))),
  simple("create icmp type 5", create(icmp(5))),
  simple("create icmp no id", create({ ...bare(1), icmp: { type: 8, code: 0 } })),
  simple("create icmp type 200", create(icmp(200))),
  simple("create icmpv6 on v4", create({ ...bare(58), icmp: { id: 7, type: 128, code: 0 } })),
  simple(
    "create icmpv6",
    create({ src: "fd00::1", dst: "fd00::2", l4: 58, icmp: { id: 7, type: 128, code: 0 } })
  ),
  simple("create v6 tcp", create(tcp6(1000))),
  simple("create proto 50 (esp)", create(bare(50))),
  simple("create proto 0", create(bare(0))),
  simple("create proto 255", create(bare(255)))
]

const clashing = request(Type.new, createFlags, [
  orig(tcp(1001)),
  reply(inverse(flow)),
  timeout(100)
])
const clashes: ReadonlyArray<Statement> = [
  after([create(flow)], "create, reply clash: other orig, same reply", clashing),
  after(
    [create(flow)],
    "create, reply clash without EXCL",
    request(Type.new, Flag.create | Flag.ack, [
      orig(tcp(1001)),
      reply(inverse(flow)),
      timeout(100)
    ])
  ),
  after(
    [create(flow)],
    "create, orig tuple equals existing reply tuple",
    create(inverse(flow))
  )
]

export const flowMakeStatements: ReadonlyArray<Statement> = [
  ...translation,
  ...masters,
  ...helpers,
  ...extensions,
  ...tcpStates,
  ...protocols,
  ...clashes
]
