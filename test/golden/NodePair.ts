/**
 * Two network namespaces joined by two links, as the recorded sessions had them (`cli/README.md`,
 * "Environment of the recordings"). Needs root, iproute2 and nft.
 *
 * Both ends of link n are called `linkN`; names of the namespaces are unique, so several pairs can
 * exist at a time. `dispose` ends every process in them and removes everything.
 */
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Node } from "./Session.ts"

export interface Ran {
  /** Exit status, or `signal NAME`. */
  readonly exit: number | string
  readonly stdout: string
  readonly stderr: string
  /** A process that outlived the command still holds its standard output or error. */
  readonly heldOpen: boolean
}

const ruleset = `
table inet t {
  ct helper ftpstd { type "ftp" protocol tcp; l3proto ip; }
  chain ro { type filter hook output priority raw; oifname { "link0", "link1" } notrack; }
  chain ri { type filter hook prerouting priority raw; iifname { "link0", "link1" } notrack; }
  chain o {
    type filter hook output priority 0
    tcp dport 21 ct helper set "ftpstd"
    ct state new accept
  }
}
`

/** Commands end within this time, or the session fails. */
const commandTimeoutMs = 30_000
/** How long output may trickle in after a command has ended. */
const drainMs = 1_000

let pairs = 0

export class NodePair {
  /** Where configurations, logs and sockets of the session are. */
  readonly run: string
  readonly namespaces: { readonly [N in Node]: string }
  readonly #bin: string

  /** `binary`: the program that is called when a session says `conntrackd`. */
  constructor(binary: ReadonlyArray<string>) {
    const suffix = `${process.pid}-${pairs++}`
    this.namespaces = { A: `cs-a-${suffix}`, B: `cs-b-${suffix}` }
    this.run = mkdtempSync(join(tmpdir(), "cs-"))
    this.#bin = mkdtempSync(join(tmpdir(), "cs-bin-"))
    chmodSync(this.run, 0o755)
    this.#provide(binary)
    try {
      this.#build()
    } catch (cause) {
      this.dispose()
      throw cause
    }
  }

  #provide(binary: ReadonlyArray<string>): void {
    const path = join(this.#bin, "conntrackd")
    const [program, ...options] = binary
    if (options.length === 0) {
      symlinkSync(program!, path)
      return
    }
    const words = binary.map((word) => `'${word}'`).join(" ")
    writeFileSync(path, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 })
  }

  #build(): void {
    const { A, B } = this.namespaces
    const ip = (...words: ReadonlyArray<string>) => execFileSync("ip", words, { stdio: "pipe" })
    ip("netns", "add", A)
    ip("netns", "add", B)
    for (const link of [0, 1]) {
      const name = `link${link}`
      ip("-n", A, "link", "add", name, "type", "veth", "peer", "name", name, "netns", B)
      for (const [at, host] of [[A, 1], [B, 2]] as const) {
        ip("-n", at, "addr", "add", `10.77.${link}.${host}/24`, "dev", name)
        ip("-n", at, "link", "set", name, "up")
      }
    }
    for (const namespace of [A, B]) {
      ip("-n", namespace, "link", "set", "lo", "up")
      ip("-n", namespace, "addr", "add", "10.78.0.1/32", "dev", "lo")
      ip("-n", namespace, "addr", "add", "10.78.0.2/32", "dev", "lo")
      execFileSync("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: ruleset })
      const settings = "cd /proc/sys/net/netfilter; " +
        "echo 1 >nf_conntrack_acct; echo 0 >nf_conntrack_timestamp"
      ip("netns", "exec", namespace, "sh", "-c", settings)
    }
  }

  /** Values of the placeholders of texts. */
  get placeholders(): { readonly [name: string]: string } {
    return { RUN: this.run, IF0: "link0", IF1: "link1" }
  }

  /** Runs a command on a node, with `conntrackd` being the program under test. */
  execute(node: Node, argv: ReadonlyArray<string>): Promise<Ran> {
    const env = { ...process.env, PATH: `${this.#bin}:${process.env["PATH"]}`, LC_ALL: "C" }
    return new Promise((resolve, reject) => {
      const child = spawn("ip", ["netns", "exec", this.namespaces[node], ...argv], {
        env,
        stdio: ["ignore", "pipe", "pipe"]
      })
      const output = { stdout: "", stderr: "" }
      child.stdout.on("data", (data: Buffer) => output.stdout += data.toString("latin1"))
      child.stderr.on("data", (data: Buffer) => output.stderr += data.toString("latin1"))
      const timer = setTimeout(() => {
        child.kill("SIGKILL")
        reject(new Error(`no end after ${commandTimeoutMs} ms: ${argv.join(" ")}`))
      }, commandTimeoutMs)
      child.on("error", reject)
      let drain: NodeJS.Timeout | undefined
      const finish = (heldOpen: boolean) => {
        clearTimeout(timer)
        clearTimeout(drain)
        child.stdout.destroy()
        child.stderr.destroy()
        resolve({ exit: child.exitCode ?? `signal ${child.signalCode}`, ...output, heldOpen })
      }
      child.on("exit", () => drain = setTimeout(() => finish(true), drainMs))
      child.on("close", () => finish(false))
    })
  }

  /** Processes in the namespace of a node whose command line contains `text`. */
  processesOf(node: Node, text = ""): ReadonlyArray<number> {
    let pids: ReadonlyArray<string>
    try {
      const listed = execFileSync("ip", ["netns", "pids", this.namespaces[node]], { stdio: "pipe" })
      pids = listed.toString().split("\n").filter((line) => line !== "")
    } catch {
      return []
    }
    return pids.map(Number).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(text)
      } catch {
        // It ended meanwhile.
        return false
      }
    })
  }

  /** Ends the processes of a node whose command line contains `text`, without giving them a say. */
  kill(node: Node, text = ""): void {
    for (const pid of this.processesOf(node, text)) {
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It ended meanwhile.
      }
    }
  }

  dispose(): void {
    for (const node of ["A", "B"] as const) {
      this.kill(node)
      try {
        execFileSync("ip", ["netns", "del", this.namespaces[node]], { stdio: "pipe" })
      } catch {
        // It was never made.
      }
    }
    rmSync(this.run, { recursive: true, force: true })
    rmSync(this.#bin, { recursive: true, force: true })
  }
}
