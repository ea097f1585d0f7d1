/** The operator runs the steps of the real script, and knows who holds the address. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { ClientOption, MachineName } from "./machine/Machine.ts"
import { MachineFake } from "./machine/MachineFake.ts"
import type { Role, ScriptRun, ScriptStep } from "./Operator.ts"
import { Operator, scriptSteps } from "./Operator.ts"
import { World } from "./World.ts"

const scriptPath = new URL("../../config/primary-backup.sh", import.meta.url).pathname
const script = readFileSync(scriptPath, "utf8")

const setUp = (seed = "seed", stepDelayMs: readonly [number, number] = [10, 30]) => {
  const world = new World({ seed })
  const a = new MachineFake(world, "A", "B")
  const b = new MachineFake(world, "B", "A")
  const said: Array<string> = []
  const ended: Array<ScriptRun> = []
  const operator = new Operator({
    world,
    machines: () => [a, b],
    witness: { did: (machine, sentence) => said.push(`${machine?.name} ${sentence}`) },
    watcher: { ended: (run) => ended.push(run) },
    stepDelayMs
  })
  for (const machine of [a, b]) machine.onReady = () => operator.ready(machine)
  operator.begin("A")
  return { world, a, b, operator, said, ended }
}

const stepsOf = (run: ScriptRun | undefined): ReadonlyArray<ScriptStep> =>
  run?.done.map(({ step }) => step) ?? []

/** Runs the file itself, with a client that writes down its options and fails at some. */
const realSteps = (role: Role, failing: ReadonlyArray<string>) => {
  const folder = mkdtempSync(join(tmpdir(), "operator-"))
  try {
    const client = join(folder, "client")
    const fails = failing.map((option) => `[ "$3" = ${option} ] && exit 1\n`).join("")
    // Not by echo, which has an option -n.
    const record = `printf '%s\\n' "$3" >> ${folder}/options\n`
    writeFileSync(client, `#!/bin/sh\n${record}${fails}exit 0\n`)
    writeFileSync(join(folder, "logger"), "#!/bin/sh\nexit 0\n")
    writeFileSync(join(folder, "options"), "")
    for (const file of [client, join(folder, "logger")]) chmodSync(file, 0o755)
    const env = {
      PATH: `${folder}:${process.env["PATH"]}`,
      CONNTRACKD_BIN: client,
      CONNTRACKD_LOCK: join(folder, "lock"),
      CONNTRACKD_CONFIG: join(folder, "conf")
    }
    let status = 0
    try {
      execFileSync("sh", [scriptPath, role], { env, stdio: "pipe" })
    } catch (reason) {
      status = (reason as { status: number }).status
    }
    const options = readFileSync(join(folder, "options"), "utf8").split("\n").filter(Boolean)
    return { options, status }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The same by the operator on a machine whose daemon fails at those. */
const playedSteps = (
  role: Role,
  failing: ReadonlyArray<string>
): ReturnType<typeof realSteps> => {
  const { b, ended, operator, world } = setUp()
  for (const option of failing) if (option !== "-d") b.deafTo.add(option as ClientOption)
  // A daemon that does not answer and can be started: it was not there.
  if (failing.includes("-s")) {
    b.kill()
    b.isStartable = !failing.includes("-d")
  }
  if (role === "primary") operator.promoteAlone("B")
  else if (role === "fault") operator.fault("B")
  else {
    operator.begin("B")
    operator.failover("A")
  }
  world.runUntil(20_000)
  const run = ended.find((one) => one.machine === b)
  return { options: [...stepsOf(run)], status: run?.end === "exit" ? 1 : 0 }
}

describe("the script that the operator plays", () => {
  it("has the steps of the file, in the order of the file", () => {
    const functions = new Map([...script.matchAll(/^(become_\w+)\(\) \{\n(.*?)^\}/gms)]
      .map(([, name, body]) => [name, [...body!.matchAll(/\bstep (-\w)/g)].map(([, o]) => o)]))
    assert.deepStrictEqual(functions.get("become_primary"), [...scriptSteps.primary])
    assert.deepStrictEqual(functions.get("become_backup"), [...scriptSteps.backup])
    assert.deepStrictEqual(functions.get("become_faulty"), [...scriptSteps.fault])
    assert.strictEqual(functions.size, 3)
  })

  const cases: ReadonlyArray<readonly [Role, ReadonlyArray<string>]> = [
    ["primary", []],
    ["primary", ["-c"]],
    ["primary", ["-f", "-B"]],
    ["primary", ["-c", "-f", "-R", "-B"]],
    ["backup", []],
    ["backup", ["-s"]],
    ["backup", ["-s", "-d"]],
    ["backup", ["-t"]],
    ["backup", ["-s", "-t", "-n"]],
    ["fault", []],
    ["fault", ["-t"]]
  ]
  it.each(cases)("does what the file does: %s, failing at %j", (role, failing) => {
    const real = realSteps(role, failing)
    assert.isAbove(real.options.length, 0)
    assert.deepStrictEqual(playedSteps(role, failing), real)
  })

  it("waits for each answer before the next step, and for the shell", () => {
    const { a, b, operator, world } = setUp()
    b.answerMs = 700
    assert.isTrue(operator.failover("B"))
    world.runUntil(10_000)
    assert.deepStrictEqual(b.options, ["-c", "-f", "-R", "-B"])
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
    let before = -700
    for (const { atMs } of b.asked) {
      assert.isAtLeast(atMs - before, 710)
      assert.isAtMost(atMs - before, 730)
      before = atMs
    }
    assert.strictEqual(operator.scriptsRunning, 0)
  })

  it("takes the same time with the same seed, and another with another", () => {
    const times = (seed: string) => {
      const { b, operator, world } = setUp(seed)
      operator.failover("B")
      world.runUntil(10_000)
      return b.asked.map(({ atMs }) => atMs)
    }
    assert.deepStrictEqual(times("x"), times("x"))
    assert.notDeepEqual(times("x"), times("y"))
  })

  it("says that a step failed", () => {
    const { b, operator, said, world } = setUp()
    b.deafTo.add("-f")
    operator.failover("B")
    world.runUntil(10_000)
    assert.include(said, "B logs that a step to primary failed: conntrackd -f")
  })

  it("goes on when the daemon that it started is ready", () => {
    const { a, operator, world } = setUp()
    a.kill()
    a.startMs = 2_000
    operator.failover("B")
    world.runUntil(1_900)
    assert.deepStrictEqual(a.options, ["-s"])
    world.runUntil(10_000)
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
    assert.isAbove(a.asked[1]!.atMs, 2_000)
    assert.strictEqual(a.starts, 1)
  })

  it("goes on after a while with a daemon that never says that it is ready", () => {
    const { a, operator, world } = setUp()
    a.kill()
    a.onReady = () => {}
    operator.failover("B")
    world.runUntil(4_900)
    assert.deepStrictEqual(a.options, ["-s"])
    world.runUntil(10_000)
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
  })

  it("ends when the daemon dies while it starts", () => {
    const { a, ended, operator, world } = setUp()
    a.kill()
    a.startMs = 1_000
    operator.failover("B")
    world.runUntil(500)
    a.kill()
    operator.ended(a)
    world.runUntil(10_000)
    assert.deepStrictEqual(a.options, ["-s"])
    assert.strictEqual(ended.find(({ machine }) => machine === a)?.end, "exit")
  })

  it("hangs as long as the daemon is stopped", () => {
    const { b, operator, world } = setUp()
    b.pause()
    operator.failover("B")
    world.runUntil(10_000)
    assert.deepStrictEqual(b.options, ["-c"])
    assert.strictEqual(operator.scriptsRunning, 1)
    b.resume()
    world.runUntil(20_000)
    assert.deepStrictEqual(b.options, ["-c", "-f", "-R", "-B"])
  })

  it("is cut by a power loss, and does not go on after it", () => {
    const { b, ended, operator, world } = setUp()
    b.answerMs = 500
    operator.failover("B")
    world.runUntil(700)
    assert.deepStrictEqual(b.options, ["-c", "-f"])
    b.powerLoss()
    b.powerOn()
    world.runUntil(10_000)
    assert.deepStrictEqual(b.options, ["-c", "-f"])
    assert.strictEqual(ended.find(({ machine }) => machine === b)?.end, "cut")
    assert.strictEqual(operator.scriptsRunning, 0)
  })

  it("overlaps with the next one, as keepalived does not wait", () => {
    const { a, b, ended, operator, world } = setUp()
    for (const machine of [a, b]) machine.answerMs = 400
    operator.failover("B")
    world.runUntil(600)
    assert.deepStrictEqual(b.options, ["-c", "-f"])
    operator.failover("A")
    assert.strictEqual(operator.scriptsRunning, 4)
    assert.strictEqual(operator.primaryOf("B"), a)
    world.runUntil(10_000)
    // Both scripts of B are complete, one within the other.
    assert.sameMembers([...b.options], ["-c", "-f", "-R", "-B", "-s", "-t", "-n"])
    assert.isAbove(b.options.indexOf("-B"), b.options.indexOf("-s"))
    assert.sameMembers([...a.options], ["-s", "-t", "-n", "-c", "-f", "-R", "-B"])
    assert.deepStrictEqual(ended.map(({ end }) => end), Array(4).fill("complete"))
  })
})

describe("the virtual address", () => {
  const names = (operator: Operator, member: MachineName = "A") =>
    operator.holdersOf(member).map(({ name }) => name)

  it("is where it began, before anything was done", () => {
    const { b, operator } = setUp()
    assert.deepStrictEqual(names(operator), ["A"])
    operator.begin("B")
    assert.strictEqual(operator.primaryOf("A"), b)
    assert.deepStrictEqual(b.options, [])
  })

  it("moves at once, before any step", () => {
    const { a, b, operator } = setUp()
    operator.failover("B")
    assert.deepStrictEqual(names(operator), ["B"])
    assert.deepStrictEqual([...a.options, ...b.options], [])
  })

  it("does not move to a dead machine, nor to the one that has it", () => {
    const { a, b, operator } = setUp()
    b.powerLoss()
    assert.isFalse(operator.failover("B"))
    assert.isFalse(operator.failover("A"))
    assert.deepStrictEqual(operator.runs, { primary: 0, backup: 0, fault: 0 })
    assert.strictEqual(operator.primaryOf("B"), a)
  })

  it("is lost with the power, and not back with it", () => {
    const { a, operator } = setUp()
    a.powerLoss()
    assert.isUndefined(operator.primaryOf("B"))
    a.powerOn()
    assert.isUndefined(operator.primaryOf("B"))
  })

  it("leaves a dying machine alone", () => {
    const { a, b, operator, world } = setUp()
    a.powerLoss()
    operator.failover("B")
    world.runUntil(5_000)
    assert.deepStrictEqual(a.options, [])
    assert.deepStrictEqual(b.options, ["-c", "-f", "-R", "-B"])
  })

  it("stays with the new one when the old one returns, which becomes backup when it is up", () => {
    const { a, operator, world } = setUp()
    a.powerLoss()
    operator.failover("B")
    world.runUntil(5_000)
    a.powerOn()
    operator.returned("A")
    world.runUntil(5_050)
    assert.deepStrictEqual(a.options, [])
    world.runUntil(10_000)
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
    assert.deepStrictEqual(names(operator), ["B"])
  })

  it("goes to the one that returns when the other is dead", () => {
    const { a, b, operator, world } = setUp()
    a.powerLoss()
    b.powerLoss()
    a.powerOn()
    operator.returned("A")
    world.runUntil(5_000)
    assert.deepStrictEqual(a.options, ["-c", "-f", "-R", "-B"])
    assert.deepStrictEqual(names(operator), ["A"])
    b.powerOn()
    operator.returned("B")
    world.runUntil(10_000)
    assert.deepStrictEqual(b.options, ["-s", "-t", "-n"])
  })

  it("was taken by the other one when the plan did not say so", () => {
    const { a, b, operator, world } = setUp()
    a.powerLoss()
    a.powerOn()
    operator.returned("A")
    world.runUntil(5_000)
    assert.deepStrictEqual(names(operator), ["B"])
    assert.deepStrictEqual(b.options, ["-c", "-f", "-R", "-B"])
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
  })

  it("is not asked for by a machine that dies again while it boots", () => {
    const { a, operator, world } = setUp()
    a.powerLoss()
    operator.failover("B")
    a.powerOn()
    operator.returned("A")
    a.powerLoss()
    world.runUntil(20_000)
    assert.deepStrictEqual(a.options, [])
  })

  it("is with both in a split brain, until one gives up", () => {
    const { a, b, operator, world } = setUp()
    assert.isTrue(operator.promoteAlone("B"))
    assert.isFalse(operator.promoteAlone("B"))
    assert.deepStrictEqual(names(operator), ["A", "B"])
    assert.isTrue(operator.holds("B"))
    assert.strictEqual(operator.primaryOf("B"), a)
    world.runUntil(5_000)
    assert.deepStrictEqual(a.options, [])
    assert.deepStrictEqual(b.options, ["-c", "-f", "-R", "-B"])
    assert.isTrue(operator.heal("A"))
    assert.isFalse(operator.heal("B"))
    assert.deepStrictEqual(names(operator), ["B"])
    world.runUntil(10_000)
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
    assert.strictEqual(b.options.length, 4)
  })

  it("ends a split brain by a failover, too", () => {
    const { a, b, operator, world } = setUp()
    operator.promoteAlone("B")
    world.runUntil(5_000)
    operator.failover("B")
    world.runUntil(10_000)
    assert.deepStrictEqual(names(operator), ["B"])
    assert.deepStrictEqual(a.options, ["-s", "-t", "-n"])
    // It was primary already.
    assert.strictEqual(b.options.length, 4)
  })

  it("is given up by a faulty machine", () => {
    const { a, operator, world } = setUp()
    assert.isTrue(operator.fault("A"))
    assert.isUndefined(operator.primaryOf("A"))
    world.runUntil(5_000)
    assert.deepStrictEqual(a.options, ["-t"])
  })

  it("exists once per pair", () => {
    const world = new World({ seed: "pairs" })
    const machines = [
      new MachineFake(world, "A", "B"),
      new MachineFake(world, "B", "A"),
      new MachineFake(world, "C", "D"),
      new MachineFake(world, "D", "C")
    ]
    const operator = new Operator({ world, machines: () => machines, stepDelayMs: [1, 1] })
    operator.begin("A")
    assert.deepStrictEqual(names(operator, "C"), [])
    operator.failover("D")
    assert.deepStrictEqual(names(operator, "A"), ["A"])
    assert.deepStrictEqual(names(operator, "C"), ["D"])
    world.runUntil(1_000)
    assert.deepStrictEqual(machines.map(({ options }) => options.length), [0, 0, 3, 4])
  })
})
