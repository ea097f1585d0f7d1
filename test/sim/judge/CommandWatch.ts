/**
 * Watches what the operator's commands do to one machine, by the moment they are answered or logged
 * as done. S11: a flush leaves nothing behind, of a cache (`-f`) or of the kernel's table (`-F`, a
 * purge that is due). Q1: `-R` reads the kernel's table. L3: `-n`, `StartupResync` and a request of
 * the peer's lead to a RESYNC or to a bulk send, and `-B` to one before it is answered.
 *
 * A request may overlap with others; what somebody else might have caused meanwhile is not judged.
 *
 * Source: specification, "The synchronisation engines", sections 8.3, 12.4 and 15.
 */
import { FlowView } from "../../../src/core/model/FlowView.ts"
import { Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import type { Answer, ClientOption } from "../machine/Machine.ts"
import { Flag } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { KernelWatch } from "./KernelWatch.ts"
import type { Message } from "./Ledger.ts"
import type { Life } from "./Life.ts"
import { liveSlots } from "./LiveSlots.ts"
import { keyOfKernelFlow, keyOfView, lineOfKey } from "./WireFlow.ts"

/** By then a RESYNC has left, or a bulk send has begun. */
const sendWithinMs = 2_000
/** By then a purge has emptied the kernel's table, however slowly it is read. */
const purgeWithinMs = 5_000
/** A flush that began so long ago has ended: of the kernel's table, with the look that follows. */
const kernelFlushOverMs = 10_000
const cacheFlushOverMs = 2_000
const controlType = 10
const linesMax = 8

/** How long what was logged may take flows out of the internal cache or out of the kernel. */
const flushMsOf = (text: string): number => {
  if (text.startsWith("flushing kernel conntrack table")) return kernelFlushOverMs
  const isCache = text.startsWith("flushing caches") || text.startsWith("flushing internal cache")
  return isCache ? cacheFlushOverMs : 0
}

/** What cancels a purge, even one that is under way. */
const purgeEnds = ["committing all", "flushing caches", "flushing internal cache"]

interface Request {
  readonly option: ClientOption
  readonly life: Life
  readonly atSeconds: number
  readonly moment: number
  /** Of `-F` and `-R`: what the kernel had. */
  readonly flows: ReadonlyMap<KernelFlow, string>
  /** Of `-R`: flows that the internal cache could not take, so far. */
  readonly noSpace: number
  /** What was logged until it was answered. */
  isRefused: boolean
  hasFailed: boolean
  isDisturbed: boolean
  hasBulk: boolean
}

interface Due {
  readonly why: string
  /** Only what was built later counts. */
  readonly moment: number
  atMs: number
}

export interface CommandParts {
  readonly court: Court
  readonly machine: string
  readonly kernel: KernelWatch
}

export class CommandWatch {
  readonly #parts: CommandParts
  readonly #view = new FlowView()
  #life: Life | undefined
  #bootMoment = 0
  #requests: Array<Request> = []
  #resyncMoment = -1
  #resyncDue: Due | undefined
  #bulkDue: Due | undefined
  #purge: { readonly flows: ReadonlyMap<KernelFlow, string>; dueMs: number } | undefined
  #flushingUntilMs = 0

  constructor(parts: CommandParts) {
    this.#parts = parts
  }

  // ------------------------------------------------------------------------- the daemon

  booted(life: Life): void {
    const { court } = this.#parts
    this.ended()
    this.#life = life
    this.#bootMoment = court.nextMoment()
    const { protocol } = life.replica
    const handleMessage = protocol.handleMessage.bind(protocol)
    protocol.handleMessage = (header, nowMs) => {
      const verdict = handleMessage(header, nowMs)
      const { flags, type } = header
      const asksForAll = verdict === Verdict.control && type === controlType &&
        (flags & (Flag.ack | Flag.nack)) === 0 && (flags & Flag.resync) !== 0
      if (asksForAll) {
        this.#bulkDue ??= {
          why: "its peer asked for a resync",
          moment: court.nextMoment(),
          atMs: court.nowMs() + sendWithinMs
        }
      }
      return verdict
    }
  }

  ready(): void {
    if (this.#life?.replica.settings.sync.startupResync !== true) return
    this.#expectResync("StartupResync is on", this.#bootMoment)
  }

  ended(): void {
    this.#life = undefined
    this.#requests = []
    this.#resyncDue = this.#bulkDue = this.#purge = undefined
    this.#flushingUntilMs = 0
  }

  /** The daemon gets no turns. */
  postpone(): void {
    const nowMs = this.#parts.court.nowMs()
    if (this.#resyncDue !== undefined) this.#resyncDue.atMs = nowMs + sendWithinMs
    if (this.#bulkDue !== undefined) this.#bulkDue.atMs = nowMs + sendWithinMs
    if (this.#purge !== undefined) this.#purge.dueMs = nowMs + purgeWithinMs
  }

  /** Datagrams that it sent, or tried to. */
  sent(messages: ReadonlyArray<Message>): void {
    for (const { flags, moment, type } of messages) {
      const isResync = type === controlType && (flags & Flag.resync) !== 0 &&
        (flags & (Flag.ack | Flag.nack)) === 0
      if (!isResync) continue
      this.#resyncMoment = Math.max(this.#resyncMoment, moment)
      if (this.#resyncDue !== undefined && moment > this.#resyncDue.moment) {
        this.#resyncDue = undefined
      }
    }
  }

  tick(): void {
    const { court, machine } = this.#parts
    const nowMs = court.nowMs()
    if (this.#resyncDue !== undefined && this.#resyncDue.atMs < nowMs) {
      court.violate("L3", `${machine} sent no resync request, although ${this.#resyncDue.why}`)
    }
    if (this.#bulkDue !== undefined && this.#bulkDue.atMs < nowMs) {
      court.violate("L3", `${machine} began no bulk send, although ${this.#bulkDue.why}`)
    }
    if (this.#purge !== undefined && this.#purge.dueMs < nowMs) {
      const { flows } = this.#purge
      this.#purge = undefined
      this.#checkKernel(flows, "a purge that was due")
    }
  }

  #expectResync(why: string, moment: number): void {
    if (this.#resyncMoment > moment) return
    this.#resyncDue ??= { why, moment, atMs: this.#parts.court.nowMs() + sendWithinMs }
  }

  // --------------------------------------------------------------------------- requests

  asked(option: ClientOption): void {
    const life = this.#life
    if (life === undefined) return
    const { court } = this.#parts
    this.#requests.push({
      option,
      life,
      atSeconds: life.replica.nowSeconds(),
      moment: court.nextMoment(),
      flows: option === "-F" ? this.#flows() : option === "-R" ? this.#readable() : new Map(),
      noSpace: life.replica.internal.stats.noSpace,
      isRefused: false,
      hasFailed: false,
      isDisturbed: court.nowMs() < this.#flushingUntilMs,
      hasBulk: false
    })
  }

  logged(level: string, text: string): void {
    if (text.startsWith("sending bulk update")) this.#bulkDue = undefined
    const flushMs = flushMsOf(text)
    const isError = level.toLowerCase() === "error"
    for (const request of this.#requests) {
      if (text.startsWith("ignoring flush command")) request.isRefused = true
      else if (isError) request.hasFailed = true
      if (text.startsWith("sending bulk update")) request.hasBulk = true
      if (flushMs > 0) request.isDisturbed = true
    }
    const nowMs = this.#parts.court.nowMs()
    this.#flushingUntilMs = Math.max(this.#flushingUntilMs, flushMs > 0 ? nowMs + flushMs : 0)
    if (text.startsWith("flushing kernel conntrack table (scheduled)")) {
      this.#purge = { flows: this.#flows(), dueMs: nowMs + purgeWithinMs }
    } else if (purgeEnds.some((begin) => text.startsWith(begin)) || isError) {
      this.#purge = undefined
    }
  }

  answered({ isAnswered, option }: Answer): void {
    const at = this.#requests.findIndex((request) => request.option === option)
    if (at < 0) return
    const [request] = this.#requests.splice(at, 1)
    if (isAnswered && request!.life === this.#life) this.#judge(request!)
  }

  #judge(request: Request): void {
    const { court, machine } = this.#parts
    switch (request.option) {
      case "-f":
        if (request.isRefused) return
        this.#checkCache(request, "internal")
        this.#checkCache(request, "external")
        return
      case "-f internal":
        this.#checkCache(request, "internal")
        return
      case "-f external":
        if (!request.isRefused) this.#checkCache(request, "external")
        return
      case "-F":
        if (!request.hasFailed) this.#checkKernel(request.flows, "-F")
        return
      case "-R":
        this.#checkRead(request)
        return
      case "-n":
        this.#expectResync("-n was answered", request.moment)
        return
      case "-B":
        if (!request.hasBulk) court.violate("L3", `${machine} answered -B and began no bulk send`)
        return
      default:
    }
  }

  /** S11: whatever the cache has came after the request. */
  #checkCache({ atSeconds, life, option }: Request, name: "internal" | "external"): void {
    const { court, machine } = this.#parts
    const cache = life.replica[name]
    const left: Array<string> = []
    for (let slot = 0; slot < cache.table.slotsHigh; slot++) {
      if (!cache.holds(slot) || cache.table.createdSeconds(slot) >= atSeconds) continue
      const key = keyOfView(cache.table.view(slot, this.#view))
      left.push(key === undefined ? `slot ${slot}` : lineOfKey(key))
    }
    if (left.length === 0) return
    court.violate(
      "S11",
      `${machine} answered ${option}, and its ${name} cache still has ${left.length} flows`,
      () => [["left", left.slice(0, linesMax)]]
    )
  }

  /** S11: nothing that was there is there now. */
  #checkKernel(flows: ReadonlyMap<KernelFlow, string>, why: string): void {
    const { court, machine } = this.#parts
    const left: Array<string> = []
    for (const [flow, key] of flows) if (!flow.isGone) left.push(lineOfKey(key))
    if (left.length === 0) return
    court.violate(
      "S11",
      `${machine} left ${left.length} flows in its kernel's table after ${why}`,
      () => [["left", left.slice(0, linesMax)]]
    )
  }

  /** Q1: what the kernel had all the time is in the internal cache. */
  #checkRead({ flows, hasFailed, isDisturbed, life, moment, noSpace }: Request): void {
    const { court, kernel, machine } = this.#parts
    if (hasFailed || isDisturbed || life.replica.internal.stats.noSpace > noSpace) return
    const slots = liveSlots(life)
    const missing: Array<string> = []
    for (const [flow, key] of flows) {
      if (flow.isGone || slots.has(key) || kernel.lastMomentOf(key) > moment) continue
      missing.push(lineOfKey(key))
    }
    if (missing.length === 0) return
    court.violate(
      "Q1",
      `${machine} answered -R, and its internal cache lacks ${missing.length} flows of its kernel`,
      () => [["missing", missing.slice(0, linesMax)]]
    )
  }

  #flows(): Map<KernelFlow, string> {
    const flows = new Map<KernelFlow, string>()
    for (const flow of this.#parts.kernel.kernel?.flows ?? []) {
      const key = keyOfKernelFlow(flow)
      if (key !== undefined) flows.set(flow, key)
    }
    return flows
  }

  /** Flows of the kernel's of which no event is on its way. */
  #readable(): Map<KernelFlow, string> {
    const flows = this.#flows()
    for (const [flow, key] of flows) {
      if (!this.#parts.kernel.isCaughtUp(key)) flows.delete(flow)
    }
    return flows
  }
}
