/**
 * Watches the commits of one machine: S11 (one at a time, no flush meanwhile, answered when done)
 * and Q3 (the kernel then has what the external cache had, refusals are counted and logged).
 *
 * Source: specification, "The synchronisation engines", section 14.
 */
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { hasPorts, isSameTuple, StatusBit } from "../kernel/KernelFlow.ts"
import type { ClientOption } from "../machine/Machine.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { KernelWatch, OwnDoing } from "./KernelWatch.ts"
import type { Ledger } from "./Ledger.ts"
import { Refusals } from "./Refusals.ts"
import { lineOfFlow } from "./WireFlow.ts"

/** Timeouts count in whole seconds, on two machines, and a commit takes its time. */
const timeoutToleranceSeconds = 3
const fallbackSeconds = 60
/** The kernel clamps what is longer. */
const timeoutMaxSeconds = 8_589_934

/** What cancels a scheduled purge. */
const purgeEnds = ["committing all", "flushing caches", "flushing internal cache"]

interface Put {
  readonly seconds: number
  readonly atMs: number
}

export interface CommitParts {
  readonly court: Court
  readonly machine: string
  readonly kernel: KernelWatch
  /** What the peer told this machine. */
  readonly incoming: Ledger
  readonly commitTimeoutSeconds: () => number | undefined
}

export class CommitWatch implements OwnDoing {
  readonly #parts: CommitParts
  #isRunning = false
  #beganMoment = 0
  #failed = 0
  readonly #refusals = new Refusals()
  /** Requests that the daemon said it skips. */
  #skipped = 0
  #isPurgeScheduled = false
  /** What our own requests made of a flow during this commit. */
  readonly #put = new Map<string, Put>()

  constructor(parts: CommitParts) {
    this.#parts = parts
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  /** The daemon is gone: nobody commits. */
  ended(): void {
    this.#isRunning = false
    this.#isPurgeScheduled = false
    this.#skipped = 0
  }

  logged(text: string): void {
    this.#notePurge(text)
    this.#refusals.logged(text)
    if (text.startsWith("committing all external caches")) this.#began()
    else if (text.startsWith("commit already in progress")) this.#skip()
    else if (text.startsWith("commit has taken")) this.#done(true)
    else if (text.startsWith("the commit was given up")) this.#done(false)
    else {
      const refused = /^(\d+) entries can't be committed/.exec(text)
      if (refused !== null) {
        this.#failed = Number(refused[1])
        this.#parts.court.mark("commit with refusals")
      }
    }
  }

  /** Q4: whoever commits is primary now, and a purge would take its connections away. */
  #notePurge(text: string): void {
    if (text.startsWith("flushing conntrack table in ")) this.#isPurgeScheduled = true
    else if (purgeEnds.some((begin) => text.startsWith(begin))) this.#isPurgeScheduled = false
    else if (text.startsWith("flushing kernel conntrack table (scheduled)")) {
      if (!this.#isPurgeScheduled) {
        const { court, machine } = this.#parts
        court.violate("Q4", `${machine} purged its kernel's table after the purge was cancelled`)
      }
      this.#isPurgeScheduled = false
    }
  }

