/**
 * A connection of the simulated traffic, as its two ends know it: which packets they send, how
 * those are translated, and how far it got. What a kernel thinks of it is looked up.
 *
 * Everything about connection number n is decided by its number: addresses, ports, translation,
 * how far the handshake gets. No two connections have the same tuple, unless one is opened again
 * on purpose.
 */
import type { Stream } from "../Dice.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow, KernelTuple } from "../kernel/KernelFlow.ts"
import { hasPorts, inverted } from "../kernel/KernelFlow.ts"
import type { Connection } from "../kernel/KernelTraffic.ts"
import { tupleOf } from "../kernel/KernelTraffic.ts"
import type { MachineName } from "../machine/Machine.ts"

/**
 * `ftp`: a control connection with a helper, and in half of the cases a data connection. `gre` has
 * no keys. The ports of `udplite` do not travel to a peer: such connections cannot survive.
 * `other`: a protocol without anything but addresses.
 */
export const trafficKinds = [
  "tcp",
  "udp",
  "icmp",
  "sctp",
  "gre",
  "udplite",
  "other",
  "ftp"
] as const
export type TrafficKind = (typeof trafficKinds)[number]

export const protocolOf = (kind: TrafficKind, family: 4 | 6): number => {
  switch (kind) {
    case "tcp":
    case "ftp":
      return 6
    case "udp":
      return 17
    case "icmp":
      return family === 4 ? 1 : 58
    case "sctp":
      return 132
    case "gre":
      return 47
    case "udplite":
      return 136
    case "other":
      return 50
  }
}

/** What the firewall translates: of `any`, the number of the connection decides which. */
export type Translated = "none" | "source" | "destination" | "both" | "any"

export interface ConnectionOptions {
  readonly kind: TrafficKind
  readonly translated: Translated
  readonly family: 4 | 6
  readonly zone: number
  /** Whether the handshake gets to its end. Undefined: with most. */
  readonly established: boolean | undefined
  /** Separates the pairs of a cluster. From 0. */
  readonly network: number
  readonly hasNatRules: boolean
}

/**
 * open: in use. closing: one side said goodbye. closed, reset, expired: over, by a decision of the
 * ends. refused: no kernel ever tracked it. lost: its packets were invalid for so long that its
 * ends gave up.
 */
export type Phase = "open" | "closing" | "closed" | "reset" | "expired" | "refused" | "lost"

/** How far its handshake gets on its own. */
export type Eagerness = "silent" | "answered" | "established"

/** Throws per connection: one number of the stream each. */
const throwsMax = 16
const Throw = { server: 0, port: 1, nat: 2, eager: 3, mark: 4, tag: 5, data: 6, snat: 7 } as const

const clientsMax = 40
/** So few that kernels which know nothing of each other choose the same ones. */
const otherPortsMax = 500
const serverPorts = [80, 443, 22, 8_080, 5_432] as const

export class TrafficConnection {
  readonly index: number
  readonly kind: TrafficKind
  readonly family: 4 | 6
  readonly isTranslated: boolean
  readonly zone: number
  readonly l4: number
  /** The first packet as it arrives at the firewall. */
  readonly original: KernelTuple
  /** What the rules of the firewall say about it; the ports of a translation may be others. */
  readonly wanted: Connection
  readonly eagerness: Eagerness
  /** 0 when no rule marks it. */
  readonly mark: number
  /** Verification tags of SCTP, by direction. */
  readonly tags: readonly [number, number]
  /** The connection that announced it. */
  readonly master: TrafficConnection | undefined
  phase: Phase = "open"
  /** Counts how often clients opened it again. */
  generation = 0
  /** The other end has answered, ever. */
  isAnswered = false
  /** An answer as it arrives at the firewall: the translation. Set when it is first tracked. */
  reply: KernelTuple | undefined
  /** Its packets go there, as long as that machine has the address; else to whoever has it. */
  pinnedTo: MachineName | undefined
  /** When the ends started to talk after a kernel had forgotten it; a new flow was made. */
  renewedMs: number | undefined
  /** When another connection got its translated port on a kernel that did not know this one. */
  clashedMs: number | undefined
  /** Since when its packets are invalid, in milliseconds; undefined while they pass. */
  unheardSinceMs: number | undefined
  /** Position in the traffic's list of living connections. */
  slot = -1
  /** Where it was tracked last: saves the look-up. */
  kernel: FakeKernel | undefined
  flow: KernelFlow | undefined

  constructor(
    index: number,
    options: ConnectionOptions,
    stream: Stream,
    master?: TrafficConnection
  ) {
    const { established, family, kind, translated, zone } = options
    const dice = (what: number) => stream.at(index * throwsMax + what)
    this.index = index
    this.kind = kind
    this.family = family
    this.isTranslated = translated !== "none"
    this.zone = zone
    this.l4 = protocolOf(kind, family)
    this.master = master
    this.eagerness = master !== undefined || kind === "ftp"
      ? "established"
      : eagernessOf(established, dice(Throw.eager))
    this.mark = dice(Throw.mark) < 0.2 ? 1 + Math.floor(dice(Throw.mark) * 5_000) : 0
    const tag = Math.floor(dice(Throw.tag) * 0xffff_ffff)
    this.tags = [(tag ^ 0x5a5a_5a5a) >>> 0 || 1, tag >>> 0 || 1]
    this.wanted = master === undefined
      ? wantedOf(index, this.l4, options, dice)
      : dataOf(index, master)
    this.original = tupleOf(this.l4, this.wanted, queryOf(this.l4))
  }

