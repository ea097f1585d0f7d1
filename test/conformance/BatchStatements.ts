/**
 * Several messages in one send, several dumps, and which socket gets which answer.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1, 4.5 and 8.
 */
import type { Bench } from "./Bench.ts"
import {
  create,
  dump,
  Flag,
  flush,
  get,
  mark,
  orig,
  remove,
  request,
  tcp,
  Type,
  update
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const stating = (name: string, expected: string, run: (b: Bench) => string): Statement => ({
  name: `batch: ${name}`,
  setting: "plain",
  expected,
  run
})

/** All in one send. */
const together = (b: Bench, ...requests: ReadonlyArray<Uint8Array>): string => {
  b.send(...requests)
  return b.answers()
}

const flow = tcp(1000)
const silent = (bytes: Uint8Array): Uint8Array => {
  const copy = bytes.slice()
  copy[6]! &= ~Flag.ack
  return copy
}

/** A message that says to be longer than it is. */
const malformed = (bytes: Uint8Array): Uint8Array => {
  const copy = bytes.slice()
  copy[1] = 0x7f
  return copy
}

/** A message that says to be shorter than its header. */
const stunted = (bytes: Uint8Array): Uint8Array => {
  const copy = bytes.slice()
  copy[0] = 15
  return copy
}

const flagged = (bytes: Uint8Array, flags: number): Uint8Array => {
  const copy = bytes.slice()
  copy[6] = flags & 0xff
  copy[7] = flags >> 8
  return copy
}

const wholeDump = dump({ family: 0 })

export const batchStatements: ReadonlyArray<Statement> = [
  stating("two creations", "ACK ACK", (b) => together(b, create(flow), create(tcp(1001)))),
  stating(
    "an error does not stop the rest",
    "ACK EEXIST ACK",
    (b) => together(b, create(flow), create(flow), create(tcp(1001)))
  ),
  stating(
    "what succeeds silently says nothing",
    "EEXIST",
    (b) => together(b, silent(create(flow)), silent(create(flow)), silent(create(tcp(1001))))
  ),
  stating(
    "each sees what the one before did",
    "ACK ACK msg(type=0x100,flags=0x2) ACK ENOENT",
    (b) => together(b, create(flow), update(flow, mark(7)), get(flow), remove(flow), get(flow))
  ),
  stating(
    "a malformed message stops it silently",
    "ACK",
    (b) => together(b, create(flow), malformed(create(tcp(1001))), create(tcp(1002)))
  ),
  stating(
    "a message without a header stops it silently",
    "ACK",
    (b) => together(b, create(flow), stunted(create(tcp(1001))), create(tcp(1002)))
  ),
  stating(
    "a flush between creations",
    "ACK ACK ACK",
    (b) => together(b, create(flow), flush({ family: 0 }), create(tcp(1001)))
  ),
  stating(
    "a dump after a creation",
    "ACK msg(type=0x100,flags=0x2) DONE(0)",
    (b) => together(b, create(flow), wholeDump)
  ),
  stating(
    "a second dump while the first runs",
    "msg(type=0x100,flags=0x2) EBUSY DONE(0)",
    (b) => {
      b.do(create(flow))
      return together(b, wholeDump, wholeDump)
    }
  ),
  stating(
    "a request while a dump runs",
    "msg(type=0x100,flags=0x2) ACK DONE(0)",
    (b) => {
      b.do(create(flow))
      return together(b, wholeDump, create(tcp(1001)))
    }
  ),
  stating("two dumps one after the other", "DONE(0) DONE(0)", (b) => {
    const first = together(b, wholeDump)
    return `${first} ${together(b, wholeDump)}`
  }),
  stating("a dump that is acknowledged", "msg(type=0x100,flags=0x2) DONE(0)", (b) => {
    b.do(create(flow))
    return b.ask(flagged(wholeDump, Flag.request | Flag.dump | Flag.ack))
  }),
  stating(
    "no request, no act, but success is told",
    "ACK ENOENT",
    (b) => together(b, flagged(create(flow), Flag.ack | Flag.create), get(flow))
  ),
  stating(
    "no request, and nothing asked",
    "no answer",
    (b) => b.ask(flagged(create(flow), Flag.create))
  ),
  stating(
    "half the bits of a dump",
    "DONE(0)",
    (b) => b.ask(flagged(wholeDump, Flag.request | 0x100))
  ),
  stating(
    "the other half",
    "DONE(0)",
    (b) => b.ask(flagged(wholeDump, Flag.request | 0x200))
  ),
  stating("a control message", "ACK", (b) => b.ask(request(2, Flag.ack, []))),
  stating("a control message, not acknowledged", "no answer", (b) => b.ask(request(1, 0, []))),
  stating("a message without netfilter's header", "ACK", (b) => {
    const bytes = request(Type.get, Flag.ack, []).slice(0, 16)
    bytes[0] = 16
    return b.ask(bytes)
  }),
  stating("a deletion with the bits of a dump", "ACK", (b) => {
    b.do(create(flow))
    return b.ask(flagged(remove(flow), Flag.request | Flag.ack | Flag.dump))
  }),
  stating(
    "a deletion that names its flow by a dump's flag",
    "ENOENT",
    (b) => b.ask(request(Type.delete, Flag.dump | Flag.ack, [orig(flow)]))
  ),
  stating("two sockets", "ACK; of another: UPDATE; ours: NEW", (b) => {
    const other = b.listen(2)
    const ours = b.listen(1)
    const answer = b.ask(create(flow))
    b.ask(update(flow, mark(1)))
    const kinds = (messages: ReturnType<Bench["drain"]>) =>
      messages.map(({ flags }) => flags === 0 ? "UPDATE" : "NEW").join(" ")
    return `${answer}; of another: ${kinds(b.drain(other))}; ours: ${kinds(b.drain(ours))}`
  })
]