  answered(option: ClientOption, isAnswered: boolean): void {
    if (option !== "-c" || !isAnswered || !this.#isRunning) return
    if (this.#skipped > 0) {
      this.#skipped--
      return
    }
    const { court, machine } = this.#parts
    court.violate("S11", `${machine} answered a commit request before the commit was done`)
  }

  flushing(): void {
    if (!this.#isRunning) return
    const { court, machine } = this.#parts
    court.violate("S11", `${machine} flushed its external cache while a commit was running`)
  }

  didOurselves(key: string, flow: KernelFlow): void {
    if (!this.#isRunning || flow.isGone) return
    const nowMs = this.#parts.court.nowMs()
    this.#put.set(key, { seconds: (flow.expiresAtMs - nowMs) / 1_000, atMs: nowMs })
  }

  #began(): void {
    // A second request is announced, too, and then skipped.
    if (this.#isRunning) return
    this.#isRunning = true
    this.#beganMoment = this.#parts.court.nextMoment()
    this.#failed = 0
    this.#refusals.clear()
    this.#skipped = 0
    this.#put.clear()
    this.#parts.court.mark("commit")
  }

  #skip(): void {
    const { court, machine } = this.#parts
    if (!this.#isRunning) {
      court.violate("S11", `${machine} skipped a commit although none was running`)
    }
    court.mark("commit skipped")
    this.#skipped++
  }

  #done(isWhole: boolean): void {
    const { court, machine } = this.#parts
    if (!this.#isRunning) {
      court.violate("S11", `${machine} ended two commits, but began one`)
      return
    }
    this.#isRunning = false
    this.#skipped = 0
    if (isWhole) this.#judge()
    else court.mark("commit given up")
  }

  /** Q3. */
  #judge(): void {
    const { court, incoming, kernel, machine } = this.#parts
    if (kernel.kernel === undefined) return
    const missing: Array<string> = []
    let refused = 0
    for (const [key, flow] of incoming.held) {
      const told = incoming.find(key)
      // What came, or what packets did, since the commit began, may be newer than what it did.
      if (told === undefined || told.appliedAtMoment > this.#beganMoment) continue
      if (kernel.lastMomentOf(key) > this.#beganMoment) continue
      const complaint = this.#complaint(key, flow)
      if (complaint === undefined) continue
      if (this.#refusals.has(key)) refused++
      else missing.push(complaint, `  ${lineOfFlow(flow)}`)
    }
    if (refused > this.#failed) {
      court.violate("Q3", `${machine} logged ${refused} refused flows, and counted ${this.#failed}`)
    }
    if (missing.length === 0) return
    court.violate(
      "Q3",
      `${machine} committed, and its kernel has not what the external cache has`,
      () => [
        ["not restored", missing],
        ["refusals", [`${this.#failed} were counted and logged`]]
      ]
    )
  }

  #complaint(key: string, flow: ReferenceFlow): string | undefined {
    const is = this.#find(key)
    if (is === undefined) return "not in the kernel"
    if (is.tcp !== undefined && flow.tcpState !== undefined && flow.tcpState < 10) {
      if (is.tcp.state !== flow.tcpState) return `TCP state ${is.tcp.state}, not ${flow.tcpState}`
    }
    // Without a mark is with mark 0: a commit takes away what the peer's flow has not.
    const { mark = 0 } = flow
    if (is.mark !== mark) return `mark ${is.mark}, not ${mark}`
    const { destination, source } = flow.addresses!
    const replySource = flow.dnatAddress ?? destination
    const replyDestination = flow.snatAddress ?? source
    if (is.reply.src !== replySource || is.reply.dst !== replyDestination) {
      return `reply ${is.reply.src} to ${is.reply.dst}, not ${replySource} to ${replyDestination}`
    }
    const other = statusComplaint(flow, is) ?? stateComplaint(flow, is) ??
      this.#portComplaint(flow, is) ?? seqAdjComplaint(flow, is)
    if (other !== undefined) return other
    if (flow.helper !== undefined && is.helper !== flow.helper) {
      return `helper ${is.helper}, not ${flow.helper}`
    }
    if (flow.labels !== undefined && is.labels !== undefined) {
      const labels = new DataView(is.labels.buffer, is.labels.byteOffset)
      if (flow.labels.some((value, i) => labels.getUint32(4 * i, true) !== value)) return "labels"
    }
    return this.#timeoutComplaint(key, flow, is)
  }

  /** Translated ports are as they were, unless another flow has them. */
  #portComplaint(flow: ReferenceFlow, { original, reply }: KernelFlow): string | undefined {
    if (!hasPorts(original.l4)) return undefined
    const a = flow.dnatPort ?? original.b
    const b = flow.snatPort ?? original.a
    if (reply.a === a && reply.b === b) return undefined
    const wanted = { ...reply, a, b }
    for (const { reply: taken } of this.#parts.kernel.kernel!.flows) {
      if (isSameTuple(taken, wanted)) return undefined
    }
    return `reply ports ${reply.a} to ${reply.b}, not ${a} to ${b}`
  }

  #timeoutComplaint(key: string, flow: ReferenceFlow, is: KernelFlow): string | undefined {
    const put = this.#put.get(key)
    if (put === undefined || (is.status & StatusBit.fixedTimeout) !== 0) return undefined
    const wanted = this.#timeoutOf(key, flow, put.atMs)
    const isNear = (seconds: number): boolean =>
      Math.abs(put.seconds - Math.min(seconds, timeoutMaxSeconds)) <= timeoutToleranceSeconds
    if (isNear(wanted)) return undefined
    // Where the rest is about nothing, either side of the rule will do.
    if (Math.abs(wanted) <= timeoutToleranceSeconds || wanted < 0) {
      if (isNear(fallbackSeconds) || (flow.timeout !== undefined && isNear(flow.timeout))) {
        return undefined
      }
    }
    return `timeout ${put.seconds} s, not ${wanted} s`
  }

