/**
 * The reference's client drives our daemon, and our client the reference's: every topic, every
 * dump, every command, with the effect that the command has.
 *
 * Source: specification, "The synchronisation engines", section 15; "The daemon and its commands".
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mayUse } from "../native/Machine.ts"
import { cacheSet, changeFlows, followed, kernelFlows } from "./FlowSets.ts"
import { eventually } from "./Namespace.ts"
import { type Binary, type Node, type Pair, pair, reportOf, startBoth } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
const ownFlows = { from: 0, count: 200 }
const peerFlows = { from: 20_000, count: 100 }
const seconds = 20

const topics = [
  "",
  " network",
  " cache",
  " runtime",
  " link",
  " rsqueue",
  " queue",
  " ct",
  " expect"
]

/**
 * The lines without their numbers: what both daemons must agree on. A control message that waits
 * for its acknowledgement is in the resend queue for a moment only.
 */
const shapeOf = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => !line.startsWith("control -> "))
    .map((line) => line.replaceAll(/\d+/g, "N").replaceAll(/ +/g, " "))

const counts = (nodes: Pair, node: Node, what: string, internal: number, external: number) =>
  eventually(
    reportOf(nodes, () => `${node.name} has ${internal} and ${external} after ${what}`),
    seconds,
    Effect.map(
      node.counts(),
      (found) => found.internal === internal && found.external === external
    )
  )

describe.skipIf(!isRoot)("the client of the other kind", () => {
  for (const family of [4, 6] as const) {
    it.live(`shows every topic alike, IPv${family}`, () =>
      Effect.gen(function*() {
        const nodes = yield* pair("ours", "C", { family })
        yield* startBoth(nodes)
        yield* changeFlows(nodes.a, "create", 0, 50)
        yield* changeFlows(nodes.b, "create", 100, 50)
        yield* followed(nodes, seconds)
        yield* followed({ a: nodes.b, b: nodes.a }, seconds)
        for (const topic of topics) {
          const request = `-s${topic}`
          const ours = {
            own: yield* nodes.a.request(request, "ours"),
            foreign: yield* nodes.a.request(request, "C")
          }
          const reference = {
            own: yield* nodes.b.request(request, "C"),
            foreign: yield* nodes.b.request(request, "ours")
          }
          assert.deepStrictEqual(shapeOf(ours.foreign), shapeOf(ours.own), request)
          assert.deepStrictEqual(shapeOf(reference.foreign), shapeOf(reference.own), request)
          assert.deepStrictEqual(shapeOf(ours.foreign), shapeOf(reference.foreign), request)
        }
      }), 60_000)
  }

  const drives: ReadonlyArray<readonly [Binary, Binary]> = [["C", "ours"], ["ours", "C"]]
  for (const family of [4, 6] as const) {
    for (const [client, daemon] of drives) {
      it.live(
        `of kind ${client} drives a daemon of kind ${daemon}, IPv${family}`,
        () =>
          Effect.gen(function*() {
            const nodes = yield* pair(daemon, "ours", { family })
            const { a, b } = nodes
            const ask = (words: string) => a.request(words, client)
            yield* startBoth(nodes)
            yield* changeFlows(a, "create", ownFlows.from, ownFlows.count)
            yield* changeFlows(b, "create", peerFlows.from, peerFlows.count)
            yield* followed(nodes, seconds)
            yield* followed({ a: b, b: a }, seconds)

            for (const dump of ["-i", "-i ct", "-e", "-e ct"]) {
              const found = cacheSet(yield* ask(dump))
              assert.strictEqual(found.size, dump.startsWith("-i") ? 200 : 100, dump)
              assert.deepStrictEqual(found, cacheSet(yield* a.request(dump)), dump)
            }
            for (const dump of ["-i -x", "-e -x"]) {
              const flows = (yield* ask(dump)).match(/<flow>/g) ?? []
              assert.strictEqual(flows.length, dump.startsWith("-i") ? 200 : 100, dump)
            }

            // The answer to -c comes when all is done.
            yield* ask("-c")
            assert.strictEqual(yield* a.kernelCount(), 300)
            yield* counts(nodes, a, "-c", 300, 100)

            yield* ask("-f")
            yield* counts(nodes, a, "-f", 0, 0)
            yield* ask("-R")
            yield* counts(nodes, a, "-R", 300, 0)

            yield* b.request("-f external")
            yield* counts(nodes, b, "-f external", 100, 0)
            yield* ask("-B")
            yield* counts(nodes, b, "-B of the peer", 100, 300)
            assert.strictEqual((yield* followed(nodes, seconds)).size, 300)

            yield* ask("-n")
            yield* counts(nodes, a, "-n", 300, 100)
            yield* ask("-f external")
            yield* counts(nodes, a, "-f external", 300, 0)
            yield* ask("-f internal")
            yield* counts(nodes, a, "-f internal", 0, 0)

            yield* ask("-F")
            yield* eventually(
              reportOf(nodes, () => "-F empties the kernel's table"),
              seconds,
              Effect.map(kernelFlows(a), (flows) => flows.size === 0)
            )
            yield* ask("-t")
            assert.match(a.log(), /\[notice\] flushing conntrack table in 60 secs/)

            yield* ask("-k")
            yield* eventually(
              Effect.sync(() => `-k ends the daemon\n${a.log()}`),
              seconds,
              Effect.sync(() => a.hasEnded)
            )
            assert.match(a.log(), /---- shutdown received ----/)
          }),
        60_000
      )
    }
  }
})
