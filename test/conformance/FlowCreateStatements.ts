/**
 * Creation of flows: the recorded probes.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.1.
 */
import { probe, Section } from "./Probes.ts"
import {
  both,
  create,
  Flag,
  get,
  mark,
  orig,
  reply,
  request,
  tcp,
  timeout,
  Type,
  update
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const stating = (name: string, run: Statement["run"]): Statement => probe(Section.create, name, run)

/** Creation with one flow in the table already. */
const simple = (name: string, bytes: Uint8Array): Statement => stating(name, (b) => b.ask(bytes))

const flow = tcp(1000)
const createFlags = Flag.create | Flag.excl | Flag.ack

const keys: ReadonlyArray<Statement> = [
  simple("create, orig+reply+timeout", create(flow)),
  stating("create, duplicate with EXCL", (b) => {
    b.do(create(flow))
    return b.ask(create(flow))
  }),
  stating("create, duplicate without EXCL (update)", (b) => {
    b.do(create(flow))
    return b.ask(request(Type.new, Flag.create | Flag.ack, [...both(flow), timeout(50), mark(3)]))
  }),
  simple("create, no timeout", request(Type.new, createFlags, both(flow))),
  stating("create, timeout 0", (b) => {
    const answer = b.ask(request(Type.new, createFlags, [...both(flow), timeout(0)]))
    b.ask(get(flow))
    return answer
  }),
  simple("create, only orig", request(Type.new, createFlags, [orig(flow), timeout(100)])),
  simple("create, only reply", request(Type.new, createFlags, [reply(flow), timeout(100)])),
  simple("create, no tuple", request(Type.new, createFlags, [timeout(100)])),
  simple("create, without CREATE flag (no such flow)", update(flow, timeout(100)))
]

export const flowCreateStatements: ReadonlyArray<Statement> = [...keys]
