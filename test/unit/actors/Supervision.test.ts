/** What the daemon survives, what ends it, and what it says about it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { joinLinks } from "../../fakes/LinksFake.ts"
import { linesIn, NodeFake, pass, start, startAlone, startPair, udp } from "../../fakes/NodeFake.ts"

describe("a dedicated link", () => {
  it.effect("that fails is opened again, and the other link carries on", () =>
    Effect.gen(function*() {
      const interfaces = ["eth2", "eth3"]
      const { a, b } = yield* startPair({ interfaces }, { interfaces })
      const [first, second] = b.node.links
      first!.refuseToOpen(3)
      first!.fail("ENETDOWN")
      yield* pass(10)

      a.node.kernel.open(udp(1))
      a.node.interfaces.set("eth2", false, false)
      yield* pass(100)
      a.node.kernel.open(udp(2))
      yield* pass(100)
      const early = [first!.reopened, second!.reopened]
      yield* pass(5_000)

      assert.deepStrictEqual(early, [0, 0])
      assert.deepStrictEqual([first!.reopened, second!.reopened], [1, 0])
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      assert.deepStrictEqual(a.node.log.find("dedicated link"), [
        "device `eth3' becomes dedicated link"
      ])
      assert.deepStrictEqual(b.node.log.ofLevel("Warn"), [
        "receiving on the dedicated link eth2 failed: ENETDOWN; the link is opened again"
      ])
    }))

  it.effect("that keeps failing is opened with pauses and complained of once", () =>
    Effect.gen(function*() {
      const { a } = yield* startPair()
      const link = a.node.links[0]!
      link.failAgainAfterReopening = "EIO"
      link.fail("EIO")

      yield* pass(60_000)

      assert.isAbove(link.reopened, 10)
      assert.isBelow(link.reopened, 30)
      assert.strictEqual(a.node.log.find("dedicated link eth2 failed").length, 1)
    }))

  it.effect("that is alone is missed loudly, and used when it is back", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()

      a.node.interfaces.set("eth2", true, false)
      yield* pass(10)
      a.node.interfaces.fail("ENOBUFS")
      yield* pass(1_000)
      a.node.interfaces.set("eth2", true, true)
      a.node.kernel.open(udp(1))
      yield* pass(10)

      assert.deepStrictEqual(a.node.log.ofLevel("Error"), ["no dedicated links available!"])
      assert.strictEqual(a.node.log.find("interface watcher failed: ENOBUFS").length, 1)
      assert.strictEqual(linesIn(b.replica.external).length, 1)
    }))

  it.effect("is the first choice when it alone was opened, whichever has Default", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_000)
      const two = new NodeFake({ interfaces: ["eth2", "eth3"] }).settings.sync.links
      const links = [two[0]!, { ...two[1]!, isDefault: true }]
      const a = new NodeFake({ interfaces: ["eth3"], sync: { links } })
      const b = new NodeFake({ interfaces: ["eth3"], sync: { links } })
      joinLinks(a.links[0]!, b.links[0]!)
      yield* start(a)
      const backup = yield* start(b)

      a.kernel.open(udp(1))
      yield* pass(1_000)

      assert.strictEqual(linesIn(backup.replica.external).length, 1)
    }))
})

/** Ways to break an actor, and its name. */
const defects: ReadonlyArray<readonly [actor: string, harm: (node: NodeFake) => void]> = [
  ["event", (node) => {
    node.kernel.breakEvents()
  }],
  ["link eth2", (node) => {
    node.links[0]!.isBroken = true
    node.links[0]!.deliver(new Uint8Array(8))
  }],
  ["link watch", (node) => {
    node.interfaces.isBroken = true
    node.interfaces.set("eth2", true, true)
  }],
  ["control", (node) => void node.control.connect().break()]
]

describe("a daemon", () => {
  for (const [actor, harm] of defects) {
    it.effect(`ends when its ${actor} actor breaks, and says which it was`, () =>
      Effect.gen(function*() {
        const { ended, node } = yield* startAlone()
        const end = yield* Effect.forkChild(Effect.exit(ended))
        yield* pass(10)
        assert.isUndefined(end.pollUnsafe())

        harm(node)
        yield* pass(10)

        assert.isDefined(end.pollUnsafe())
        const exit = yield* Fiber.join(end)
        assert.isTrue(Exit.isFailure(exit))
        const [error, ...more] = node.log.ofLevel("Error")
        assert.include(error, `the ${actor} actor failed, the daemon stops`)
        assert.include(error, "broken by the test")
        assert.deepStrictEqual(more, [])
      }))
  }

  it.effect("leaves nothing running when it stops", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair({ pingIntervalMs: 1_000 })
      a.node.kernel.open(udp(1))
      a.node.kernel.overrun()
      a.node.control.connect()
      yield* pass(500)

      yield* a.stop
      yield* b.stop
      const sent = a.node.links[0]!.counters.packetsSent
      const pings = a.node.manager.pings
      a.node.kernel.open(udp(2))
      const client = a.node.control.connect(21)
      yield* pass(120_000)

      assert.strictEqual(a.node.links[0]!.counters.packetsSent, sent)
      assert.strictEqual(a.node.manager.pings, pings)
      assert.strictEqual(a.replica.internal.stats.active, 1)
      assert.strictEqual(client.reply, "")
      assert.strictEqual(a.node.manager.said.at(-1), "stopping")
      assert.deepStrictEqual(a.node.log.ofLevel("Error"), [])
    }))

  it.effect("does not start without the kernel's table, in upstream's words", () =>
    Effect.gen(function*() {
      const node = new NodeFake()
      node.kernel.dumpFailures = 1

      const exit = yield* Effect.exit(start(node))

      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(node.log.ofLevel("Error"), [
        "can't get kernel conntrack table: cannot read the kernel's conntrack table: ENOBUFS"
      ])
      assert.deepStrictEqual(node.manager.said, [])
    }))
})

describe("the watchdog", () => {
  it.effect("is fed while the node is idle and while it works", () =>
    Effect.gen(function*() {
      const { node } = yield* startAlone({ pingIntervalMs: 10_000 })

      yield* pass(100_000)

      assert.strictEqual(node.manager.pings, 10)
    }))

  it.effect("is not fed while the sender is stuck", () =>
    Effect.gen(function*() {
      const { node } = yield* startAlone({ pingIntervalMs: 10_000 })
      node.links[0]!.sending.closeUnsafe()

      yield* pass(60_000)
      const whileStuck = node.manager.pings
      node.links[0]!.sending.openUnsafe()
      yield* pass(60_000)

      assert.strictEqual(whileStuck, 0)
      assert.isAbove(node.manager.pings, 3)
      assert.deepStrictEqual(node.log.find("progress"), [
        "the daemon makes no progress; the service manager is not told that it lives",
        "the daemon makes progress again"
      ])
    }))

  it.effect("is not fed while there is no event socket", () =>
    Effect.gen(function*() {
      const { node } = yield* startAlone({ pingIntervalMs: 10_000 })
      node.kernel.failEvents("EBADF", 14)

      yield* pass(49_000)
      const whileLost = node.manager.pings
      yield* pass(60_000)

      assert.strictEqual(whileLost, 0)
      assert.isAbove(node.manager.pings, 3)
    }))
})
