/**
 * Runs the addon's tests with the address and undefined-behaviour sanitizers compiled in.
 *
 * Node itself is not instrumented, so the sanitizer's library must be loaded before it. Leaks are
 * looked for by `test/native/Lifetime.test.ts` (descriptors); the sanitizer's own leak report would
 * be about Node, which frees little when it ends.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { buildNative, compiler } from "./build-native.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const libraryOf = (name) =>
  execFileSync(compiler(), [`-print-file-name=${name}`], { encoding: "utf8" }).trim()

process.stdout.write("building the addon with sanitizers\n")
const addon = await buildNative({ sanitize: true })
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))
const { status, signal } = spawnSync(process.execPath, [vitest, "run", "test/native"], {
  cwd: root,
  stdio: "inherit",
  env: {
    ...process.env,
    CONNTRACKD_NATIVE: addon,
    LD_PRELOAD: [libraryOf("libasan.so"), libraryOf("libubsan.so")].join(" "),
    ASAN_OPTIONS: "detect_leaks=0:abort_on_error=1",
    UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1"
  }
})
if (signal !== null) process.stderr.write(`the tests were ended by ${signal}\n`)
process.exitCode = status ?? 1
