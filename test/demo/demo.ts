/**
 * `npm start`: shows that established connections survive a firewall's death. As root on the real
 * kernel, in network namespaces; without root on simulated machines, with the same daemon.
 *
 * Ends by itself in well under a minute; status 0 only when every connection survived, and none did
 * without the commit. `CONNECTIONS` sets how many there are, `KERNEL` (`real`, `simulated`) which
 * kernel, `CONNTRACKD_BIN` shows another conntrackd on the real one.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { DemoFailed } from "./Command.ts"
import { kinds } from "./Kinds.ts"
import { namespaceStage } from "./NamespaceStage.ts"
import { simulatedStage } from "./SimulatedStage.ts"
import type { Stage } from "./Stage.ts"
import { tell } from "./Story.ts"

const connectionsDefault = 400
const connectionsMax = 2_000

const connectionsWanted = Effect.suspend(() => {
  const text = process.env["CONNECTIONS"] ?? String(connectionsDefault)
  const count = Number(text)
  if (Number.isInteger(count) && count >= kinds.length && count <= connectionsMax) {
    return Effect.succeed(count)
  }
  const message = `CONNECTIONS is ${text}, not a number from ${kinds.length} to ${connectionsMax}`
  return Effect.fail(new DemoFailed({ message }))
})

/** `scripts/setup.mjs` decides alike: a simulated kernel needs no addon. */
const stageWanted: Effect.Effect<Stage, DemoFailed> = Effect.suspend(() => {
  const kernel = process.env["KERNEL"] ?? (process.getuid?.() === 0 ? "real" : "simulated")
  switch (kernel) {
    case "real":
      return namespaceStage(`conntrackd-demo-${process.pid}`)
    case "simulated":
      return Effect.succeed(simulatedStage)
    default:
      return Effect.fail(
        new DemoFailed({ message: `KERNEL is ${kernel}, neither real nor simulated` })
      )
  }
})

const demo = Effect.gen(function*() {
  const stage = yield* stageWanted
  const connections = yield* connectionsWanted
  if (!(yield* tell(stage, connections))) process.exitCode = 1
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
