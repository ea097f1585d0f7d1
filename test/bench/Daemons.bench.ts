/**
 * What does a kernel event cost our daemon, and what does it cost the C conntrackd, when both hear
 * the same events at the same time, each with a peer of its own kind? And the commit of what the
 * peers have learned?
 *
 *     ┌───── senders ──────┐  veth  ┌─ ours ─┐
 *     │ ours               ├────────┤ ours   │
 *     │ C      event maker ├──┐     └────────┘
 *     └────────────────────┘  │veth ┌── C ───┐
 *                             └─────┤ C      │
 *                                   └────────┘
 *
 * `BENCH_DAEMON` names another conntrackd to measure as ours, the bundled one for example.
 */
import type { ChildProcess } from "node:child_process"
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { Change } from "../../src/core/model/Change.ts"
import { compareNumbers } from "./Compare.ts"
import type { EventOrder, EventReport } from "./EventsProgram.ts"
import type { Measurement } from "./Measurement.ts"
import { cpuNsOf, ip, Namespace, whyNoNamespaces } from "./Namespace.ts"

export const title = "daemons on the same kernel events"

const ratioMax = 0.6
const fastFlows = 100_000
const fastRate = 50_000
const slowRate = 2_000
/** Daemons run for months: they are measured after their code has been compiled. */
const warmUpFlows = 50_000
const warmUps = 3
/** Longer than both daemons take to acknowledge what is left, and the same for both. */
const settleMs = 1_500
const cProgram = "/usr/sbin/conntrackd"
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const oursWords = process.env["BENCH_DAEMON"] === undefined
  ? [process.execPath, file("../../src/programs/conntrackd.ts")]
  : [process.env["BENCH_DAEMON"]]

interface Place {
  readonly namespace: Namespace
  readonly interfaceName: string
  readonly own: string
  readonly peer: string
  readonly port: number
}

const configuration = (place: Place, path: (end: string) => string): string => `
Sync {
  Mode FTFW {
  }
  UDP {
    IPv4_address ${place.own}
    IPv4_Destination_Address ${place.peer}
    Port ${place.port}
    Interface ${place.interfaceName}
    SndSocketBuffer 8388608
    RcvSocketBuffer 8388608
  }
}
General {
  HashSize 131072
  HashLimit 524288
  LogFile ${path("log")}
  LockFile ${path("lock")}
  UNIX {
    Path ${path("ctl")}
  }
  NetlinkBufferSize 134217728
  NetlinkBufferSizeMaxGrowth 134217728
}
`

interface CacheCounts {
  readonly active: number
  readonly created: number
  readonly updated: number
  readonly destroyed: number
}

/** One conntrackd, ours or the other. */
class Daemon {
  readonly name: string
  readonly #namespace: Namespace
  readonly #configFile: string
  readonly #words: ReadonlyArray<string>
  readonly #console: string
  readonly #process: ChildProcess

  constructor(name: string, isOurs: boolean, place: Place, directory: string) {
    const path = (end: string) => join(directory, `${name}.${end}`)
    this.name = name
    this.#namespace = place.namespace
    this.#configFile = path("conf")
    writeFileSync(this.#configFile, configuration(place, path))
    this.#words = isOurs ? oursWords : [cProgram]
    this.#console = path("console")
    const console = openSync(this.#console, "a")
    const [program, ...words] = this.#words
    this.#process = place.namespace.start(program!, [...words, "-C", this.#configFile], [
      "ignore",
      console,
      console
    ])
  }

  request(...words: ReadonlyArray<string>): string {
    const [program, ...first] = this.#words
    return this.#namespace.run(program!, ...first, "-C", this.#configFile, ...words)
  }

  async ready(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      if (this.#process.exitCode !== null) {
        throw new Error(`${this.name} ended at its start: ${readFileSync(this.#console, "utf8")}`)
      }
      try {
        this.request("-s")
        return
      } catch {
        await sleep(100)
      }
    }
    throw new Error(`${this.name} does not answer`)
  }

  cpuNs(): number {
    return cpuNsOf(this.#process.pid!)
  }

  counts(cache: "internal" | "external"): CacheCounts {
    const text = this.request("-s", "cache")
    const part = text.slice(text.indexOf(`cache:${cache}`))
    const number = (pattern: RegExp) => Number(pattern.exec(part)?.[1] ?? NaN)
    return {
      active: number(/active\/total entries:\s+(\d+)/),
      created: number(/creation OK\/failed:\s+(\d+)/),
      updated: number(/update OK\/failed:\s+(\d+)/),
      destroyed: number(/deletion created\/failed:\s+(\d+)/)
    }
  }
}

