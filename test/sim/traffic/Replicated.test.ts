/** A connection counts as replicated only if the entry could carry it on. */
import { assert, describe, it } from "@effect/vitest"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { inverted } from "../kernel/KernelFlow.ts"
import { MachineFake } from "../machine/MachineFake.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import { World } from "../World.ts"
import { replicatedIn } from "./Replicated.ts"
import { Traffic } from "./Traffic.ts"
import type { TrafficKind } from "./TrafficConnection.ts"

const ours = { kind: "conntrackd", windowTracking: false } as const

const opened = (kind: TrafficKind) => {
  const world = new World({ seed: "replicated" })
  const machine = new MachineFake(world, "A", "B")
  const traffic = new Traffic({ world, holders: () => [machine] })
  traffic.open(1, kind, "both", 4, { established: true, zone: 3 })
  const connection = traffic.alive[0]!
  return { connection, flow: traffic.flow(connection)! }
}

/** What a peer is told about the flow, by the specification. */
const toldOf = (kind: TrafficKind, { original, reply, sctp, status, tcp }: KernelFlow) => {
  const sent = inverted(reply)
  const isIcmp = kind === "icmp"
  const hasPorts = kind === "tcp" || kind === "udp" || kind === "sctp"
  return {
    addresses: { source: original.src, destination: original.dst },
    protocol: original.l4,
    ...(hasPorts ? { ports: { source: original.a, destination: original.b } } : {}),
    ...(isIcmp ? { icmpId: original.a, icmpType: original.b >> 8, icmpCode: 0 } : {}),
    status,
    zone: 3,
    snatAddress: sent.src,
    dnatAddress: sent.dst,
    ...(hasPorts ? { snatPort: sent.a, dnatPort: sent.b } : {}),
    ...(isIcmp ? { snatPort: 0, dnatPort: 0 } : {}),
    ...(tcp === undefined ? {} : { tcpState: tcp.state }),
    ...(sctp === undefined
      ? {}
      : { sctpState: sctp.state, sctpTagOriginal: sctp.tags[0], sctpTagReply: sctp.tags[1] })
  } satisfies ReferenceFlow
}

describe("a connection is replicated", () => {
  it.each(["tcp", "udp", "icmp", "sctp", "gre", "other"] as const)("%s, as it was told", (kind) => {
    const { connection, flow } = opened(kind)
    const told = toldOf(kind, flow)
    assert.isTrue(replicatedIn([told], ours)(connection))
    assert.isFalse(replicatedIn([], ours)(connection))
    for (
      const wrong of [
        { status: 0x8 },
        { zone: 4 },
        { snatAddress: "0a000001" },
        { dnatAddress: "0a000001" },
        { protocol: 99 }
      ]
    ) assert.isFalse(replicatedIn([{ ...told, ...wrong }], ours)(connection), JSON.stringify(wrong))
  })

  const wrong: ReadonlyArray<readonly [TrafficKind, Partial<ReferenceFlow>]> = [
    ["tcp", { tcpState: 2 }],
    ["tcp", { snatPort: 1 }],
    ["tcp", { dnatPort: 1 }],
    ["udp", { snatPort: 1 }],
    ["sctp", { sctpState: 3 }],
    ["sctp", { sctpTagOriginal: 1 }],
    ["sctp", { sctpTagReply: 1 }],
    ["icmp", { icmpId: 0 }]
  ]
  it.each(wrong)("%s not with %j", (kind, change) => {
    const { connection, flow } = opened(kind)
    assert.isFalse(replicatedIn([{ ...toldOf(kind, flow), ...change }], ours)(connection))
  })

  it("strict TCP with the scales only", () => {
    const { connection, flow } = opened("tcp")
    const told = toldOf("tcp", flow)
    const strict = { kind: "conntrackd", windowTracking: true } as const
    const scales = { tcpScaleOriginal: 10, tcpScaleReply: 10 }
    assert.isFalse(replicatedIn([told], strict)(connection))
    assert.isTrue(replicatedIn([{ ...told, ...scales }], strict)(connection))
  })

  it("not what upstream spoils when it commits", () => {
    const scales = { tcpScaleOriginal: 10, tcpScaleReply: 10 }
    for (const windowTracking of [false, true]) {
      const upstream = { kind: "reference", windowTracking } as const
      const spoiled = (["tcp", "sctp", "udp"] as const).filter((kind) => {
        const { connection, flow } = opened(kind)
        return !replicatedIn([{ ...toldOf(kind, flow), ...scales }], upstream)(connection)
      })
      // Translated as these are, SCTP loses its ports in any case.
      assert.deepStrictEqual(spoiled, windowTracking ? ["tcp", "sctp"] : ["sctp"])
    }
  })

  it("not with a port that upstream lets the kernel choose", () => {
    const { connection, flow } = opened("udp")
    const upstream = { kind: "reference", windowTracking: false } as const
    const { snatPort: _, ...kept } = toldOf("udp", flow)
    const isKept = flow.original.a === inverted(flow.reply).a
    assert.strictEqual(replicatedIn([kept], ours)(connection), isKept)
    assert.isFalse(replicatedIn([kept], upstream)(connection))
  })

  it("not when another entry has the same answers", () => {
    const { connection, flow } = opened("udp")
    const told = toldOf("udp", flow)
    const stale = { ...told, addresses: { ...told.addresses, source: "0a010063" } }
    assert.isTrue(replicatedIn([told, { ...stale, snatPort: 9 }], ours)(connection))
    assert.isFalse(replicatedIn([told, stale], ours)(connection))
  })

  it("not UDP-Lite, whose ports do not travel", () => {
    const { connection, flow } = opened("udplite")
    assert.isFalse(replicatedIn([toldOf("udplite", flow)], ours)(connection))
  })
})
