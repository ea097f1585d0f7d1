/**
 * Error messages: echoes, capped ones, and the reasons that extended acknowledgements give.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1 and 8.
 */
import { attribute, nest, u8 } from "../sim/kernel/NetlinkWriter.ts"
import type { Attribute } from "./Requests.ts"
import {
  create,
  Flag,
  flush,
  labels,
  labelsMask,
  orig,
  protoInfo,
  remove,
  request,
  sized,
  tcp,
  tcpInfo,
  Type,
  update
} from "./Requests.ts"
import type { Statement } from "./Statement.ts"

const flow = tcp(1000)
const solNetlink = 270
const [capAck, extAck] = [10, 11]

const withOptions = (
  options: ReadonlyArray<number>,
  name: string,
  expected: string,
  bytes: Uint8Array
): Statement => ({
  name: `errors: ${name}${options.length === 2 ? ", capped" : ""}`,
  setting: "plain",
  expected,
  run: (b) => {
    b.do(create(flow))
    for (const option of options) b.socket.setOption(solNetlink, option, 1)
    return b.ask(bytes)
  }
})

const extended = (name: string, expected: string, bytes: Uint8Array) =>
  withOptions([extAck], name, expected, bytes)
const capped = (name: string, expected: string, bytes: Uint8Array) =>
  withOptions([extAck, capAck], name, expected, bytes)

/** An attribute of one byte where more are due, for every type with a size. */
const short = (type: number): Statement =>
  extended(`attribute ${type} of one byte`, "ERANGE", update(flow, attribute(type, [1])))

/** Three bytes are no nest. */
const stumps: Readonly<Record<string, ReadonlyArray<number>>> = {
  ERANGE: [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 21, 25, 26],
  EINVAL: [22, 24, 27],
  // A zone of two bytes, and another flow.
  ENOENT: [18],
  ACK: [0, 9, 10, 11, 17, 19, 20, 23, 28]
}

const stump = (type: number, expected: string): Statement =>
  extended(`attribute ${type} of three bytes`, expected, update(flow, attribute(type, [1, 2, 3])))

const two = (name: string, expected: string, bytes: Uint8Array): ReadonlyArray<Statement> => [
  extended(name, expected, bytes),
  capped(name, expected, bytes)
]

const bytes20 = Array.from({ length: 20 }, () => 1)
/** Without REQUEST nothing is done, and success is told. */
const notRequest = update(flow, tcpInfo({ state: 3 }))
notRequest[6] = Flag.ack
const garbage: Attribute = attribute(5, [1, 2, 3, 4, 5])

export const errorStatements: ReadonlyArray<Statement> = [
  ...[3, 7, 8, 12, 18, 21, 26].map(short),
  ...Object.entries(stumps).flatMap(([errno, types]) => types.map((type) => stump(type, errno))),
  ...two("a mask of labels too long", "ERANGE", update(flow, labelsMask(...bytes20))),
  ...two("the first of two", "ERANGE", update(flow, sized(7, 2, 1), sized(27, 8, 1))),
  ...two("the first of two, turned", "EINVAL", update(flow, sized(27, 8, 1), sized(7, 2, 1))),
  ...two("a short one beside a long one", "ERANGE", update(flow, sized(7, 2, 1), sized(7, 4, 1))),
  ...two("statistics with an attribute", "ACK", request(Type.statsCpu, Flag.ack, [sized(7, 2, 1)])),
  ...two(
    "a dump of the dying, filtered",
    "DONE(0)",
    request(Type.dying, Flag.dump, [sized(7, 2, 1)])
  ),
  ...two("a dump refused", "ERANGE", request(Type.get, Flag.dump, [sized(8, 2, 1)])),
  ...two(
    "a dump with bytes left over",
    "DONE(0)",
    request(Type.getZero, Flag.dump, [[9, 9]], { family: 7 })
  ),
  ...two("an error with bytes left over", "ENOENT", remove(tcp(1001), [9, 9])),
  ...two(
    "success, not acknowledged, with bytes left over",
    "no answer",
    request(Type.new, 0, [orig(flow), [9, 9]])
  ),
  ...two("not a request", "ACK", notRequest),
  ...[11, 17].map((type) =>
    extended(`attribute ${type} of one byte`, "ACK", update(flow, attribute(type, [1])))
  ),
  ...two("short timeout", "ERANGE", update(flow, sized(7, 2, 1))),
  ...two("attribute 27", "EINVAL", update(flow, sized(27, 8, 1))),
  ...two("labels too long", "ERANGE", update(flow, labels(...bytes20))),
  ...two("a TCP state out of range", "ERANGE", update(flow, tcpInfo({ state: 10 }))),
  ...two("flow exists", "EEXIST", create(flow)),
  ...two("no such flow", "ENOENT", remove(tcp(1001))),
  ...two("no change of NAT", "EOPNOTSUPP", update(flow, nest(6))),
  ...two("no such message", "EINVAL", request(0x0108, Flag.ack, [])),
  ...two("success", "ACK", update(flow)),
  ...two("a nest that is none", "EINVAL", update(flow, garbage)),
  ...two("a tuple that is no nest", "ERANGE", update(flow, attribute(1, [1, 2, 3]))),
  ...two("short flags", "ERANGE", update(flow, protoInfo(nest(1, u8(1, 3), attribute(4, [1]))))),
  ...two(
    "an unknown filter bit",
    "EINVAL",
    request(Type.get, Flag.dump, [nest(25, attribute(1, [0, 0x10, 0, 0])), orig(flow)])
  ),
  ...two("a short filter", "EINVAL", request(Type.get, Flag.dump, [nest(25, attribute(1, [1]))])),
  ...two(
    "an unknown attribute in a filter",
    "EINVAL",
    request(Type.get, Flag.dump, [nest(25, attribute(3, [1]))])
  ),
  ...two("a flush that is refused", "EINVAL", flush({ family: 0 }, sized(3, 4, 0))),
  ...two("bytes after the attributes", "ACK", update(flow, [9, 9]))
]