  /** Whether an active connection follows this control connection. */
  hasData(stream: Stream): boolean {
    return this.kind === "ftp" && stream.at(this.index * throwsMax + Throw.data) < 0.5
  }

  /** The port that is tried as number `attempt`, from 0, when the client's own is in use. */
  otherPort(stream: Stream, attempt: number): number {
    const start = Math.floor(stream.at(this.index * throwsMax + Throw.snat) * otherPortsMax)
    return 1_024 + (start + attempt * 7) % otherPortsMax
  }

  /** A client opens it again. */
  startAgain(): void {
    this.generation++
    this.phase = "open"
    this.isAnswered = false
    this.reply = undefined
    this.renewedMs = this.clashedMs = this.unheardSinceMs = undefined
  }

  /** The ends still want it. */
  get isAlive(): boolean {
    return this.phase === "open" || this.phase === "closing"
  }

  /** The first packet as it leaves the firewall; undefined when it was never tracked. */
  get sent(): KernelTuple | undefined {
    return this.reply === undefined ? undefined : inverted(this.reply)
  }

  /** For people: `tcp 10.1.0.10:1024 > 192.0.2.1:80 number 0`. */
  get name(): string {
    const { dport = 0, dst, sport = 0, src } = this.wanted
    const nat = this.isTranslated ? " translated" : ""
    const zone = this.zone === 0 ? "" : ` zone ${this.zone}`
    return `${this.kind} ${src}:${sport} > ${dst}:${dport}${nat}${zone} number ${this.index}`
  }
}

const eagernessOf = (established: boolean | undefined, chance: number): Eagerness => {
  if (established === true) return "established"
  if (established === false) return "silent"
  return chance < 0.06 ? "silent" : chance < 0.2 ? "answered" : "established"
}

/** The type of an ICMP query, which takes the place of a port. */
const queryOf = (l4: number): number | undefined => l4 === 1 ? 8 : l4 === 58 ? 128 : undefined

const wantedOf = (
  index: number,
  l4: number,
  { family, hasNatRules, kind, network, translated, zone }: ConnectionOptions,
  dice: (what: number) => number
): Connection => {
  const isV4 = family === 4
  const at = addressesOf(family, network, 1 + Math.floor(dice(Throw.server) * 8))
  const withPorts = hasPorts(l4)
  const port = kind === "ftp"
    ? 21
    : serverPorts[Math.floor(dice(Throw.port) * serverPorts.length)]!
  const nat = dice(Throw.nat)
  const isAny = translated === "any"
  const toSrc = translated === "source" || translated === "both" || (isAny && nat < 0.8)
  const toDst = translated === "destination" || translated === "both" || (isAny && nat >= 0.6)
  // The protocol carries no ports or keys of these: only the addresses tell them apart at a peer,
  // translated or not. GRE is the plain one, without keys.
  const isBare = kind === "other" || kind === "gre" || kind === "udplite"
  const low = index & 0xff
  const bareServer = isV4 ? `198.18.${(index >> 8) & 0xff}.${low}` : `2001:db8:3::${hex(index)}`
  const bareInner = isV4 ? `198.19.${(index >> 8) & 0xff}.${low}` : `fd00:19::${hex(index)}`
  const virtual = isBare ? bareServer : at.virtual
  const client = 10 + index % clientsMax
  return {
    src: isV4 ? `10.${1 + network}.0.${client}` : `fd00:${1 + network}::${client}`,
    dst: toDst ? virtual : isBare ? bareServer : at.server,
    // Without ports to translate, the number alone tells connections of several clients apart.
    ...(withPorts
      ? { sport: 1_024 + Math.floor(index / clientsMax) % 64_512 }
      : isBare
      ? {}
      : { sport: 1 + index % 65_535 }),
    ...(withPorts ? { dport: port } : {}),
    ...(toSrc ? { snat: { address: toDst ? at.gateway : at.virtual } } : {}),
    ...(toDst
      ? {
        dnat: {
          address: isBare ? bareInner : at.inner,
          ...(withPorts ? { port: port + 8_000 } : {})
        }
      }
      : {}),
    ...(hasNatRules || toSrc || toDst ? { hasNatRules: true } : {}),
    ...(zone === 0 ? {} : { zone }),
    ...(kind === "ftp" ? { helper: "ftp" } : {})
  }
}

const hex = (index: number): string => (1 + index % 0xffff).toString(16)

/** A server, the firewalls' virtual addresses outside and inside, and a server inside. */
const addressesOf = (family: 4 | 6, network: number, host: number) =>
  family === 4
    ? {
      server: `192.0.2.${host}`,
      virtual: `203.0.113.${1 + network}`,
      gateway: `10.9.${network}.254`,
      inner: `10.9.${network}.${host}`
    }
    : {
      server: `2001:db8:2::${host}`,
      virtual: `2001:db8:113::${1 + network}`,
      gateway: `fd00:9:${network}::254`,
      inner: `fd00:9:${network}::${host}`
    }

/** From the client of the control connection to a high port of the server, translated alike. */
const dataOf = (index: number, { wanted }: TrafficConnection): Connection => {
  const { dnat, helper: _, snat, ...rest } = wanted
  const port = 30_000 + index % 30_000
  return {
    ...rest,
    // A kernel translates flows from the same port of a client alike, so it is one of its own.
    sport: port,
    dport: port,
    ...(snat === undefined ? {} : { snat }),
    ...(dnat?.address === undefined ? {} : { dnat: { address: dnat.address, port } })
  }
}
