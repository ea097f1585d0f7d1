/** `conntrackd -c`: the external cache goes into the kernel, and nobody else hears of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Request } from "../../../src/core/control/Request.ts"
import { MessageType } from "../../../src/core/wire/MessageHeader.ts"
import { linesIn, messagesTold, pass, startPair, udp } from "../../fakes/NodeFake.ts"

/** A flow of the inside that a router's own address and another port stand for. */
const translated = {
  original: { src: "10.0.9.1", dst: "10.1.0.1", sport: 5_000, dport: 80 },
  reply: { src: "10.1.0.1", dst: "192.0.2.1", sport: 80, dport: 6_000 }
}

/** Many flows on the primary that the backup knows of. */
const replicated = (count: number) =>
  Effect.gen(function*() {
    const pair = yield* startPair()
    for (let i = 0; i < count; i++) {
      pair.a.node.kernel.open({ ...udp(i), mark: i })
      if (i % 50 === 0) yield* pass(1)
    }
    yield* pass(2_000)
    return pair
  })

describe("a commit", () => {
  it.effect("puts the peer's flows into the kernel and the internal cache", () =>
    Effect.gen(function*() {
      const { a, b } = yield* replicated(300)

      const client = b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.isTrue(client.isClosed)
      assert.deepStrictEqual(b.node.kernel.lines(), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.internal), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.external), a.node.kernel.lines())
      const [committing, committed, taken] = b.node.log.ofLevel("Info").slice(-3)
      assert.strictEqual(committing, "committing all external caches")
      assert.strictEqual(committed, "Committed 300 new entries")
      assert.match(taken!, /^commit has taken \d+\.\d{6} seconds$/)
    }))

  it.effect("tells the peer nothing of what it committed", () =>
    Effect.gen(function*() {
      const { a, b } = yield* replicated(20)
      const told = messagesTold(b)

      b.node.control.connect(Request.commit)
      yield* pass(5_000)
      b.node.kernel.mark(udp(3), 99)
      yield* pass(5_000)

      assert.deepStrictEqual(told, [MessageType.flowUpdate])
      assert.deepStrictEqual(
        linesIn(a.replica.external),
        ["udp 10.0.0.3:5000>10.1.0.1:53 mark=99"]
      )
    }))

  it.effect("updates a flow that the kernel has already", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(3)
      b.node.kernel.open({ ...udp(1), mark: 77, timeout: 5 })
      yield* pass(10)

      b.node.control.connect(Request.commit)
      yield* pass(100)

      const key = "udp 10.0.0.1:5000>10.1.0.1:53"
      assert.deepStrictEqual(
        b.node.kernel.requests.filter((request) => request.includes(key)),
        [`create ${key}`, `update ${key}`]
      )
      assert.include(b.node.kernel.lines(), `${key} mark=1`)
      assert.include(linesIn(b.replica.internal), `${key} mark=1`)
      assert.isAbove(b.node.kernel.timeoutOf(udp(1)), 20)
    }))

  it.effect("takes the mark away that a flow of the peer's has not", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      a.node.kernel.open(udp(1))
      yield* pass(2_000)
      // What is left of a connection that had the same ports.
      b.node.kernel.open({ ...udp(1), mark: 9 })
      yield* pass(10)

      b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.deepStrictEqual(b.node.kernel.lines(), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.internal), a.node.kernel.lines())
    }))

  it.effect("takes over the port that the kernel chose for a translated flow", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      const reply = { ...translated.reply, dport: translated.original.sport }
      a.node.kernel.open({ ...translated, reply })
      yield* pass(2_000)
      // Somebody else stands behind the address and port that the flow had.
      const other = { original: { ...translated.original, src: "10.0.9.2" }, reply }
      b.node.kernel.open(other)
      yield* pass(10)

      b.node.control.connect(Request.commit)
      yield* pass(100)

      const line = (port: number) =>
        `udp 10.0.9.1:5000>10.1.0.1:80 reply 10.1.0.1:80>192.0.2.1:${port} mark=0`
      assert.deepStrictEqual(linesIn(b.replica.external), [line(5_000)])
      assert.strictEqual(b.node.kernel.lines().length, 2)
      assert.include(b.node.kernel.lines(), line(1_024))
      assert.deepStrictEqual(linesIn(b.replica.internal), b.node.kernel.lines())
    }))

  it.effect("counts and logs what the kernel refuses, and goes on", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(200)
      b.node.kernel.refusalFor = (operation, original) =>
        operation === "create" && original.src === "10.0.0.7" ? 22 : 0

      b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.strictEqual(b.node.kernel.lines().length, 199)
      assert.strictEqual(linesIn(b.replica.internal).length, 199)
      assert.deepStrictEqual(b.node.log.ofLevel("Error"), ["commit-create: Invalid argument"])
      assert.deepStrictEqual(b.node.log.ofLevel("flow"), [
        "udp      17 30 src=10.0.0.7 dst=10.1.0.1 sport=5000 dport=53 mark=7"
      ])
      assert.deepStrictEqual(b.node.log.ofLevel("Info").slice(-3, -1), [
        "Committed 199 new entries",
        "1 entries can't be committed"
      ])
    }))

  it.effect("says when the flow in the place of a translated one cannot be deleted", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      a.node.kernel.open(translated)
      yield* pass(2_000)
      b.node.kernel.open({ original: translated.original, mark: 4 })
      b.node.kernel.refusalFor = (operation) => operation === "delete" ? 1 : 0
      yield* pass(10)

      b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.deepStrictEqual(b.node.log.ofLevel("Error"), [
        "commit-destroy: Operation not permitted"
      ])
      assert.strictEqual(b.node.log.ofLevel("flow").length, 1)
      assert.deepStrictEqual(linesIn(b.replica.internal), b.node.kernel.lines())
      assert.deepStrictEqual(b.node.log.find("can't be committed"), [
        "1 entries can't be committed"
      ])
    }))

  it.effect("forgets a flow that it deleted to make room for one that is then refused", () =>
    Effect.gen(function*() {
      const { a, b } = yield* startPair()
      a.node.kernel.open(translated)
      yield* pass(2_000)
      b.node.kernel.open({ original: translated.original, mark: 4 })
      yield* pass(10)
      const before = linesIn(b.replica.internal).length
      const { kernel } = b.node
      // ENOMEM, once there is room
      kernel.refusalFor = (operation) => operation === "create" && !kernel.has(translated) ? 12 : 0

      b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.strictEqual(before, 1)
      assert.deepStrictEqual(kernel.lines(), [])
      assert.deepStrictEqual(linesIn(b.replica.internal), [])
      assert.deepStrictEqual(b.node.log.find("can't be committed"), [
        "1 entries can't be committed"
      ])
    }))

  it.effect("is not started twice and keeps the caches from being flushed", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(300)
      b.node.kernel.applying.closeUnsafe()
      const first = b.node.control.connect(Request.commit)
      yield* pass(10)

      const others = [Request.commit, Request.flushCaches, Request.flushExternal]
        .map((request) => b.node.control.connect(request))
      yield* pass(10)
      const closedMeanwhile = [first, ...others].map(({ isClosed }) => isClosed)
      b.node.kernel.applying.openUnsafe()
      yield* pass(100)

      assert.deepStrictEqual(closedMeanwhile, [false, true, true, true])
      assert.isTrue(first.isClosed)
      assert.deepStrictEqual(
        b.node.log.find("commit already in progress"),
        ["commit already in progress, skipping"]
      )
      const refusal = "ignoring flush command, commit still in progress"
      assert.deepStrictEqual(b.node.log.ofLevel("Error"), [refusal, refusal])
      assert.strictEqual(b.node.kernel.lines().length, 300)
      assert.strictEqual(b.replica.external.stats.active, 300)
    }))

  it.effect("is given up with a complaint when the kernel fails; the next one works", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(10)
      b.node.kernel.applyFailures = 1

      b.node.control.connect(Request.commit)
      yield* pass(100)
      b.node.control.connect(Request.commitFlows)
      yield* pass(100)

      assert.deepStrictEqual(b.node.log.ofLevel("Error"), [
        "the commit was given up: cannot change the kernel's conntrack table: ENOBUFS"
      ])
      assert.strictEqual(b.node.kernel.lines().length, 10)
      assert.strictEqual(b.node.log.find("committing conntrack cache").length, 1)
    }))

  it.effect("commits no flow that the peer ended or a flush removed meanwhile", () =>
    Effect.gen(function*() {
      const { a, b } = yield* replicated(300)
      b.node.kernel.applying.closeUnsafe()
      b.node.control.connect(Request.commit)
      yield* pass(10)
      for (let i = 200; i < 300; i++) a.node.kernel.close(udp(i))
      yield* pass(10)

      b.node.kernel.applying.openUnsafe()
      yield* pass(100)

      assert.deepStrictEqual(b.node.kernel.lines(), a.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.internal), b.node.kernel.lines())
    }))

  it.effect("takes nothing for committed that came into a slot while the kernel answered", () =>
    Effect.gen(function*() {
      const { a, b } = yield* replicated(100)
      b.node.kernel.answering.closeUnsafe()
      b.node.control.connect(Request.commit)
      yield* pass(10)
      for (let i = 0; i < 50; i++) a.node.kernel.close(udp(i))
      for (let i = 500; i < 550; i++) a.node.kernel.open(udp(i))
      yield* pass(10)
      assert.strictEqual(b.replica.external.table.slotsHigh, 100)

      b.node.kernel.answering.openUnsafe()
      yield* pass(100)

      const inKernel = new Set(b.node.kernel.lines())
      assert.deepStrictEqual(linesIn(b.replica.internal).filter((l) => !inKernel.has(l)), [])
      assert.strictEqual(linesIn(b.replica.internal).length, 50)
    }))

  it.effect("does not find flows that a flush has begun to remove", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(50)
      assert.strictEqual(b.replica.external.flushStep(0, 10), 10)

      b.node.control.connect(Request.commit)
      yield* pass(100)

      assert.deepStrictEqual(b.node.log.find("Committed"), ["Committed 0 new entries"])
      assert.deepStrictEqual(b.node.kernel.lines(), [])
    }))

  it.effect("is not misled by the answers to a flush of the kernel's table", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(256)
      for (let i = 1_000; i < 1_128; i++) b.node.kernel.open(udp(i))
      yield* pass(10)
      b.node.kernel.refusalFor = (operation) => operation === "create" ? 22 : 0
      b.node.kernel.answering.closeUnsafe()

      b.node.control.connect(Request.commit)
      yield* pass(1)
      b.node.control.connect(Request.flushKernel)
      yield* pass(100)
      b.node.kernel.answering.openUnsafe()
      yield* pass(500)

      assert.deepStrictEqual(b.node.log.find("Committed"), ["Committed 0 new entries"])
      assert.deepStrictEqual(linesIn(b.replica.internal), [])
    }))

  it.effect("ends with the daemon", () =>
    Effect.gen(function*() {
      const { b } = yield* replicated(10)
      b.node.kernel.applying.closeUnsafe()
      const client = b.node.control.connect(Request.commit)
      yield* pass(10)

      yield* b.stop

      assert.isFalse(client.isClosed)
      assert.deepStrictEqual(b.node.kernel.lines(), [])
      assert.deepStrictEqual(b.node.log.ofLevel("Error"), [])
    }))
})
