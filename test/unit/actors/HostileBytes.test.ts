/** Whatever bytes arrive, on whatever way: they are counted, and the daemon goes on. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Request } from "../../../src/core/control/Request.ts"
import { linesIn, pass, startPair, udp } from "../../fakes/NodeFake.ts"

const randomBytes = (length: number) =>
  Effect.map(
    Effect.replicateEffect(Random.nextIntBetween(0, 256), length),
    (bytes) => Uint8Array.from(bytes)
  )

/** A valid datagram of the peer, as the link saw it. */
const recordDatagrams = (link: { deliver: (datagram: Uint8Array) => void }) => {
  const datagrams: Array<Uint8Array> = []
  const deliver = link.deliver.bind(link)
  link.deliver = (datagram) => {
    datagrams.push(datagram.slice())
    deliver(datagram)
  }
  return datagrams
}

/** Still replicates in both directions. */
const stillWorks = (pair: Effect.Success<ReturnType<typeof startPair>>) =>
  Effect.gen(function*() {
    const { a, b } = pair
    a.node.control.connect(Request.requestResync)
    b.node.control.connect(Request.requestResync)
    a.node.kernel.open(udp(5_001))
    b.node.kernel.open(udp(5_002))
    yield* pass(20_000)
    assert.include(linesIn(b.replica.external).join(), "10.0.19.137")
    assert.include(linesIn(a.replica.external).join(), "10.0.19.138")
    assert.deepStrictEqual(a.node.log.ofLevel("Error"), [])
    assert.deepStrictEqual(b.node.log.ofLevel("Error"), [])
  })

const malformed = ({ badHeader, badPayload, badSize, badVersion, truncated }: {
  readonly badHeader: number
  readonly badPayload: number
  readonly badSize: number
  readonly badVersion: number
  readonly truncated: number
}): number => badHeader + badPayload + badSize + badVersion + truncated

describe("random bytes", () => {
  it.effect("on the dedicated link are counted as malformed", () =>
    Effect.gen(function*() {
      const pair = yield* startPair()
      const { b } = pair
      for (let i = 0; i < 300; i++) {
        const length = yield* Random.nextIntBetween(0, 120)
        const bytes = yield* randomBytes(length)
        // A third with the right version, so that some get further.
        if (i % 3 === 0 && length > 0) bytes[0] = 0x10 | (bytes[0]! & 15)
        b.node.links[0]!.deliver(bytes)
        yield* pass(0)
      }

      assert.isAbove(malformed(b.replica.receive), 150)
      yield* stillWorks(pair)
    }).pipe(Random.withSeed("link")))

  it.effect("in the place of some of a valid message's do no harm", () =>
    Effect.gen(function*() {
      const pair = yield* startPair()
      const { a, b } = pair
      const recorded = recordDatagrams(b.node.links[0]!)
      for (let i = 0; i < 40; i++) a.node.kernel.open({ ...udp(i), protocol: "tcp" })
      yield* pass(2_000)
      const samples = recorded.filter(({ length }) => length > 40)
      assert.isAbove(samples.length, 0)

      for (let i = 0; i < 500; i++) {
        const sample = samples[i % samples.length]!.slice()
        const changes = yield* Random.nextIntBetween(1, 4)
        for (let change = 0; change < changes; change++) {
          const at = yield* Random.nextIntBetween(0, sample.length)
          sample[at] = yield* Random.nextIntBetween(0, 256)
        }
        const end = yield* Random.nextIntBetween(sample.length >> 1, sample.length + 1)
        b.node.links[0]!.deliver(sample.subarray(0, end))
      }
      yield* pass(5_000)
      b.node.control.connect(Request.flushExternal)
      yield* pass(100)

      yield* stillWorks(pair)
    }).pipe(Random.withSeed("messages")))

  it.effect("on the event socket are counted", () =>
    Effect.gen(function*() {
      const pair = yield* startPair()
      const { a } = pair
      for (let i = 0; i < 300; i++) {
        const length = yield* Random.nextIntBetween(0, 1_200)
        const bytes = yield* randomBytes(length)
        if (i % 2 === 0 && length >= 20) {
          // A header that fits, so that the attributes are looked at.
          bytes.set([length & 255, length >> 8, 0, 0, 0, 1, 0, 4])
        }
        a.node.kernel.report(bytes)
        yield* pass(0)
      }

      assert.isAbove(a.replica.runtime.eventsUnknown, 150)
      yield* stillWorks(pair)
    }).pipe(Random.withSeed("events")))

  it.effect("on the control socket are answered with nothing", () =>
    Effect.gen(function*() {
      const pair = yield* startPair()
      for (let i = 0; i < 200; i++) {
        const code = yield* Random.nextInt
        const client = pair.a.node.control.connect(code | 0x4000_0000)
        yield* pass(0)
        assert.isTrue(client.isClosed)
        assert.strictEqual(client.reply, "")
      }

      yield* stillWorks(pair)
    }).pipe(Random.withSeed("control")))
})
