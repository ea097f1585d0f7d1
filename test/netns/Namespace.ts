/**
 * Network namespaces, programs inside them, and waiting for what they do.
 *
 * All of them belong to a scope: a namespace is deleted and a process is killed when it closes,
 * also when the test failed. Names carry the process id, so runs at the same time do not meet.
 *
 * Source: ip-netns(8).
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, execFile, spawn } from "node:child_process"

/** A program was not content; `message` is what it said. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<
  { readonly message: string; readonly exit: number | string }
> {}

const outputMaxBytes = 1 << 28
const commandMaxMs = 60_000

/** What the program prints on standard output, once it has ended with status 0. */
export const run = (
  program: string,
  words: ReadonlyArray<string>,
  input = ""
): Effect.Effect<string, CommandFailed> =>
  Effect.callback<string, CommandFailed>((resume) => {
    const child = execFile(
      program,
      words,
      { maxBuffer: outputMaxBytes, timeout: commandMaxMs, killSignal: "SIGKILL" },
      (error, stdout, stderr) => {
        if (error === null) return resume(Effect.succeed(stdout))
        const said = (stderr + stdout).trim() || error.message
        const message = `${[program, ...words].join(" ")}: ${said}`
        resume(Effect.fail(new CommandFailed({ message, exit: error.code ?? error.signal ?? "?" })))
      }
    )
    // A program that ends without reading its input is judged by its status.
    child.stdin?.on("error", () => {})
    child.stdin?.end(input)
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Runs a program inside a namespace. */
export const runIn = (
  namespace: string,
  words: ReadonlyArray<string>,
  input = ""
): Effect.Effect<string, CommandFailed> => run("ip", ["netns", "exec", namespace, ...words], input)

/** Runs lines of ip(8), inside a namespace when one is named. */
export const ip = (
  namespace: string | undefined,
  lines: ReadonlyArray<string>
): Effect.Effect<string, CommandFailed> => {
  const where = namespace === undefined ? [] : ["-n", namespace]
  return run("ip", [...where, "-batch", "-"], lines.join("\n") + "\n")
}

let namespaces = 0

/** A fresh network namespace that is gone when the scope closes. Needs root. */
export const namespace = (name: string): Effect.Effect<string, CommandFailed, Scope.Scope> => {
  const unique = `ctd-${process.pid}-${namespaces++}-${name}`
  return Effect.acquireRelease(
    Effect.as(run("ip", ["netns", "add", unique]), unique),
    () => Effect.orDie(run("ip", ["netns", "del", unique]))
  )
}

export const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

/** Resolves when the process has ended. */
export const ended = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.pid === undefined || hasEnded(child)) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** Ends the process without giving it a say, and waits for its end. */
export const kill = (child: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!hasEnded(child)) child.kill("SIGKILL")
    return ended(child)
  })

/** Starts a program inside a namespace; its output goes to `outputFd`. It ends with the scope. */
export const startIn = (
  namespace: string,
  words: ReadonlyArray<string>,
  outputFd: number
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      // `ip netns exec` becomes the program, so the process we know is the program itself.
      const child = spawn("ip", ["netns", "exec", namespace, ...words], {
        stdio: ["ignore", outputFd, outputFd]
      })
      child.on("error", () => {})
      return child
    }),
    kill
  )

const stepMs = 50

/** Waits until `holds`; dies with what `complaint` says then after `seconds` of trying. */
export const eventually = <E>(
  complaint: string | Effect.Effect<string, E>,
  seconds: number,
  holds: Effect.Effect<boolean, E>
): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    const deadline = performance.now() + seconds * 1e3
    for (;;) {
      if (yield* holds) return
      if (performance.now() > deadline) {
        const what = typeof complaint === "string" ? complaint : yield* complaint
        return yield* Effect.die(new Error(`not within ${seconds} s: ${what}`))
      }
      yield* Effect.sleep(stepMs)
    }
  })
