/**
 * Address translation of flows that requests make: what becomes of the reply tuple and the status.
 * The flow itself is in the log, as the final dump has it.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1.
 */
import { nest, u16 } from "../sim/kernel/NetlinkWriter.ts"
import { attributesOf } from "./NlmsgText.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  create,
  Flag,
  inverse,
  natDst,
  natSrc,
  orig,
  reply,
  request,
  seqAdjOrig,
  status,
  tcp,
  tcp6,
  timeout,
  Type,
  udp,
  zone
} from "./Requests.ts"
import { dump } from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const flow = tcp(1000)
const source = "192.0.2.1"
const target = "192.0.2.2"

/** The answer to the last request, and the statuses of the flows there are. */
const after = (
  prepared: ReadonlyArray<Uint8Array>,
  name: string,
  expected: string,
  bytes: Uint8Array
): Statement => ({
  name: `translation: ${name}`,
  setting: "plain",
  expected,
  run: (b) => {
    b.do(...prepared)
    const answer = b.ask(bytes)
    const statuses = b.read(dump({ family: 0 }))
      .filter(({ type }) => type >> 8 === 1)
      .map((message) => {
        const value = attributesOf(message).find(({ type }) => type === 3)!.value
        return value.reduce((sum, byte) => sum * 256 + byte, 0).toString(16)
      })
    return `${answer} ${statuses.sort().join(" ")}`
  }
})

/** The kernel chooses a port. */
const chance = (...words: Parameters<typeof after>): Statement => ({
  ...after(...words),
  isChance: true
})

const alone = (
  name: string,
  expected: string,
  tuple: Tuple,
  ...more: ReadonlyArray<Attribute>
): Statement => after([], name, expected, create(tuple, ...more))

/** Creation with a reply tuple of its own. */
const replying = (tuple: Tuple, answer: Tuple, ...more: ReadonlyArray<Attribute>) =>
  request(Type.new, Flag.create | Flag.excl | Flag.ack, [
    orig(tuple),
    reply(answer),
    timeout(100),
    ...more
  ])

const echo: Tuple = {
  src: "10.0.0.1",
  dst: "10.0.0.2",
  l4: 1,
  icmp: { id: 7, type: 8, code: 0 }
}
const ofProtocol = (l4: number): Tuple => ({ ...flow, l4 })
const taken = create(flow, natSrc({ min: source, ports: [5000] }))
const other = tcp(1001)

