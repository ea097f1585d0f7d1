/** The simulated dedicated links on bad days: every fault, and how chance is keyed. */
import { assert, describe, it } from "@effect/vitest"
import { Bench, numbered, range } from "./NetworkBench.ts"
import type { LinkFaults } from "./VirtualNetwork.ts"

const [EAGAIN, EMSGSIZE, ENETUNREACH] = [11, 90, 101]

describe("faults of a link", () => {
  const observed = (bench: Bench, what: string) =>
    bench.story.filter((line) => line.includes(` ${what} `)).length

  it("lose the share of datagrams they say", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ lossPercent: 20 })
    bench.stream(a, 5_000)
    const lost = 5_000 - b.got.length
    assert.isTrue(lost > 850 && lost < 1_150, `${lost} lost`)
    assert.strictEqual(bench.get("lost: loss"), lost)
    assert.strictEqual(observed(bench, "loss"), lost)
    bench.assertBalanced()
  })

  it("duplicate; the second copy comes later", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ duplicatePercent: 10, delayMeanMs: 1 })
    bench.stream(a, 2_000)
    const twice = b.got.length - 2_000
    assert.isTrue(twice > 140 && twice < 260, `${twice} twice`)
    assert.strictEqual(bench.get("duplicated"), twice)
    assert.strictEqual(new Set(b.numbers()).size, 2_000)
    bench.assertBalanced()
  })

  it("reorder some; delay alone keeps the order", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 3, delayJitterMs: 3 })
    bench.stream(a, 1_000)
    assert.deepStrictEqual(b.numbers(), range(1_000))
    b.got.length = 0
    bench.network.faults(0).reorderPercent = 5
    bench.stream(a, 1_000)
    const numbers = b.numbers()
    const overtaken = numbers.filter((n, i) => i > 0 && n < numbers[i - 1]!).length
    assert.isTrue(overtaken > 20 && overtaken < 80, `${overtaken} overtaken`)
    assert.deepStrictEqual(numbers.toSorted((x, y) => x - y), range(1_000))
    assert.isTrue(bench.get("reordered") >= overtaken)
  })

  it("delay what they reorder by two to eight mean delays more", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 3, reorderPercent: 20 })
    bench.stream(a, 1_000)
    const extra = b.numbers().map((n, i) => b.gotMs[i]! - n - 3).filter((ms) => ms > 1e-6)
    assert.strictEqual(extra.length, bench.get("reordered"))
    assert.isTrue(extra.every((ms) => ms >= 6 && ms <= 24))
    assert.isTrue(Math.min(...extra) < 7 && Math.max(...extra) > 23)
  })

  it("corrupt: the receiver's kernel notices, unless there is no checksum", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ corruptPercent: 10 })
    bench.stream(a, 1_000)
    const corrupted = bench.get("lost: corrupted")
    assert.isTrue(corrupted > 60 && corrupted < 150, `${corrupted} corrupted`)
    assert.strictEqual(b.handle.dropped(), corrupted)
    assert.isTrue(b.got.every((bytes, i) => bytes.length === 100 && b.numbers()[i]! < 1_000))

    const open = new Bench()
    const { a: c, b: d } = open.pair({ corruptPercent: 10 }, { checksum: false })
    open.stream(c, 1_000)
    assert.strictEqual(d.got.length, 1_000)
    const flips = d.got.map((bytes, n) => {
      const sent = numbered(n)
      return bytes.reduce((sum, byte, i) => sum + bitCount(byte ^ sent[i]!), 0)
    })
    const damaged = flips.filter((count) => count > 0)
    assert.isTrue(damaged.every((count) => count <= 4))
    assert.strictEqual(open.get("lost"), 0)
    // Two flips of the same bit undo each other.
    const unharmed = open.get("corrupted") - damaged.length
    assert.isTrue(unharmed >= 0 && unharmed < 4 && damaged.length > 60)
  })

  it("always have a checksum over IPv6", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ corruptPercent: 100 }, { family: 6, checksum: false })
    bench.stream(a, 50)
    assert.strictEqual(b.got.length, 0)
    assert.strictEqual(bench.get("lost: corrupted"), 50)
  })

  it("limit the bandwidth: datagrams queue, then the sender is refused", () => {
    const bench = new Bench()
    // 128 bytes on the wire each: one a millisecond.
    const { a, b } = bench.pair({ bytesPerMs: 128, delayMeanMs: 0 }, { sendBufferBytes: 5_120 })
    const accepted = a.send(...range(100).map((n) => numbered(n)))
    assert.strictEqual(accepted, 80)
    assert.strictEqual(a.handle.lastSendError(), EAGAIN)
    bench.world.runUntil(40.5)
    assert.deepStrictEqual(b.numbers(), range(40))
    assert.strictEqual(bench.network.inFlight(), 40)
    bench.assertBalanced()
    bench.world.runUntil(200)
    assert.deepStrictEqual(b.gotMs, range(80).map((n) => n + 1))
    assert.strictEqual(bench.network.direction(0, "A", "B").refused, 20)
    assert.strictEqual(observed(bench, "clogged"), 20)
  })

  it("clog: everything is held back, then comes in a burst, in order", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 2 })
    a.send(numbered(0))
    bench.world.runUntil(1)
    bench.network.clog(0, "A", 50)
    for (const n of range(20)) bench.world.after(n, () => a.send(numbered(n + 1)))
    b.send(numbered(99))
    bench.world.runUntil(49)
    // What was under way before, and the other direction, are not held.
    assert.deepStrictEqual([b.numbers(), a.numbers()], [[0], [99]])
    assert.strictEqual(bench.network.inFlight(), 20)
    bench.world.runUntil(100)
    assert.deepStrictEqual(b.numbers(), range(21))
    assert.isTrue(b.gotMs.slice(1).every((at) => at === 50))
    bench.assertBalanced()
  })

  it("let nothing overtake what was held", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    // Set before the release, due in the same moment.
    bench.world.after(50, () => a.send(numbered(2)))
    bench.network.clog(0, "A", 50)
    a.send(numbered(1))
    bench.world.runUntil(100)
    assert.deepStrictEqual(b.numbers(), [1, 2])
  })

  it("clog for longer when told again", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.network.clog(0, "A", 50)
    bench.network.clog(0, "A", 80)
    a.send(numbered(1))
    bench.world.runUntil(79)
    assert.strictEqual(b.got.length, 0)
    bench.world.runUntil(81)
    assert.deepStrictEqual(b.gotMs, [80])
  })

  it("partition one direction of all links", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    const [a1, b1] = [bench.open("A", 1), bench.open("B", 1)]
    bench.network.partition("A", "B", true)
    a.send(numbered(1))
    b.send(numbered(2))
    a1.send(numbered(3))
    bench.world.runUntil(10)
    assert.deepStrictEqual([a, b, b1].map((one) => one.numbers()), [[2], [], []])
    assert.strictEqual(bench.get("lost: partition"), 2)
    bench.network.partition("A", "B", false)
    a.send(numbered(4))
    bench.world.runUntil(20)
    assert.deepStrictEqual(b.numbers(), [4])
  })

  it("cut a cable: also what is under way is lost, and the sender is not told", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ delayMeanMs: 5 })
    a.send(numbered(1))
    bench.world.runUntil(2)
    bench.network.linkDown(0, true)
    assert.strictEqual(a.send(numbered(2)), 1)
    bench.world.runUntil(20)
    bench.network.linkDown(0, false)
    a.send(numbered(3))
    bench.world.runUntil(40)
    assert.deepStrictEqual(b.numbers(), [3])
    assert.strictEqual(bench.get("lost: link down"), 2)
    bench.assertBalanced()
  })

  it("take an interface down: the sender is refused, the receiver hears nothing", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.network.setInterface("A", 0, false)
    assert.strictEqual(a.send(numbered(1)), 0)
    assert.strictEqual(a.handle.lastSendError(), ENETUNREACH)
    assert.strictEqual(b.send(numbered(2)), 1)
    bench.world.runUntil(10)
    assert.deepStrictEqual([a.numbers(), b.numbers()], [[], []])
    // The judge hears of both; only one of them was ever on the wire.
    assert.strictEqual(observed(bench, "link down"), 2)
    assert.strictEqual(bench.get("lost: link down"), 1)
    assert.strictEqual(bench.get("refused"), 1)
    assert.strictEqual(bench.network.end(0, "A").refused, 1)
    bench.network.setInterface("A", 0, true)
    a.send(numbered(3))
    bench.world.runUntil(20)
    assert.strictEqual(a.handle.lastSendError(), 0)
    assert.deepStrictEqual(b.numbers(), [3])
  })

  it("take the carrier away: nothing comes or goes, and the sender is not told", () => {
    const bench = new Bench()
    const { a, b } = bench.pair()
    bench.network.setInterface("A", 0, true, false)
    assert.strictEqual(a.send(numbered(1)), 1)
    assert.strictEqual(b.send(numbered(2)), 1)
    bench.world.runUntil(10)
    assert.deepStrictEqual([a.numbers(), b.numbers()], [[], []])
    assert.strictEqual(bench.get("lost: link down"), 2)
    bench.network.setInterface("A", 0, true)
    a.send(numbered(3))
    b.send(numbered(4))
    bench.world.runUntil(20)
    assert.deepStrictEqual([a.numbers(), b.numbers()], [[4], [3]])
    bench.assertBalanced()
  })

  it("fragment what exceeds the MTU: one lost fragment loses it all", () => {
    const bench = new Bench({ mtuBytes: 300 })
    const { a, b } = bench.pair()
    a.send(numbered(1, 1_472))
    bench.world.runUntil(10)
    assert.deepStrictEqual(b.got, [numbered(1, 1_472)])
    bench.network.faults(0).lossPercent = 10
    for (const n of range(2_000)) {
      bench.world.after(n, () => a.send(numbered(n, n % 2 === 0 ? 272 : 1_472)))
    }
    b.got.length = 0
    bench.world.runUntil(4_000)
    const arrived = [272, 1_472].map((size) => b.got.filter(({ length }) => length === size).length)
    // 0.9 and 0.9 to the sixth (1480 bytes in fragments of 280).
    assert.isTrue(Math.abs(arrived[0]! - 900) < 40, `${arrived[0]} small ones`)
    assert.isTrue(Math.abs(arrived[1]! - 531) < 60, `${arrived[1]} big ones`)
  })

  it("lose frames larger than the switch forwards, and refuse what UDP cannot carry", () => {
    const bench = new Bench({ mtuBytes: 9_000 })
    const { a, b } = bench.pair({ pathMtuBytes: 1_500 })
    assert.strictEqual(a.send(numbered(1, 1_472), numbered(2, 1_473)), 2)
    assert.strictEqual(a.send(numbered(3, 65_508)), 0)
    assert.strictEqual(a.handle.lastSendError(), EMSGSIZE)
    bench.world.runUntil(10)
    assert.deepStrictEqual(b.numbers(), [1])
    assert.strictEqual(bench.get("lost: too big"), 1)
    bench.network.faults(0).pathMtuBytes = Infinity
    assert.strictEqual(a.send(numbered(4, 65_507)), 1)
    bench.world.runUntil(20)
    assert.deepStrictEqual(b.numbers(), [1, 4])
  })

  it("heal, all at once", () => {
    const bench = new Bench()
    const { a, b } = bench.pair({ lossPercent: 100, delayMeanMs: 30, bytesPerMs: 1 })
    bench.network.partition("A", "B", true)
    bench.network.linkDown(0, true)
    bench.network.linkDown(1, true)
    bench.network.healAll()
    bench.network.clog(0, "A", 1_000)
    a.send(numbered(1))
    bench.world.runUntil(10)
    assert.strictEqual(b.got.length, 0)
    bench.network.healAll()
    bench.world.runUntil(11)
    assert.deepStrictEqual(b.numbers(), [1])
    assert.deepStrictEqual(bench.network.faults(0), bench.network.faults(1))
  })
})

