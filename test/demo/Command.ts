/**
 * Programs that the demo runs: to their end, or for as long as a scope lasts.
 *
 * Nothing that is started here outlives its scope or an interruption: the demo cleans up after
 * Ctrl-C as after a success.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, execFile, spawn, type StdioOptions } from "node:child_process"

/** Something the demo needs did not work; `message` is for a person. */
export class DemoFailed extends Data.TaggedError("DemoFailed")<{ readonly message: string }> {}

export interface RunOptions {
  /** Written to standard input. */
  readonly input?: string
  /** Variables added to the environment. */
  readonly env?: Readonly<Record<string, string>>
}

const outputMaxBytes = 1 << 26

/** What the program prints; fails, with what it said on standard error, when it is not content. */
export const run = (
  program: string,
  words: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<string, DemoFailed> =>
  Effect.callback<string, DemoFailed>((resume) => {
    const child = execFile(
      program,
      words,
      { env: { ...process.env, ...options.env }, maxBuffer: outputMaxBytes },
      (error, stdout, stderr) => {
        if (error === null) return resume(Effect.succeed(stdout))
        const said = (stderr + stdout).trim() || error.message
        const line = [program, ...words].join(" ")
        resume(Effect.fail(new DemoFailed({ message: `${line}: ${said}` })))
      }
    )
    // A program that ends without reading its input is reported by its status.
    child.stdin?.on("error", () => {})
    child.stdin?.end(options.input ?? "")
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Runs `ip`; `lines` are commands for its batch mode. */
export const ip = (
  namespace: string | undefined,
  lines: ReadonlyArray<string>
): Effect.Effect<string, DemoFailed> =>
  run("ip", [...(namespace === undefined ? [] : ["-n", namespace]), "-batch", "-"], {
    input: lines.join("\n") + "\n"
  })

/** Runs a program inside a namespace. */
export const runIn = (
  namespace: string,
  program: string,
  words: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<string, DemoFailed> =>
  run("ip", ["netns", "exec", namespace, program, ...words], options)

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

/** Resolves when the process has ended. */
export const ended = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.pid === undefined || hasEnded(child)) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** Ends the process the hard way and waits for its end. */
export const kill = (child: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!hasEnded(child)) child.kill("SIGKILL")
    return ended(child)
  })

/** Starts a program inside a namespace; it ends with the scope. */
export const startIn = (
  namespace: string,
  program: string,
  words: ReadonlyArray<string>,
  stdio: StdioOptions
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      // `ip netns exec` becomes the program, so the process we know is the program itself. It gets
      // a session of its own: Ctrl-C in the terminal is for us alone, and we end it in our order.
      const child = spawn("ip", ["netns", "exec", namespace, program, ...words], {
        detached: true,
        stdio
      })
      child.on("error", () => {})
      return child
    }),
    kill
  )
