/**
 * Which flows a commit could not put into the kernel, as the daemon's log says: after each
 * `commit-create: …` (or `commit-destroy: …`) comes the flow, in the format of `conntrack -L`.
 *
 * Source: specification, "Command line, life cycle …", section 9.8.
 */
import { hexOfAddress } from "../kernel/KernelTraffic.ts"

/** Only the original direction and the zone: that is what identifies a flow. */
const lineOfLog = new RegExp(
  "^\\S+ +(\\d+) .*?src=(\\S+) dst=(\\S+)" +
    "(?: sport=(\\d+) dport=(\\d+)| type=(\\d+) code=(\\d+) id=(\\d+))?"
)
const zoneOfLog = / zone=(\d+)/

const complaint = /^commit-(?:create|destroy): /

/** The key of the flow, as `keyOf` makes it of what was told; undefined: not such a line. */
export const keyOfLogLine = (line: string): string | undefined => {
  const words = lineOfLog.exec(line)
  if (words === null) return undefined
  const [, protocol, source, destination, sport, dport, type, code, id] = words
  const zone = zoneOfLog.exec(line)?.[1] ?? "0"
  const a = sport ?? id ?? "0"
  const b = dport ?? String(Number(type ?? 0) << 8 | Number(code ?? 0))
  return `${protocol}/${zone}/${hexOfAddress(source!)}/${hexOfAddress(destination!)}/${a}/${b}`
}

/** Collects them from the lines of one machine's log, in their order. */
export class Refusals {
  readonly #keys = new Set<string>()
  #isComplaint = false

  logged(text: string): void {
    if (this.#isComplaint) {
      const key = keyOfLogLine(text)
      if (key !== undefined) this.#keys.add(key)
    }
    this.#isComplaint = complaint.test(text)
  }

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  clear(): void {
    this.#keys.clear()
    this.#isComplaint = false
  }
}
