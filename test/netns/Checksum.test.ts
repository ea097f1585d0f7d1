/** `Checksum off` as on the recorded link: the payload is the same, the UDP checksum is zero. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { mayUse } from "../native/Machine.ts"
import { eventually, runIn } from "./Namespace.ts"
import { type Node, numberAfter, pair } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

/** Counts what arrives on the link, by whether it carries a checksum. */
const counting = `
table inet count {
  counter without { }
  counter with { }
  chain in {
    type filter hook prerouting priority raw - 20;
    iifname "sync" udp dport 3780 udp checksum 0 counter name without
    iifname "sync" udp dport 3780 udp checksum != 0 counter name with
  }
}
`

const received = (node: Node, counter: "with" | "without") =>
  Effect.map(
    runIn(node.namespace, ["nft", "list", "counter", "inet", "count", counter]),
    (text) => numberAfter(text, /packets (\d+)/)
  )

describe.skipIf(!isRoot)("the checksum of datagrams on the link", () => {
  for (const checksum of ["on", "off"] as const) {
    const [wanted, other] = checksum === "on"
      ? ["with", "without"] as const
      : ["without", "with"] as const
    it.live(
      `is ${checksum === "on" ? "there" : "zero"} with Checksum ${checksum}`,
      () =>
        Effect.gen(function*() {
          const { a, b } = yield* pair("ours", "ours", { family: 4 })
          const text = readFileSync(a.configFile, "utf8")
          writeFileSync(a.configFile, text.replace("Checksum on", `Checksum ${checksum}`))
          yield* runIn(b.namespace, ["nft", "-f", "-"], counting)
          yield* b.start()
          yield* a.start()

          yield* eventually(
            "three datagrams of A arrive",
            10,
            Effect.map(received(b, wanted), (n) => n >= 3)
          )

          assert.strictEqual(yield* received(b, other), 0)
        }),
      30_000
    )
  }
})
