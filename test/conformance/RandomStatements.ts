/**
 * Requests as chance makes them, sane and insane, one after the other on the same table: whatever
 * they are, two kernels must say and do the same. Nothing is expected of them but that.
 */
import { randomOf } from "../fakes/RandomFlow.ts"
import { attribute, nest } from "../sim/kernel/NetlinkWriter.ts"
import type { Attribute, Tuple } from "./Requests.ts"
import {
  filter,
  Flag,
  helper,
  inverse,
  labels,
  labelsMask,
  mark,
  markMask,
  master,
  natSrc,
  orig,
  protoInfo,
  reply,
  request,
  seqAdjOrig,
  seqAdjReply,
  status,
  statusMask,
  synproxy,
  tcp,
  tcp6,
  tcpInfo,
  timeout,
  Type,
  udp,
  zone
} from "./Requests.ts"
import type { Setting, Statement } from "./Statement.ts"

type Random = ReturnType<typeof randomOf>

const pick = <A>(random: Random, ...from: ReadonlyArray<A>): A => from[random(from.length)]!

/** Few, so that requests meet each other. */
const tuples: ReadonlyArray<Tuple> = [
  tcp(1000),
  tcp(1001),
  tcp(1002, 21),
  inverse(tcp(1000)),
  udp(1000),
  udp(1001, 69),
  tcp6(1000),
  tcp6(1001),
  { ...tcp(1000), l4: 132 },
  { ...tcp(1000), l4: 47 },
  { ...tcp(1003), zone: 5 },
  { src: "10.0.0.1", dst: "10.0.0.2", l4: 1, icmp: { id: 7, type: 8, code: 0 } },
  { src: "fd00::1", dst: "fd00::2", l4: 58, icmp: { id: 7, type: 128, code: 0 } },
  { src: "10.0.0.1", dst: "10.0.0.2", l4: 50 }
]

const statuses = [0, 8, 9, 0xa, 0xc, 0xe, 0x18, 0x48, 0x188, 0x208, 0x2008, 0xe00e]
const bytesOf = (random: Random, count: number): Array<number> =>
  Array.from({ length: count }, () => pick(random, 0, 1, 0x0f, 0xff, random(256)))
const flags = (random: Random) =>
  [pick(random, 0, 1, 3, 0x0b, 0xff), pick(random, 0, 1, 0xff)] as const

/**
 * What may be said of a flow. Without a wanted source port the kernel would throw dice, and the
 * moment at which a short life ends would be chance.
 */
const makers: ReadonlyArray<(random: Random) => Attribute> = [
  (random) => status(pick(random, ...statuses)),
  (random) => mark(random(4)),
  (random) => markMask(pick(random, 0, 1, 3, 0xffff_ffff)),
  (random) => timeout(pick(random, 100, 1000, 0xffff_ffff)),
  (random) => zone(pick(random, 0, 5, 6)),
  (random) => helper(pick(random, "", "ftp", "tftp", "sip", "nonsense")),
  (random) => labels(...bytesOf(random, pick(random, 0, 3, 4, 8, 16, 16, 16, 20))),
  (random) => labelsMask(...bytesOf(random, pick(random, 4, 8, 16, 16, 20))),
  (random) =>
    natSrc({ min: pick(random, "192.0.2.1", "192.0.2.2"), ports: [pick(random, 5000, 5001)] }),
  (random) => master(pick(random, ...tuples)),
  (random) => seqAdjOrig(...bytesOf(random, pick(random, 2, 3, 3, 3, 4))),
  (random) => seqAdjReply(...bytesOf(random, pick(random, 2, 3, 3, 3))),
  (random) => synproxy(...bytesOf(random, pick(random, 2, 3, 3, 3))),
  (random) =>
    tcpInfo({
      ...(random(2) === 0 ? { state: random(11) } : {}),
      ...(random(2) === 0 ? { scales: [random(16), random(16)] } : {}),
      ...(random(2) === 0 ? { flags: flags(random) } : {}),
      ...(random(2) === 0 ? { replyFlags: flags(random) } : {})
    }),
  (random) =>
    protoInfo(nest(
      3,
      attribute(1, [random(10)]),
      attribute(2, bytesOf(random, 4)),
      attribute(3, bytesOf(random, pick(random, 3, 4, 4, 4)))
    )),
  (random) => attribute(random(40), bytesOf(random, random(12))),
  (random) => statusMask(pick(random, 0, 4, 0xe, 0xffff_ffff)),
  (random) => filter(pick(random, 0, 1, 8, 0x18, 0x148, 0x1000), pick(random, 0, 0, 2, 8, 0x28))
]

