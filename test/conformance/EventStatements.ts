/**
 * Events of flows that requests make, change and end: in which group, with which attributes, in
 * which order. What the attributes say is in the log, which two kernels must have the same.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 3, 4 and 7.
 */
import type { Bench } from "./Bench.ts"
import { namesOf } from "./NlmsgText.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  both,
  create,
  Flag,
  flush,
  get,
  helper,
  inverse,
  labels,
  labelsMask,
  mark,
  master,
  natDst,
  natSrc,
  orig,
  protoInfo,
  remove,
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
  udp,
  update,
  zone
} from "./Requests.ts"
import type { Setting, Statement } from "./Statement.ts"

const groups = [1, 2, 3, 4, 5, 6]
const kinds: Readonly<Record<string, string>> = {
  "256/1536": "NEW",
  "256/0": "UPDATE",
  "258/0": "DESTROY"
}

/** What sockets hear that listen to one group each, while `run` does something. */
const heardBy = (b: Bench, run: () => void): string => {
  const listeners = groups.map((group) => ({ group, socket: b.listen(group) }))
  run()
  return listeners
    .flatMap(({ group, socket }) =>
      b.drain(socket).map((message) => {
        const kind = kinds[`${message.type}/${message.flags}`] ?? "?"
        const whose = message.pid === 0
          ? " of nobody"
          : message.pid === b.socket.portId
          ? ""
          : " of ?"
        return `${group} ${kind}${whose}: ${namesOf(message)}`
      })
    )
    .join("; ")
}

/** The events of these requests, after others. */
const events = (
  name: string,
  expected: string,
  prepared: ReadonlyArray<Uint8Array>,
  requests: ReadonlyArray<Uint8Array>,
  setting: Setting = "plain"
): Statement => ({
  name: `events: ${name}${setting === "plain" ? "" : `, ${setting}`}`,
  setting,
  expected,
  run: (b) => {
    b.do(...prepared)
    return heardBy(b, () => {
      for (const one of requests) b.ask(one)
    })
  }
})

const flow = tcp(1000)
const ftp = tcp(1000, 21)
const label = labels(...Array.from({ length: 16 }, () => 0x11))
const start = "ORIG REPLY ID STATUS TIMEOUT"
const byTcp = "SYNPROXY MARK"

/** Creation of one flow. */
const made = (
  name: string,
  expected: string,
  tuple: Tuple,
  more: ReadonlyArray<Attribute> = [],
  setting: Setting = "plain"
) => events(`creation ${name}`, `1 NEW: ${expected}`, [], [create(tuple, ...more)], setting)

const creations: ReadonlyArray<Statement> = [
  made("of TCP", `${start} PROTOINFO ${byTcp}`, flow),
  made("of UDP", `${start} ${byTcp}`, udp(1000)),
  made("of IPv6", `${start} PROTOINFO ${byTcp}`, tcp6(1000)),
  made("of SCTP", `${start} PROTOINFO ${byTcp}`, { ...flow, l4: 132 }),
  made("of GRE", `${start} ${byTcp}`, { ...flow, l4: 47 }),
  made("of ICMP", `${start} ${byTcp}`, {
    src: flow.src,
    dst: flow.dst,
    l4: 1,
    icmp: { id: 7, type: 8, code: 0 }
  }),
  made("with a state", `${start} PROTOINFO ${byTcp}`, flow, [
    status(0xe),
    tcpInfo({ state: 3, flags: [0x0a, 0x0a], replyFlags: [0x0a, 0x0a] })
  ]),
  made("with a mark", `${start} PROTOINFO ${byTcp}`, flow, [mark(7)]),
  made("with a helper", `${start} PROTOINFO HELP ${byTcp}`, ftp, [helper("ftp")]),
  made("with SEQ_ADJ", `${start} PROTOINFO SEQ_ADJ_ORIG SEQ_ADJ_REPLY ${byTcp}`, flow, [
    seqAdjOrig(1, 2, 3)
  ]),
  made("in a zone", `ORIG REPLY ZONE ID STATUS TIMEOUT PROTOINFO ${byTcp}`, flow, [zone(5)]),
  made("in a zone of one direction", `${start} PROTOINFO ${byTcp}`, { ...flow, zone: 5 }),
  made("with translation", `${start} PROTOINFO ${byTcp}`, flow, [
    natSrc({ min: "192.0.2.1", ports: [5000] }),
    natDst({ min: "192.0.2.2", ports: [8080] })
  ]),
  made("with labels", `${start} PROTOINFO ${byTcp}`, flow, [label]),
  made("with labels", `${start} PROTOINFO LABELS ${byTcp}`, flow, [label], "labels"),
  made("without labels", `${start} PROTOINFO ${byTcp}`, flow, [], "labels"),
  made("with a timestamp", `${start} PROTOINFO ${byTcp} TIMESTAMP_EVENT`, flow, [], "counters"),
  events(
    "creation with a master",
    `1 NEW: ${start} PROTOINFO MASTER ${byTcp}`,
    [create(ftp)],
    [create(tcp(2000), master(ftp))]
  ),
  events("creation of a flow that is there", "", [create(flow)], [create(flow)]),
  events(
    "creation by way of update",
    `2 UPDATE: ${start} PROTOINFO ${byTcp}`,
    [create(flow)],
    [request(Type.new, Flag.create, [...both(flow), timeout(9)])]
  ),
  events("creation refused", "", [], [create(flow, status(9))]),
  {
    ...events("creation", "", [], [create(flow)], "silent")
  }
]

