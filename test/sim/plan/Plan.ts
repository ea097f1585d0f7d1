/**
 * A run as data: everything that decides what happens in a simulation, besides the code.
 *
 * A plan can be generated (`Swarm.ts`), printed, read back, shrunk (`Shrink.ts`) and replayed. It
 * has two phases. Until `faultsStopAtMs` anything may fail; at that moment the network heals, every
 * machine and interface comes back, paused daemons go on and traffic stops, however long the steps
 * wanted their faults to last. Within `settleWithinMs` after it everything must agree and be quiet.
 *
 * Times are milliseconds of the world's clock. Steps need not be in order: `stepsInOrder` is.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { MachineName } from "../machine/Machine.ts"
import {
  clientOptions,
  linkAddress,
  linkInterface,
  linkPort,
  machineNames
} from "../machine/Machine.ts"

const integer = (minimum: number, maximum: number) =>
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum })))

const hourMs = 3_600_000
const time = integer(0, hourMs)
const count = integer(1, 100_000)
const percent = integer(0, 100)
const Node = Schema.Literals(machineNames)
const Family = Schema.Literals([4, 6])
const link = integer(0, 3)
const at = { atMs: time }
/** Which pair: 0 is A and B, 1 is C and D. Absent: the first. */
const pair = Schema.optionalKey(integer(0, 1))
/** The machine that the packets go through. Absent: whoever is the pair's primary. */
const through = Schema.optionalKey(Node)
const traffic = { ...at, count, pair, through }

/** What traffic can be made of. */
export const flowKinds = ["tcp", "udp", "icmp", "sctp", "udplite", "gre", "ftp", "other"] as const
export type FlowKind = (typeof flowKinds)[number]

/** Why a kernel refuses to create a flow; the numbers are those of Linux. */
export const errnos = {
  EPERM: 1,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  EOPNOTSUPP: 95
} as const
export type Errno = keyof typeof errnos

// ------------------------------------------------------------------------------------- traffic

const OpenFlows = Schema.TaggedStruct("OpenFlows", {
  ...traffic,
  kind: Schema.Literals(flowKinds),
  translated: Schema.Literals(["none", "source", "destination", "both"]),
  family: Family,
  /** The first flow opens at `atMs`, the last so much later. 0: all in one instant, a burst. */
  overMs: time,
  /** They also get through their handshake, or are answered. */
  established: Schema.Boolean,
  /** Absent: the default zone, 0. */
  zone: Schema.optionalKey(integer(1, 65_535))
})

/** Both sides say goodbye. */
const CloseFlows = Schema.TaggedStruct("CloseFlows", traffic)

/** One side resets (TCP), or the kernel is told to forget (everything else). */
const ResetFlows = Schema.TaggedStruct("ResetFlows", traffic)

const UpdateFlows = Schema.TaggedStruct("UpdateFlows", {
  ...traffic,
  change: Schema.Literals(["any", "state", "mark", "label"]),
  /** As for `OpenFlows`. */
  overMs: time
})

/** Their time is over: no packet was seen for long. */
const ExpireFlows = Schema.TaggedStruct("ExpireFlows", traffic)

/** Clients open again what ended last, with the same tuples. */
const ReopenFlows = Schema.TaggedStruct("ReopenFlows", traffic)

// -------------------------------------------------------------------------------------- kernel

/** The event socket loses the next so many events, and says ENOBUFS once. */
const Overrun = Schema.TaggedStruct("Overrun", { ...at, node: Node, eventsLost: count })

/** The kernel refuses the next so many requests to create a flow. */
const Refuse = Schema.TaggedStruct("Refuse", {
  ...at,
  node: Node,
  count,
  errno: Schema.Literals(Object.keys(errnos) as ReadonlyArray<Errno>)
})

// ------------------------------------------------------------------------------------- network

/** The cable of a dedicated link is cut: nothing passes, no interface notices. */
const LinkDown = Schema.TaggedStruct("LinkDown", { ...at, link, forMs: time })

/** A machine's interface of a dedicated link is switched off, or loses its carrier. */
const InterfaceDown = Schema.TaggedStruct("InterfaceDown", {
  ...at,
  node: Node,
  link,
  what: Schema.Literals(["up", "carrier"]),
  forMs: time
})

/** What `from` sends does not arrive, on no link; nothing arrives at it either if `bothWays`. */
const Partition = Schema.TaggedStruct("Partition", {
  ...at,
  from: Node,
  bothWays: Schema.Boolean,
  forMs: time
})

