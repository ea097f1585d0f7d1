import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { constants, getPriority, networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { addon, EINVAL, ENODEV, ENOENT } from "./Machine.ts"

/** Evaluates `expression` with `addon` in a process of its own and returns what it gives. */
const inChild = async (expression: string, env: NodeJS.ProcessEnv = {}): Promise<unknown> => {
  const machine = fileURLToPath(new URL("./Machine.ts", import.meta.url))
  const script = `import { addon } from ${JSON.stringify(machine)}
    import os from "node:os"
    console.log(JSON.stringify(${expression}))`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", script],
    { env: { ...process.env, ...env } }
  )
  return JSON.parse(stdout)
}

describe("interfaces", () => {
  it("have an index and an MTU", () => {
    assert.isTrue("lo" in networkInterfaces())
    assert.strictEqual(addon.interfaceIndex("lo"), 1)
    assert.isAbove(addon.interfaceMtu("lo"), 1000)
    assert.strictEqual(addon.interfaceIndex("no-such-if0"), -ENODEV)
    assert.strictEqual(addon.interfaceMtu("no-such-if0"), -ENODEV)
    assert.strictEqual(addon.interfaceMtu("a-name-longer-than-the-kernel-allows"), -EINVAL)
    assert.strictEqual(addon.interfaceMtu(undefined as never), -EINVAL)
  })
})

describe("scheduling", () => {
  it("knows the highest priority of a policy", () => {
    assert.strictEqual(addon.schedulerMaxPriority("rr"), 99)
    assert.strictEqual(addon.schedulerMaxPriority("fifo"), 99)
    assert.strictEqual(addon.schedulerMaxPriority("other"), 0)
    assert.strictEqual(addon.schedulerMaxPriority("idle" as never), -EINVAL)
  })

  it("changes in the process that asks", async () => {
    const nice = await inChild("[addon.setNice(7), os.getPriority()]")
    assert.deepStrictEqual(nice, [0, 7])
    assert.notStrictEqual(getPriority(), 7)
    assert.strictEqual(await inChild(`addon.setScheduler("other", 0)`), 0)
    assert.strictEqual(await inChild(`addon.setScheduler("other", 5)`), -EINVAL)
    const [status, policy] = (await inChild(
      `[addon.setScheduler("rr", 3),
        (await import("node:fs")).readFileSync("/proc/thread-self/stat", "utf8")
          .split(") ")[1].split(" ")[38]]`
    )) as [number, string]
    // Refused without the right to real-time priorities; field 41 of stat is the policy, 2 is rr.
    if (status === 0) assert.strictEqual(policy, "2")
    else assert.strictEqual(status, -constants.errno.EPERM)
  })
})

/** Receives Unix datagrams, which Node cannot: Python can. Resolves with the first one. */
const unixReceiver = (name: string) => {
  const program = `import socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(chr(0) + name[1:] if name[0] == "@" else name)
print("bound", flush=True)
print(s.recv(65536).decode(), flush=True)`
  const child = execFile("python3", ["-c", program, name], { timeout: 10_000 })
  const lines: Array<string> = []
  const waiting: Array<(line: string) => void> = []
  child.stdout!.on("data", (data: string) => {
    for (const line of data.split("\n").filter((text) => text !== "")) {
      const next = waiting.shift()
      if (next === undefined) lines.push(line)
      else next(line)
    }
  })
  const line = () =>
    new Promise<string>((resolve, reject) => {
      const ready = lines.shift()
      if (ready !== undefined) return resolve(ready)
      waiting.push(resolve)
      child.once("exit", (code) => reject(new Error(`the receiver ended with ${code}`)))
    })
  return { line }
}

describe("the service manager", () => {
  it("is told when there is one", async () => {
    assert.strictEqual(
      await inChild(`addon.notifyServiceManager("READY=1")`, { NOTIFY_SOCKET: "" }),
      0
    )
    for (
      const name of [`@conntrackd-test-${process.pid}`, join(tmpdir(), `notify-${process.pid}`)]
    ) {
      const receiver = unixReceiver(name)
      assert.strictEqual(await receiver.line(), "bound")
      const env = { NOTIFY_SOCKET: name }
      assert.strictEqual(await inChild(`addon.notifyServiceManager("READY=1")`, env), 1)
      assert.strictEqual(await receiver.line(), "READY=1")
      if (!name.startsWith("@")) rmSync(name)
    }
    const nobody = { NOTIFY_SOCKET: join(tmpdir(), "nobody-listens-here") }
    assert.strictEqual(await inChild(`addon.notifyServiceManager("READY=1")`, nobody), -ENOENT)
  })
})

describe("the system log", () => {
  it("gets a line with facility, level, date, identity and process id", async () => {
    const directory = mkdtempSync(join(tmpdir(), "conntrackd-log-"))
    const path = join(directory, "log")
    const receiver = unixReceiver(path)
    assert.strictEqual(await receiver.line(), "bound")
    assert.strictEqual(
      addon.syslog(3, 5, "conntrackd", "using user-space event filtering", path),
      0
    )
    assert.match(
      await receiver.line(),
      new RegExp(
        `^<29>[A-Z][a-z]{2} [ 1-3][0-9] \\d\\d:\\d\\d:\\d\\d conntrackd\\[${process.pid}\\]: ` +
          "using user-space event filtering$"
      )
    )
    rmSync(directory, { recursive: true })
    assert.strictEqual(addon.syslog(3, 5, "conntrackd", "nobody listens", path), -ENOENT)
    assert.strictEqual(addon.syslog(24, 5, "conntrackd", "no such facility", path), -EINVAL)
  })
})
