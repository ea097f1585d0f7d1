/**
 * Plays the manager of the virtual address, and the person in front of it: decides who holds the
 * address, and runs the notify script on the machines concerned.
 *
 * Two machines on the same dedicated links are a pair and share one address. The address moves at
 * once, as ARP does; the script follows, one process per step, each step when the former was
 * answered. As in keepalived a script is not stopped by the next one, so two may overlap. A power
 * loss ends scripts and takes the address.
 *
 * Source: `config/primary-backup.sh`; the tests read and run that file and compare.
 */
import type { FakeKernel } from "./kernel/FakeKernel.ts"
import type { Answer, ClientOption, Machine, MachineName, Witness } from "./machine/Machine.ts"
import type { World } from "./World.ts"

/** What the script can be told that a node became. */
export type Role = "primary" | "backup" | "fault"

/** A step of the script: a request to the daemon, or its start. */
export type ScriptStep = ClientOption | "-d"

/**
 * The steps in their order. `-d` only when nobody answered the `-s`; without success it ends the
 * script.
 */
export const scriptSteps: Readonly<Record<Role, ReadonlyArray<ScriptStep>>> = {
  primary: ["-c", "-f", "-R", "-B"],
  backup: ["-s", "-d", "-t", "-n"],
  fault: ["-t"]
}

/** One run of the script, as far as it got. */
export interface ScriptRun {
  readonly machine: Machine
  readonly role: Role
  readonly startedMs: number
  /** The steps that ended, and how. */
  readonly done: ReadonlyArray<{ readonly step: ScriptStep; readonly isOk: boolean }>
  /** Undefined while it runs. `cut`: the machine lost its power. */
  readonly end: "complete" | "exit" | "cut" | undefined
}

/** Who wants to know how far scripts are: the runner. All calls come synchronously. */
export interface ScriptWatcher {
  /** The address is about to move to this machine, which does not hold it yet. */
  moving?(machine: Machine): void
  /** A step ended: `run.done` has it. `-c` of a primary: the commit is over. */
  stepEnded?(run: ScriptRun, step: ScriptStep, answer: Answer | undefined): void
  ended?(run: ScriptRun): void
}

export interface OperatorOptions {
  readonly world: World
  readonly machines: () => ReadonlyArray<Machine>
  readonly witness?: Witness
  readonly watcher?: ScriptWatcher
  /** How long the shell takes to start the client, in milliseconds. */
  readonly stepDelayMs: readonly [min: number, max: number]
  /**
   * How long a step `-d` waits for `ready` at most, in milliseconds, and how long `returned` waits
   * for the daemon that boots with its machine. Default: 5 s.
   */
  readonly startWaitMs?: number
}

/** A machine with the address; what a power loss replaces tells whether it still has it. */
interface Holder {
  readonly machine: Machine
  readonly kernel: FakeKernel
}

/** A mutable `ScriptRun`. */
interface Running extends ScriptRun {
  readonly done: Array<{ step: ScriptStep; isOk: boolean }>
  readonly kernel: FakeKernel
  end: ScriptRun["end"]
}

/** Who waits for a daemon to be ready. */
interface Waiter {
  readonly machine: Machine
  readonly go: () => void
}

const startWaitDefaultMs = 5_000

export class Operator {
  /** Scripts that have not ended, of all machines. */
  scriptsRunning = 0
  /** Runs started so far, by role. */
  readonly runs: Record<Role, number> = { primary: 0, backup: 0, fault: 0 }
  readonly #options: OperatorOptions
  /** Holders by pair, the first to hold first. More than one: split brain. */
  readonly #holders = new Map<string, Array<Holder>>()
  readonly #waiting = new Set<Waiter>()

  constructor(options: OperatorOptions) {
    this.#options = options
  }

  // ------------------------------------------------------------------------ who holds

  /** Whom the traffic of this machine's pair goes to; in a split brain, whoever held it first. */
  primaryOf(member: MachineName): Machine | undefined {
    return this.#holdersOf(this.machine(member))[0]?.machine
  }

  /** Everybody of the pair who believes to be primary. */
  holdersOf(member: MachineName): ReadonlyArray<Machine> {
    return this.#holdersOf(this.machine(member)).map(({ machine }) => machine)
  }

  holds(name: MachineName): boolean {
    return this.holdersOf(name).some((machine) => machine.name === name)
  }

