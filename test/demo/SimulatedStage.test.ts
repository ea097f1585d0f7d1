import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { simulatedStage } from "./SimulatedStage.ts"
import type { Daemon, Firewall, Stage } from "./Stage.ts"
import { tell } from "./Story.ts"

const program = fileURLToPath(new URL("./demo.ts", import.meta.url))
const connections = 40

const run = (environment: Readonly<Record<string, string>>) =>
  spawnSync(process.execPath, [program], {
    encoding: "utf8",
    env: { KERNEL: "simulated", CONNECTIONS: String(connections), ...environment }
  })

/** Tells the story and returns what it printed. */
const told = (stage: Stage): Effect.Effect<{ isGood: boolean; lines: ReadonlyArray<string> }> =>
  Effect.suspend(() => {
    let text = ""
    const stdout = vi.spyOn(process.stdout, "write").mockImplementation((part) => {
      text += String(part)
      return true
    })
    return tell(stage, connections).pipe(
      Effect.orDie,
      Effect.ensuring(Effect.sync(() => stdout.mockRestore())),
      Effect.map((isGood) => ({ isGood, lines: text.trimEnd().split("\n") }))
    )
  })

/** The same stage, with another daemon on fw2. */
const withDaemon = (change: (daemon: Daemon, firewall: Firewall) => Daemon): Stage => ({
  ...simulatedStage,
  play: (scene) =>
    simulatedStage.play((build) =>
      scene(Effect.map(build, ({ fw1, fw2, startTraffic }) => {
        const startDaemon = Effect.map(fw2.startDaemon, (daemon) => change(daemon, fw2))
        return { fw1, fw2: { ...fw2, startDaemon }, startTraffic }
      }))
    )
})

describe("the demo on a simulated kernel", () => {
  it("shows that all connections survive, and none without the commit", () => {
    const { status, stderr, stdout } = run({})
    const lines = stdout.trimEnd().split("\n")

    assert.strictEqual(stderr, "")
    assert.strictEqual(
      lines.at(-1),
      "failover: 40 of 40 established connections survived (simulated kernel)"
    )
    assert.strictEqual(lines.at(-2), "without commit: 0 of 40 established connections survived")
    assert.match(stdout, /^ +all +40 +40 +40 +0$/m)
    assert.match(stdout, /✓ primary-backup\.sh primary +-c 0\.\d\d {2}-f .* -R .* -B /)
    assert.match(stdout, /✓ the same without its commit +-f 0\.\d\d {2}-R .* -B /)
    assert.strictEqual(status, 0)
  })

  it("is the same story every time", () => {
    assert.strictEqual(run({}).stdout, run({ NO_COLOR: "1" }).stdout)
  })

  it.each([
    [{ CONNECTIONS: "5" }, "CONNECTIONS is 5, not a number from 6 to 2000"],
    [{ KERNEL: "imaginary" }, "KERNEL is imaginary, neither real nor simulated"]
  ])("refuses %o", (environment, message) => {
    const { status, stderr, stdout } = run(environment)
    assert.deepStrictEqual([status, stderr.trim(), stdout], [1, message, ""])
  })

  it.effect("fails with a daemon that ignores the commit", () =>
    Effect.gen(function*() {
      const deaf = withDaemon((daemon) => ({ ...daemon, takeOver: () => daemon.takeOver("-c") }))
      const { isGood, lines } = yield* told(deaf)

      assert.isFalse(isGood)
      assert.strictEqual(
        lines.at(-1),
        "failover: 0 of 40 established connections survived (simulated kernel)"
      )
      assert.isTrue(
        lines.some((line) => /✗ the connections afterwards +fresh data on 0/.test(line))
      )
      assert.include(lines, "    0 TCP entries in the kernel of fw2, for example:")
    }))

  it.effect("fails when connections survive that should not", () =>
    Effect.gen(function*() {
      const eager = withDaemon((daemon) => ({
        ...daemon,
        takeOver: () => daemon.takeOver(undefined)
      }))
      const { isGood, lines } = yield* told(eager)

      assert.isFalse(isGood)
      assert.strictEqual(
        lines.at(-2),
        "without commit: 40 of 40 established connections survived"
      )
    }))

  it.effect("drops the packets of all connections until the commit", () =>
    Effect.gen(function*() {
      const found: Array<number> = []
      const watched = withDaemon((daemon, { kernelEntries, unknownPackets }) => ({
        ...daemon,
        takeOver: (leaveOut) =>
          Effect.gen(function*() {
            found.push((yield* kernelEntries).length)
            const takeover = yield* daemon.takeOver(leaveOut)
            const established = (yield* kernelEntries).filter((line) => /ESTABLISHED/.test(line))
            found.push(established.length, yield* unknownPackets)
            return takeover
          })
      }))
      const { isGood } = yield* told(watched)
      const [entriesBefore, entriesAfter, dropped] = found

      assert.isTrue(isGood)
      assert.deepStrictEqual([entriesBefore, entriesAfter], [0, connections])
      assert.isAbove(dropped!, 0)
    }))
})