/** Joins two namespaces by a cable. */
const connect = (a: Place, b: Place): void => {
  const [nameA, nameB] = [a.namespace.name, b.namespace.name]
  ip(
    "link",
    "add",
    a.interfaceName,
    "netns",
    nameA,
    "type",
    "veth",
    "peer",
    "name",
    b.interfaceName,
    "netns",
    nameB
  ) // dprint-ignore
  for (const { interfaceName, namespace, own } of [a, b]) {
    ip("-n", namespace.name, "addr", "add", `${own}/30`, "dev", interfaceName)
    ip("-n", namespace.name, "link", "set", "dev", interfaceName, "up")
  }
}

interface Pair {
  readonly sender: Daemon
  readonly receiver: Daemon
}

class Bench {
  readonly #ours: Pair
  readonly #other: Pair
  readonly #maker: ChildProcess
  readonly results: Array<Measurement> = []
  #mark = 0

  constructor(ours: Pair, other: Pair, maker: ChildProcess) {
    this.#ours = ours
    this.#other = other
    this.#maker = maker
  }

  get daemons(): readonly [Daemon, Daemon, Daemon, Daemon] {
    return [this.#ours.sender, this.#other.sender, this.#ours.receiver, this.#other.receiver]
  }

  make(change: Change, count: number, perSecond: number): Promise<EventReport> {
    if (change === Change.updated) this.#mark++
    const order: EventOrder = { change, count, perSecond, mark: this.#mark }
    return new Promise((done, fail) => {
      const fails = (code: number | null) => fail(new Error(`the event maker ended with ${code}`))
      this.#maker.once("exit", fails)
      this.#maker.once("message", (report) => {
        this.#maker.off("exit", fails)
        done(report as EventReport)
      })
      this.#maker.send(order)
    })
  }

  /** CPU ns per event of the four daemons: sender ours, C, receiver ours, C. */
  async measure(
    name: string,
    perSecond: number,
    kinds: ReadonlyArray<Change>,
    count: number
  ): Promise<void> {
    const before = this.daemons.map((daemon) => daemon.cpuNs())
    let rate = 0
    for (const change of kinds) {
      const report = await this.make(change, count, perSecond)
      if (report.refused > 0) throw new Error(`the kernel refused ${report.refused} requests`)
      rate += report.perSecond / kinds.length
    }
    await sleep(settleMs)
    const costs = this.daemons.map((daemon, i) =>
      (daemon.cpuNs() - before[i]!) / (count * kinds.length)
    ) as [number, number, number, number]
    const what = `${name}, ${(rate / 1e3).toFixed(1)} thousand a second`
    for (const [role, ours, other] of [["sender", 0, 1], ["receiver", 2, 3]] as const) {
      const [ourCost, otherCost] = [costs[ours], costs[other]]
      const side = `${role}: ${what}`
      const ratio = compareNumbers(side, ["ours", ourCost], ["C", otherCost])
      this.results.push(
        { name: `${side}: ours`, value: ourCost, unit: "ns" },
        { name: `    C conntrackd, same events`, value: otherCost, unit: "ns" },
        {
          name: `    ours : C`,
          value: ratio,
          unit: "×",
          ...(role === "sender" ? { aim: { atMost: ratioMax } } : {})
        }
      )
    }
  }

  /** Both must have heard everything, or the comparison is none. */
  check(when: string, expected: Partial<CacheCounts>): void {
    for (const [i, daemon] of this.daemons.entries()) {
      const cache = i < 2 ? "internal" : "external"
      const counts = daemon.counts(cache)
      for (const [key, value] of Object.entries(expected)) {
        // A receiver may be told again what was not acknowledged in time.
        if (cache === "external" && key !== "active") continue
        const found = counts[key as keyof CacheCounts]
        if (found === value) continue
        const doubt = `${daemon.name} ${when}: ${key} ${found} instead of ${value}`
        process.stdout.write(`DOUBTFUL: ${doubt}\n`)
        const last = this.results.at(-1)
        if (last !== undefined) this.results[this.results.length - 1] = { ...last, doubt }
      }
    }
  }