  /** One of the machines; the plan may name only those that exist. */
  machine(name: MachineName): Machine {
    const machine = this.#find(name)
    if (machine === undefined) throw new Error(`the cluster has no machine ${name}`)
    return machine
  }

  // -------------------------------------------------------------------- what is done

  /** The address is here from the beginning; before this nobody has it. No script. */
  begin(name: MachineName): void {
    const machine = this.machine(name)
    this.#holders.set(pairOf(machine), [holderOf(machine)])
  }

  /**
   * The address moves to `to`, which becomes primary; the other one, if it is alive, becomes
   * backup. False, and nothing done: `to` has no power, or holds the address alone already.
   */
  failover(to: MachineName): boolean {
    const machine = this.machine(to)
    const holders = this.#holdersOf(machine)
    if (machine.state === "off") return false
    const holdsAlready = holders.some((holder) => holder.machine === machine)
    if (holdsAlready && holders.length === 1) return false
    if (!holdsAlready) this.#options.watcher?.moving?.(machine)
    this.#holders.set(pairOf(machine), [holderOf(machine)])
    this.#did(machine, `takes the address${holdsAlready ? " for itself" : ""}`)
    if (!holdsAlready) this.#run(machine, "primary")
    const other = this.#otherThan(machine)
    if (other !== undefined && other.state !== "off") this.#run(other, "backup")
    return true
  }

  /** Its interfaces failed, or so the manager thinks: it gives the address up and purges. */
  fault(name: MachineName): boolean {
    const machine = this.machine(name)
    if (machine.state === "off") return false
    this.#release(machine)
    this.#did(machine, "is faulty")
    this.#run(machine, "fault")
    return true
  }

  /** Split brain: `name` cannot hear the other one and takes the address, too. */
  promoteAlone(name: MachineName): boolean {
    const machine = this.machine(name)
    const holders = this.#holdersOf(machine)
    if (machine.state === "off" || holders.some((holder) => holder.machine === machine)) {
      return false
    }
    holders.push(holderOf(machine))
    this.#did(machine, "takes the address on its own")
    this.#run(machine, "primary")
    return true
  }

  /** They hear each other again: `loser` gives up and becomes backup; the other one stays. */
  heal(loser: MachineName): boolean {
    const machine = this.machine(loser)
    const holders = this.#holdersOf(machine)
    if (holders.length < 2 || !holders.some((holder) => holder.machine === machine)) return false
    this.#release(machine)
    this.#did(machine, "gives the address up")
    this.#run(machine, "backup")
    return true
  }

