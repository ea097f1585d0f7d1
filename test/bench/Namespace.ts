/** Network namespaces and processes for benchmarks that need the kernel, gone at the end. */
import { execFileSync, spawn } from "node:child_process"
import type { ChildProcess, StdioOptions } from "node:child_process"
import { readFileSync } from "node:fs"

export const ip = (...words: ReadonlyArray<string>): void => {
  execFileSync("ip", words, { stdio: ["ignore", "ignore", "pipe"] })
}

/** Undefined when this process may make network namespaces, else why not. */
export const whyNoNamespaces = (): string | undefined => {
  if (process.getuid?.() !== 0) return "needs root"
  const name = `bench-probe-${process.pid}`
  try {
    ip("netns", "add", name)
    ip("netns", "del", name)
    return undefined
  } catch (cause) {
    return `cannot make a network namespace: ${cause instanceof Error ? cause.message : ""}`.trim()
  }
}

/** How long a process may take to end when it is asked to. */
const patienceMs = 3_000

/** What a signal must not leave behind. */
const existing = new Set<Namespace>()

const cleanUpAndDie = (): void => {
  for (const namespace of existing) namespace.destroy()
  process.exit(130)
}

export class Namespace implements AsyncDisposable {
  readonly name: string
  readonly #processes: Array<ChildProcess> = []

  constructor(role: string) {
    this.name = `bench-${role}-${process.pid}`
    if (existing.size === 0) {
      process.once("SIGINT", cleanUpAndDie)
      process.once("SIGTERM", cleanUpAndDie)
    }
    ip("netns", "add", this.name)
    existing.add(this)
    ip("-n", this.name, "link", "set", "lo", "up")
  }

  /** A process in this namespace; it is ended with the namespace when it still runs. */
  start(program: string, words: ReadonlyArray<string>, stdio: StdioOptions): ChildProcess {
    // `ip` becomes the program: the child's process id is the program's.
    const child = spawn("ip", ["netns", "exec", this.name, program, ...words], { stdio })
    this.#processes.push(child)
    return child
  }

  run(program: string, ...words: ReadonlyArray<string>): string {
    return execFileSync("ip", ["netns", "exec", this.name, program, ...words], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 1 << 28
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((done) => child.once("exit", done))
        child.kill("SIGTERM")
        const impatient = setTimeout(() => child.kill("SIGKILL"), patienceMs)
        await ended
        clearTimeout(impatient)
      }
    }
    this.destroy()
  }

  /** At once, with what still runs in it. */
  destroy(): void {
    for (const child of this.#processes) child.kill("SIGKILL")
    ip("netns", "del", this.name)
    existing.delete(this)
    if (existing.size > 0) return
    process.off("SIGINT", cleanUpAndDie)
    process.off("SIGTERM", cleanUpAndDie)
  }
}

/** Clock ticks a second in `/proc/PID/stat`: what Linux shows to programs, whatever it uses. */
const ticksPerSecond = 100

/**
 * CPU time of a process and of its children that have ended, user and system, in ns; 10 ms fine.
 * Source: proc(5).
 */
export const cpuNsOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  // The name, in parentheses, may contain anything; field 3 follows it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const ticks = [14, 15, 16, 17].reduce((sum, field) => sum + Number(fields[field - 3]), 0)
  return (ticks * 1e9) / ticksPerSecond
}