  #timeoutOf(key: string, flow: ReferenceFlow, atMs: number): number {
    const fixed = this.#parts.commitTimeoutSeconds()
    if (fixed !== undefined) return fixed
    if (flow.timeout === undefined) return fallbackSeconds
    const ageMs = atMs - (this.#parts.incoming.find(key)?.appliedAtMs ?? atMs)
    return flow.timeout - ageMs / 1_000
  }

  #find(key: string): KernelFlow | undefined {
    const [l4, zone, src, dst, a, b] = key.split("/")
    const tuple = { src: src!, dst: dst!, l4: Number(l4), a: Number(a), b: Number(b) }
    return this.#parts.kernel.kernel!.find(tuple, Number(zone))
  }
}

const lasting = StatusBit.seenReply | StatusBit.assured

/** Bits that packets would set, and those that say that translation is decided. */
const statusComplaint = (flow: ReferenceFlow, is: KernelFlow): string | undefined => {
  let wanted = (flow.status ?? 0) & lasting
  if (flow.snatAddress !== undefined) wanted |= StatusBit.srcNatDone
  if (flow.dnatAddress !== undefined) wanted |= StatusBit.dstNatDone
  const lacking = wanted & ~is.status
  return lacking === 0 ? undefined : `status 0x${is.status.toString(16)}, ${bitsOf(lacking)} lacks`
}

const bitsOf = (status: number): string =>
  Object.entries(StatusBit).filter(([, bit]) => (status & bit) !== 0).map(([name]) => name).join()

const stateComplaint = (
  { sctpState, sctpTagOriginal, sctpTagReply }: ReferenceFlow,
  { sctp }: KernelFlow
): string | undefined => {
  if (sctp === undefined || sctpState === undefined) return undefined
  if (sctpState < 8 && sctp.state !== sctpState) return `SCTP state ${sctp.state}, not ${sctpState}`
  const [original, reply] = sctp.tags
  if (original === (sctpTagOriginal ?? 0) && reply === (sctpTagReply ?? 0)) return undefined
  return `SCTP tags ${original} ${reply}, not ${sctpTagOriginal} ${sctpTagReply}`
}

const seqAdjComplaint = (flow: ReferenceFlow, is: KernelFlow): string | undefined => {
  if (flow.seqAdj === undefined || flow.seqAdj.every((value) => value === 0)) return undefined
  const has = is.seqAdj?.flat() ?? []
  if (flow.seqAdj.every((value, i) => value === has[i])) return undefined
  return `sequence adjustment ${has.join(" ")}, not ${flow.seqAdj.join(" ")}`
}
