/**
 * What a node knows, in a form that can be compared: the entries of its kernel, and the lines of
 * its caches.
 *
 * An entry is named by its original tuple and zone. Two sets agree when they have the same entries
 * with the same content; what differs is said in words, a few of each kind.
 *
 * Source: specification, "Sync wire format", section 8; "The synchronisation engines", section 14.
 */
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import { Status } from "../../src/core/model/Status.ts"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { type CommandFailed, eventually, runIn } from "./Namespace.ts"
import { type Binary, type Node, type Pair, reportOf } from "./Pair.ts"

const program = fileURLToPath(new URL("./FlowProgram.ts", import.meta.url))

export type FlowCommand = "create" | "update" | "delete" | "churn"

/** Changes `count` flows of the node's kernel, beginning with number `from` (see `Flows.ts`). */
export const changeFlows = (
  node: Node,
  command: FlowCommand,
  from: number,
  count: number
): Effect.Effect<void, CommandFailed> =>
  Effect.asVoid(
    runIn(node.namespace, [process.execPath, program, command, String(from), String(count)])
  )

export type FlowSet = ReadonlyMap<string, FlowDescription>

const keyOf = (flow: FlowDescription): string => {
  const { dport, dst, icmpCode, icmpId, icmpType, proto, sport, src } = flow.orig!
  const l4 = icmpId === undefined ? `${sport}>${dport}` : `${icmpType}/${icmpCode} id ${icmpId}`
  return `${proto} ${src} ${dst} ${l4} zone ${flow.zone ?? 0}`
}

/** The entries of the node's kernel. */
export const kernelFlows = (node: Node): Effect.Effect<FlowSet, CommandFailed> =>
  Effect.map(runIn(node.namespace, [process.execPath, program, "dump"]), (text) => {
    const flows = new Map<string, FlowDescription>()
    for (const line of text.split("\n")) {
      if (line === "") continue
      const flow = JSON.parse(line) as FlowDescription
      flows.set(keyOf(flow), flow)
    }
    return flows
  })

const shownMax = 5

/** Entries that only one side has and values that differ, at most a few; empty when all agree. */
const differences = <A>(
  one: ReadonlyMap<string, A>,
  other: ReadonlyMap<string, A>,
  compare: (a: A, b: A) => string
): ReadonlyArray<string> => {
  const missing: Array<string> = []
  const changed: Array<string> = []
  for (const [key, a] of one) {
    const b = other.get(key)
    if (b === undefined) missing.push(`only in the first: ${key}`)
    else {
      const difference = compare(a, b)
      if (difference !== "") changed.push(`${key}: ${difference}`)
    }
  }
  const extra = [...other.keys()].filter((key) => !one.has(key))
    .map((key) => `only in the second: ${key}`)
  return [missing, changed, extra].flatMap((list) =>
    list.length <= shownMax
      ? list
      : [...list.slice(0, shownMax), `… and ${list.length - shownMax} more like this`]
  )
}

export interface CommitRule {
  /** Who committed. The reference loses the window scales, and a byte of an SCTP tag. */
  readonly by: Binary
  /** The window scales travel. */
  readonly windowTracking: boolean
  /** How far the timeouts may be apart, seconds: what passes between the two dumps. */
  readonly timeoutSlackSeconds: number
  /** Every entry has this timeout instead, within the slack. Seconds. */
  readonly timeoutSeconds?: number
}

/** Bits that the kernel that holds the flow decides itself. */
const ownBits = Status.expected | Status.confirmed | Status.srcNatDone | Status.dstNatDone |
  Status.helper

/** How `committed` differs from what the primary's kernel has: every replicated attribute. */
export const committedDifferences = (
  primary: FlowSet,
  committed: FlowSet,
  rule: CommitRule
): ReadonlyArray<string> =>
  differences(primary, committed, (want, have) => {
    const found: Array<string> = []
    const same = (name: string, a: unknown, b: unknown) => {
      const [left, right] = [JSON.stringify(a), JSON.stringify(b)]
      if (left !== right) found.push(`${name} ${left} became ${right}`)
    }
    same("original tuple", want.orig, have.orig)
    same("reply tuple", want.reply, have.reply)
    same("status", want.status! & ~ownBits, have.status! & ~ownBits)
    same("confirmed", true, (have.status! & Status.confirmed) !== 0)
    same("mark", want.mark ?? 0, have.mark ?? 0)
    same("zone", want.zone, have.zone)
    same("tcp state", want.tcp?.state, have.tcp?.state)
    if (rule.windowTracking && rule.by === "ours") {
      same("original scale", want.tcp?.wscaleOrig, have.tcp?.wscaleOrig)
      same("reply scale", want.tcp?.wscaleReply, have.tcp?.wscaleReply)
    }
    same("sctp", sctpBy(rule.by, want), sctpBy(rule.by, have))
    same("labels", want.labels, have.labels)
    same("helper", want.helper, have.helper)
    same("master", want.master, have.master)
    same("adjustment", want.seqAdjOrig, have.seqAdjOrig)
    same("reply adjustment", want.seqAdjReply, have.seqAdjReply)
    same("synproxy", want.synproxy, have.synproxy)
    const timeout = rule.timeoutSeconds ?? want.timeout!
    if (Math.abs(timeout - have.timeout!) > rule.timeoutSlackSeconds) {
      found.push(`timeout ${timeout} became ${have.timeout}`)
    }
    return found.join(", ")
  })

