/**
 * Replays a recorded command-line session on two real nodes and compares everything that is
 * printed, logged and left behind with the recording.
 *
 * The program may be the original or ours. Where ours differs on purpose, the caller lists an
 * exception with the name of the row in `docs/differences.md` and what is expected instead; an
 * exception that is not needed is a mismatch too.
 */
import { execFileSync } from "node:child_process"
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { NodePair, type Ran } from "./NodePair.ts"
import { compilePattern, matchLines, substitute } from "./Pattern.ts"
import { type CommandEvent, readSession, recordedUsage, type SessionEvent } from "./Session.ts"

export interface Exception {
  /** Name of the row in `docs/differences.md`. */
  readonly row: string
  /** Position of the event in the session's list. */
  readonly event: number
  readonly field: Field
  /** The pattern that our output has instead of the recorded one. */
  readonly instead: string
  /** The difference depends on the moment: being as recorded is fine too. */
  readonly sometimes?: boolean
}

export type Field = "exit" | "stdout" | "stderr" | "log" | "files" | "raw"

export interface Mismatch {
  readonly event: number
  readonly what: string
  readonly field: Field
  readonly expected: string
  readonly actual: string
}

export interface SessionOptions {
  /** Program and leading arguments, as `["/usr/sbin/conntrackd"]`. */
  readonly binary: ReadonlyArray<string>
  /** The usage text of the program under test; default: the recorded one. */
  readonly usage?: string
  readonly exceptions?: ReadonlyArray<Exception>
  /** Events that make no sense with this program, and the row that says why. */
  readonly skip?: ReadonlyArray<{ readonly row: string; readonly event: number }>
  /** Changes the recorded configurations, as to another mode. */
  readonly rewriteConfig?: (text: string) => string
  /** Multiplies the recorded pauses: our program, unbundled, needs longer to start. Default 1. */
  readonly waitFactor?: number
  /** Order of log lines does not count (session 20: commands race). */
  readonly unorderedLogs?: boolean
}

/** Replays the session whose file starts with `number`; an empty list: all is as recorded. */
export const runSession = async (
  number: string,
  options: SessionOptions
): Promise<ReadonlyArray<Mismatch>> => {
  const pair = new NodePair(options.binary)
  try {
    return await new Replay(pair, options).play(readSession(number).events)
  } finally {
    pair.dispose()
  }
}

/** One line per mismatch and the two texts, for the message of a failed test. */
export const describeMismatches = (mismatches: ReadonlyArray<Mismatch>): string =>
  mismatches.map(({ actual, event, expected, field, what }) =>
    `event ${event}: ${what}: ${field}\n--- expected\n${expected}\n--- actual\n${actual}\n`
  ).join("\n")

type Values = { readonly [name: string]: string }

/** Sends requests as plain socket programs do. */
const request = (path: string, code: number): Socket => {
  const socket = connect({ path, allowHalfOpen: true })
  socket.on("error", () => undefined)
  socket.write(new Uint8Array(Int32Array.of(code).buffer))
  return socket
}

class Replay {
  readonly #pair: NodePair
  readonly #options: SessionOptions
  readonly #values: Values
  readonly #mismatches: Array<Mismatch> = []
  readonly #logRead = new Map<string, number>()
  readonly #used = new Set<Exception>()
  #silentClient: Socket | undefined
  #event = 0

  constructor(pair: NodePair, options: SessionOptions) {
    this.#pair = pair
    this.#options = options
    this.#values = { ...pair.placeholders, USAGE: options.usage ?? recordedUsage() }
  }

  async play(events: ReadonlyArray<SessionEvent>): Promise<ReadonlyArray<Mismatch>> {
    for (const [index, event] of events.entries()) {
      this.#event = index
      if (this.#options.skip?.some((skipped) => skipped.event === index) === true) continue
      await this.#step(event)
    }
    for (const exception of this.#options.exceptions ?? []) {
      if (this.#used.has(exception) || exception.sometimes === true) continue
      this.#mismatches.push({
        event: exception.event,
        what: `exception "${exception.row}" was not needed`,
        field: exception.field,
        expected: exception.instead,
        actual: "as recorded"
      })
    }
    return this.#mismatches
  }

