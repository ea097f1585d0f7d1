/**
 * The connections of the clients behind one pair of firewalls: opened, used and closed through
 * whoever holds the virtual address. They know what must survive a failover.
 *
 * The ends of a connection know nothing of the firewalls: their packets go to the holder of the
 * address and come out translated, or they do not come out. So nothing here survives by being
 * remembered; flows are looked up in the kernel the packets go to. TCP tracking is strict: data of
 * a connection that the kernel does not know is invalid, and sent again until it gets through or
 * the ends give up. Anything else makes a new flow, as on a real firewall.
 *
 * Randomness is keyed: what connection n is depends on n alone.
 */
import type { Stream } from "../Dice.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow, KernelTuple } from "../kernel/KernelFlow.ts"
import { hasPorts, inverted, isSameTuple, keyOf } from "../kernel/KernelFlow.ts"
import type { Connection } from "../kernel/KernelTraffic.ts"
import { KernelTraffic, translatedTuple } from "../kernel/KernelTraffic.ts"
import type { Machine, MachineName } from "../machine/Machine.ts"
import type { World } from "../World.ts"
import type { Change } from "./Conversation.ts"
import { begin, goOn, greet, sayGoodbye, talk } from "./Conversation.ts"
import type { PacketVerdict, Snapshot, SurvivorReport } from "./Survivors.ts"
import { checkSurvivors, flowIn, isEstablished, tryPackets } from "./Survivors.ts"
import type { ConnectionOptions, Phase, TrafficKind, Translated } from "./TrafficConnection.ts"
import { TrafficConnection } from "./TrafficConnection.ts"

export interface TrafficOptions {
  readonly world: World
  /**
   * Who holds the virtual address now, the first to hold first: `operator.holdersOf("A")`. Several
   * in a split brain; connections of `openAt` then stay on their side, all others go to the first.
   */
  readonly holders: () => ReadonlyArray<Machine>
  /** Name of the stream of throws. Default "traffic". */
  readonly stream?: string
  /** Number of the pair, from 0: pairs have clients and addresses of their own. */
  readonly network?: number
  /** The firewalls have rules that translate: all flows carry both DONE bits. */
  readonly hasNatRules?: boolean
  /** A rule sets labels, and the kernels have room for them: updates set some. */
  readonly labels?: boolean
  /** After so long without a packet that passes, the ends of a connection give up. */
  readonly giveUpMs?: number
}

/** How connections are opened, beyond the usual. */
export interface OpenOptions {
  /** Default 0. */
  readonly zone?: number
  /** All get through their handshake, or none gets an answer. Default: most do. */
  readonly established?: boolean
}

/** How many of what happened. Numbers only grow. */
export interface TrafficCounters {
  opened: number
  /** No room in the kernel's table, or no port left to translate to. */
  refused: number
  /** Nobody held the address. */
  unanswered: number
  reopened: number
  closed: number
  reset: number
  expired: number
  updated: number
  /** Packets that were invalid or met no firewall, and will be sent again. */
  invalid: number
  /** Flows that packets of known connections made anew. */
  renewed: number
  /** Translated ports that were given away under a connection which the kernel did not know. */
  clashed: number
  /** Connections whose ends gave up. */
  lost: number
}

const giveUpDefaultMs = 60_000
/** Attempts to find a free port. */
const triesMax = 128
/** Ended connections that can be opened again. */
const endedMax = 256

export class Traffic {
  readonly counters: TrafficCounters = {
    opened: 0,
    refused: 0,
    unanswered: 0,
    reopened: 0,
    closed: 0,
    reset: 0,
    expired: 0,
    updated: 0,
    invalid: 0,
    renewed: 0,
    clashed: 0,
    lost: 0
  }
  readonly #options: TrafficOptions
  readonly #dice: Stream
  readonly #picks: Stream
  readonly #changes: Stream
  readonly #alive: Array<TrafficConnection> = []
  /** Living connections by the tuple of their answers: who has a translated port. */
  readonly #byReply = new Map<string, TrafficConnection>()
  readonly #ended: Array<TrafficConnection> = []
  readonly #drivers = new WeakMap<FakeKernel, KernelTraffic>()
  /** Number of the next connection. */
  #next = 0

  constructor(options: TrafficOptions) {
    const { stream = "traffic", world } = options
    this.#options = options
    this.#dice = world.dice.stream(stream)
    this.#picks = world.dice.stream(`${stream}/picks`)
    this.#changes = world.dice.stream(`${stream}/changes`)
  }

  /** The connections whose ends still want them. */
  get alive(): ReadonlyArray<TrafficConnection> {
    return this.#alive
  }

  // ------------------------------------------------------------------------------ opening

