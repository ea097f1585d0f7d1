/**
 * Deletion of one flow, and flushes: the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.3.
 */
import type { Bench } from "./Bench.ts"
import { withNineFlows } from "./NineFlows.ts"
import { attributesOf } from "./NlmsgText.ts"
import { probe, Section } from "./Probes.ts"
import type { Attribute, Header } from "./Requests.ts"
import {
  create,
  dump,
  filter,
  Flag,
  flush,
  get,
  id,
  inverse,
  mark,
  markMask,
  orig,
  remove,
  reply,
  request,
  status,
  statusMask,
  tcp,
  Type,
  zone
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const flow = tcp(1000)
const other = tcp(2000)

const deleting = (name: string, bytes: (b: Bench) => Uint8Array): Statement =>
  probe(Section.table, name, (b) => {
    b.do(create(flow))
    return b.ask(bytes(b))
  })

/** The id of the flow, changed by `xor` in its last byte. */
const idOf = (b: Bench, xor: number): Attribute => {
  const [message] = b.read(get(flow))
  const value = attributesOf(message!).find(({ type }) => type === 12)!.value.slice()
  value[3]! ^= xor
  return id(value)
}

const deletions: ReadonlyArray<Statement> = [
  deleting("delete wrong id", (b) => remove(flow, idOf(b, 1))),
  deleting("delete right id", (b) => remove(flow, idOf(b, 0))),
  deleting("delete again", (b) => {
    b.do(remove(flow))
    return remove(flow)
  }),
  deleting(
    "delete by reply tuple",
    () => request(Type.delete, Flag.ack, [reply(inverse(flow))])
  ),
  deleting("delete by orig=reply values", () => remove(inverse(flow))),
  deleting("delete with orig and wrong reply", () => remove(flow, reply(inverse(other)))),
  deleting(
    "delete family 10 v4 tuple",
    () => request(Type.delete, Flag.ack, [orig(flow)], { family: 10 })
  ),
  deleting(
    "delete ECHO|ACK",
    () => request(Type.delete, Flag.echo | Flag.ack, [orig(flow)])
  ),
  deleting("delete no ack", () => request(Type.delete, 0, [orig(flow)]))
]

const flushText = (header: Header, filters: ReadonlyArray<Attribute>) => (b: Bench): string => {
  withNineFlows(b)
  const before = b.dump(dump({ family: 0 })).entries.length
  const answer = b.ask(flush(header, ...filters))
  const after = b.dump(dump({ family: 0 })).entries.length
  return `${answer}; ${before} -> ${after}`
}

const flushing = (
  name: string,
  header: Header,
  ...filters: ReadonlyArray<Attribute>
): Statement => probe(Section.table, name, flushText(header, filters))

const protoAndPort = 0x28
const flushes: ReadonlyArray<Statement> = [
  flushing("flush fam 0", { family: 0 }),
  flushing("flush fam 2 version 0", { family: 2 }),
  flushing("flush fam 2 version 1", { family: 2, version: 1 }),
  flushing("flush fam 10 version 1", { family: 10, version: 1 }),
  flushing("flush fam 10 version 0", { family: 10 }),
  flushing("flush mark 1/0xffffffff", { family: 0 }, mark(1), markMask(0xffff_ffff)),
  flushing("flush mark 1 no mask", { family: 0 }, mark(1)),
  flushing("flush mask w/o mark", { family: 0 }, markMask(1)),
  flushing("flush status 4/4", { family: 0 }, status(4), statusMask(4)),
  flushing("flush status 0/0", { family: 0 }, status(0), statusMask(0)),
  flushing("flush zone 5", { family: 0 }, zone(5)),
  flushing("flush zone 0", { family: 0 }, zone(0)),
  flushing("flush zone 9", { family: 0 }, zone(9)),
  flushing(
    "flush CTA_FILTER orig dport 80 fam 2 with tuple",
    { family: 2 },
    filter(protoAndPort, 0),
    orig(flow)
  ),
  flushing("flush CTA_FILTER fam 2 no flags", { family: 2 }, filter(0, 0)),
  flushing("flush mark mask fam 2 ver1", { family: 2, version: 1 }, mark(0), markMask(1))
]

const more = (
  name: string,
  expected: string,
  header: Header,
  ...filters: ReadonlyArray<Attribute>
): Statement => ({
  name: `flush: ${name}`,
  setting: "plain",
  expected,
  run: flushText(header, filters)
})

const beyondProbes: ReadonlyArray<Statement> = [
  more("by a filter without flags, family 10", "ACK; 9 -> 5", { family: 10 }, filter(0, 0)),
  more("by a filter without flags, family 0", "ACK; 9 -> 0", { family: 0 }, filter(0, 0)),
  more("by a flag without its tuple", "EINVAL; 9 -> 9", { family: 2 }, filter(1, 0)),
  more(
    "by an empty filter and a tuple",
    "ACK; 9 -> 4",
    { family: 2 },
    filter(),
    orig(flow)
  ),
  more("by mark and zone", "ACK; 9 -> 8", { family: 0 }, mark(3), zone(5)),
  more("by mark and another zone", "ACK; 9 -> 9", { family: 0 }, mark(1), zone(5)),
  more("of an unknown family", "ACK; 9 -> 9", { family: 7, version: 1 })
]

export const flowDeleteStatements: ReadonlyArray<Statement> = [
  ...deletions,
  ...flushes,
  ...beyondProbes
]