  async #step(event: SessionEvent): Promise<void> {
    switch (event.type) {
      case "config": {
        const rewrite = this.#options.rewriteConfig ?? ((text) => text)
        const text = substitute(rewrite(event.text), this.#values)
        return writeFileSync(this.#path(event.file), text, { mode: 0o644 })
      }
      case "wait":
        return void await sleep(event.seconds * 1_000 * (this.#options.waitFactor ?? 1))
      case "conntrackd":
        return this.#command(event)
      case "shell": {
        const command = substitute(event.command, this.#values)
        if (command.includes("flows.ct")) writeFileSync(this.#path("@RUN@/flows.ct"), manyFlows())
        const ran = await this.#pair.execute(event.node, ["sh", "-c", command])
        const stdout = event.stdout_pattern ?? event.stdout
        if (stdout !== undefined) {
          this.#compare("stdout", event.command, stdout, ran.stdout, command.includes(" -L"))
        }
        const stderr = event.stderr_pattern ?? event.stderr
        if (stderr !== undefined) this.#compare("stderr", event.command, stderr, ran.stderr, false)
        return
      }
      case "log":
        return this.#log(this.#path(event.file), event.new_text_pattern ?? event.new_text)
      case "files":
        return this.#compare("files", "files", event.list.join("\n"), this.#listFiles(), false)
      case "raw":
        return this.#raw(event)
      case "note":
        return this.#act(event.text)
    }
  }

  #path(file: string): string {
    return substitute(file, this.#values)
  }

  async #command(event: CommandEvent): Promise<void> {
    const argv = event.argv.map((word) => substitute(word, this.#values))
    const what = `${event.node}: ${event.argv.join(" ")}`
    const ran: Ran = await this.#pair.execute(event.node, argv)
    const topic = event.argv.at(-1)!
    const isDump = event.argv.includes("-i") || event.argv.includes("-e")
    const stdout = withoutTrafficNumbers(topic, event.stdout_pattern ?? event.stdout)
    if (topic === "rsqueue") this.#compareResendQueue(what, stdout, ran.stdout)
    else this.#compare("stdout", what, stdout, ran.stdout, isDump)
    this.#compare("stderr", what, event.stderr_pattern ?? event.stderr, ran.stderr, false)
    this.#compare("exit", what, String(event.exit), String(ran.exit), false)
    if (ran.heldOpen) {
      this.#report("exit", what, "output closed", "the daemon keeps the command's output open")
    }
  }

  #log(path: string, pattern: string): void {
    // A daemon that could not start may have left none.
    const all = existsSync(path) ? readFileSync(path, "latin1") : ""
    const fresh = all.slice(this.#logRead.get(path) ?? 0)
    this.#logRead.set(path, all.length)
    this.#compare("log", path, pattern, fresh, this.#options.unorderedLogs ?? false)
  }

  #listFiles(): string {
    return readdirSync(this.#pair.run).sort().filter((name) => name !== "flows.ct").map((name) => {
      const stat = lstatSync(join(this.#pair.run, name))
      return `${stat.isSocket() ? "s" : "-"}${(stat.mode & 0o777).toString(8)} ${name}`
    }).join("\n")
  }

  async #raw(event: Extract<SessionEvent, { type: "raw" }>): Promise<void> {
    if (event.hex !== undefined) {
      const script = `require("node:dgram").createSocket("udp4").send(` +
        `Buffer.from("${event.hex}", "hex"), 3780, "10.77.0.2", () => process.exit())`
      await this.#pair.execute("A", [process.execPath, "-e", script])
      // The daemon reads it in its own time; the command that follows must see it counted.
      return void await sleep(100)
    }
    const codes = (event.result ?? []).map((line) => Number(line.split(":")[0]))
    const path = this.#path(`@RUN@/${event.node}.ctl`)
    const answers = codes.map((code) =>
      new Promise<string>((resolve) => {
        let bytes = 0
        const socket = request(path, code)
        socket.on("data", (data: Buffer) => bytes += data.length)
        socket.on("end", () => {
          socket.end()
          resolve(`${code}: ${bytes} bytes then EOF`)
        })
        socket.on("error", (error) => resolve(`${code}: ${error.message}`))
      })
    )
    const lines = await Promise.all(answers)
    this.#compare("raw", event.note, event.result!.join("\n"), lines.join("\n"), false)
  }

  /** Notes describe what the recorder did by other means. An unknown one cannot be replayed. */
  async #act(text: string): Promise<void> {
    if (text.startsWith("A is killed with SIGKILL")) {
      this.#pair.kill("A", "A.conf")
      return void await sleep(200)
    }
    if (text.startsWith("a raw client sent request 17")) {
      this.#silentClient = request(this.#path("@RUN@/B.ctl"), 17).pause()
      return void await sleep(300)
    }
    if (text === "raw client closed") {
      this.#silentClient?.destroy()
      return
    }
    throw new Error(`do not know how to replay: ${text}`)
  }

  /** How many messages wait depends on the moment; what they look like does not. */
  #compareResendQueue(what: string, pattern: string, actual: string): void {
    const lines = actual.split("\n").slice(0, -1)
    const fits = pattern === "" ? actual === "" : lines.every((line, i) =>
      i === 0
        ? line === `resent queue (len=${lines.length - 1})`
        : /^(control -> seq:\d+ flags:\d+|object -> seq:\d+)$/.test(line)
    ) && lines.length > 0
    if (!fits) this.#report("stdout", what, pattern, actual)
  }

  #compare(
    field: Field,
    what: string,
    pattern: string,
    actual: string,
    unordered: boolean
  ): void {
    if (this.#fits(pattern, actual, unordered)) return
    const exception = this.#options.exceptions?.find((candidate) =>
      candidate.event === this.#event && candidate.field === field
    )
    if (exception === undefined) return this.#report(field, what, pattern, actual)
    this.#used.add(exception)
    if (!this.#fits(exception.instead, actual, unordered)) {
      this.#report(field, `${what} (${exception.row})`, exception.instead, actual)
    }
  }

  #fits(recorded: string, actual: string, unordered: boolean): boolean {
    // The recording saw no second pass between making a flow and looking at it.
    const pattern = recorded.replace(/delta-time=\d+/g, "delta-time=@N@")
    if (!unordered) return compilePattern(pattern, this.#values).test(actual)
    const { missing, surplus } = matchLines(pattern, actual, this.#values)
    return missing.length === 0 && surplus.length === 0
  }

  #report(field: Field, what: string, expected: string, actual: string): void {
    this.#mismatches.push({ event: this.#event, what, field, expected, actual })
  }
}

/** Lengths of queues depend on the moment: only their columns are compared. */
const withoutTrafficNumbers = (topic: string, pattern: string): string =>
  topic === "queue"
    ? pattern.replace(/(allocated queue nodes|current elements):(\t+) *\d+/g, "$1:$2@N12@")
    : pattern

/** 6000 UDP flows, as a file for `conntrack -R`. */
const manyFlows = (): string =>
  Array.from({ length: 6_000 }, (_, n) =>
    `-I -p udp -s 192.0.2.${1 + (n >> 10)} -d 198.51.100.20 ` +
    `--sport ${1_024 + (n & 1_023)} --dport 53 -t 600\n`
  ).join("")

/** True when sessions can be replayed here: root, and the tools that build the nodes. */
export const canReplay = (): boolean => {
  if (process.getuid?.() !== 0) return false
  try {
    for (const tool of ["ip", "nft", "conntrack"]) execFileSync("which", [tool], { stdio: "pipe" })
    return true
  } catch {
    return false
  }
}
