import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { matchesPattern } from "../../golden/Pattern.ts"

const program = fileURLToPath(new URL("../../../src/programs/conntrackd.ts", import.meta.url))

let folder = ""
let server: Server | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conntrackd-client-"))
  writeFileSync(join(folder, "a.conf"), `General { UNIX { Path ${folder}/a.ctl } }\n`)
})

afterEach(() => {
  server?.close()
  server = undefined
  rmSync(folder, { recursive: true })
})

/** Listens like a daemon; `answer` gets the request's bytes. */
const listen = (answer: (socket: Socket, request: Buffer) => void): Promise<void> =>
  new Promise((resolve) => {
    server = createServer((socket) => {
      socket.on("error", () => undefined)
      socket.once("data", (request) => answer(socket, request))
    }).listen(join(folder, "a.ctl"), resolve)
  })

interface Ran {
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs the program with what a shell command does with its output. */
const runShell = (command: string): Promise<Ran> =>
  new Promise((resolve) => {
    const script = `conntrackd() { "$NODE" "$PROGRAM" "$@"; }\n${command}`
    const env = { ...process.env, NODE: process.execPath, PROGRAM: program, RUN: folder }
    const child = spawn("bash", ["-o", "pipefail", "-c", script], { env })
    const stdout: Array<Buffer> = []
    let stderr = ""
    child.stdout.on("data", (data: Buffer) => stdout.push(data))
    child.stderr.on("data", (data: Buffer) => stderr += data.toString("latin1"))
    child.on("close", (status) => resolve({ status, stdout: Buffer.concat(stdout), stderr }))
  })

const client = (options: string): Promise<Ran> => runShell(`conntrackd -C $RUN/a.conf ${options}`)

const errorLine = (text: string): string => `[@CTIME@] (pid=@PID@) [ERROR] ${text}\n`

describe("conntrackd as a client", () => {
  it("sends exactly four bytes and prints the reply unchanged, NUL bytes included", async () => {
    const requests: Array<string> = []
    await listen((socket, request) => {
      requests.push(request.toString("hex"))
      socket.end(Buffer.from("a\0b\xff\n", "latin1"))
    })
    const { status, stderr, stdout } = await client("-s runtime")
    assert.deepStrictEqual(
      [status, stderr, stdout.toString("latin1"), requests],
      [0, "", "a\0b\xff\n", ["1e000000"]]
    )
  })

  it("prints a reply that is larger than all buffers to a slow reader", async () => {
    const reply = Buffer.alloc(8_000_000, "0123456789abcde\n")
    await listen((socket) => socket.end(reply))
    const { status, stdout } = await runShell("conntrackd -C $RUN/a.conf -i | (sleep 0.3; cat)")
    assert.strictEqual(status, 0)
    assert.isTrue(stdout.equals(reply))
  })

  it("writes a large reply to a file", async () => {
    const reply = Buffer.alloc(2_000_000, "0123456789abcde\n")
    await listen((socket) => socket.end(reply))
    const { status, stdout } = await runShell("conntrackd -C $RUN/a.conf -i >$RUN/o; cat $RUN/o")
    assert.strictEqual(status, 0)
    assert.isTrue(stdout.equals(reply))
  })

  it("ends without a word when the reader has enough", async () => {
    await listen((socket) => socket.end(Buffer.alloc(8_000_000, "0123456789abcde\n")))
    const { status, stderr, stdout } = await runShell("conntrackd -C $RUN/a.conf -i | head -n 1")
    // 141 is what a shell reports for a program that SIGPIPE ended.
    assert.deepStrictEqual([status, stderr, stdout.toString()], [141, "", "0123456789abcde\n"])
  })

  it("waits until the daemon closes the connection", async () => {
    let closedAt = 0
    await listen((socket) =>
      setTimeout(() => {
        closedAt = performance.now()
        socket.end()
      }, 300)
    )
    const { status } = await client("-k")
    assert.strictEqual(status, 0)
    assert.isAbove(closedAt, 0)
    assert.isAtLeast(performance.now(), closedAt)
  })

  it("ends with status 1 when the daemon goes away without reading the request", async () => {
    server = createServer({ pauseOnConnect: true }, (socket) => {
      setTimeout(() => socket.destroy(), 200)
    })
    await new Promise<void>((resolve) => server!.listen(join(folder, "a.ctl"), resolve))
    const { status, stderr } = await client("-i")
    assert.strictEqual(status, 1)
    const text = "lost the connection before the reply was complete"
    assert.isTrue(matchesPattern(errorLine(text), stderr))
  })

  it.each([
    ["nobody listens", async () => undefined],
    ["the socket file is stale", async () => writeFileSync(join(folder, "a.ctl"), "")],
    [
      "the configuration names no socket",
      async () => writeFileSync(join(folder, "a.conf"), "General { }\n")
    ]
  ])("ends with status 1 and the known text when %s", async (_, prepare) => {
    await prepare()
    const { status, stderr, stdout } = await client("-s")
    assert.deepStrictEqual([status, stdout.length], [1, 0])
    const text = "can't connect: is conntrackd running? appropriate permissions?"
    assert.isTrue(matchesPattern(errorLine(text), stderr))
  })

  it("reports a missing, a broken and a dangerous configuration as upstream does", async () => {
    const missing = await runShell("conntrackd -C $RUN/none -s")
    assert.strictEqual(missing.status, 1)
    assert.isTrue(
      matchesPattern(errorLine("can't open config file `@RUN@/none'"), missing.stderr, {
        RUN: folder
      })
    )

    mkdirSync(join(folder, "d"))
    const directory = await runShell("conntrackd -C $RUN/d -s")
    assert.deepStrictEqual([directory.status, directory.stderr], [
      2,
      "input in flex scanner failed\n"
    ])

    writeFileSync(join(folder, "a.conf"), "General {\n  Nonsense\n}\n")
    const broken = await client("-s")
    assert.strictEqual(broken.status, 1)
    const text = "parsing config file in line (2), symbol 'Nonsense': syntax error"
    assert.isTrue(matchesPattern(errorLine(text), broken.stderr))
  })

  it("prints the warnings of the configuration and goes on", async () => {
    writeFileSync(join(folder, "a.conf"), `General { UNIX { Path ${folder}/a.ctl Backlog 20 } }\n`)
    await listen((socket) => socket.end("ok\n"))
    const { status, stderr, stdout } = await client("-s")
    assert.deepStrictEqual([status, stdout.toString()], [0, "ok\n"])
    const pattern =
      "[@CTIME@] (pid=@PID@) [warning] deprecated unix backlog configuration, ignoring.\n"
    assert.isTrue(matchesPattern(pattern, stderr))
  })
})
