/** The story on the real kernel: four network namespaces, a process per daemon and per end. */
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DemoFailed, run, runIn } from "./Command.ts"
import { startDaemon } from "./Daemon.ts"
import { dedicatedLink } from "./Kinds.ts"
import { loadRules, unknownPackets } from "./Rules.ts"
import type { Firewall, Stage } from "./Stage.ts"
import { buildTopology, pullCables, takeAddresses } from "./Topology.ts"
import { startTraffic } from "./Traffic.ts"

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
In a container, give it the right to:  docker run --privileged …
Or see it on a simulated kernel:  KERNEL=simulated npm start`
    })
  })

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "conntrackd-demo-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const firewall = (
  namespace: string,
  directory: string,
  name: "fw1" | "fw2",
  peer: "fw1" | "fw2"
): Firewall => ({
  startDaemon: startDaemon(namespace, directory, name, dedicatedLink[name], dedicatedLink[peer]),
  pullCables: Effect.asVoid(pullCables(namespace)),
  takeAddresses: Effect.asVoid(takeAddresses(namespace)),
  unknownPackets: unknownPackets(namespace),
  kernelEntries: Effect.map(
    runIn(namespace, "conntrack", ["-L", "-p", "tcp"]),
    (text) => text.split("\n").filter((line) => line !== "")
  )
})

/** Fails when this machine cannot do it. The names of the namespaces begin with `prefix`. */
export const namespaceStage = (prefix: string): Effect.Effect<Stage, DemoFailed> =>
  Effect.as(
    checkMachine(prefix),
    {
      strictness: "strict windows, no pick-up",
      notice: [],
      remark: "",
      play: (scene) =>
        Effect.scoped(scene(Effect.gen(function*() {
          const directory = yield* temporaryDirectory
          const topology = yield* buildTopology(prefix)
          const { fw1, fw2 } = topology
          yield* Effect.all([loadRules(fw1), loadRules(fw2)], { concurrency: 2 })
          yield* takeAddresses(fw1)
          return {
            fw1: firewall(fw1, directory, "fw1", "fw2"),
            fw2: firewall(fw2, directory, "fw2", "fw1"),
            startTraffic: startTraffic(topology)
          }
        })))
    } satisfies Stage
  )
