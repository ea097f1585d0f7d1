/**
 * Translated flows whose source keeps its port, in company that makes a kernel choose another one
 * when a request does not say the port.
 *
 * X and Z keep port 5000 behind the same address. Y is of X's source: its port was Z's, so it got
 * another. Who restores Y before X without X's port gets X with Y's.
 */
import type { FlowDescription } from "./FlowDescription.ts"

const snat = "203.0.113.7"

const flow = (
  proto: number,
  src: string,
  dst: string,
  translation: FlowDescription["translation"] & {}
): FlowDescription => ({ orig: { src, dst, proto, sport: 5_000, dport: 53 }, translation })

export const keptPorts = (proto: number) => ({
  X: flow(proto, "10.1.0.1", "192.0.2.1", { snat }),
  Y: flow(proto, "10.1.0.1", "192.0.2.2", { snat, snatPort: 6_000 }),
  Z: flow(proto, "10.1.0.2", "192.0.2.2", { snat })
})
export type KeptPortName = keyof ReturnType<typeof keptPorts>

/** The port of each behind the address. */
export const portOf: Record<KeptPortName, number> = { X: 5_000, Y: 6_000, Z: 5_000 }

export const orders: ReadonlyArray<ReadonlyArray<KeptPortName>> = [
  ["X", "Y", "Z"],
  ["X", "Z", "Y"],
  ["Y", "X", "Z"],
  ["Y", "Z", "X"],
  ["Z", "X", "Y"],
  ["Z", "Y", "X"]
]

/** Two flows that cannot both keep the port: their answers would be the same. */
export const taken = (proto: number) => ({
  source: [
    flow(proto, "10.1.0.1", "192.0.2.1", { snat }),
    flow(proto, "10.1.0.2", "192.0.2.1", { snat })
  ],
  destination: [
    flow(proto, "10.1.0.1", "203.0.113.7", { dnat: "10.2.0.1" }),
    flow(proto, "10.1.0.1", "203.0.113.8", { dnat: "10.2.0.1" })
  ]
} satisfies Record<string, [FlowDescription, FlowDescription]>)