export const translationStatements: ReadonlyArray<Statement> = [
  alone("of a source", "ACK 198", flow, natSrc({ min: source })),
  alone("of a source and its port", "ACK 198", flow, natSrc({ min: source, ports: [5000] })),
  alone("of a port alone", "ACK 198", flow, natSrc({ ports: [5000] })),
  alone("of a destination", "ACK 1a8", flow, natDst({ min: target })),
  alone("of a destination and its port", "ACK 1a8", flow, natDst({ min: target, ports: [8080] })),
  alone("of a destination port alone", "ACK 1a8", flow, natDst({ ports: [8080] })),
  alone(
    "of all",
    "ACK 1b8",
    flow,
    natSrc({ min: source, ports: [5000] }),
    natDst({ min: target, ports: [8080] })
  ),
  alone("to what it is", "ACK 188", flow, natSrc({ min: flow.src, ports: [1000] })),
  alone("of a destination to what it is", "ACK 188", flow, natDst({ min: flow.dst, ports: [80] })),
  alone("with a status beside", "ACK 19e", flow, natSrc({ min: source }), status(0xe)),
  alone("with SEQ_ADJ beside", "ACK 1d8", flow, natSrc({ min: source }), seqAdjOrig(1, 2, 3)),
  alone("in a zone", "ACK 198", flow, natSrc({ min: source }), zone(5)),
  alone("in a zone of one direction", "ACK 198", { ...flow, zone: 5 }, natSrc({ min: source })),
  alone("of IPv6", "ACK 198", tcp6(1000), natSrc({ min: "fd00::77" })),
  alone(
    "of IPv6 with ports",
    "ACK 1b8",
    tcp6(1000),
    natSrc({ min: "fd00::77", ports: [5000] }),
    natDst({ min: "fd00::78", ports: [8080] })
  ),
  alone("of UDP", "ACK 198", udp(1000), natSrc({ min: source, ports: [5000] })),
  alone("of UDP-Lite", "ACK 198", ofProtocol(136), natSrc({ min: source, ports: [5000] })),
  alone("of SCTP", "ACK 198", ofProtocol(132), natSrc({ min: source, ports: [5000] })),
  alone("of GRE", "ACK 198", ofProtocol(47), natSrc({ min: source })),
  alone(
    "of an unknown protocol",
    "ACK 198",
    { src: flow.src, dst: flow.dst, l4: 99 },
    natSrc({ min: source })
  ),
  alone("of ICMP", "ACK 198", echo, natSrc({ min: source })),
  alone("of ICMP with a port", "ACK 198", echo, natSrc({ min: source, ports: [9] })),
  alone("of nothing", "ACK 188", flow, natSrc({})),
  alone("of a destination to nothing", "ACK 188", flow, natDst({})),
  alone("of nothing, twice", "ACK 188", flow, natSrc({}), natDst({})),
  alone("with an address of the other family", "ACK 188", flow, natSrc({ min: "fd00::77" })),
  alone("with a short address", "ERANGE ", flow, nest(6, u16(1, 5))),
  alone("with a short port", "ERANGE ", flow, nest(6, nest(3, nest(1)))),
  alone("with ports and no smallest", "ACK 188", flow, nest(6, nest(3, u16(2, 5000)))),
  after(
    [],
    "of a reply tuple that is translated",
    "ACK 8",
    replying(flow, { ...inverse(flow), dst: source })
  ),
  after(
    [],
    "of a reply tuple that is translated already",
    "ACK 188",
    replying(flow, { ...inverse(flow), dst: source }, natSrc({ min: source }))
  ),
  after(
    [],
    "of a reply tuple that is translated otherwise",
    "ACK 198",
    replying(flow, { ...inverse(flow), dst: source }, natSrc({ min: "192.0.2.9" }))
  ),
  after(
    [taken],
    "to a port that is taken",
    "EEXIST 198",
    create(other, natSrc({ min: source, ports: [5000] }))
  ),
  after(
    [taken],
    "to a port that is free",
    "ACK 198 198",
    create(other, natSrc({ min: source, ports: [5001] }))
  ),
  after(
    [taken],
    "to a port that is taken, to another destination",
    "ACK 198 198",
    create({ ...other, dst: "10.0.0.3" }, natSrc({ min: source, ports: [5000] }))
  ),
  after(
    [taken],
    "of the same source without a port takes the port it has",
    "ACK 198 198",
    create({ ...flow, dst: "10.0.0.3" }, natSrc({ min: source }))
  ),
  after(
    [taken],
    "of the same source to another address",
    "ACK 198 198",
    create({ ...flow, dst: "10.0.0.3" }, natSrc({ min: "192.0.2.9" }))
  ),
  chance(
    [create(tcp(1000, 8080))],
    "of a destination to a tuple that is taken",
    "ACK 1b8 8",
    create(flow, natDst({ ports: [8080] }))
  ),
  chance(
    [create({ ...flow, dst: target })],
    "of a destination to an address where the tuple is taken",
    "ACK 1b8 8",
    create(flow, natDst({ min: target }))
  ),
  chance(
    [create({ ...flow, src: source })],
    "of a source to an address where the tuple is taken",
    "ACK 198 8",
    create(flow, natSrc({ min: source }))
  ),
  after(
    [create({ ...flow, src: source, sport: 5000 })],
    "of a source to a port where the tuple is taken",
    "EEXIST 8",
    create(flow, natSrc({ min: source, ports: [5000] }))
  ),
  chance(
    [create(flow, natSrc({ min: source, ports: [5000] }))],
    "of the same source when what it has is taken",
    "ACK 198 198",
    create({ ...flow, sport: 5000 }, natSrc({ min: source }))
  ),
  chance(
    [create({ ...echo, src: source })],
    "of ICMP to an address where the tuple is taken",
    "ACK 198 8",
    create(echo, natSrc({ min: source }))
  ),
  after(
    [create({ ...ofProtocol(47), src: source })],
    "of GRE to an address where the tuple is taken",
    "EEXIST 8",
    create(ofProtocol(47), natSrc({ min: source }))
  ),
  alone("of GRE with a key", "ACK 198", ofProtocol(47), natSrc({ min: source, ports: [9] })),
  alone(
    "of ICMP's identifier as destination",
    "ACK 1a8",
    echo,
    natDst({ min: target, ports: [9] })
  ),
  alone(
    "of ICMP's identifiers",
    "ACK 1b8",
    echo,
    natSrc({ min: source, ports: [9] }),
    natDst({ min: target, ports: [11] })
  ),
  alone("of an identifier alone", "ACK 198", echo, natSrc({ ports: [9] })),
  chance(
    [create(tcp(100, 8080))],
    "with a source port below 512",
    "ACK 1b8 8",
    create(tcp(100), natDst({ ports: [8080] }))
  )
]