/** What `from` sends on the link waits, and arrives at once when it is over. */
const Clog = Schema.TaggedStruct("Clog", { ...at, link, from: Node, forMs: time })

/** So many malformed datagrams arrive that the peer never sent. */
const Noise = Schema.TaggedStruct("Noise", { ...at, link, to: Node, count })

// ------------------------------------------------------------------------------------ machines

/** Everything that is not on disk is gone. A machine comes back with an empty kernel table. */
const PowerLoss = Schema.TaggedStruct("PowerLoss", { ...at, node: Node, backAfterMs: time })

/** `kill -9` of the daemon. Its kernel works on. */
const Kill = Schema.TaggedStruct("Kill", { ...at, node: Node, backAfterMs: time })

/** `conntrackd -k`, and a start so much later. */
const Restart = Schema.TaggedStruct("Restart", { ...at, node: Node, backAfterMs: time })

/** The daemon gets no CPU. */
const Pause = Schema.TaggedStruct("Pause", { ...at, node: Node, forMs: time })

/** Somebody sets the wall clock of a machine. */
const ClockJump = Schema.TaggedStruct("ClockJump", {
  ...at,
  node: Node,
  byMs: Schema.Int
})

/**
 * The wall clock of a machine is set so that a daemon that starts right now takes
 * 2^32 − `messagesBefore` as its first sequence number: the wrap is near. Whoever runs the plan
 * does steps of moment 0 before the daemons start.
 */
const SequenceNear = Schema.TaggedStruct("SequenceNear", {
  ...at,
  node: Node,
  messagesBefore: count
})

// ------------------------------------------------------------------------------------ operator

/** Somebody runs the command-line client. */
const Command = Schema.TaggedStruct("Command", {
  ...at,
  node: Node,
  option: Schema.Literals(clientOptions),
  /** Somebody else asks for this in the same instant. */
  also: Schema.optionalKey(Schema.Literals(clientOptions))
})

/**
 * The HA manager makes `to` the primary of its pair: the address moves, `primary-backup.sh primary`
 * runs there, and `primary-backup.sh backup` on the other one if it is up.
 */
const Failover = Schema.TaggedStruct("Failover", { ...at, to: Node })

/**
 * All links are cut and `to` becomes primary beside the present one. When it is over the links heal
 * and the older primary gives in: `primary-backup.sh backup` runs there.
 */
const SplitBrain = Schema.TaggedStruct("SplitBrain", { ...at, to: Node, forMs: time })

/** One thing that happens to the world, at a time. */
export const Step = Schema.Union([
  OpenFlows,
  CloseFlows,
  ResetFlows,
  UpdateFlows,
  ExpireFlows,
  ReopenFlows,
  Overrun,
  Refuse,
  LinkDown,
  InterfaceDown,
  Partition,
  Clog,
  Noise,
  PowerLoss,
  Kill,
  Restart,
  Pause,
  ClockJump,
  SequenceNear,
  Command,
  Failover,
  SplitBrain
]).annotate({ expected: "a step with a known _tag" })
export type Step = typeof Step.Type
export type StepTag = Step["_tag"]
export type StepOf<Tag extends StepTag> = Extract<Step, { readonly _tag: Tag }>

/** How the dedicated links treat what is sent on them. */
export const NetworkPlan = Schema.Struct({
  lossPercent: percent,
  duplicatePercent: percent,
  reorderPercent: percent,
  /** Datagrams with changed bytes. Where checksums are on, the receiving kernel drops them. */
  corruptPercent: percent,
  delayMeanMs: integer(0, 10_000),
  /** How far delays differ from the mean, at most. */
  delayJitterMs: integer(0, 10_000),
  /** 0: unlimited. */
  bytesPerMs: integer(0, 1_000_000)
})
export type NetworkPlan = typeof NetworkPlan.Type

/** The kernels of all machines. */
export const KernelPlan = Schema.Struct({
  /** `nf_conntrack_max`. */
  flowsMax: integer(1, 10_000_000),
  /** `nf_conntrack_tcp_loose`. */
  tcpLoose: Schema.Boolean,
  /** `nf_conntrack_acct`. */
  accounting: Schema.Boolean,
  /** `nf_conntrack_timestamp`. */
  timestamps: Schema.Boolean,
  /** A rule uses labels. */
  labels: Schema.Boolean,
  /** There are rules that translate: every flow carries both DONE bits. */
  natRules: Schema.Boolean,
  /** Daemons read the table in small parts, each a while after the kernel made it. */
  slowDumps: Schema.optionalKey(Schema.Boolean)
})
export type KernelPlan = typeof KernelPlan.Type

