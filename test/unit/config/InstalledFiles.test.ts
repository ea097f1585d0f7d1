/** The files in `config/` do what they say: the example is clean, the script keeps its order. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "../../../src/core/config/Grammar.ts"
import { unsupportedMode } from "../../../src/core/config/InEffect.ts"
import { environment } from "./Environment.ts"

const installed = (name: string): string =>
  fileURLToPath(new URL(`../../../config/${name}`, import.meta.url))

describe("the example conntrackd.conf", () => {
  it("is read without any warning, and the daemon can start with it", () => {
    const parsed = Result.getOrThrow(
      parse(readFileSync(installed("conntrackd.conf")), {
        ...environment,
        interfaceExists: (name) => name === "eth2"
      })
    )

    assert.deepStrictEqual(parsed.warnings, [])
    assert.deepStrictEqual(parsed.notYetInEffect, [])
    assert.strictEqual(unsupportedMode(parsed.settings), undefined)
    const { general, sync } = parsed.settings
    assert.strictEqual(sync.mode, "ftfw")
    assert.strictEqual(general.socketPath, "/var/run/conntrackd.ctl")
    assert.deepStrictEqual(sync.links, [
      {
        kind: "udp",
        isDefault: false,
        interfaceName: "eth2",
        family: 4,
        port: 3780,
        sendBufferBytes: 1_249_280,
        receiveBufferBytes: 1_249_280,
        checksum: true,
        listenAddress: "192.168.100.1",
        destinationAddress: "192.168.100.2"
      }
    ])
  })

  it("shows defaults that are the defaults, and options that exist", () => {
    const text = readFileSync(installed("conntrackd.conf"), "latin1")
    // A commented line with an option: the word, and a number or an address.
    const shown = text.replaceAll(/^(\s*)# ([A-Z]\w+ [0-9a-f:]+)$/gm, "$1$2")
    const withoutIpv4 = shown.replaceAll(/^\s*IPv4_.*$/gm, "")

    const { settings } = Result.getOrThrow(parse(Buffer.from(withoutIpv4), environment))

    const { settings: defaults } = Result.getOrThrow(parse(Buffer.from(""), environment))
    assert.strictEqual(settings.sync.resendQueueObjects, defaults.sync.resendQueueObjects)
    assert.strictEqual(settings.sync.ackWindowMessages, defaults.sync.ackWindowMessages)
    assert.strictEqual(settings.sync.purgeTimeoutSeconds, defaults.sync.purgeTimeoutSeconds)
    assert.strictEqual(settings.sync.commitTimeoutSeconds, 180)
    assert.strictEqual(settings.general.netlinkOverrunResyncSeconds, 30)
    assert.strictEqual(settings.sync.links[0]?.family, 6)
  })
})

interface Run {
  readonly status: number | null
  /** Requests the daemon's program was called with, in order. */
  readonly requests: ReadonlyArray<string>
  /** Lines given to the system log. */
  readonly logged: ReadonlyArray<string>
  readonly stdout: string
  readonly lockExists: boolean
}

/**
 * Runs the script with a fake `conntrackd` that notes its arguments and ends with the status given
 * for the request, 0 otherwise; and a fake `logger`.
 */
const runScript = (
  state: ReadonlyArray<string>,
  statuses: Readonly<Record<string, number>>
): Run => {
  const directory = mkdtempSync(join(tmpdir(), "primary-backup-"))
  const inside = (name: string): string => join(directory, name)
  try {
    const cases = Object.entries(statuses).map(([flag, status]) => `${flag}) exit ${status};;`)
    const program = (name: string, body: string): void =>
      writeFileSync(inside(name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
    program(
      "conntrackd",
      `echo "$@" >> '${inside("requests")}'\necho output of "$3"\n` +
        `case "$3" in ${cases.join(" ")} esac`
    )
    program("logger", `for last; do :; done; echo "$last" >> '${inside("logged")}'`)
    writeFileSync(inside("lock"), "")
    const { status, stdout } = spawnSync(installed("primary-backup.sh"), state, {
      encoding: "utf8",
      env: {
        PATH: `${directory}:/usr/bin:/bin`,
        CONNTRACKD_BIN: inside("conntrackd"),
        CONNTRACKD_LOCK: inside("lock"),
        CONNTRACKD_CONFIG: inside("a file.conf")
      }
    })
    const lines = (name: string): ReadonlyArray<string> =>
      existsSync(inside(name)) ? readFileSync(inside(name), "utf8").split("\n").slice(0, -1) : []
    const prefix = `-C ${inside("a file.conf")} `
    const requests = lines("requests").map((line) => {
      assert.isTrue(line.startsWith(prefix), line)
      return line.slice(prefix.length)
    })
    const lockExists = existsSync(inside("lock"))
    return { status, requests, logged: lines("logged"), stdout, lockExists }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

describe("primary-backup.sh", () => {
  it.each([
    ["primary", ["-c", "-f", "-R", "-B"]],
    ["backup", ["-s", "-t", "-n"]],
    ["fault", ["-t"]]
  ])("%s sends its requests in order and leaves the lock alone", (state, requests) => {
    const run = runScript([state], {})

    assert.deepStrictEqual([run.status, run.requests, run.logged], [0, requests, []])
    assert.isTrue(run.lockExists)
  })

  it("does not print the statistics it asks for", () => {
    assert.notInclude(runScript(["backup"], {}).stdout, "output of -s")
  })

  it.each([
    ["primary", "-c", ["-c", "-f", "-R", "-B"]],
    ["primary", "-f", ["-c", "-f", "-R", "-B"]],
    ["primary", "-R", ["-c", "-f", "-R", "-B"]],
    ["primary", "-B", ["-c", "-f", "-R", "-B"]],
    ["backup", "-t", ["-s", "-t", "-n"]],
    ["backup", "-n", ["-s", "-t", "-n"]],
    ["fault", "-t", ["-t"]]
  ])("%s logs that %s failed, goes on, and ends well", (state, request, requests) => {
    const run = runScript([state], { [request]: 1 })

    assert.deepStrictEqual([run.status, run.requests], [0, requests])
    assert.strictEqual(run.logged.length, 1)
    assert.match(run.logged[0]!, new RegExp(`^${state}: cannot .* \\(conntrackd ${request}\\)$`))
  })

  it("takes only status 1 for a failure", () => {
    const run = runScript(["primary"], { "-c": 2, "-f": 255, "-R": 127 })

    assert.deepStrictEqual([run.status, run.logged], [0, []])
  })

  it("starts the daemon of a backup when none answers", () => {
    const run = runScript(["backup"], { "-s": 1 })

    assert.deepStrictEqual([run.status, run.requests], [0, ["-s", "-d", "-t", "-n"]])
    assert.isFalse(run.lockExists)
  })

  it("gives up when the daemon cannot be started", () => {
    const run = runScript(["backup"], { "-s": 1, "-d": 1 })

    assert.deepStrictEqual([run.status, run.requests], [1, ["-s", "-d"]])
    assert.strictEqual(run.logged.at(-1), "backup: cannot start the daemon (conntrackd -d)")
  })

  it.each([[["master"]], [["stop"]], [[]]])("refuses the unknown state %j", (state) => {
    const run = runScript(state, {})

    assert.deepStrictEqual([run.status, run.requests], [1, []])
    assert.strictEqual(run.logged.length, 1)
  })
})
