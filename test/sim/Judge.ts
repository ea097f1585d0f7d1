/**
 * Watches a simulation and says the first thing that must not have happened.
 *
 * It sees what an omniscient observer would: every change of every kernel's flows, every byte on
 * the wire, and each call of a daemon's caches and protocol, whose methods it wraps on the
 * instances. Production code knows nothing of it.
 *
 * Source: architecture, section 8.3; specification, "The synchronisation engines", sections 9 to
 * 14 and 22.
 */
import type { Replica } from "../../src/actors/Replica.ts"
import { factsOf, leaked, miscounted } from "./judge/Agreement.ts"
import type { NetworkBooks } from "./judge/Conservation.ts"
import { Conservation } from "./judge/Conservation.ts"
import type { Court } from "./judge/Court.ts"
import type { Message } from "./judge/Ledger.ts"
import { Ledger } from "./judge/Ledger.ts"
import type { Life } from "./judge/Life.ts"
import { loggedMarks } from "./judge/Marks.ts"
import { isPlausible, NetworkWatch } from "./judge/NetworkWatch.ts"
import type { Problem } from "./judge/Settlement.ts"
import { problemOf } from "./judge/Settlement.ts"
import type { Running } from "./judge/Side.ts"
import { foreignWindowOf, Side } from "./judge/Side.ts"
import { Silence } from "./judge/Silence.ts"
import type { DeclaredLoss, Fact, Invariant, Verdict } from "./judge/Verdict.ts"
import { invariants, noRoomLosses, notYetApplicable } from "./judge/Verdict.ts"
import type {
  Answer,
  ClientOption,
  Ending,
  Machine,
  MachineName,
  Witness
} from "./machine/Machine.ts"
import type { NetworkObserver, SentDatagram } from "./network/Datagram.ts"
import type { ReferenceFlow } from "./reference/ReferenceWire.ts"
import type { World } from "./World.ts"

export type { DeclaredLoss, Verdict } from "./judge/Verdict.ts"

export interface JudgeOptions {
  /** All machines of the simulation; asked when needed. */
  readonly machines: () => ReadonlyArray<Machine>
}

/** What the judge must know of a network. */
export interface JudgedNetwork {
  observe(observer: NetworkObserver): unknown
  /** Undefined: it keeps none. */
  readonly books?: NetworkBooks
}

/** Fiber turns of all daemons between two ticks of 100 ms. */
const turnsPerTickMax = 500_000
/** Messages beyond one per flow that may wait to be sent. */
const controlsWaitingMax = 10_000
export class Judge implements Witness, NetworkObserver {
  readonly marks = new Map<string, number>()
  readonly notYetApplicable = notYetApplicable
  readonly declaredLosses: Array<DeclaredLoss> = []
  readonly #world: World
  readonly #options: JudgeOptions
  readonly #court: Court
  readonly #wire: NetworkWatch
  readonly #books: NetworkBooks | undefined
  readonly #conservation = new Conservation()
  readonly #sides = new Map<string, Side>()
  readonly #ledgers = new Map<string, Ledger>()
  readonly #built = new Map<number, Map<number, Message>>()
  /** Who has lost what while settling, because there was no room. */
  readonly #hadNoRoom = new Set<string>()
  #isSettling = false
  #lives = 0
  #moments = 0
  #turns = 0
  #silence: Silence | undefined
  #verdict: Verdict | undefined

