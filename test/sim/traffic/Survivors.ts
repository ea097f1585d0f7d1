/**
 * What must survive a failover, and whether it did: invariant Q4.
 *
 * A connection must continue on the new primary if, at the moment when the address moved, it was
 * established in the old primary's kernel with the translation that its ends use, and the new
 * primary's daemon had it (the caller says so). Excused is what the ends did themselves since, and
 * what no daemon could prevent: the ends spoke before the commit was over, so that the kernel made
 * a new flow; another connection got the translated port before; the kernel refused the entry.
 */
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow, KernelTuple } from "../kernel/KernelFlow.ts"
import { inverted, isSameTuple, keyOf, StatusBit } from "../kernel/KernelFlow.ts"
import type { KernelTraffic } from "../kernel/KernelTraffic.ts"
import type { Machine } from "../machine/Machine.ts"
import type { TrafficConnection } from "./TrafficConnection.ts"

/** What became of a packet in each direction. */
export interface PacketVerdict {
  readonly connection: TrafficConnection
  /**
   * survived: both passed as established, translated as before. refused: a flow is there, but not
   * a packet of both directions passed rightly. lost: nothing tracks them.
   */
  readonly fate: "survived" | "refused" | "lost"
  /** For people: why not. */
  readonly reason: string
}

/** A connection as it was when the snapshot was taken. */
interface Remembered {
  readonly connection: TrafficConnection
  readonly generation: number
}

/** What must survive. */
export interface Snapshot {
  readonly atMs: number
  readonly remembered: ReadonlyArray<Remembered>
  /** When the new primary's commit was over; undefined: not yet. */
  commitEndedMs: number | undefined
}

/** ended: closed, reset, expired, opened again. The others: see the top of this file. */
export type Excuse = "ended" | "spoke before the commit" | "port given away" | "kernel refused"

export interface SurvivorReport {
  /** They ought to have survived, and did not. */
  readonly casualties: ReadonlyArray<PacketVerdict>
  readonly survivors: number
  readonly excused: Readonly<Record<Excuse, number>>
}

/** The flow of the connection in this kernel: both tuples and the zone are as its ends use it. */
export const flowIn = (
  { original, reply, zone }: TrafficConnection,
  kernel: FakeKernel
): KernelFlow | undefined => {
  const flow = kernel.find(original, zone)
  if (flow === undefined || reply === undefined || !isSameTuple(flow.original, original)) {
    return undefined
  }
  return isSameTuple(flow.reply, reply) ? flow : undefined
}

/** Both ends have spoken, and neither said goodbye. */
export const isEstablished = ({ sctp, status, tcp }: KernelFlow): boolean => {
  if ((status & StatusBit.seenReply) === 0) return false
  if (tcp !== undefined) return tcp.state === 3
  return sctp === undefined || sctp.state === 4
}

/** Sends a packet in each direction through `machine`; TCP sends a lot at once. */
export const tryPackets = (
  connection: TrafficConnection,
  machine: Machine | undefined,
  driver: (kernel: FakeKernel) => KernelTraffic
): PacketVerdict => {
  const { original, reply, tags, zone } = connection
  const is = (fate: PacketVerdict["fate"], reason: string) => ({ connection, fate, reason })
  if (machine === undefined) return is("lost", "nobody holds the address")
  const { kernel, name } = machine
  if (reply === undefined) return is("lost", "it was never tracked")
  if (kernel.find(original, zone) === undefined) return is("lost", `${name} has no entry`)
  const traffic = driver(kernel)
  const forth = traffic.packet(original, zone, { isFarAhead: true, tag: tags[0] })
  const wrong = reasonOf("a packet", forth, inverted(reply), name)
  if (wrong !== undefined) return is("refused", wrong)
  const back = traffic.packet(reply, zone, { isFarAhead: true, tag: tags[1] })
  const wrongBack = reasonOf("an answer", back, inverted(original), name)
  return wrongBack === undefined ? is("survived", "") : is("refused", wrongBack)
}

const reasonOf = (
  what: string,
  { sent, state }: ReturnType<KernelTraffic["packet"]>,
  wanted: KernelTuple,
  machine: string
): string | undefined => {
  if (sent === undefined || state !== "established") return `${what} is ${state} on ${machine}`
  if (isSameTuple(sent, wanted)) return undefined
  return `${what} leaves ${machine} as ${textOf(sent)} instead of ${textOf(wanted)}`
}

