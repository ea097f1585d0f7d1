/**
 * Compares what must agree once all is quiet: an internal cache with its kernel, an external cache
 * with the ledger, and the caches of a pair with each other (Q1, Q2). And the queues (Q5).
 */
import type { FlowTable } from "../../../src/core/model/FlowTable.ts"
import { FlowView } from "../../../src/core/model/FlowView.ts"
import { formatFlow } from "../../../src/core/text/FormatFlow.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { tcpStates } from "../kernel/KernelFlow.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import type { KernelWatch } from "./KernelWatch.ts"
import type { Ledger, Told } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { liveSlots } from "./LiveSlots.ts"
import type { SenderWatch } from "./SenderWatch.ts"
import {
  asKept,
  differenceLines,
  differingFields,
  keyOfKernelFlow,
  keyOfView,
  learnedOf,
  toldOf
} from "./WireFlow.ts"

/** Status bits that every event carries and nobody but packets sets. */
const judgedStatus = 0x6
/** Lines of a kind in a verdict. */
const linesMax = 8

/** One flow on which two sides differ. */
export interface Disagreement {
  /** "only in A internal", "differs", … */
  readonly where: string
  readonly lines: ReadonlyArray<string>
}

/** Fresh each time, so that nothing can be left in it. */
const lineOfSlot = (table: FlowTable, slot: number): string =>
  formatFlow(table.view(slot, new FlowView()), { timeout: true, wallSeconds: 0 })

/** Slots of an internal cache that hold dead flows. */
export const deadSlots = ({ replica: { internal } }: Life): number => {
  let dead = 0
  for (let slot = 0; slot < internal.table.slotsHigh; slot++) {
    if (internal.table.lifeOf(slot) !== 0 && internal.isDead(slot)) dead++
  }
  return dead
}

/** Q5, in words; undefined when the queues are empty. `unackedMax`: flows in the resend queue. */
export const undrained = (
  life: Life,
  sender: SenderWatch,
  unackedMax: number
): string | undefined => {
  const { machine, replica: { bulk, protocol } } = life
  if (protocol.helloState !== "done") return `${machine} still says HELLO`
  if (bulk.isRunning) return `${machine} is in the middle of a bulk send`
  if (protocol.txLength > 0) return `${machine} has ${protocol.txLength} messages to send`
  if (life.unsent > 0) return `${machine} built ${life.unsent} messages that never left`
  const unacked = sender.mirror.flowCount
  if (unacked > unackedMax) return `${machine} has ${unacked} states unacknowledged`
  if (sender.mirror.hasResync && unackedMax === 0) return `${machine} waits for a resync`
  const dead = deadSlots(life)
  if (dead > unacked) return `${machine} keeps ${dead} slots of flows that nobody needs`
  return undefined
}

/** Q5 at any time: a destroyed flow keeps its slot only while a message about it waits. */
export const leaked = (life: Life): string | undefined => {
  const { machine, replica: { protocol } } = life
  const dead = deadSlots(life)
  return dead > protocol.txLength + protocol.resendLength
    ? `${machine} keeps ${dead} slots of flows that nobody needs`
    : undefined
}

/** S10: what the cache counts as active is what is there. */
export const miscounted = (life: Life): string | undefined => {
  for (const name of ["internal", "external"] as const) {
    const cache = life.replica[name]
    let active = 0
    for (let slot = 0; slot < cache.table.slotsHigh; slot++) {
      if (cache.table.lifeOf(slot) === 0) continue
      if (name === "internal" && life.replica.internal.isDead(slot)) continue
      active++
    }
    const { active: counted, created, destroyed } = cache.stats
    if (counted !== active || counted !== created - destroyed) {
      return `${life.machine} has ${active} flows in its ${name} cache, and counts ${counted} ` +
        `active, ${created} created, ${destroyed} destroyed`
    }
  }
  return undefined
}

/** A kernel resync that is due later than this after an overrun is not waited for, in seconds. */
const resyncWaitSeconds = 5

/**
 * An internal cache against its kernel. Lost events are an excuse only where nobody repairs an
 * overrun, or not soon.
 */
export const againstKernel = (life: Life, kernel: KernelWatch): ReadonlyArray<Disagreement> => {
  const found: Array<Disagreement> = []
  if (kernel.kernel === undefined) return found
  const { internal, settings } = life.replica
  const { netlinkOverrunResyncSeconds: delay = Infinity } = settings.general
  const forLost = delay > resyncWaitSeconds
  const slots = liveSlots(life)
  const view = new FlowView()
  for (const flow of kernel.kernel.flows) {
    const key = keyOfKernelFlow(flow)
    if (key === undefined) continue
    const slot = slots.get(key)
    slots.delete(key)
    if (!flow.hasEvents || kernel.isExcused(key, forLost)) continue
    if (slot === undefined) {
      found.push({ where: `only in the kernel of ${life.machine}`, lines: [kernelLine(flow)] })
      continue
    }
    const is = toldOf(internal.table.view(slot, view), { windowTracking: false, timeout: false })
    const differences = kernelDifferences(is, flow)
    if (differences.length === 0) continue
    const lines = [lineOfSlot(internal.table, slot), ...differences]
    found.push({ where: `${life.machine} internal differs from its kernel`, lines })
  }
  for (const [key, slot] of slots) {
    if (kernel.isExcused(key, forLost)) continue
    const lines = [lineOfSlot(internal.table, slot)]
    found.push({ where: `only in ${life.machine} internal, not in its kernel`, lines })
  }
  return found
}

