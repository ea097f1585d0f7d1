/**
 * Does what a plan says, at the times it says: every step becomes a change of the cluster, and one
 * that is meant to last is taken back when its time is over. `stop` takes everything back at once.
 */
import type { Cluster, Pair } from "./Cluster.ts"
import type { Stream } from "./Dice.ts"
import type { MachineName } from "./machine/Machine.ts"
import type { Plan, Step, StepOf } from "./plan/Plan.ts"
import { errnos, pairOf, peerOf, stepsInOrder } from "./plan/Plan.ts"

/** When a step that is spread over time does one part. */
const partMs = 20
const noiseBytesMax = 400

export class Steps {
  /** How many of each kind were done. */
  readonly done = new Map<Step["_tag"], number>()
  readonly #cluster: Cluster
  readonly #plan: Plan
  readonly #noise: Stream
  /** Interfaces that are not as they should be: "A/0" → what is missing. */
  readonly #interfaces = new Map<string, { isUp: boolean; hasCarrier: boolean }>()
  /** Who gives in when a split brain is over, by pair. */
  readonly #brains = new Map<number, MachineName>()
  #noises = 0
  #isStopped = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#plan = cluster.plan
    this.#noise = cluster.world.dice.stream("noise")
  }

  /** Sets a timer for every step. Clocks that are wrong from the beginning are so at once. */
  schedule(): void {
    const { world } = this.#cluster
    for (const step of stepsInOrder(this.#plan)) {
      if (step.atMs === 0 && (step._tag === "SequenceNear" || step._tag === "ClockJump")) {
        this.#do(step)
      } else world.after(step.atMs, () => this.#isStopped || this.#do(step))
    }
  }

  /** Nothing fails any more, and nothing new begins; what was down comes back. */
  stop(): void {
    if (this.#isStopped) return
    const { machines, network, operator } = this.#cluster
    network.healAll()
    for (const key of this.#interfaces.keys()) {
      const [name, link] = key.split("/")
      this.#restoreInterface(name as MachineName, Number(link))
    }
    for (const [pair, loser] of this.#brains) this.#healBrain(pair, loser)
    for (const machine of machines) {
      if (machine.state === "paused") machine.resume()
      else if (machine.state === "off") {
        machine.powerOn()
        operator.returned(machine.name)
      } else machine.start()
    }
    this.#isStopped = true
  }

  #do(step: Step): void {
    this.done.set(step._tag, (this.done.get(step._tag) ?? 0) + 1)
    this.#cluster.world.note(step._tag, step.atMs)
    const { operator } = this.#cluster
    switch (step._tag) {
      case "OpenFlows":
      case "UpdateFlows":
      case "CloseFlows":
      case "ResetFlows":
      case "ExpireFlows":
      case "ReopenFlows":
        this.#traffic(step)
        return
      case "LinkDown":
      case "InterfaceDown":
      case "Partition":
      case "Clog":
      case "Noise":
        this.#network(step)
        return
      case "Overrun":
        this.#did(step.node, `the event socket loses ${step.eventsLost} events`)
        this.#cluster.machine(step.node).kernel.overrun(step.eventsLost)
        return
      case "Refuse":
        this.#did(step.node, `the kernel refuses ${step.count} flows with ${step.errno}`)
        this.#cluster.machine(step.node).kernel.refuseNext(step.count, errnos[step.errno])
        return
      case "Command":
        this.#cluster.machine(step.node).ask(step.option)
        if (step.also !== undefined) this.#cluster.machine(step.node).ask(step.also)
        return
      case "Failover":
        operator.failover(step.to)
        return
      case "SplitBrain":
        this.#splitBrain(step)
        return
      default:
        this.#machine(step)
    }
  }

  #did(machine: MachineName | undefined, sentence: string): void {
    const { machines, witnesses } = this.#cluster
    witnesses.did(machines.find(({ name }) => name === machine), sentence)
  }

  /** Later, unless all faults have ended by then. */
  #after(ms: number, run: () => void): void {
    this.#cluster.world.after(ms, () => {
      if (!this.#isStopped) run()
    })
  }

  // -------------------------------------------------------------------------- traffic

  #traffic(
    step: StepOf<
      "OpenFlows" | "UpdateFlows" | "CloseFlows" | "ResetFlows" | "ExpireFlows" | "ReopenFlows"
    >
  ): void {
    const pair = this.#cluster.pairs[step.pair ?? 0]!
    const { traffic } = pair
    switch (step._tag) {
      case "OpenFlows":
        this.#did(undefined, `traffic: ${step.count} ${step.kind} connections open`)
        this.#spread(step.count, step.overMs, (count) => this.#open(pair, step, count))
        return
      case "UpdateFlows":
        this.#did(undefined, `traffic: ${step.count} connections go on`)
        this.#spread(step.count, step.overMs, (count) => traffic.update(count, step.change))
        return
      case "CloseFlows":
        this.#did(undefined, `traffic: ${step.count} connections close`)
        traffic.close(step.count)
        return
      case "ResetFlows":
        this.#did(undefined, `traffic: ${step.count} connections are reset`)
        traffic.reset(step.count)
        return
      case "ExpireFlows":
        this.#did(undefined, `traffic: ${step.count} connections expire`)
        traffic.expire(step.count)
        return
      case "ReopenFlows":
        this.#did(undefined, `traffic: ${step.count} connections are opened again`)
        traffic.reopen(step.count)
    }
  }

  #open({ traffic }: Pair, step: StepOf<"OpenFlows">, count: number): void {
    const { established, family, kind, through, translated, zone = 0 } = step
    const more = { established, zone }
    if (through === undefined) traffic.open(count, kind, translated, family, more)
    else traffic.openAt(this.#cluster.machine(through), count, kind, translated, family, more)
  }

  /** In parts over the time, the first part now. */
  #spread(count: number, overMs: number, part: (count: number) => void): void {
    const parts = Math.max(1, Math.min(count, Math.floor(overMs / partMs)))
    for (let i = 0; i < parts; i++) {
      const size = Math.floor((count * (i + 1)) / parts) - Math.floor((count * i) / parts)
      if (size === 0) continue
      if (i === 0) part(size)
      else this.#after((overMs * i) / parts, () => part(size))
    }
  }

  // -------------------------------------------------------------------------- network

  #network(step: StepOf<"LinkDown" | "InterfaceDown" | "Partition" | "Clog" | "Noise">): void {
    const { network, world } = this.#cluster
    switch (step._tag) {
      case "LinkDown":
        this.#did(undefined, `link ${step.link} goes down for ${step.forMs} ms`)
        network.linkDown(step.link, true)
        this.#after(step.forMs, () => {
          this.#did(undefined, `link ${step.link} is back`)
          network.linkDown(step.link, false)
        })
        return
      case "InterfaceDown":
        this.#interfaceDown(step)
        return
      case "Partition":
        this.#partition(step)
        return
      case "Clog":
        this.#did(step.from, `what it sends on link ${step.link} waits for ${step.forMs} ms`)
        network.clog(step.link, step.from, world.nowMs + step.forMs)
        return
      case "Noise":
        this.#did(step.to, `${step.count} malformed datagrams arrive`)
        for (let i = 0; i < step.count; i++) network.inject(step.link, step.to, this.#garbage())
    }
  }

  #partition({ bothWays, forMs, from }: StepOf<"Partition">): void {
    const { network } = this.#cluster
    const to = peerOf(from)
    const cut = (isCut: boolean): void => {
      network.partition(from, to, isCut)
      if (bothWays) network.partition(to, from, isCut)
    }
    this.#did(from, `${bothWays ? "is cut off" : "is not heard by its peer"} for ${forMs} ms`)
    cut(true)
    this.#after(forMs, () => {
      this.#did(from, "can be heard again")
      cut(false)
    })
  }

  #interfaceDown({ forMs, link, node, what }: StepOf<"InterfaceDown">): void {
    const key = `${node}/${link}`
    const state = this.#interfaces.get(key) ?? { isUp: true, hasCarrier: true }
    if (what === "up") state.isUp = false
    else state.hasCarrier = false
    this.#interfaces.set(key, state)
    this.#did(node, `the interface of link ${link} loses its ${what === "up" ? "state up" : what}`)
    this.#cluster.setInterface(node, link, state.isUp, state.hasCarrier)
    this.#after(forMs, () => this.#restoreInterface(node, link))
  }

  #restoreInterface(node: MachineName, link: number): void {
    if (!this.#interfaces.delete(`${node}/${link}`)) return
    this.#did(node, `the interface of link ${link} is well again`)
    this.#cluster.setInterface(node, link, true, true)
  }

  /** Bytes of a length and content that nobody agreed on. */
  #garbage(): Uint8Array {
    const number = this.#noises++ * (noiseBytesMax + 1)
    const length = this.#noise.between(1, noiseBytesMax, number)
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.#noise.between(0, 255, number + 1 + i)
    // Half of them begin like a message, to get further.
    if ((bytes[0]! & 1) === 0) {
      bytes[0] = 0x10 | (bytes[0]! & 0x0f)
      if (length > 3) bytes[2] = 0
    }
    return bytes
  }

  // -------------------------------------------------------------------------- machines

  #machine(
    step: StepOf<"PowerLoss" | "Kill" | "Restart" | "Pause" | "ClockJump" | "SequenceNear">
  ): void {
    const machine = this.#cluster.machine(step.node)
    const { operator, world } = this.#cluster
    switch (step._tag) {
      case "PowerLoss":
        this.#did(step.node, `loses its power for ${step.backAfterMs} ms`)
        machine.powerLoss()
        this.#after(step.backAfterMs, () => {
          if (machine.state !== "off") return
          this.#did(step.node, "has power again")
          machine.powerOn()
          operator.returned(step.node)
        })
        return
      case "Kill":
        this.#did(step.node, `the daemon is killed, back in ${step.backAfterMs} ms`)
        machine.kill()
        this.#after(step.backAfterMs, () => machine.start())
        return
      case "Restart":
        this.#did(step.node, `the daemon is stopped, back in ${step.backAfterMs} ms`)
        machine.ask("-k")
        this.#after(step.backAfterMs, () => machine.start())
        return
      case "Pause":
        this.#did(step.node, `the daemon gets no CPU for ${step.forMs} ms`)
        machine.pause()
        this.#after(step.forMs, () => {
          if (machine.state === "paused") machine.resume()
        })
        return
      case "ClockJump":
        this.#did(step.node, `the wall clock jumps by ${step.byMs} ms`)
        machine.clocks.wallOffsetMs += step.byMs
        return
      case "SequenceNear": {
        const first = 2 ** 32 - step.messagesBefore
        this.#did(step.node, `the wall clock is set to ${first} s, near the wrap`)
        machine.clocks.wallOffsetMs = first * 1_000 - world.epochMs - world.nowMs
      }
    }
  }

  #splitBrain({ forMs, to }: StepOf<"SplitBrain">): void {
    const { network, operator } = this.#cluster
    const from = peerOf(to)
    const [older] = operator.holdersOf(to)
    if (older === undefined || older.name === to || !operator.promoteAlone(to)) return
    this.#did(undefined, `${from} and ${to} lose each other; both are primary for ${forMs} ms`)
    for (const [a, b] of [[from, to], [to, from]] as const) network.partition(a, b, true)
    this.#brains.set(pairOf(to), older.name)
    this.#after(forMs, () => this.#healBrain(pairOf(to), older.name))
  }

  #healBrain(pair: number, loser: MachineName): void {
    if (!this.#brains.delete(pair)) return
    const { network, operator } = this.#cluster
    const other = peerOf(loser)
    for (const [a, b] of [[loser, other], [other, loser]] as const) network.partition(a, b, false)
    operator.heal(loser)
  }
}
