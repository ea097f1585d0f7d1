/**
 * The story that the demo tells: a firewall dies, the other one takes over.
 *
 * Told twice, from a fresh start: with the whole take-over, and without its commit. Everything else
 * is the same, so the difference is what conntrackd does.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { establishedPorts, externalEntries } from "./Answers.ts"
import { DemoFailed } from "./Command.ts"
import { countByKind, kinds, shares } from "./Kinds.ts"
import * as Report from "./Report.ts"
import type { Daemon, Firewall, Site, Stage, Traffic } from "./Stage.ts"
import { nowMs, waitUntil } from "./Waiting.ts"

export interface Outcome {
  /** By kind, as the other lists. */
  readonly opened: ReadonlyArray<number>
  readonly replicated: ReadonlyArray<number>
  readonly survived: ReadonlyArray<number>
  /** Milliseconds until the last survivor carried data; the whole wait when some did not. */
  readonly waitedMs: number
}

export interface Plan {
  readonly connections: number
  /** Whether the take-over puts the replicated states into the kernel. */
  readonly commits: boolean
  /** How long the connections have to show that they are alive. */
  readonly waitMaxMs: number
}

/** Without the commit the rules let nothing live on. */
const survivorsWanted = (plan: Plan): number => (plan.commits ? plan.connections : 0)

const openMaxMs = 20_000
const replicateMaxMs = 10_000
const samplesShown = 4
const sampleEveryMs = 100
const logLinesMax = 30

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)

/** Asks the backup how many states it has, again and again, until it has all of them. */
const sampleCache = (daemon: Daemon, total: number, samples: Array<number>) =>
  Effect.gen(function*() {
    while (samples.at(-1) !== total) {
      samples.push(yield* externalEntries(daemon))
      yield* Effect.sleep(sampleEveryMs)
    }
  })

const openConnections = (traffic: Traffic, total: number) =>
  Report.step("connections through fw1", (show) =>
    Effect.gen(function*() {
      traffic.open(shares(total))
      const isDone = yield* waitUntil(
        () => traffic.opened >= total,
        openMaxMs,
        () => show(`${traffic.opened} of ${total} open, all carry data`)
      )
      if (!isDone) {
        const message = `only ${traffic.opened} of ${total} connections could be opened`
        return yield* new DemoFailed({ message: [message, ...traffic.reasons()].join("\n") })
      }
    }))

/** A few of the samples, evenly chosen, with the last one. */
const excerpt = (samples: ReadonlyArray<number>): string => {
  const stride = Math.max(1, Math.ceil((samples.length - 1) / samplesShown))
  const last = samples.length - 1
  return samples.filter((_, index) => (last - index) % stride === 0).join(" → ")
}

/** Waits until the backup knows every connection as established; their number by kind. */
const awaitReplication = (
  daemon: Daemon,
  total: number,
  sampling: Fiber.Fiber<void, DemoFailed>,
  samples: ReadonlyArray<number>
) =>
  Report.step("external cache of fw2", (show) =>
    Effect.gen(function*() {
      yield* Effect.timeoutOption(Fiber.join(sampling), replicateMaxMs)
      const deadline = (yield* nowMs) + replicateMaxMs
      let ports = yield* establishedPorts(daemon)
      while (ports.length !== total && (yield* nowMs) < deadline) {
        yield* Effect.sleep(200)
        ports = yield* establishedPorts(daemon)
      }
      show(`${excerpt(samples)} entries`)
      if (ports.length !== total) {
        const message = `fw2 knows ${ports.length} of ${total} established connections`
        return yield* new DemoFailed({ message })
      }
      return countByKind(ports)
    }))

const takeOver = (firewall: Firewall, daemon: Daemon, commits: boolean) =>
  Effect.gen(function*() {
    yield* Report.step("fw2 takes the addresses", () => firewall.takeAddresses)
    const title = commits ? "primary-backup.sh primary" : "the same without its commit"
    yield* Report.step(title, (show) =>
      Effect.gen(function*() {
        const { requests, said } = yield* daemon.takeOver(commits ? undefined : "-c")
        const refused = requests.filter(({ isDone }) => !isDone).map(({ letter }) => letter)
        if (refused.length > 0 || requests.length === 0) {
          const what = refused.join(", ") || "nothing"
          const message = `primary-backup.sh: ${what} was not done: ${said}`
          return yield* new DemoFailed({ message })
        }
        show(requests.map((each) => `${each.letter} ${each.seconds.toFixed(2)}`).join("  "))
      }))
  })