const kernelLine = ({ mark, original: { a, b, dst, l4, src }, tcp, zone }: KernelFlow): string =>
  `protocol ${l4} ${tcp === undefined ? "" : `${tcpStates[tcp.state]} `}` +
  `src=0x${src} dst=0x${dst} ${a} ${b} mark=${mark} zone=${zone}`

const kernelDifferences = (is: ReferenceFlow, flow: KernelFlow): ReadonlyArray<string> => {
  const lines: Array<string> = []
  if (flow.tcp !== undefined && is.tcpState !== flow.tcp.state) {
    lines.push(`tcpState is ${is.tcpState}, the kernel has ${flow.tcp.state}`)
  }
  if ((is.mark ?? 0) !== flow.mark) lines.push(`mark is ${is.mark}, the kernel has ${flow.mark}`)
  const status = (is.status ?? 0) & judgedStatus
  if (status !== (flow.status & judgedStatus)) {
    lines.push(`status is ${is.status}, the kernel has ${flow.status}`)
  }
  return lines
}

/** An external cache against what the ledger says it must have: S1 once more, for all entries. */
export const againstLedger = (life: Life, incoming: Ledger): ReadonlyArray<Disagreement> => {
  const found: Array<Disagreement> = []
  const { external } = life.replica
  const view = new FlowView()
  const seen = new Set<string>()
  for (let slot = 0; slot < external.table.slotsHigh; slot++) {
    if (!external.holds(slot)) continue
    const key = keyOfView(external.table.view(slot, view))
    if (key === undefined) continue
    seen.add(key)
    const must = incoming.held.get(key)
    const line = lineOfSlot(external.table, slot)
    if (must === undefined) {
      found.push({ where: `${life.machine} external has what nobody told`, lines: [line] })
      continue
    }
    const is = learnedOf(external.table.view(slot, view))
    if (differingFields(is, must).length === 0) continue
    const lines = [line, ...differenceLines(is, must)]
    found.push({ where: `${life.machine} external is not what was told`, lines })
  }
  for (const key of incoming.held.keys()) {
    if (seen.has(key)) continue
    const lines = [incoming.lineOf(key)]
    found.push({ where: `${life.machine} external lost what was told`, lines })
  }
  return found
}

/** Q1 and Q2: what the sender has against what the receiver was told, flow by flow. */
export const betweenCaches = (
  life: Life,
  sender: SenderWatch,
  outgoing: Ledger
): ReadonlyArray<Disagreement> => {
  const found: Array<Disagreement> = []
  if (outgoing.isPoisoned) return found
  const { internal } = life.replica
  const view = new FlowView()
  const slots = liveSlots(life)
  for (const [key, slot] of slots) {
    const told = outgoing.find(key)
    if (told === undefined || told.isDoubtful) continue
    const line = lineOfSlot
    const held = outgoing.held.get(key)
    if (told.isOwed || held === undefined || told.appliedFlow === undefined) {
      found.push({
        where: `only in ${life.machine} internal`,
        lines: [line(internal.table, slot), ...historyOf(told)]
      })
      continue
    }
    const has = asKept(toldOf(internal.table.view(slot, view), sender.toldOptions))
    const fields = differingFields(asKept(told.appliedFlow), has).filter((field) =>
      field !== "timeout" || !told.isTimeoutSilent
    )
    if (fields.length > 0) {
      found.push({
        where: `${outgoing.receiver} external differs from ${life.machine} internal`,
        lines: [
          line(internal.table, slot),
          ...differenceLines(asKept(told.appliedFlow), has),
          ...historyOf(told)
        ]
      })
    } else if (!told.hasLeftover && differingFields(held, asKept(told.appliedFlow)).length > 0) {
      found.push({
        where: `${outgoing.receiver} external has fields of an earlier flow`,
        lines: [
          line(internal.table, slot),
          ...differenceLines(held, asKept(told.appliedFlow)),
          ...historyOf(told)
        ]
      })
    }
  }
  for (const key of outgoing.held.keys()) {
    if (slots.has(key)) continue
    const told = outgoing.find(key)
    if (told === undefined || told.isDoubtful) continue
    found.push({
      where: `only in ${outgoing.receiver} external`,
      lines: [outgoing.lineOf(key), ...historyOf(told)]
    })
  }
  return found
}

const historyOf = (told: Told): ReadonlyArray<string> => told.historyLines.map((l) => `  ${l}`)

/** Facts of a verdict: a few of each kind, and how many there are. */
export const factsOf = (found: ReadonlyArray<Disagreement>) => {
  const kinds = new Map<string, Array<ReadonlyArray<string>>>()
  for (const { lines, where } of found) {
    const kind = kinds.get(where)
    if (kind === undefined) kinds.set(where, [lines])
    else kind.push(lines)
  }
  return Array.from(kinds, ([where, flows]) => {
    const shown = flows.slice(0, linesMax).flat()
    const more = flows.length - linesMax
    return [where, more > 0 ? [...shown, `… and ${more} more`] : shown] as const
  })
}
