/**
 * Watches what the operator's commands do to one machine, by the moment they are answered or logged
 * as done. L3: `-n`, `StartupResync` and a request of the peer's lead to a RESYNC or to a bulk send,
 * and `-B` to one before it is answered.
 *
 * A request may overlap with others; what somebody else might have caused meanwhile is not judged.
 *
 * Source: specification, "The synchronisation engines", sections 8.3, 12.4 and 15.
 */
import { Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import type { Answer, ClientOption } from "../machine/Machine.ts"
import { Flag } from "../reference/ReferenceWire.ts"
import type { Court } from "./Court.ts"
import type { Message } from "./Ledger.ts"
import type { Life } from "./Life.ts"

/** By then a RESYNC has left, or a bulk send has begun. */
const sendWithinMs = 2_000
const controlType = 10

interface Request {
  readonly option: ClientOption
  readonly life: Life
  readonly moment: number
  /** A bulk send was logged until it was answered. */
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
}

export class CommandWatch {
  readonly #parts: CommandParts
  #life: Life | undefined
  #bootMoment = 0
  #requests: Array<Request> = []
  #resyncMoment = -1
  #resyncDue: Due | undefined
  #bulkDue: Due | undefined

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
    this.#resyncDue = this.#bulkDue = undefined
  }

  /** The daemon gets no turns. */
  postpone(): void {
    const nowMs = this.#parts.court.nowMs()
    if (this.#resyncDue !== undefined) this.#resyncDue.atMs = nowMs + sendWithinMs
    if (this.#bulkDue !== undefined) this.#bulkDue.atMs = nowMs + sendWithinMs
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
      moment: court.nextMoment(),
      hasBulk: false
    })
  }

  logged(text: string): void {
    if (text.startsWith("sending bulk update")) this.#bulkDue = undefined
    for (const request of this.#requests) {
      if (text.startsWith("sending bulk update")) request.hasBulk = true
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
      case "-n":
        this.#expectResync("-n was answered", request.moment)
        return
      case "-B":
        if (!request.hasBulk) court.violate("L3", `${machine} answered -B and began no bulk send`)
        return
      default:
    }
  }
}