export const Plan = Schema.Struct({
  /** Of all dice. 64 bits in hexadecimal, as 0x9e3779b97f4a7c15. */
  seed: Schema.String.pipe(Schema.check(Schema.isPattern(/^0x[0-9a-f]{16}$/))),
  /** 2: a pair A, B. 4: another pair C, D beside it. */
  nodes: integer(2, 4),
  links: integer(1, 4),
  /**
   * The conntrackd.conf of every node, with `{own0}`, `{peer0}`, `{port0}` and `{interface0}` in
   * the place of what differs, the number being that of the link; `{family}` is 4 or 6.
   */
  configuration: Schema.String,
  /** Of the addresses of the dedicated links. */
  family: Family,
  /** This node is played by the reference peer. Absent: all are ours. */
  referencePeer: Schema.optionalKey(Node),
  /** Who is primary at the start; of the second pair it is C where A is, D where B is. */
  firstPrimary: Schema.Literals(["A", "B"]),
  scheduling: Schema.Literals(["first in first out", "shuffled"]),
  /** Of the interfaces of the dedicated links. */
  mtuBytes: integer(68, 65_535),
  network: NetworkPlan,
  kernel: KernelPlan,
  steps: Schema.Array(Step),
  faultsStopAtMs: time,
  settleWithinMs: time
})
export type Plan = typeof Plan.Type

/** FTFW over one UDP link with upstream's defaults. */
export const plainConfiguration = `Sync {
  Mode FTFW {
    StartupResync on
  }
  UDP {
    IPv{family}_address {own0}
    IPv{family}_Destination_Address {peer0}
    Port {port0}
    Interface {interface0}
    Checksum on
  }
}
General {
  HashSize 1024
  HashLimit 65536
  LogFile on
  LockFile /var/lock/conntrack.lock
  UNIX {
    Path /var/run/conntrackd.ctl
  }
}
`

/** A good network that takes a millisecond. */
export const calmNetwork: NetworkPlan = {
  lossPercent: 0,
  duplicatePercent: 0,
  reorderPercent: 0,
  corruptPercent: 0,
  delayMeanMs: 1,
  delayJitterMs: 0,
  bytesPerMs: 0
}

/** As a kernel is without anybody's settings. */
export const plainKernel: KernelPlan = {
  flowsMax: 65_536,
  tcpLoose: true,
  accounting: false,
  timestamps: false,
  labels: false,
  natRules: false
}

/** Two nodes and nothing that fails: what a story changes is what it is about. */
export const calmPlan = (changes: Partial<Plan> = {}): Plan => ({
  seed: "0x0000000000000001",
  nodes: 2,
  links: 1,
  configuration: plainConfiguration,
  family: 4,
  firstPrimary: "A",
  scheduling: "first in first out",
  mtuBytes: 1_500,
  network: calmNetwork,
  kernel: plainKernel,
  steps: [],
  faultsStopAtMs: 10_000,
  settleWithinMs: 10_000,
  ...changes
})

/** The machines of the plan, in their order. */
export const machinesOf = (plan: Plan): ReadonlyArray<MachineName> =>
  machineNames.slice(0, plan.nodes)

/** The pair that a machine belongs to: 0 or 1. */
export const pairOf = (name: MachineName): number => machineNames.indexOf(name) >> 1

/** The machine on the other end of the dedicated links. */
export const peerOf = (name: MachineName): MachineName =>
  machineNames[machineNames.indexOf(name) ^ 1]!

/** Who is primary at the start, pair by pair. */
export const firstPrimaries = (plan: Plan): ReadonlyArray<MachineName> => {
  const first = machineNames.indexOf(plan.firstPrimary)
  return plan.nodes === 4 ? [machineNames[first]!, machineNames[first + 2]!] : [plan.firstPrimary]
}

/** Earliest first; of the same moment, as the plan has them. */
export const stepsInOrder = (plan: Plan): ReadonlyArray<Step> =>
  plan.steps.toSorted((a, b) => a.atMs - b.atMs)

/** When the run is over. */
export const endMsOf = (plan: Plan): number => plan.faultsStopAtMs + plan.settleWithinMs

const placeholder = /\{(own|peer|port|interface)(\d+)\}/g