  /**
   * The power of `name` is back (call it after `powerOn`). It becomes backup, as with keepalived's
   * `nopreempt`, once its daemon is up; primary if the other one is dead. Should nobody have taken
   * the address meanwhile, the other one does so now.
   */
  returned(name: MachineName): void {
    const machine = this.machine(name)
    const { kernel } = machine
    this.#whenReady(machine, () => {
      if (machine.state === "off" || machine.kernel !== kernel) return
      const other = this.#otherThan(machine)
      const isAlone = other === undefined || other.state === "off"
      // The plan may have made it primary while it booted.
      if (this.holds(name)) return
      if (isAlone) void this.failover(name)
      else if (this.holds(other.name)) this.#run(machine, "backup")
      else void this.failover(other.name)
    })
  }

  // ------------------------------------------------- what the runner's witness tells

  /** For the runner's witness to forward: a daemon's start is complete. */
  ready(machine: Machine): void {
    this.#wake(machine)
  }

  /** For the runner's witness to forward: a daemon's life ended. */
  ended(machine: Machine): void {
    this.#wake(machine)
  }

  // ---------------------------------------------------------------------- the script

  #run(machine: Machine, role: Role): void {
    const { world } = this.#options
    const run: Running = {
      machine,
      role,
      startedMs: world.nowMs,
      done: [],
      end: undefined,
      kernel: machine.kernel
    }
    this.runs[role]++
    this.scriptsRunning++
    world.note(`script ${machine.name} ${role}`)
    this.#step(run, 0)
  }

  #step(run: Running, index: number): void {
    const step = scriptSteps[run.role][index]
    if (step === undefined) {
      this.#end(run, "complete")
      return
    }
    const { world } = this.#options
    world.after(this.#delayMs(run, index), () => {
      if (this.#isCut(run)) return
      if (step === "-d") this.#startDaemon(run, index)
      else {
        run.machine.ask(step, (answer) => {
          if (this.#isCut(run)) return
          this.#ended(run, step, answer.isAnswered, answer)
          // The daemon is started only when nobody answered.
          const skips = run.role === "backup" && step === "-s" && answer.isAnswered
          this.#step(run, index + (skips ? 2 : 1))
        })
      }
    })
  }

  #startDaemon(run: Running, index: number): void {
    const { machine } = run
    const isUp = () => machine.state === "running" || machine.state === "paused"
    const wasUp = isUp()
    const ended = () => {
      if (this.#isCut(run)) return
      const isOk = isUp()
      this.#ended(run, "-d", isOk, undefined)
      if (isOk) this.#step(run, index + 1)
      else this.#end(run, "exit")
    }
    // As with `conntrackd -d`, whose first process ends when the start is complete.
    const forget = this.#whenReady(machine, ended)
    if (!wasUp) machine.start()
    // It ran already, though it did not answer: nobody will say that it is ready.
    if (wasUp || !isUp()) {
      forget()
      ended()
    }
  }

  #ended(run: Running, step: ScriptStep, isOk: boolean, answer: Answer | undefined): void {
    run.done.push({ step, isOk })
    if (!isOk) {
      this.#did(run.machine, `logs that a step to ${run.role} failed: conntrackd ${step}`)
    }
    this.#options.watcher?.stepEnded?.(run, step, answer)
  }

  #isCut(run: Running): boolean {
    if (run.end !== undefined) return true
    if (run.machine.state !== "off" && run.machine.kernel === run.kernel) return false
    this.#end(run, "cut")
    return true
  }

  #end(run: Running, end: NonNullable<ScriptRun["end"]>): void {
    run.end = end
    this.scriptsRunning--
    this.#options.world.note(`script ${run.machine.name} ${run.role} ${end}`)
    this.#options.watcher?.ended?.(run)
  }

  /** By who, what and when, so that one run less does not change the delays of others. */
  #delayMs({ machine, role, startedMs }: Running, index: number): number {
    const { stepDelayMs: [min, max], world } = this.#options
    const stream = world.dice.stream(`operator/${machine.name}/${role}/${startedMs}`)
    return min + (max - min) * stream.at(index)
  }

  // ------------------------------------------------------------------------ readiness

  /** Calls `go` when the daemon is ready, or ended, or after a while; the answer forgets it. */
  #whenReady(machine: Machine, go: () => void): () => void {
    const { startWaitMs = startWaitDefaultMs, world } = this.#options
    const waiter: Waiter = {
      machine,
      go: () => {
        stopClock()
        this.#waiting.delete(waiter)
        go()
      }
    }
    const stopClock = world.after(startWaitMs, waiter.go)
    this.#waiting.add(waiter)
    return () => {
      stopClock()
      this.#waiting.delete(waiter)
    }
  }

  #wake(machine: Machine): void {
    for (const waiter of this.#waiting) {
      // Not inside of the daemon's own turn.
      if (waiter.machine === machine) {
        this.#options.world.after(0, () => {
          if (this.#waiting.has(waiter)) waiter.go()
        })
      }
    }
  }

  // ------------------------------------------------------------------------- the pair

  #find(name: MachineName): Machine | undefined {
    return this.#options.machines().find((machine) => machine.name === name)
  }

  #otherThan(machine: Machine): Machine | undefined {
    return this.#find(machine.peerName)
  }

  /** Without those who lost their power. */
  #holdersOf(machine: Machine): Array<Holder> {
    const key = pairOf(machine)
    const holders = (this.#holders.get(key) ?? []).filter(hasItStill)
    this.#holders.set(key, holders)
    return holders
  }

  #release(machine: Machine): void {
    const others = this.#holdersOf(machine).filter((holder) => holder.machine !== machine)
    this.#holders.set(pairOf(machine), others)
  }

  #did(machine: Machine, sentence: string): void {
    this.#options.witness?.did?.(machine, sentence)
  }
}

const holderOf = (machine: Machine): Holder => ({ machine, kernel: machine.kernel })

const hasItStill = ({ kernel, machine }: Holder): boolean =>
  machine.state !== "off" && machine.kernel === kernel

const pairOf = ({ name, peerName }: Machine): string =>
  name < peerName ? `${name}${peerName}` : `${peerName}${name}`