  async commit(namespaces: readonly [Namespace, Namespace]): Promise<void> {
    const costs: Array<number> = []
    for (const [i, { receiver }] of [this.#ours, this.#other].entries()) {
      const before = receiver.cpuNs()
      receiver.request("-c")
      let entries = 0
      for (let tries = 0; tries < 100 && entries < fastFlows; tries++) {
        await sleep(100)
        const path = "/proc/sys/net/netfilter/nf_conntrack_count"
        entries = Number(namespaces[i]!.run("cat", path))
      }
      if (entries !== fastFlows) throw new Error(`${receiver.name} committed ${entries} flows`)
      // The C daemon reads the events of its own commit afterwards.
      await sleep(settleMs)
      costs.push((receiver.cpuNs() - before) / fastFlows)
    }
    const [ours, other] = costs as [number, number]
    const name = `conntrackd -c, ${fastFlows} flows`
    const ratio = compareNumbers(name, ["ours", ours], ["C", other])
    this.results.push(
      { name: `${name}: ours, kernel included`, value: ours, unit: "ns" },
      { name: "    C conntrackd, same flows", value: other, unit: "ns" },
      { name: "    ours : C", value: ratio, unit: "×" }
    )
  }
}

const startAll = async (
  directory: string,
  namespaces: readonly [Namespace, Namespace, Namespace]
): Promise<Bench> => {
  const [senders, oursPeer, otherPeer] = namespaces
  const start = async (
    name: string,
    isOurs: boolean,
    net: number,
    peer: Namespace
  ): Promise<Pair> => {
    const [one, two] = [`10.77.${net}.1`, `10.77.${net}.2`]
    const port = 3780 + net
    const near = { namespace: senders, interfaceName: name, own: one, peer: two, port }
    const far = { namespace: peer, interfaceName: "link", own: two, peer: one, port }
    connect(near, far)
    const receiver = new Daemon(`${name}-receiver`, isOurs, far, directory)
    await receiver.ready()
    const sender = new Daemon(`${name}-sender`, isOurs, near, directory)
    await sender.ready()
    return { sender, receiver }
  }
  const ours = await start("ours", true, 1, oursPeer)
  const other = await start("upstream", false, 2, otherPeer)
  const stdio = ["ignore", "inherit", "inherit", "ipc"] as const
  const maker = senders.start(process.execPath, [file("./EventsProgram.ts")], [...stdio])
  await new Promise((ready) => maker.once("message", ready))
  return new Bench(ours, other, maker)
}

const measureAll = async (
  bench: Bench,
  quick: boolean,
  peers: readonly [Namespace, Namespace]
): Promise<void> => {
  const { created, destroyed, updated } = Change
  for (let i = 0; i < warmUps; i++) {
    for (const change of [created, updated, destroyed]) {
      await bench.make(change, warmUpFlows, fastRate)
    }
  }
  await sleep(settleMs)
  bench.check("after the warm-up", { active: 0, created: warmUps * warmUpFlows })
  await bench.measure("create", fastRate, [created], fastFlows)
  bench.check("after create", { active: fastFlows, created: fastFlows + warmUps * warmUpFlows })
  await bench.measure("update", fastRate, [updated], fastFlows)
  bench.check("after update", { active: fastFlows })
  await bench.commit(peers)
  await bench.measure("destroy", fastRate, [destroyed], fastFlows)
  bench.check("after destroy", { active: 0 })
  for (const change of [created, updated, destroyed]) await bench.make(change, slowRate, slowRate)
  const slow = quick ? 6_000 : 20_000
  await bench.measure("create, update, destroy", slowRate, [created, updated, destroyed], slow)
  bench.check("at the end", { active: 0 })
}

export const run = async (quick: boolean): Promise<ReadonlyArray<Measurement>> => {
  const reason = whyNoNamespaces() ??
    (existsSync(cProgram) ? undefined : `${cProgram}, the daemon to compare with, is not installed`)
  if (reason !== undefined) {
    process.stdout.write(`not measured: ${reason}\n`)
    return [{
      name: "CPU per event, our sender : C",
      value: NaN,
      unit: "×",
      aim: { atMost: ratioMax },
      doubt: reason
    }]
  }
  const directory = mkdtempSync(join(tmpdir(), "conntrackd-bench-"))
  try {
    await using senders = new Namespace("senders")
    await using ours = new Namespace("ours")
    await using other = new Namespace("other")
    const bench = await startAll(directory, [senders, ours, other])
    try {
      await measureAll(bench, quick, [ours, other])
    } catch (cause) {
      for (const { name } of bench.daemons) {
        const log = join(directory, `${name}.log`)
        const text = existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(-8) : []
        process.stderr.write(`${name}:\n${text.join("\n")}\n`)
      }
      throw cause
    }
    return bench.results
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