/** The conntrackd.conf of one machine. */
export const configurationFor = (
  plan: Plan,
  machine: MachineName,
  peer: MachineName = peerOf(machine)
): string =>
  plan.configuration.replaceAll("{family}", String(plan.family)).replace(
    placeholder,
    (_, what: string, digits: string) => {
      const number = Number(digits)
      switch (what) {
        case "own":
          return linkAddress(machine, number, plan.family)
        case "peer":
          return linkAddress(peer, number, plan.family)
        case "port":
          return String(linkPort(number))
        default:
          return linkInterface(number)
      }
    }
  )

/** The machines that a step names. */
export const machinesIn = (step: Step): ReadonlyArray<MachineName> => {
  const names: Array<MachineName | undefined> = []
  if ("node" in step) names.push(step.node)
  if ("from" in step) names.push(step.from)
  if ("to" in step) names.push(step.to)
  if ("through" in step) names.push(step.through)
  return names.filter((name) => name !== undefined)
}

/** Why there cannot be so many nodes, as a sentence; undefined when there can. */
export const problemOfNodes = (nodes: number): string | undefined =>
  nodes === 3
    ? "three nodes need multicast links, which are not yet available: take 2, or 4 (two pairs)"
    : nodes === 2 || nodes === 4
    ? undefined
    : `there cannot be ${nodes} nodes: take 2, or 4 (two pairs)`

/** Linux has no IPv6 on interfaces with less. */
const ipv6MtuMinBytes = 1_280

/** Why the plan cannot be run, as a sentence; undefined when it can. */
export const problemOf = (plan: Plan): string | undefined => {
  const nodesProblem = problemOfNodes(plan.nodes)
  if (nodesProblem !== undefined) return nodesProblem
  if (plan.family === 6 && plan.mtuBytes < ipv6MtuMinBytes) {
    return `links over IPv6 need an MTU of ${ipv6MtuMinBytes} bytes, not ${plan.mtuBytes}`
  }
  const machines = machinesOf(plan)
  const { referencePeer } = plan
  if (referencePeer !== undefined && !machines.includes(referencePeer)) {
    return `the reference peer is ${referencePeer}, but there are only ${machines.join(", ")}`
  }
  for (const [text, , digits] of plan.configuration.matchAll(placeholder)) {
    if (Number(digits) >= plan.links) {
      return `the configuration has ${text}, but the links are 0 to ${plan.links - 1}`
    }
  }
  for (const [i, step] of plan.steps.entries()) {
    const where = `step ${i} (${step._tag} at ${step.atMs} ms)`
    if (step.atMs > plan.faultsStopAtMs) {
      return `${where} is later than faultsStopAtMs, ${plan.faultsStopAtMs} ms`
    }
    const stranger = machinesIn(step).find((name) => !machines.includes(name))
    if (stranger !== undefined) {
      return `${where} names ${stranger}, but there are only ${machines.join(", ")}`
    }
    if ("link" in step && step.link >= plan.links) {
      return `${where} names link ${step.link}, but the links are 0 to ${plan.links - 1}`
    }
    if ("pair" in step && (step.pair ?? 0) * 2 >= plan.nodes) {
      return `${where} names pair ${step.pair}, but there is only pair 0`
    }
  }
  return undefined
}

const decode = Schema.decodeUnknownResult(Plan, {
  errors: "all",
  onExcessProperty: "error"
})

/** Reads a plan; the failure says what is wrong, and where, of everything that is. */
export const planOfJson = (text: string): Result.Result<Plan, string> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    return Result.fail(`the plan is no JSON: ${(cause as Error).message}`)
  }
  const decoded = decode(json)
  if (Result.isFailure(decoded)) {
    return Result.fail(`the plan is not valid: ${decoded.failure.message}`)
  }
  const problem = problemOf(decoded.success)
  return problem === undefined
    ? Result.succeed(decoded.success)
    : Result.fail(`the plan cannot be run: ${problem}`)
}

/** Complete, one step a line: readable, and small differences show. */
export const planToJson = (plan: Plan): string => {
  const { steps, ...rest } = plan
  const lines = steps.map((step) => `    ${JSON.stringify(step)}`)
  const head = JSON.stringify(rest, undefined, 2).replace(/\n\}$/, "")
  return lines.length === 0
    ? `${head},\n  "steps": []\n}\n`
    : `${head},\n  "steps": [\n${lines.join(",\n")}\n  ]\n}\n`
}
