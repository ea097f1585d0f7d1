/** One machine as the judge sees it: what it tells, what it is told, and who watches what. */
import type { Replica } from "../../../src/actors/Replica.ts"
import type { Answer, ClientOption, Machine } from "../machine/Machine.ts"
import type { ReferenceFlow } from "../reference/ReferenceWire.ts"
import { CommandWatch } from "./CommandWatch.ts"
import { CommitWatch } from "./CommitWatch.ts"
import type { Court } from "./Court.ts"
import { KernelWatch } from "./KernelWatch.ts"
import type { Ledger, Message } from "./Ledger.ts"
import { Life } from "./Life.ts"
import type { ForeignSpeaker } from "./NetworkWatch.ts"
import { LinkCounts } from "./NetworkWatch.ts"
import { ReceiverWatch } from "./ReceiverWatch.ts"
import { SenderWatch } from "./SenderWatch.ts"

/** What a machine that is not ours shows of itself. */
export interface ForeignWindow {
  declaredLosses(): ReadonlyArray<{ readonly atMs: number; readonly what: string }>
  internalFlows(): ReadonlyArray<ReferenceFlow>
  externalFlows(): ReadonlyArray<ReferenceFlow>
}

export const foreignWindowOf = (machine: Machine): ForeignWindow | undefined =>
  machine.kind === "reference" ? machine as Machine & ForeignWindow : undefined

/** A daemon of ours, running, with those who watch it. */
export interface Running {
  readonly life: Life
  readonly sender: SenderWatch
  readonly receiver: ReceiverWatch
  readonly links: LinkCounts
}

interface Asked {
  readonly option: ClientOption
  readonly atMs: number
}

/** Longest time a client waits for an answer, in milliseconds, while the daemon has turns. */
const answerWithinMs = 60_000

export class Side {
  readonly machine: Machine
  readonly outgoing: Ledger
  readonly incoming: Ledger
  readonly kernel: KernelWatch
  readonly commit: CommitWatch
  readonly commands: CommandWatch
  running: Running | undefined
  /** Of a machine that is not ours. */
  speaker: ForeignSpeaker = { life: 0, built: new Map() }
  /** Declared losses of a machine that is not ours that were looked at. */
  lossesSeen = 0
  readonly #court: Court
  #asked: Array<Asked> = []

  constructor(court: Court, machine: Machine, outgoing: Ledger, incoming: Ledger) {
    this.#court = court
    this.machine = machine
    this.outgoing = outgoing
    this.incoming = incoming
    this.kernel = new KernelWatch(court, machine.name)
    this.commit = new CommitWatch({
      court,
      machine: machine.name,
      kernel: this.kernel,
      incoming,
      commitTimeoutSeconds: () => this.running?.life.replica.settings.sync.commitTimeoutSeconds
    })
    this.commands = new CommandWatch({ court, machine: machine.name, kernel: this.kernel })
    if (machine.kind === "conntrackd") this.kernel.own = this.commit
  }

  boot(
    id: number,
    replica: Replica,
    isPeerOurs: boolean,
    builtBy: (life: number) => ReadonlyMap<number, Message> | undefined
  ): Running {
    const { commit, incoming, kernel, outgoing } = this
    const court = this.#court
    const life = new Life(id, this.machine.name, replica)
    kernel.booted()
    const gaps: { reported?: ReceiverWatch["reported"] } = {}
    const sender = new SenderWatch({
      court,
      life,
      outgoing,
      kernel,
      isPeerOurs,
      builtBy,
      reported: (from, to) => gaps.reported?.(from, to)
    })
    const receiver = new ReceiverWatch({
      court,
      life,
      incoming,
      outgoing,
      sender,
      isPeerForeign: !isPeerOurs,
      flushing: () => commit.flushing()
    })
    this.commands.booted(life)
    gaps.reported = (from, to) => receiver.reported(from, to)
    this.running = { life, sender, receiver, links: new LinkCounts() }
    return this.running
  }

  /** The daemon's life is over: what it knew is gone. */
  end(): void {
    const { name } = this.machine
    this.running = undefined
    this.kernel.ended()
    this.commit.ended()
    this.commands.ended()
    this.outgoing.senderLost(`${name}'s daemon ended`)
    this.outgoing.losses++
    this.incoming.receiverLost(`${name}'s daemon ended`)
    this.incoming.losses++
  }

  // -------------------------------------------------------------------------- requests

  asked(option: ClientOption): void {
    this.#asked.push({ option, atMs: this.#court.nowMs() })
    this.commands.asked(option)
  }

  answered(answer: Answer): void {
    const { isAnswered, option } = answer
    const at = this.#asked.findIndex((asked) => asked.option === option)
    if (at >= 0) this.#asked.splice(at, 1)
    else {
      this.#court.violate(
        "L3",
        `${this.machine.name} answered ${option}, which nobody asked, or answered it twice`
      )
    }
    this.commit.answered(option, isAnswered)
    this.commands.answered(answer)
  }

  /** A client waits. */
  get isAsked(): boolean {
    return this.#asked.length > 0
  }

  /** Nobody gets turns: the clients' patience begins anew. */
  postpone(): void {
    const atMs = this.#court.nowMs()
    this.#asked = this.#asked.map(({ option }) => ({ option, atMs }))
    this.commands.postpone()
  }

  /** L3: the first request that waits for too long; `isOver`: none may wait any more. */
  unanswered(isOver: boolean): string | undefined {
    const latestMs = this.#court.nowMs() - (isOver ? 0 : answerWithinMs)
    const asked = this.#asked.find(({ atMs }) => atMs <= latestMs)
    return asked === undefined
      ? undefined
      : `${this.machine.name} did not answer ${asked.option}, asked at ${asked.atMs} ms`
  }
}