  constructor(world: World, network: JudgedNetwork, options: JudgeOptions) {
    this.#world = world
    this.#options = options
    this.#court = {
      nowMs: () => world.nowMs,
      nextMoment: () => ++this.#moments,
      violate: (invariant, sentence, facts) => this.#violate(invariant, sentence, facts),
      mark: (name) => void this.marks.set(name, (this.marks.get(name) ?? 0) + 1),
      declare: (machine, what) => this.#declare({ atMs: world.nowMs, machine, what })
    }
    this.#wire = new NetworkWatch(this.#court)
    this.#books = network.books
    network.observe(this)
  }

  /** The first violation, which ends the run. */
  get verdict(): Verdict | undefined {
    return this.#verdict
  }

  /**
   * A queue or a cache that is too small for a bulk send loses something in every one. Somebody who
   * asks for another because of that would never come to an end: while settling, once is enough.
   */
  #declare(loss: DeclaredLoss, isForeign = false): void {
    if (this.#isSettling && (isForeign || noRoomLosses.has(loss.what))) {
      const name = `${loss.machine}: ${loss.what.replace(/\d+/g, "")}`
      if (this.#hadNoRoom.has(name)) return
      this.#hadNoRoom.add(name)
    }
    this.declaredLosses.push(loss)
  }

  #violate(invariant: Invariant, sentence: string, facts?: () => ReadonlyArray<Fact>): void {
    this.#verdict ??= {
      invariant,
      name: invariants[invariant],
      sentence,
      atMs: this.#world.nowMs,
      facts: facts?.() ?? []
    }
  }

  // ------------------------------------------------------------------------ the runner

  /** Every 100 ms of simulated time: S9, and what is overdue. */
  tick(): void {
    const turns = this.#world.turns - this.#turns
    this.#turns = this.#world.turns
    if (turns > turnsPerTickMax) this.#violate("S9", `${turns} turns within 100 ms`)
    for (const side of this.#sides.values()) {
      this.#noteForeignLosses(side)
      if (side.machine.state !== "running") {
        side.postpone()
        side.running?.receiver.postpone()
        continue
      }
      const late = side.unanswered(false)
      if (late !== undefined) this.#violate("L3", late)
      side.commands.tick()
      if (side.running !== undefined) this.#checkRunning(side, side.running)
    }
  }

  #checkRunning({ machine: { name } }: Side, { life, links, receiver }: Running): void {
    receiver.tick()
    const { internal, external, protocol, settings } = life.replica
    const { resendQueueObjects } = settings.sync
    if (protocol.resendLength > resendQueueObjects) {
      this.#violate("S9", `${name} keeps ${protocol.resendLength} unacknowledged messages`)
    }
    if (protocol.txLength > internal.table.size + controlsWaitingMax) {
      this.#violate("S9", `${name} has ${protocol.txLength} messages to send`)
    }
    for (const { table } of [internal, external]) {
      if (table.size > settings.general.hashLimitEntries) {
        this.#violate("S9", `${name} has ${table.size} flows in one cache`)
      }
    }
    const leak = leaked(life)
    if (leak !== undefined) this.#violate("Q5", leak)
    const difference = links.difference(life)
    if (difference !== undefined) this.#violate("S10", `${name} counts ${difference}`)
  }

  /** Faults and traffic have stopped. */
  beginSettling(): void {
    this.#isSettling = true
  }

  /** Everything agrees and every queue is empty. */
  isSettled(): boolean {
    return this.#problem() === undefined
  }

  /** The time to settle is over, and `isSettled` never said yes: says what is wrong. */
  notSettled(): void {
    const problem = this.#problem()
    if (problem === undefined) {
      this.#violate("L1", "what disagreed agrees now, but it took too long")
      return
    }
    const { found = [], invariant, sentence } = problem
    this.#violate(invariant, sentence, () => factsOf(found))
  }

  /** From now on an idle, settled pair is watched. */
  beginQuiet(): void {
    this.#silence = new Silence(this.#court, this.#sides)
  }

  /** L4. */
  endQuiet(): void {
    this.#silence?.end()
    this.#silence = undefined
  }

  /** Q4: how many connections live on after a failover, and which died that must not have. */
  judgeSurvivors(survivors: number, dead: ReadonlyArray<string>): void {
    if (survivors > 0) this.#court.mark("connections survived a failover")
    if (dead.length === 0) return
    this.#violate(
      "Q4",
      `${dead.length} of ${survivors + dead.length} connections did not survive the failover`,
      () => [["dead", dead]]
    )
  }

  /** What a machine holds of its peer's flows, as it was told. */
  toldTo(machine: Machine): Iterable<ReferenceFlow> {
    return foreignWindowOf(machine)?.externalFlows() ?? this.#sideOf(machine).incoming.held.values()
  }

  /** The run is over; daemons may still run. L3, S10. */
  finish(): void {
    const running = new Map<MachineName, Life>()
    for (const side of this.#sides.values()) {
      const late = side.unanswered(true)
      if (late !== undefined && side.machine.state !== "paused") this.#violate("L3", late)
      if (side.running === undefined) continue
      this.#checkBooks(side.running, true)
      running.set(side.machine.name, side.running.life)
    }
    if (this.#books === undefined) return
    const difference = this.#conservation.difference(this.#books, running)
    if (difference !== undefined) this.#violate("S10", difference)
  }

  /** S10; S5: what was lost by declaration was also noticed, if there was time for it. */
  #checkBooks({ life, sender }: Running, hadTime: boolean): void {
    const wrong = miscounted(life)
    if (wrong !== undefined) this.#violate("S10", wrong)
    if (!hadTime) return
    // What happened within the last second is logged in a moment.
    const logged = sender.overflowLogged + life.replica.overflow.dropped
    if (sender.isOverflowUnclear || sender.overflowed === logged) return
    this.#violate(
      "S5",
      `${life.machine} lost ${sender.overflowed} states to a full resend queue, ` +
        `its log says ${sender.overflowLogged}`
    )
  }

  // ------------------------------------------------------------------------ settlement

  #problem(): Problem | undefined {
    for (const side of this.#sides.values()) this.#noteForeignLosses(side)
    for (const side of this.#sides.values()) {
      const problem = problemOf(side, this.#sides.get(side.machine.peerName))
      if (problem !== undefined) return problem
    }
    return undefined
  }

  /** Losses of a peer that is not ours excuse what it told, and what it was told. */
  #noteForeignLosses(side: Side): void {
    const losses = foreignWindowOf(side.machine)?.declaredLosses() ?? []
    for (; side.lossesSeen < losses.length; side.lossesSeen++) {
      const { what } = losses[side.lossesSeen]!
      this.#declare({ atMs: this.#world.nowMs, machine: side.machine.name, what }, true)
      for (const ledger of [side.outgoing, side.incoming]) {
        ledger.senderLost(`${side.machine.name}: ${what}`)
        ledger.losses++
      }
    }
  }

  // ----------------------------------------------------------------------- the machines

  #sideOf(machine: Machine): Side {
    let side = this.#sides.get(machine.name)
    if (side === undefined) {
      const { name, peerName } = machine
      side = new Side(
        this.#court,
        machine,
        this.#ledger(name, peerName),
        this.#ledger(peerName, name)
      )
      this.#sides.set(name, side)
    }
    return side
  }

  #ledger(sender: string, receiver: string): Ledger {
    const name = `${sender}${receiver}`
    let ledger = this.#ledgers.get(name)
    if (ledger === undefined) {
      ledger = new Ledger(this.#court, sender, receiver)
      this.#ledgers.set(name, ledger)
    }
    return ledger
  }

  booted(machine: Machine, replica: Replica): void {
    const peer = this.#options.machines().find(({ name }) => name === machine.peerName)
    const running = this.#sideOf(machine).boot(
      ++this.#lives,
      replica,
      peer?.kind !== "reference",
      (life) => this.#built.get(life)
    )
    this.#built.set(running.life.id, running.life.built)
  }

  ready(machine: Machine): void {
    const side = this.#sideOf(machine)
    if (side.running !== undefined) side.running.life.isReady = true
    side.commands.ready()
    if (machine.kind !== "reference") return
    side.speaker = { life: ++this.#lives, built: new Map() }
    this.#built.set(side.speaker.life, side.speaker.built)
  }

  ended(machine: Machine, ending: Ending, leaks: ReadonlyArray<string>, reason?: string): void {
    const side = this.#sideOf(machine)
    const { name } = machine
    if (machine.kind === "conntrackd") {
      if (ending === "crashed" || ending === "failed to start") {
        this.#violate(
          "S12",
          `${name}'s daemon ${ending}`,
          () => [["why", (reason ?? "").split("\n")]]
        )
      }
      if (leaks.length > 0) {
        this.#violate("S12", `${name}'s daemon left something behind`, () => [["leaks", leaks]])
      }
    }
    const { running } = side
    if (running !== undefined) {
      running.life.hasEnded = true
      this.#checkBooks(running, ending === "stopped")
      this.#conservation.ended(name, running.life)
      if (running.sender.mirror.flowCount > 0) this.#court.mark(`${ending} with unacknowledged`)
    }
    this.#court.mark(ending)
    this.#court.declare(name, ending)
    side.end()
  }

  kernelMade(machine: Machine): void {
    this.#sideOf(machine).kernel.watch(machine.kernel)
  }

  logged(machine: Machine, level: string, text: string): void {
    const side = this.#sideOf(machine)
    if (machine.kind === "reference") return
    side.commit.logged(text)
    side.commands.logged(level, text)
    for (const [begin, mark] of loggedMarks) if (text.startsWith(begin)) this.#court.mark(mark)
    const overflow = /^the resend queue is full: (\d+) unacknowledged/.exec(text)
    if (overflow !== null && side.running !== undefined) {
      side.running.sender.overflowLogged += Number(overflow[1])
    }
    if (text.includes("actor failed, the daemon stops")) {
      this.#violate("S12", `${machine.name}: ${text.split("\n")[0]}`, () => [
        ["the log", text.split("\n")]
      ])
    }
  }

  asked(machine: Machine, option: ClientOption): void {
    this.#sideOf(machine).asked(option)
  }

  answered(machine: Machine, answer: Answer): void {
    this.#sideOf(machine).answered(answer)
  }

  // ------------------------------------------------------------------------ the network

  sent(datagram: SentDatagram): void {
    const side = this.#sides.get(datagram.from)
    if (side === undefined || datagram.origin === "injected") return
    const { outgoing, running, speaker } = side
    if (running === undefined) {
      if (side.machine.kind === "reference") this.#wire.sentByOther(datagram, speaker, outgoing)
      return
    }
    this.#wire.sentByUs(datagram, running.life)
    const { links } = running
    if (datagram.origin === "refused") links.refused++
    else {
      links.sent++
      links.sentBytes += datagram.bytes.length
    }
    const messages = this.#wire.messagesOf(datagram, datagram.bytes) ?? []
    side.commands.sent(messages)
    this.#silence?.sent(datagram.from, messages)
  }

  read(datagram: SentDatagram, _copy: number, bytes: Uint8Array): void {
    const side = this.#sides.get(datagram.to)
    const running = side?.running
    if (running === undefined) {
      if (side?.machine.kind === "reference") this.#readByOther(side, datagram, bytes)
      return
    }
    running.links.read++
    running.links.readBytes += bytes.length
    running.receiver.read(datagram.link, this.#wire.messagesOf(datagram, bytes), bytes)
  }

  /** What a peer that is not ours makes of bytes that nobody sent cannot be seen. */
  #readByOther({ incoming, machine, outgoing }: Side, datagram: SentDatagram, bytes: Uint8Array) {
    if (this.#wire.messagesOf(datagram, bytes) !== undefined || !isPlausible(bytes)) return
    if (!incoming.isPoisoned) this.#court.declare(machine.name, "may have taken noise for messages")
    incoming.isPoisoned = outgoing.isPoisoned = true
  }
}