/** An update of one flow. */
const changed = (
  name: string,
  expected: string,
  before: ReadonlyArray<Attribute>,
  change: ReadonlyArray<Attribute>,
  setting: Setting = "plain"
) =>
  events(
    `update ${name}`,
    expected === "" ? "" : `2 UPDATE: ${expected}`,
    [create(ftp, ...before)],
    [update(ftp, ...change)],
    setting
  )

const plainUpdate = `${start} PROTOINFO ${byTcp}`
const updates: ReadonlyArray<Statement> = [
  changed("of nothing", plainUpdate, [], []),
  changed("of the timeout", plainUpdate, [], [timeout(9)]),
  changed("of the mark", plainUpdate, [], [mark(9)]),
  changed("of the mark to 0", plainUpdate, [mark(9)], [mark(0)]),
  changed("of the state", plainUpdate, [], [tcpInfo({ state: 7 })]),
  changed("of the status", plainUpdate, [], [status(0xe)]),
  changed("of SEQ_ADJ", `${start} PROTOINFO SEQ_ADJ_ORIG SEQ_ADJ_REPLY ${byTcp}`, [], [
    seqAdjReply(1, 2, 3)
  ]),
  changed("of SYNPROXY", plainUpdate, [], [synproxy(1, 2, 3)]),
  changed("of the same helper", `${start} PROTOINFO HELP ${byTcp}`, [helper("ftp")], [
    helper("ftp")
  ]),
  changed("that takes the helper away", plainUpdate, [helper("ftp")], [helper("")]),
  changed("of labels", `${start} PROTOINFO LABELS ${byTcp}`, [], [label], "labels"),
  changed("beside labels", `${start} PROTOINFO LABELS ${byTcp}`, [label], [], "labels"),
  changed(
    "that clears labels",
    plainUpdate,
    [label],
    [labels(0, 0, 0, 0), labelsMask(0xff, 0xff, 0xff, 0xff)],
    "labels"
  ),
  changed("with a timestamp", `${plainUpdate} TIMESTAMP_EVENT`, [], [], "counters"),
  changed("refused at once", "", [], [natSrc({})]),
  changed("refused in the middle", "", [], [mark(9), labels(1, 2, 3)]),
  changed("without events", "", [], [mark(9)], "silent"),
  events(
    "update of a flow with a master",
    `2 UPDATE: ${plainUpdate}`,
    [create(ftp), create(tcp(2000), master(ftp))],
    [update(tcp(2000), mark(1))]
  ),
  events(
    "update by the reply tuple",
    `2 UPDATE: ${plainUpdate}`,
    [create(flow)],
    [request(Type.new, 0, [reply(inverse(flow)), mark(1)])]
  ),
  events(
    "an update that ends a life",
    `2 UPDATE: ${plainUpdate}; 3 DESTROY of nobody: ORIG REPLY ID STATUS PROTOINFO`,
    [create(flow)],
    [update(flow, timeout(0)), get(flow)]
  ),
  events(
    "an update of SCTP",
    `2 UPDATE: ${plainUpdate}`,
    [create({ ...flow, l4: 132 })],
    [update({ ...flow, l4: 132 }, protoInfo())]
  )
]