/** Attribute numbers that carry times or are read as something that ends a flow at once. */
const attributesOf = (random: Random, most: number): ReadonlyArray<Attribute> =>
  Array.from({ length: random(most + 1) }, () => pick(random, ...makers)(random))

const requestOf = (random: Random): Uint8Array => {
  const tuple = pick(random, ...tuples)
  const { zone: _, ...answer } = inverse(tuple)
  const isV6 = tuple.src.includes(":")
  const family = random(12) === 0 ? pick(random, 0, 2, 7, 10) : isV6 ? 10 : 2
  const version = random(8) === 0 ? 1 : 0
  const header = { family, version }
  const keys = pick(random, [orig(tuple)], [reply(answer)], [orig(tuple), reply(answer)])
  switch (random(8)) {
    case 0:
    case 1:
    case 2:
      return request(
        Type.new,
        Flag.create | pick(random, 0, Flag.excl) | Flag.ack | pick(random, 0, 0, Flag.echo),
        [orig(tuple), reply(answer), timeout(500), ...attributesOf(random, 3)],
        header
      )
    case 3:
    case 4:
      return request(Type.new, pick(random, 0, Flag.excl, Flag.replace) | Flag.ack, [
        ...keys,
        ...attributesOf(random, 3)
      ], header)
    case 5:
      return request(Type.delete, Flag.ack | pick(random, 0, Flag.echo), [
        ...random(6) === 0 ? [] : keys,
        ...attributesOf(random, 1)
      ], header)
    case 6:
      return request(pick(random, Type.get, Type.getZero), pick(random, 0, Flag.ack), [
        ...keys,
        ...attributesOf(random, 1)
      ], header)
    default:
      return request(pick(random, Type.get, Type.getZero), Flag.dump, [
        ...random(2) === 0 ? [] : keys,
        ...attributesOf(random, 2)
      ], header)
  }
}

/** Sometimes a byte of it is another. The header and the timeouts stay. */
const spoilt = (random: Random, bytes: Uint8Array): Uint8Array => {
  if (random(5) !== 0) return bytes
  const at = 20 + random(bytes.length - 20)
  const out = bytes.slice()
  out[at] = pick(random, 0, 1, 2, 0xff, random(256))
  return out
}

const requestsEach = 60

/** A sequence of its own for every seed. */
export const randomStatement = (seed: number, setting: Setting): Statement => ({
  name: `random requests, seed ${seed}, ${setting}`,
  setting,
  expected: undefined,
  run: (b) => {
    const random = randomOf(seed)
    const answers: Array<string> = []
    for (let i = 0; i < requestsEach; i++) {
      const bytes = spoilt(random, requestOf(random))
      const isDump = bytes[4] !== 0 && bytes[4] !== 2 && (bytes[7]! & 3) !== 0
      if (isDump) {
        const { end, entries } = b.dump(bytes)
        answers.push(`${entries.length} ${end}`)
      } else answers.push(b.ask(bytes))
    }
    return answers.join("; ")
  }
})

const seeds = 40

export const randomStatements: ReadonlyArray<Statement> = Array.from(
  { length: seeds },
  (_, seed) => randomStatement(seed, pick(randomOf(seed), "plain", "labels", "counters", "silent"))
)
