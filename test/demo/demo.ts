/**
 * `npm start`: shows on the real kernel that established connections survive a firewall's death.
 *
 * Needs root and network namespaces. Ends by itself in well under a minute; status 0 only when
 * every connection survived, and none did without the commit. `CONNECTIONS` sets how many
 * there are, `CONNTRACKD_BIN` shows another conntrackd.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { DemoFailed, run } from "./Command.ts"
import { failOver, type Outcome } from "./Failover.ts"
import { kinds } from "./Kinds.ts"
import * as Report from "./Report.ts"

const connectionsDefault = 400
const connectionsMax = 2_000
const survivorsWaitMs = 15_000
const counterProofWaitMs = { min: 6_000, max: 12_000 }

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)

const connectionsWanted = Effect.suspend(() => {
  const text = process.env["CONNECTIONS"] ?? String(connectionsDefault)
  const count = Number(text)
  if (Number.isInteger(count) && count >= kinds.length && count <= connectionsMax) {
    return Effect.succeed(count)
  }
  const message = `CONNECTIONS is ${text}, not a number from ${kinds.length} to ${connectionsMax}`
  return Effect.fail(new DemoFailed({ message }))
})

/** Fails with what is missing, and how to get it. */
const checkMachine = (prefix: string): Effect.Effect<void, DemoFailed> =>
  Effect.gen(function*() {
    if (process.getuid?.() !== 0) {
      return yield* new DemoFailed({
        message: `The demo builds two firewalls out of network namespaces; only root may do that.
Start it as root:  sudo npm start`
      })
    }
    for (const [program, word] of [["ip", "-V"], ["nft", "-v"]] as const) {
      const asked = yield* Effect.result(run(program, [word]))
      if (asked._tag === "Success") continue
      return yield* new DemoFailed({
        message: `The program ${program} is missing.
Install it:  apt-get install iproute2 nftables`
      })
    }
    const probe = `${prefix}-probe`
    const made = yield* Effect.result(run("ip", ["netns", "add", probe]))
    if (made._tag === "Success") return yield* Effect.ignore(run("ip", ["netns", "del", probe]))
    return yield* new DemoFailed({
      message: `No network namespace can be made here:
  ${made.failure.message}
In a container, give it the right to:  docker run --privileged …`
    })
  })

const introduce = (connections: number): void => {
  Report.line(Report.bold("A firewall dies. Its connections do not."))
  Report.line(`
               ┌────── fw1 ──────┐      ${connections} live TCP connections, some NATed, on IPv4
      client ──┤        ║        ├── server      and IPv6. Both firewalls drop what they
               └────── fw2 ──────┘      do not know: strict windows, no pick-up.`)
}

const showTable = (kept: Outcome, lost: Outcome): void => {
  Report.line()
  const rows = kinds.map((kind, index) => [
    kind.name,
    kept.opened[index]!,
    kept.replicated[index]!,
    kept.survived[index]!,
    lost.survived[index]!
  ])
  const totals = [kept.opened, kept.replicated, kept.survived, lost.survived].map(sum)
  Report.table(["", "opened", "replicated", "survived", "without commit"], [
    ...rows,
    ["all", ...totals]
  ])
  Report.line()
}

const demo = Effect.gen(function*() {
  const prefix = `conntrackd-demo-${process.pid}`
  yield* checkMachine(prefix)
  const connections = yield* connectionsWanted
  introduce(connections)

  Report.heading("Failover")
  const kept = yield* failOver(prefix, { connections, commits: true, waitMaxMs: survivorsWaitMs })

  Report.heading("Counter-proof: the same failover without the commit")
  // The lost get more time than the last survivor needed, within reason.
  const { max, min } = counterProofWaitMs
  const waitMaxMs = Math.min(max, Math.max(min, 2 * kept.waitedMs))
  const lost = yield* failOver(prefix, { connections, commits: false, waitMaxMs })

  showTable(kept, lost)
  const survivors = sum(kept.survived)
  // The rules let nothing live on without its state: a number other than zero is a failure, and
  // fw2's kernel table and log have been shown above.
  const unexpected = sum(lost.survived)
  Report.line(`without commit: ${unexpected} of ${connections} established connections survived`)
  Report.line(`failover: ${survivors} of ${connections} established connections survived`)
  if (survivors < connections || unexpected > 0) process.exitCode = 1
})

const complain = ({ message }: DemoFailed): Effect.Effect<void> =>
  Effect.sync(() => {
    process.stderr.write(`\n${message}\n`)
    process.exitCode = 1
  })

// A closed terminal, a reader that has seen enough: clean up as after Ctrl-C.
const giveUp = (): void => void process.kill(process.pid, "SIGTERM")
process.on("SIGHUP", giveUp)
process.stdout.on("error", giveUp)

// npm passes signals to the shell that runs us, and the shell dies without passing them on.
if (process.env["npm_lifecycle_event"] !== undefined) {
  const parent = process.ppid
  setInterval(() => process.ppid === parent || giveUp(), 200).unref()
}

const sayInterrupted = Effect.sync(() => process.stderr.write("\ninterrupted; all is cleaned up\n"))

NodeRuntime.runMain(
  demo.pipe(
    Effect.catchTag("DemoFailed", complain),
    Effect.onInterrupt(() => sayInterrupted)
  )
)
