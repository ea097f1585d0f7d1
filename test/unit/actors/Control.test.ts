/** The control socket: every request is answered, and no client delays another or the daemon. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Request } from "../../../src/core/control/Request.ts"
import type { ClientFake } from "../../fakes/ControlSocketFake.ts"
import { linesIn, pass, startAlone, startPair, udp } from "../../fakes/NodeFake.ts"

/** What a client is answered, when the daemon closes the connection within the second. */
const shows: ReadonlyArray<readonly [keyof typeof Request, string]> = [
  ["stats", "cache internal:"],
  ["statsNetwork", "network statistics:"],
  ["statsCache", "cache:internal"],
  ["statsRuntime", "daemon uptime:"],
  ["statsLink", "eth2"],
  ["statsQueue", "txqueue"],
  ["dumpInternal", "src=10.0.0.1"],
  ["dumpInternalXml", "<src>10.0.0.1</src>"]
]

describe("the control socket", () => {
  it.effect("answers and closes every request, also those that nobody knows", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      a.node.kernel.open(udp(1))
      yield* pass(10)
      const codes = Object.values(Request).filter((code) => code !== Request.kill)

      const clients: Array<ClientFake> = []
      for (const code of [...codes, -1, 2, 21_000_000]) {
        clients.push(a.node.control.connect(code))
        yield* pass(100)
      }

      assert.deepStrictEqual(clients.filter(({ isClosed }) => !isClosed).length, 0)
      assert.deepStrictEqual(a.node.log.ofLevel("Error"), [])
    }))

  for (const [name, part] of shows) {
    it.effect(`answers ${name}`, () =>
      Effect.gen(function*() {
        const { a } = yield* startPair()
        a.node.kernel.open(udp(1))
        yield* pass(10)

        const client = a.node.control.connect(Request[name])
        yield* pass(100)

        assert.isTrue(client.isClosed)
        assert.include(client.reply, part)
      }))
  }

  it.effect("shows the peer's flows with -e", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      for (let i = 0; i < 600; i++) a.node.kernel.open(udp(i))
      yield* pass(2_000)

      const text = b.node.control.connect(Request.dumpExternal)
      const xml = b.node.control.connect(Request.dumpExternalXml)
      yield* pass(100)

      assert.strictEqual(text.reply.split("\n").length, 601)
      assert.strictEqual(xml.reply.split("</flow>").length, 601)
      assert.isTrue(text.isClosed && xml.isClosed)
    }))

  it.effect("does not wait for clients that say nothing or do not read (difference D8)", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      for (let i = 0; i < 10; i++) a.node.kernel.open(udp(i))
      yield* pass(10)
      const silent = Array.from({ length: 20 }, () => a.node.control.connect())
      const slow = Array.from({ length: 20 }, () => a.node.control.connect())
      for (const client of slow) {
        client.reading.closeUnsafe()
        client.say(Request.dumpInternal)
      }
      yield* pass(10)

      const client = a.node.control.connect(Request.dumpInternal)
      yield* pass(10)
      a.node.kernel.open(udp(11))
      yield* pass(10)

      assert.strictEqual(client.reply.split("\n").length, 11)
      assert.strictEqual(linesIn(b.replica.external).length, 11)
      slow[0]!.reading.openUnsafe()
      silent[0]!.say(Request.stats)
      yield* pass(10)
      assert.isTrue(slow[0]!.isClosed && silent[0]!.isClosed)
    }))

  it.effect("drops a client that reads nothing for ten minutes, so that others get its place", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      a.node.kernel.open(udp(1))
      yield* pass(10)
      const slow = Array.from({ length: 64 }, () => a.node.control.connect())
      for (const client of slow) {
        client.reading.closeUnsafe()
        client.say(Request.dumpInternal)
      }
      yield* pass(10)

      const client = a.node.control.connect(Request.commit)
      yield* pass(599_000)
      const isEarly = client.isClosed
      yield* pass(2_000)

      assert.isFalse(isEarly)
      assert.isTrue(client.isClosed)
      assert.strictEqual(a.node.log.find("Committed").length, 1)
      assert.isTrue(slow.every(({ isClosed }) => isClosed))
    }))

  it.effect("serves on after many clients went away at every moment", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      a.node.kernel.open(udp(1))
      yield* pass(10)
      for (let i = 0; i < 200; i++) {
        const client = a.node.control.connect()
        if (i % 2 === 0) {
          client.reading.closeUnsafe()
          client.say(Request.dumpInternal)
          yield* pass(0)
        }
        client.leave()
        yield* pass(0)
      }

      const client = a.node.control.connect(Request.statsRuntime)
      yield* pass(10)

      assert.isTrue(client.isClosed)
      assert.strictEqual(a.replica.runtime.localReadFailed, 100)
      assert.deepStrictEqual(a.node.log.ofLevel("Error"), [])
    }))

  it.effect("ends the daemon with -k, whose client waits until the end", () =>
    Effect.gen(function*() {
      const { ended, node, stop } = yield* startAlone()
      const end = yield* Effect.forkChild(ended)
      yield* pass(10)
      assert.isUndefined(end.pollUnsafe())

      const client = node.control.connect(Request.kill)
      yield* pass(10)

      yield* Fiber.join(end)
      yield* stop
      assert.isFalse(client.isClosed)
      assert.deepStrictEqual(node.manager.said, ["ready", "stopping"])
      assert.deepStrictEqual(node.log.ofLevel("Error"), [])
    }))

  it.effect("keeps flows that arrive while a cache is flushed, and shows no flushed ones", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      for (let i = 0; i < 9_000; i++) a.node.kernel.open(udp(i))
      yield* pass(2_000)
      yield* pass(2_000)
      assert.strictEqual(b.replica.external.stats.active, 9_000)

      const flush = b.node.control.connect(Request.flushExternal)
      while (b.node.log.find("flushing").length === 0) yield* Effect.yieldNow
      const dump = b.node.control.connect(Request.dumpExternal)
      a.node.kernel.open(udp(10_000))
      while (!dump.isClosed) yield* Effect.yieldNow
      const isFlushed = flush.isClosed
      yield* pass(2_000)

      assert.isFalse(isFlushed)
      assert.isBelow(dump.reply.split("\n").length, 3)
      assert.strictEqual(linesIn(b.replica.external).length, 1)
      assert.deepStrictEqual(b.node.log.find("flushing"), ["flushing external cache"])
    }))
})
