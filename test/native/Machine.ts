/**
 * What this machine lets a test do, and the addon under test.
 *
 * `CONNTRACKD_NATIVE` names another build of the addon: the sanitizer run sets it.
 *
 * Source: capabilities(7), proc(5).
 */
import { readFileSync } from "node:fs"
import { loadNativeAddon } from "../../src/layers/live/NativeAddon.ts"

export const addon = loadNativeAddon(process.env["CONNTRACKD_NATIVE"])

const capabilityBits = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const

const effective = BigInt(
  "0x" + (/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0")
)

/** True when this process has all of `names`; complains on standard error when it has not. */
export const mayUse = (
  what: string,
  ...names: ReadonlyArray<keyof typeof capabilityBits>
): boolean => {
  const missing = names.filter((name) => ((effective >> BigInt(capabilityBits[name])) & 1n) === 0n)
  if (missing.length === 0) return true
  process.stderr.write(`SKIPPED: ${what}: needs ${missing.join(" and ")}; run it as root\n`)
  return false
}

/** The handle, or a failure that names the errno. */
export const opened = <A>(handle: A | number): A => {
  if (typeof handle === "number") throw new Error(`could not be opened: errno ${-handle}`)
  return handle
}

/** Resolves when `handle` is readable; rejects after `seconds`. */
export const readable = (
  handle: { whenReadable(ready: () => void): number },
  seconds = 5
): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not readable in ${seconds} s`)), seconds * 1e3)
    const status = handle.whenReadable(() => {
      clearTimeout(timer)
      resolve()
    })
    if (status < 0) reject(new Error(`whenReadable: errno ${-status}`))
  })

export const EPERM = 1
export const ENOENT = 2
export const EBADF = 9
export const EAGAIN = 11
export const ENODEV = 19
export const EINVAL = 22
export const ELOOP = 40
export const EMSGSIZE = 90
export const ENOBUFS = 105