const end = "ORIG REPLY ID STATUS TIMEOUT"
const ended = (
  name: string,
  expected: string,
  prepared: ReadonlyArray<Uint8Array>,
  requests: ReadonlyArray<Uint8Array>,
  setting: Setting = "plain"
) => events(`end ${name}`, expected, prepared, requests, setting)

const dies = `3 DESTROY: ${end} PROTOINFO`
const ends: ReadonlyArray<Statement> = [
  ended("of TCP", dies, [create(flow)], [remove(flow)]),
  ended("of UDP", `3 DESTROY: ${end}`, [create(udp(1))], [remove(udp(1))]),
  ended("of SCTP", dies, [create({ ...flow, l4: 132 })], [remove({ ...flow, l4: 132 })]),
  ended("of one with a mark", `${dies} MARK`, [create(flow, mark(1))], [remove(flow)]),
  ended("of one with a helper", dies, [create(ftp, helper("ftp"))], [remove(ftp)]),
  ended("of one with SEQ_ADJ", dies, [create(flow, seqAdjOrig(1, 2, 3))], [remove(flow)]),
  ended("of one with labels", dies, [create(flow, label)], [remove(flow)], "labels"),
  ended(
    "of one in a zone",
    "3 DESTROY: ORIG REPLY ZONE ID STATUS TIMEOUT PROTOINFO",
    [create(flow, zone(5))],
    [remove(flow, zone(5))]
  ),
  ended(
    "of one with a master",
    dies,
    [create(ftp), create(tcp(2000), master(ftp))],
    [remove(tcp(2000))]
  ),
  ended("of a master alone", dies, [create(ftp), create(tcp(2000), master(ftp))], [
    remove(ftp),
    get(tcp(2000))
  ]),
  ended(
    "of one with counters",
    `3 DESTROY: ${end} COUNTERS_ORIG COUNTERS_REPLY TIMESTAMP PROTOINFO TIMESTAMP_EVENT`,
    [create(flow)],
    [remove(flow)],
    "counters"
  ),
  ended("without events", "", [create(flow)], [remove(flow)], "silent"),
  ended("by a flush", `${dies}; ${dies}`, [create(flow), create(tcp(2))], [flush({ family: 0 })]),
  ended("that is refused", "", [create(flow)], [remove(tcp(2))]),
  ended(
    "at creation",
    "1 NEW: ORIG REPLY ID STATUS TIMEOUT PROTOINFO SYNPROXY MARK; " +
      "3 DESTROY of nobody: ORIG REPLY ID STATUS PROTOINFO",
    [],
    [
      request(Type.new, Flag.create, [...both(flow), timeout(0)]),
      get(flow)
    ]
  )
]

/** A copy for the one who asks, whether or not it listens. */
const echoed = (
  name: string,
  expected: string,
  bytes: Uint8Array,
  joined: ReadonlyArray<number>,
  setting: Setting = "plain"
): Statement => ({
  name: `echo: ${name}`,
  setting,
  expected,
  run: (b) => {
    b.do(create(tcp(2000)))
    for (const group of joined) b.socket.join(group)
    const copy = bytes.slice()
    copy[6]! |= Flag.echo
    return b.ask(copy)
  }
})

const newEvent = "msg(type=0x100,flags=0x600)"
const echoes: ReadonlyArray<Statement> = [
  echoed("of a creation", `${newEvent} ACK`, create(flow), []),
  echoed("of a creation, to a listener, once", `${newEvent} ACK`, create(flow), [1, 2, 3]),
  echoed("of a creation that is refused", "EEXIST", create(tcp(2000)), []),
  echoed("of an update", "msg(type=0x100,flags=0x0) ACK", update(tcp(2000)), []),
  echoed("of a deletion", "msg(type=0x102,flags=0x0) ACK", remove(tcp(2000)), []),
  echoed("of a flush", "msg(type=0x102,flags=0x0) ACK", flush({ family: 0 }), []),
  echoed("of a get", "msg(type=0x100,flags=0x2)", get(tcp(2000)), []),
  echoed("of a creation without events", "ACK", create(flow), [], "silent"),
  echoed("of a creation, to a listener of ends", `${newEvent} ACK`, create(flow), [3])
]

export const eventStatements: ReadonlyArray<Statement> = [
  ...creations,
  ...updates,
  ...ends,
  ...echoes,
  events("none for a get", "", [create(flow)], [request(Type.get, Flag.ack, [orig(flow)])])
]
