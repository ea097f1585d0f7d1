/** What a creation says of ports that are not translated. */
import { assert, describe, it } from "@effect/vitest"
import { encodeCreate, requestOptions } from "../../../src/core/netlink/CtnetlinkEncode.ts"
import { isTranslationExact, keepsPort } from "../../../src/core/netlink/CtnetlinkNat.ts"
import type { FlowDescription, TupleDescription } from "../../fakes/FlowDescription.ts"
import { flowOf } from "../../fakes/FlowDescription.ts"
import type { NlattrTree } from "../../fakes/NlattrTree.ts"
import { treeOf } from "../../fakes/NlattrTree.ts"

const words = new Int32Array(256)
const bytes = new Uint8Array(words.buffer)

const portProtocols = [6, 17, 33, 132, 136]

const originalOf = (proto: number): TupleDescription => {
  const addresses = { src: "10.1.0.2", dst: "10.2.0.2", proto }
  if (proto === 1) return { ...addresses, icmpId: 77, icmpType: 8, icmpCode: 0 }
  return proto === 50 ? addresses : { ...addresses, sport: 40_000, dport: 80 }
}

type Translation = NonNullable<FlowDescription["translation"]>

const translated = (proto: number, translation: Translation) =>
  flowOf({ orig: originalOf(proto), translation })

const natOf = (proto: number, translation: Translation, withoutKeptPort = false): NlattrTree => {
  const options = { ...requestOptions(), timeoutSeconds: 60, withoutKeptPort }
  const end = encodeCreate(words, 0, 1, translated(proto, translation), options)
  return treeOf(bytes, 0, end).filter((entry) => "NAT_SRC" in entry || "NAT_DST" in entry)
}

const snat = "203.0.113.7"
const dnat = "10.2.0.99"
const to = (address: string) => [{ V4_MINIP: address }, { V4_MAXIP: address }]
const port = (number: number) => ({ PROTO: [{ PORT_MIN: number }, { PORT_MAX: number }] })

describe("a translated flow", () => {
  it("keeps the port of its source by name, its destination's as it is", () => {
    for (const proto of portProtocols) {
      const source = { NAT_SRC: [...to(snat), port(40_000)] }
      assert.deepStrictEqual(natOf(proto, { snat }), [source])
      assert.deepStrictEqual(natOf(proto, { dnat }), [
        { NAT_SRC: [port(40_000)] },
        { NAT_DST: to(dnat) }
      ])
      assert.deepStrictEqual(natOf(proto, { snat, dnat, dnatPort: 8_080 }), [
        source,
        { NAT_DST: [...to(dnat), port(8_080)] }
      ])
      assert.deepStrictEqual(natOf(proto, { snat, snatPort: 1_025 }), [
        { NAT_SRC: [...to(snat), port(1_025)] }
      ])
      assert.deepStrictEqual(natOf(proto, { dnatPort: 8_080 }), [
        { NAT_SRC: [port(40_000)] },
        { NAT_DST: [port(8_080)] }
      ])
    }
  })

  it("takes any port that the kernel chooses, but for the one it was given", () => {
    for (const proto of portProtocols) {
      assert.deepStrictEqual(natOf(proto, { snat }, true), [{ NAT_SRC: to(snat) }])
      assert.deepStrictEqual(natOf(proto, { dnat }, true), [{ NAT_DST: to(dnat) }])
      assert.deepStrictEqual(natOf(proto, { snat, snatPort: 1_025 }, true), [
        { NAT_SRC: [...to(snat), port(1_025)] }
      ])
    }
  })

  it("says no ports without having some, nor when nothing is translated", () => {
    for (const proto of [1, 47, 50]) {
      assert.deepStrictEqual(natOf(proto, { snat }), [{ NAT_SRC: to(snat) }])
      assert.deepStrictEqual(natOf(proto, { dnat }), [{ NAT_DST: to(dnat) }])
    }
    for (const proto of [1, 47, 50, ...portProtocols]) assert.deepStrictEqual(natOf(proto, {}), [])
  })

  it("is known to keep its port, and to be translated as asked for", () => {
    for (const proto of portProtocols) {
      assert.isTrue(keepsPort(translated(proto, { snat })))
      assert.isTrue(keepsPort(translated(proto, { dnatPort: 8_080 })))
      assert.isFalse(keepsPort(translated(proto, { snat, snatPort: 1_025 })))
      assert.isFalse(keepsPort(translated(proto, {})))
      assert.strictEqual(isTranslationExact(translated(proto, { snat })), proto !== 33)
    }
    for (const proto of [1, 47, 50]) {
      assert.isFalse(keepsPort(translated(proto, { snat })))
      assert.isFalse(isTranslationExact(translated(proto, { snat })))
    }
  })
})