/** The reference writes something else into the last byte (recorded in `commit.json` too). */
const sctpBy = (by: Binary, { sctp }: FlowDescription): FlowDescription["sctp"] =>
  by === "ours" || sctp === undefined ? sctp : { ...sctp, vtagOrig: sctp.vtagOrig! & ~0xff }

/** Content of cache entries by their names. */
export type CacheSet = ReadonlyMap<string, string>

/** What a dump of a cache (`-i` or `-e`) says of the attributes that both caches show. */
export const cacheSet = (dump: string): CacheSet => {
  const entries = new Map<string, string>()
  for (const line of dump.split("\n")) {
    if (line === "") continue
    const words = line.replace(/\[active since \d+s\]/, "").trim().split(/\s+/)
    const [, l4 = ""] = words
    const value = (name: string): string | undefined =>
      words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1)
    const ports = l4 === "1" || l4 === "58"
      ? `${value("type")}/${value("code")} id ${value("id")}`
      : `${value("sport")}>${value("dport")}`
    const key = `${l4} ${value("src")} ${value("dst")} ${ports} zone ${value("zone") ?? 0}`
    if (entries.has(key)) throw new Error(`two entries: ${key}`)
    const state = words[2]!.startsWith("src=") ? "-" : words[2]!
    const flags = ["[UNREPLIED]", "[ASSURED]"].filter((flag) => words.includes(flag)).join(" ")
    entries.set(key, `${state} ${flags} mark=${value("mark") ?? 0}`)
  }
  return entries
}

const tcpNames = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2"
]

const sctpNames = [
  "NONE",
  "CLOSED",
  "COOKIE_WAIT",
  "COOKIE_ECHOED",
  "ESTABLISHED",
  "SHUTDOWN_SENT",
  "SHUTDOWN_RECD",
  "SHUTDOWN_ACK_SENT"
]

/** What a cache should say of the kernel's entries. */
export const expectedCacheSet = (flows: FlowSet): CacheSet => {
  const entries = new Map<string, string>()
  for (const [key, flow] of flows) {
    const state = flow.tcp?.state !== undefined
      ? tcpNames[flow.tcp.state]!
      : flow.sctp?.state !== undefined
      ? sctpNames[flow.sctp.state]!
      : "-"
    const flags = [
      (flow.status! & Status.seenReply) === 0 ? "[UNREPLIED]" : "",
      (flow.status! & Status.assured) !== 0 ? "[ASSURED]" : ""
    ].filter((flag) => flag !== "").join(" ")
    entries.set(key, `${state} ${flags} mark=${flow.mark ?? 0}`)
  }
  return entries
}

/** How two caches, or a cache and what it should be, differ. */
export const cacheDifferences = (one: CacheSet, other: CacheSet): ReadonlyArray<string> =>
  differences(one, other, (a, b) => (a === b ? "" : `${a} against ${b}`))

/**
 * Waits until the internal cache of A and the external cache of B have exactly the entries of A's
 * kernel, with what caches show of them; returns these entries. Without `zones`, only those in no
 * zone count.
 */
export const followed = (
  nodes: Pair,
  seconds: number,
  options: { readonly zones: boolean } = { zones: true }
): Effect.Effect<FlowSet, CommandFailed> =>
  Effect.gen(function*() {
    const compared = <A>(set: ReadonlyMap<string, A>): ReadonlyMap<string, A> =>
      options.zones ? set : new Map([...set].filter(([key]) => key.endsWith(" zone 0")))
    const flows = compared(yield* kernelFlows(nodes.a))
    const expected = expectedCacheSet(flows)
    const agrees = (node: Node, dump: "-i" | "-e") => {
      let last: ReadonlyArray<string> = []
      const what = () => `${node.name} ${dump} agrees with the kernel of A:\n${last.join("\n")}`
      return eventually(
        reportOf(nodes, what),
        seconds,
        Effect.map(node.poll(dump), (text) => {
          last = cacheDifferences(expected, compared(cacheSet(text)))
          return last.length === 0
        })
      )
    }
    yield* agrees(nodes.a, "-i")
    yield* agrees(nodes.b, "-e")
    return flows
  })