const textOf = ({ a, b, dst, src }: KernelTuple): string => `${src}:${a} > ${dst}:${b}`

/** Where the connections of a snapshot are now, and what is known of them. */
export interface Enquiry {
  readonly verdictOf: (connection: TrafficConnection) => PacketVerdict
  readonly isRefused: (connection: TrafficConnection) => boolean
  /** Where its packets go. */
  readonly kernelOf: (connection: TrafficConnection) => FakeKernel | undefined
  /** No living connection whose packets got through has this original tuple. */
  readonly isOver: (original: KernelTuple, zone: number) => boolean
}

/** Sorts the connections of the snapshot by what became of them. Sends packets. */
export const checkSurvivors = (
  snapshot: Snapshot,
  { isOver, isRefused, kernelOf, verdictOf }: Enquiry
): SurvivorReport => {
  const casualties: Array<PacketVerdict> = []
  /** Tuples of those whose entries cannot have the port that they had. */
  const displaced = new Set<string>()
  const excused: Record<Excuse, number> = {
    "ended": 0,
    "spoke before the commit": 0,
    "port given away": 0,
    "kernel refused": 0
  }
  let survivors = 0
  for (const one of snapshot.remembered) {
    const excuse = excuseOf(one, snapshot)
    if (excuse !== undefined) {
      excused[excuse]++
      if (excuse === "port given away") displaced.add(tupleKeyOf(one.connection))
      continue
    }
    const { connection } = one
    const verdict: PacketVerdict = connection.phase === "lost"
      ? { connection, fate: "lost", reason: "its packets were invalid until its ends gave up" }
      : isIn(connection.renewedMs, snapshot, Infinity)
      ? { connection, fate: "lost", reason: "its packets made a new entry after the commit" }
      : verdictOf(connection)
    if (verdict.fate === "survived") survivors++
    else if (isRefused(connection)) excused["kernel refused"]++
    else casualties.push(verdict)
  }
  const isDisplaced = (original: KernelTuple, zone: number): boolean =>
    displaced.has(keyOf(original, zone)) || isOver(original, zone)
  const rest = withoutDisplaced(casualties, { displaced, isDisplaced, kernelOf })
  excused["port given away"] += casualties.length - rest.length
  return { casualties: rest, survivors, excused }
}

interface Displacement {
  readonly displaced: Set<string>
  readonly isDisplaced: Enquiry["isOver"]
  readonly kernelOf: Enquiry["kernelOf"]
}

/**
 * To an entry whose port was given away the kernel gives another port, perhaps that of an entry
 * which is committed later; and so on. An entry whose end a peer was never told may be in the way,
 * too; whether it had to be told is judged elsewhere (Q1).
 */
const withoutDisplaced = (
  casualties: ReadonlyArray<PacketVerdict>,
  displacement: Displacement
): ReadonlyArray<PacketVerdict> => {
  const { displaced, isDisplaced, kernelOf } = displacement
  const rest = casualties.filter(({ connection }) => {
    const { reply, zone } = connection
    const holder = reply === undefined ? undefined : kernelOf(connection)?.find(reply, zone)
    if (holder === undefined || !isDisplaced(holder.original, zone)) return true
    displaced.add(tupleKeyOf(connection))
    return false
  })
  const isStable = rest.length === casualties.length
  return isStable ? rest : withoutDisplaced(rest, displacement)
}

const tupleKeyOf = ({ original, zone }: TrafficConnection): string => keyOf(original, zone)

const excuseOf = (
  { connection, generation }: Remembered,
  snapshot: Snapshot
): Excuse | undefined => {
  const { clashedMs, phase, renewedMs } = connection
  const isLost = phase === "lost"
  if (connection.generation !== generation || (phase !== "open" && !isLost)) return "ended"
  const { commitEndedMs = Infinity } = snapshot
  if (isIn(renewedMs, snapshot, commitEndedMs)) return "spoke before the commit"
  return isIn(clashedMs, snapshot, commitEndedMs) ? "port given away" : undefined
}

/** It happened since the snapshot, and not after `endMs`. */
const isIn = (ms: number | undefined, { atMs }: Snapshot, endMs: number): boolean =>
  ms !== undefined && ms >= atMs && ms <= endMs
