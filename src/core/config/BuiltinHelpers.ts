/**
 * The userspace helpers that come with conntrackd, and the expectation policy of each.
 *
 * Source: specification, chapter "conntrackd.conf", section 5.7.
 */
import type { ExpectPolicy } from "./Settings.ts"

const rows: ReadonlyArray<
  readonly [name: string, l4: string, expectMax: number, expectTimeoutSeconds: number]
> = [
  ["amanda", "udp", 3, 180],
  ["dhcpv6", "udp", 1, 300],
  ["ftp", "tcp", 1, 300],
  ["mdns", "udp", 8, 30],
  ["rpc", "tcp", 1, 300],
  ["rpc", "udp", 1, 300],
  ["sane", "tcp", 1, 300],
  ["slp", "udp", 8, 16],
  ["ssdp", "tcp", 8, 300],
  ["ssdp", "udp", 8, 300],
  ["tftp", "udp", 1, 300],
  ["tns", "tcp", 1, 300]
]

/** The policies of a helper; undefined when there is no such helper for that protocol. */
export const helperPolicies = (
  name: string,
  l4Protocol: "tcp" | "udp"
): ReadonlyArray<ExpectPolicy> | undefined => {
  for (const [helper, l4, expectMax, expectTimeoutSeconds] of rows) {
    // Each of them has one policy, named like the helper.
    if (helper === name && l4 === l4Protocol) return [{ name, expectMax, expectTimeoutSeconds }]
  }
  return undefined
}