const bitCount = (byte: number): number => byte.toString(2).replaceAll("0", "").length

describe("randomness", () => {
  const faults: Partial<LinkFaults> = {
    lossPercent: 10,
    duplicatePercent: 10,
    reorderPercent: 10,
    corruptPercent: 10,
    delayMeanMs: 4,
    delayJitterMs: 3
  }

  /** `extra` datagrams on the other link, and from the other side. */
  const run = (seed: string, extra: boolean) => {
    const bench = new Bench({ seed })
    const { a } = bench.pair(faults, { checksum: false })
    const [a1] = [bench.open("A", 1), bench.open("B", 1)]
    if (extra) bench.world.after(20, () => a1.send(numbered(7), numbered(8)))
    bench.stream(a, 300)
    return { hash: bench.world.traceHash, story: bench.storyOf(0) }
  }

  it("is the same for a seed, and another for another", () => {
    const once = run("one", false)
    assert.deepStrictEqual(run("one", false), once)
    const other = run("other", false)
    assert.notStrictEqual(other.hash, once.hash)
    assert.notDeepEqual(other.story, once.story)
  })

  it("does not change a link when something else happens on another", () => {
    const [without, with_] = [run("one", false), run("one", true)]
    assert.deepStrictEqual(with_.story, without.story)
    assert.notStrictEqual(with_.hash, without.hash)
  })

  it("is another for every link, direction and fault", () => {
    const bench = new Bench()
    for (const link of [0, 1]) {
      Object.assign(bench.network.faults(link), { lossPercent: 50, duplicatePercent: 50 })
    }
    const { a, b } = bench.pair()
    const [a1, b1] = [bench.open("A", 1), bench.open("B", 1)]
    for (const from of [a, b, a1]) bench.stream(from, 400)
    const survivors = [a, b, b1].map((one) => [...new Set(one.numbers())].toSorted((x, y) => x - y))
    for (const one of survivors) {
      for (const other of survivors) {
        // Half of one are in the other, unless both are the same.
        const common = one.filter((n) => other.includes(n)).length
        assert.isTrue(one === other || (common > 60 && common < 140), `${common} in common`)
      }
    }
    const twice = b.got.length - survivors[1]!.length
    assert.isTrue(twice > 60 && twice < 140, `${twice} twice`)
  })

  it("and what comes of it are in the trace hash", () => {
    const hash = (delayMeanMs: number) => {
      const bench = new Bench()
      const { a, b } = bench.pair({ delayMeanMs })
      b.process.pause()
      a.send(numbered(1))
      bench.world.runUntil(10)
      return bench.world.traceHash
    }
    assert.strictEqual(hash(1), hash(1))
    assert.notStrictEqual(hash(1), hash(2))
  })

  it("is keyed by fault: adding loss leaves the delay of the others alone", () => {
    const arrivals = (lossPercent: number) => {
      const bench = new Bench()
      const { a, b } = bench.pair({ lossPercent, delayMeanMs: 0.5, delayJitterMs: 0.4 })
      bench.stream(a, 300)
      return new Map(b.numbers().map((n, i) => [n, b.gotMs[i]!]))
    }
    const [all, some] = [arrivals(0), arrivals(30)]
    assert.isBelow(some.size, 260)
    for (const [n, at] of some) assert.strictEqual(all.get(n), at)
  })
})