  /** Opens so many connections through whoever holds the address. */
  open(
    count: number,
    kind: TrafficKind,
    translated: boolean | Translated = false,
    family: 4 | 6 = 4,
    more: OpenOptions = {}
  ): void {
    const machine = this.#holders()[0]
    const options = this.#connectionOptions(kind, translated, family, more)
    for (let i = 0; i < count; i++) this.#openOne(machine, undefined, options)
  }

  /** The same on one side of a split brain, where they stay as long as it holds the address. */
  openAt(
    machine: Machine,
    count: number,
    kind: TrafficKind,
    translated: boolean | Translated = false,
    family: 4 | 6 = 4,
    more: OpenOptions = {}
  ): void {
    const options = this.#connectionOptions(kind, translated, family, more)
    machine.kernel.advanceTo(Math.floor(this.#options.world.nowMs))
    for (let i = 0; i < count; i++) this.#openOne(machine, machine.name, options)
  }

  /**
   * Clients open so many of the ended connections again, with the same tuples: a new generation.
   * Those go first that ended last. What is left of the former generation in TIME_WAIT or CLOSE
   * makes room, as for any SYN; a flow in any other state is in the way, and nothing is opened.
   */
  reopen(count: number): void {
    for (let i = 0; i < count; i++) {
      const connection = this.#ended.pop()
      if (connection === undefined) return
      const machine = this.#machineOf(connection, this.#holders())
      if (machine === undefined) continue
      const old = machine.kernel.find(connection.original, connection.zone)
      if (old !== undefined) {
        if (old.tcp === undefined || old.tcp.state < 7) continue
        machine.kernel.remove(old)
      }
      this.counters.reopened++
      connection.startAgain()
      this.#begin(connection, machine)
    }
  }

  #connectionOptions(
    kind: TrafficKind,
    translated: boolean | Translated,
    family: 4 | 6,
    { established, zone = 0 }: OpenOptions
  ): ConnectionOptions {
    const { hasNatRules = false, network = 0 } = this.#options
    const isAny = translated === true
    return {
      kind,
      translated: isAny ? "any" : translated === false ? "none" : translated,
      family,
      zone,
      established,
      network,
      hasNatRules
    }
  }

  #openOne(
    machine: Machine | undefined,
    pinnedTo: MachineName | undefined,
    options: ConnectionOptions
  ): void {
    const connection = new TrafficConnection(this.#next++, options, this.#dice)
    connection.pinnedTo = pinnedTo
    this.#begin(connection, machine)
    if (!connection.hasData(this.#dice)) return
    const data = new TrafficConnection(this.#next++, options, this.#dice, connection)
    data.pinnedTo = pinnedTo
    this.#begin(data, machine)
  }

  #begin(connection: TrafficConnection, machine: Machine | undefined): void {
    if (machine === undefined || machine.state === "off") {
      this.counters.unanswered++
      connection.phase = "refused"
      return
    }
    const flow = this.#track(connection, machine)
    if (flow === undefined) {
      this.counters.refused++
      connection.phase = "refused"
      return
    }
    this.counters.opened++
    connection.slot = this.#alive.length
    this.#alive.push(connection)
    greet(this.#driver(machine.kernel), connection, flow)
  }

  /** The first packet: the kernel makes a flow of it, or cannot. */
  #track(connection: TrafficConnection, machine: Machine): KernelFlow | undefined {
    const { kernel } = machine
    const rules = this.#translated(connection, kernel)
    if (rules === undefined) return undefined
    const flow = begin(this.#driver(kernel), connection, rules)
    if (flow === undefined) return undefined
    connection.kernel = kernel
    connection.flow = flow
    this.#setReply(connection, flow.reply)
    return flow
  }

  /** The rules with a source port that is free on this kernel; undefined when there is none. */
  #translated(connection: TrafficConnection, kernel: FakeKernel): Connection | undefined {
    const { l4, original, wanted, zone } = connection
    const master = connection.master === undefined
      ? undefined
      : this.#lookUp(connection.master, kernel)
    const rules = master === undefined ? wanted : { ...wanted, master }
    if (wanted.snat === undefined || !hasPorts(l4)) return rules
    const sent = translatedTuple(original, wanted)
    let port = sent.a
    for (let i = 0; i < triesMax; i++) {
      if (kernel.find(inverted({ ...sent, a: port }), zone) === undefined) {
        return { ...rules, snat: { ...wanted.snat, port } }
      }
      port = connection.otherPort(this.#dice, i)
    }
    return undefined
  }

  #setReply(connection: TrafficConnection, reply: KernelTuple): void {
    this.#forgetReply(connection)
    connection.reply = reply
    const key = keyOf(reply, connection.zone)
    const former = this.#byReply.get(key)
    // The kernel knew nothing of the one who has it: after a failover, or in a split brain.
    if (former !== undefined && former !== connection) {
      former.clashedMs = connection.clashedMs = this.#options.world.nowMs
      this.counters.clashed++
    }
    this.#byReply.set(key, connection)
  }

  #forgetReply(connection: TrafficConnection): void {
    if (connection.reply === undefined) return
    const key = keyOf(connection.reply, connection.zone)
    if (this.#byReply.get(key) === connection) this.#byReply.delete(key)
  }

  // ------------------------------------------------------------------------------- using

  /**
   * So many connections go on in their lives: the next state, an answer, a mark, a label. Nothing
   * of those whose packets do not get through at the moment.
   */
  update(count: number, change: Change = "any"): void {
    const { labels = false } = this.#options
    const holders = this.#holders()
    for (let i = 0; i < count; i++) {
      const connection = this.#pick()
      if (connection === undefined) return
      const flow = this.#flowOf(connection, holders)
      if (flow === undefined) continue
      const number = this.counters.updated++
      const chance = { choice: this.#changes.at(number), number, hasLabels: labels }
      const driver = this.#driver(connection.kernel!)
      if (goOn(driver, connection, flow, change, chance) === "closed") {
        this.counters.closed++
        this.#end(connection, "closed")
      }
    }
  }

  /**
   * A packet of every established connection in both directions, as they come all the time: call
   * it every few seconds. Timeouts start anew; UDP becomes assured. Where the kernel knows nothing
   * of the connection, TCP and SCTP try again later and others make a new flow.
   *
   * With `parts`, only one part of the connections speaks: a parted beat bursts less.
   */
  beat(part = 0, parts = 1): void {
    const { giveUpMs = giveUpDefaultMs, world } = this.#options
    const holders = this.#holders()
    // Backwards, as those that end leave the list.
    for (let i = this.#alive.length - 1; i >= 0; i--) {
      const connection = this.#alive[i]!
      if (connection.index % parts !== part) continue
      const flow = this.#flowOf(connection, holders)
      if (flow !== undefined && flow.tcp?.state !== 1) {
        connection.unheardSinceMs = undefined
        // The commit put the former entry in the place of the one that was made anew.
        if (connection.renewedMs !== undefined && connection.reply !== flow.reply) {
          this.#setReply(connection, flow.reply)
        }
        if (connection.phase === "open") talk(this.#driver(connection.kernel!), connection, flow)
        continue
      }
      const machine = this.#machineOf(connection, holders)
      if (flow === undefined && machine !== undefined && !isStrict(connection)) {
        if (this.#renew(connection, machine)) continue
      }
      // A SYN that nobody answers is no lost connection.
      if (flow !== undefined && !connection.isAnswered) continue
      this.counters.invalid++
      connection.unheardSinceMs ??= world.nowMs
      if (world.nowMs - connection.unheardSinceMs >= giveUpMs) {
        this.counters.lost++
        this.#end(connection, "lost")
      }
    }
  }

  #renew(connection: TrafficConnection, machine: Machine): boolean {
    const flow = this.#track(connection, machine)
    if (flow === undefined) return false
    this.counters.renewed++
    connection.renewedMs = this.#options.world.nowMs
    greet(this.#driver(machine.kernel), connection, flow)
    return true
  }

  // ------------------------------------------------------------------------------ ending

  /** So many connections are over: TCP says goodbye, the others fall silent. */
  close(count: number): void {
    const holders = this.#holders()
    for (let i = 0; i < count; i++) {
      const connection = this.#pick()
      if (connection === undefined) return
      const flow = this.#flowOf(connection, holders)
      if (flow !== undefined) sayGoodbye(this.#driver(connection.kernel!), flow)
      this.counters.closed++
      this.#end(connection, "closed")
    }
  }

  /** One end of so many TCP connections tears them down; of others the kernel is told to forget. */
  reset(count: number): void {
    const holders = this.#holders()
    for (let i = 0; i < count; i++) {
      const connection = this.#pick()
      if (connection === undefined) return
      const flow = this.#flowOf(connection, holders)
      if (flow?.tcp !== undefined) this.#driver(connection.kernel!).resetTcp(flow)
      else if (flow !== undefined) connection.kernel!.remove(flow)
      this.counters.reset++
      this.#end(connection, "reset")
    }
  }

  /** So many connections are silent until their flows are gone. */
  expire(count: number): void {
    const holders = this.#holders()
    for (let i = 0; i < count; i++) {
      const connection = this.#pick()
      if (connection === undefined) return
      const flow = this.#flowOf(connection, holders)
      if (flow !== undefined) connection.kernel!.remove(flow)
      this.counters.expired++
      this.#end(connection, "expired")
    }
  }

  #end(connection: TrafficConnection, phase: Phase): void {
    connection.phase = phase
    this.#forgetReply(connection)
    const last = this.#alive.pop()!
    if (last !== connection) {
      this.#alive[connection.slot] = last
      last.slot = connection.slot
    }
    connection.slot = -1
    connection.flow = undefined
    connection.kernel = undefined
    if (phase === "lost") return
    if (this.#ended.length >= endedMax) this.#ended.splice(0, endedMax / 2)
    this.#ended.push(connection)
  }

  // ----------------------------------------------------------------------------- judging

  /** One packet in each direction of every living connection: what became of it. */
  tryPackets(): ReadonlyArray<PacketVerdict> {
    const holders = this.#holders()
    return this.#alive.map((connection) => this.#try(connection, holders))
  }

  /**
   * What must survive a failover that begins now: the connections that are established where
   * their packets go, and replicated. The caller knows the latter: the daemon of the machine that
   * becomes primary has the flow (`connection.original`, `connection.reply`, `zone`) in its
   * external cache, as established, and of this generation. Sends no packets.
   */
  snapshotReplicated(isReplicated: (connection: TrafficConnection) => boolean): Snapshot {
    const holders = this.#holders()
    const remembered: Array<{ connection: TrafficConnection; generation: number }> = []
    for (const connection of this.#alive) {
      const machine = this.#machineOf(connection, holders)
      if (connection.phase !== "open" || machine === undefined) continue
      const flow = flowIn(connection, machine.kernel)
      if (flow === undefined || !isEstablished(flow) || !isReplicated(connection)) continue
      remembered.push({ connection, generation: connection.generation })
    }
    return { atMs: this.#options.world.nowMs, remembered, commitEndedMs: undefined }
  }

  /**
   * Who survived. Call it when the commit is over, at once: committed entries may have seconds to
   * live. Later, set `snapshot.commitEndedMs`, and let packets flow (`beat`) in between.
   * `isRefused`: the kernel refused the entry, for lack of room or because a test told it to.
   */
  checkSurvivors(
    snapshot: Snapshot,
    isRefused: (connection: TrafficConnection) => boolean = () => false
  ): SurvivorReport {
    const holders = this.#holders()
    const heard = this.#alive.filter(({ unheardSinceMs }) => unheardSinceMs === undefined)
    const living = new Set(heard.map(({ original, zone }) => keyOf(original, zone)))
    return checkSurvivors(snapshot, {
      isRefused,
      isOver: (original, zone) => !living.has(keyOf(original, zone)),
      verdictOf: (connection) => this.#try(connection, holders),
      kernelOf: (connection) => this.#machineOf(connection, holders)?.kernel
    })
  }

  /** Its flow where its packets go now, whatever its translation. */
  flow(connection: TrafficConnection): KernelFlow | undefined {
    return this.#flowOf(connection, this.#holders())
  }

  #try(connection: TrafficConnection, holders: ReadonlyArray<Machine>): PacketVerdict {
    return tryPackets(connection, this.#machineOf(connection, holders), this.#driver)
  }

  // ----------------------------------------------------------------------------- inside

  readonly #driver = (kernel: FakeKernel): KernelTraffic => {
    let driver = this.#drivers.get(kernel)
    if (driver === undefined) {
      driver = new KernelTraffic(kernel)
      this.#drivers.set(kernel, driver)
    }
    return driver
  }

  /** Who has the address. Their kernels learn what time it is: flows are not looked up always. */
  #holders(): ReadonlyArray<Machine> {
    const holders = this.#options.holders()
    const nowMs = Math.floor(this.#options.world.nowMs)
    for (const { kernel } of holders) kernel.advanceTo(nowMs)
    return holders
  }

  #machineOf(
    { pinnedTo }: TrafficConnection,
    holders: ReadonlyArray<Machine>
  ): Machine | undefined {
    if (pinnedTo === undefined || holders.length < 2) return holders[0]
    return holders.find(({ name }) => name === pinnedTo) ?? holders[0]
  }

  #flowOf(
    connection: TrafficConnection,
    holders: ReadonlyArray<Machine>
  ): KernelFlow | undefined {
    const machine = this.#machineOf(connection, holders)
    return machine === undefined ? undefined : this.#lookUp(connection, machine.kernel)
  }

  #lookUp(connection: TrafficConnection, kernel: FakeKernel): KernelFlow | undefined {
    const known = connection.flow
    if (known !== undefined && connection.kernel === kernel && !known.isGone) return known
    const { original, zone } = connection
    const flow = kernel.find(original, zone)
    if (flow === undefined || !isSameTuple(flow.original, original)) return undefined
    connection.kernel = kernel
    connection.flow = flow
    return flow
  }

  /** One of the living. */
  #pick(): TrafficConnection | undefined {
    return this.#alive[Math.floor(this.#picks.next() * this.#alive.length)]
  }
}

/** Its packets cannot make a flow in the middle of the connection. */
const isStrict = ({ l4 }: TrafficConnection): boolean => l4 === 6 || l4 === 132
