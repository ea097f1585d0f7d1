/**
 * A daemon that cannot start says why, ends with status 1 and leaves nothing behind; one that is
 * stopped before it is ready ends in order.
 *
 * Source: specification, "Configuration", section 9; "conntrackd: command line …", sections 3 to 5.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { existsSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { mayUse } from "../native/Machine.ts"
import { changeFlows } from "./FlowSets.ts"
import { ended, eventually, runIn, startIn } from "./Namespace.ts"
import { type Node, pair, wordsOf } from "./Pair.ts"

const isRoot = mayUse("test/netns", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

interface Failure {
  readonly cause: string
  /** What is done to the configuration file. */
  readonly edit?: (text: string, directory: string) => string
  /** Words before those of the daemon. */
  readonly wrapper?: ReadonlyArray<string>
  readonly says: ReadonlyArray<RegExp>
}

const inMissing = (directory: string, name: string): string => join(directory, "missing", name)

const failures: ReadonlyArray<Failure> = [
  {
    cause: "the interface is missing",
    edit: (text) => text.replace(/Interface .*/, "Interface absent"),
    says: [/can't open channel socket: No such device/, /is there an interface "absent"\?/]
  },
  {
    cause: "the address is not ours",
    edit: (text) => text.replace(/IPv4_address .*/, "IPv4_address 10.99.0.1"),
    says: [/can't open channel socket: Cannot assign requested address/]
  },
  {
    cause: "the log file has no directory",
    edit: (text, at) => text.replace(/LogFile .*/, `LogFile ${inMissing(at, "log")}`),
    says: [/ERROR: can't open logfile `.*'\.Reason: No such file or directory$/m]
  },
  {
    cause: "the lock file has no directory",
    edit: (text, at) => text.replace(/LockFile .*/, `LockFile ${inMissing(at, "lock")}`),
    says: [/cannot create the lock file `.*missing\/lock': ENOENT/]
  },
  {
    cause: "the control socket has no directory",
    edit: (text, at) => text.replace(/Path .*/, `Path ${inMissing(at, "ctl")}`),
    says: [/can't open unix socket!.*does its directory exist/, /conntrackd cannot start/]
  },
  {
    cause: "the kernel does not let it in",
    wrapper: ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
    says: [/can't get kernel conntrack table: .*EPERM; conntrackd needs CAP_NET_ADMIN/]
  }
]

/** What the daemon said before it ended with status 1. */
const startRefused = (
  node: Node,
  wrapper: ReadonlyArray<string>,
  mode: ReadonlyArray<string>
): Effect.Effect<string> =>
  runIn(node.namespace, [...wrapper, ...wordsOf("ours"), ...mode, "-C", node.configFile]).pipe(
    Effect.matchEffect({
      onFailure: (failed) =>
        Effect.sync(() => {
          assert.strictEqual(failed.exit, 1, failed.message)
          return failed.message
        }),
      onSuccess: () => Effect.die(new Error("the daemon started"))
    })
  )

const leftovers = (node: Node): ReadonlyArray<string> =>
  ["lock", "ctl"].filter((kind) => existsSync(join(node.directory, `${node.name}.${kind}`)))

/** Starts the daemon and returns when its control socket exists, which is before it is ready. */
const begin = (
  node: Node
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.gen(function*() {
    const output = openSync(join(node.directory, "begin.console"), "a")
    const words = [...wordsOf("ours"), "-C", node.configFile]
    const child = yield* startIn(node.namespace, words, output)
    const socketPath = join(node.directory, `${node.name}.ctl`)
    while (!existsSync(socketPath)) yield* Effect.sleep(2)
    return child
  })

const flowCount = 60_000
/** Node opens its debugger within a few milliseconds. */
const signalMs = 300
const testMaxMs = 60_000

describe.skipIf(!isRoot)("a daemon that cannot start", () => {
  it.live("says why, ends with status 1 and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { a } = yield* pair("ours", "ours", { family: 4 })
      const original = readFileSync(a.configFile, "utf8")
      for (const { cause, edit, says, wrapper = [] } of failures) {
        const text = edit?.(original, a.directory) ?? original
        assert.strictEqual(text !== original, edit !== undefined, `${cause}: nothing was edited`)
        writeFileSync(a.configFile, text)
        for (const mode of [[], ["-d"]]) {
          const said = yield* startRefused(a, wrapper, mode)
          for (const pattern of says) assert.match(said, pattern, cause)
          assert.deepStrictEqual(leftovers(a), [], cause)
        }
      }
    }), testMaxMs)

  it.live(
    "does not disturb the daemon that has its lock, or its control socket",
    () =>
      Effect.gen(function*() {
        const { a } = yield* pair("ours", "ours", { family: 4 })
        yield* a.start()
        const text = readFileSync(a.configFile, "utf8").replace("A.log", "other.log")
        writeFileSync(a.configFile, text)
        assert.match(yield* startRefused(a, [], []), /lockfile `.*' exists, .*held by process \d+/)
        writeFileSync(a.configFile, text.replace("A.lock", "other.lock").replace("3780", "3790"))
        assert.match(
          yield* startRefused(a, [], []),
          /can't open unix socket!.*another program answers there/
        )
        assert.match(yield* a.request("-s"), /cache internal:/)
        assert.isFalse(existsSync(join(a.directory, "other.lock")))
      }),
    testMaxMs
  )
})

describe.skipIf(!isRoot)("a signal that is not meant to end the daemon", () => {
  it.live("does nothing, and opens no debugger", () =>
    Effect.gen(function*() {
      const { a } = yield* pair("ours", "ours", { family: 4 })
      const child = yield* begin(a)
      yield* eventually("the daemon answers", 10, Effect.isSuccess(a.request("-s")))
      for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE"] as const) child.kill(signal)
      yield* Effect.sleep(signalMs)
      assert.match(yield* a.request("-s"), /cache internal:/)
      assert.strictEqual(yield* runIn(a.namespace, ["ss", "-H", "-l", "-t", "-n"]), "")
      assert.deepStrictEqual([child.exitCode, child.signalCode], [null, null])
    }), testMaxMs)
})

describe.skipIf(!isRoot)("a daemon that is stopped before it is ready", () => {
  it.live("ends with status 0 and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { a } = yield* pair("ours", "ours", { family: 4 })
      yield* changeFlows(a, "create", 0, flowCount)
      const child = yield* begin(a)
      child.kill("SIGTERM")
      yield* ended(child)
      assert.strictEqual(child.exitCode, 0, `signal ${child.signalCode}`)
      assert.deepStrictEqual(leftovers(a), [])
      assert.notMatch(a.log(), /initialization completed/)
    }), testMaxMs)
})