/** Counts the connections that carry fresh data in both directions. */
const awaitSurvivors = (firewall: Firewall, traffic: Traffic, plan: Plan) =>
  Report.step(
    "the connections afterwards",
    (show) =>
      Effect.gen(function*() {
        const total = plan.connections
        const beginMs = yield* nowMs
        traffic.probe()
        const count = (): string => `fresh data on ${traffic.alive} of ${total}`
        const isDone = yield* waitUntil(
          () => traffic.alive >= total,
          plan.waitMaxMs,
          () => show(count())
        )
        const waitedMs = (yield* nowMs) - beginMs
        const silence = `silent ${(traffic.silenceMs / 1e3).toFixed(1)} s`
        const remark = isDone ? silence : `${yield* firewall.unknownPackets} dropped`
        show(`${count()}, ${remark}`)
        return { survived: traffic.aliveByKind(), waitedMs }
      }),
    ({ survived }) => sum(survived) === survivorsWanted(plan)
  )

/** New connections show that the way through fw2 works, whatever became of the old ones. */
const openFreshConnections = (traffic: Traffic) =>
  Report.step("new connections through fw2", (show) =>
    Effect.gen(function*() {
      const before = traffic.opened
      traffic.open(kinds.map(() => 1))
      const isDone = yield* waitUntil(() => traffic.opened >= before + kinds.length, openMaxMs)
      if (isDone) show(`${traffic.opened - before} of ${kinds.length} open: the way is free`)
      if (!isDone) return yield* new DemoFailed({ message: "nothing passes through fw2" })
    }))

/** What fw2's kernel and both ends say about connections that did not do what they should. */
const explain = (firewall: Firewall, traffic: Traffic) =>
  Effect.gen(function*() {
    for (const reason of traffic.reasons()) Report.line(`    ${reason}`)
    const packets = yield* firewall.unknownPackets
    Report.line(`    ${packets} packets of unknown connections were dropped by fw2`)
    const entries = yield* Effect.result(firewall.kernelEntries)
    if (entries._tag === "Failure") return
    const lines = entries.success
    Report.line(`    ${lines.length} TCP entries in the kernel of fw2, for example:`)
    for (const entry of lines.slice(0, 3)) Report.line(`      ${entry}`)
  })

const showLogs = (daemons: ReadonlyArray<readonly [string, Daemon]>) =>
  Effect.sync(() => {
    for (const [name, daemon] of daemons) {
      Report.line(`\n  the daemon of ${name} said:`)
      for (const text of daemon.log().slice(-logLinesMax)) Report.line(`    ${text}`)
    }
  })

const build = (site: Effect.Effect<Site, DemoFailed, Scope.Scope>) =>
  Report.step(
    "client, fw1, fw2 and server",
    (show) => Effect.tap(site, () => Effect.sync(() => show("strict rules, addresses on fw1")))
  )

/** Tells the story once, on machines of its own. */
export const failOver = (stage: Stage, plan: Plan): Effect.Effect<Outcome, DemoFailed> =>
  stage.play((makeSite) =>
    Effect.gen(function*() {
      const total = plan.connections
      const site = yield* build(makeSite)
      const fw1 = yield* site.fw1.startDaemon
      const fw2 = yield* site.fw2.startDaemon
      const run = Effect.gen(function*() {
        const traffic = yield* Report.step(
          "a daemon on each firewall",
          (show) =>
            Effect.gen(function*() {
              const [started] = yield* Effect.all(
                [site.startTraffic, fw1.answers, fw2.answers],
                { concurrency: 3 }
              )
              show("FTFW over the dedicated link")
              return started
            })
        )
        const samples: Array<number> = []
        const sampling = yield* Effect.forkScoped(sampleCache(fw2, total, samples))
        yield* openConnections(traffic, total)
        const replicated = yield* awaitReplication(fw2, total, sampling, samples)
        traffic.watch()
        yield* Report.step("fw1 dies", (show) =>
          Effect.gen(function*() {
            yield* fw1.kill
            yield* site.fw1.pullCables
            show("daemon killed, all cables dead")
          }))
        yield* takeOver(site.fw2, fw2, plan.commits)
        const { survived, waitedMs } = yield* awaitSurvivors(site.fw2, traffic, plan)
        if (sum(survived) !== survivorsWanted(plan)) {
          yield* explain(site.fw2, traffic)
          yield* showLogs([["fw2", fw2]])
        }
        if (!plan.commits) yield* openFreshConnections(traffic)
        return { opened: shares(total), replicated, survived, waitedMs }
      })
      return yield* Effect.tapError(run, () => showLogs([["fw1", fw1], ["fw2", fw2]]))
    })
  )
