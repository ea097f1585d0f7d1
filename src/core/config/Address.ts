/**
 * IPv4 and IPv6 addresses as administrators write them in `conntrackd.conf`, to bytes and back.
 *
 * IPv4 follows the classic parser: a group with a leading zero is octal (`012.0115.0.1` is
 * 10.77.0.1). IPv6 has no zone and no dotted tail, since the lexer lets none through.
 *
 * Source: specification, chapter "conntrackd.conf", section 2.5; RFC 4291 and RFC 5952.
 */

/** Four bytes in network order; undefined when `text` is no IPv4 address. */
export const parseIpv4 = (text: string): Uint8Array | undefined => {
  const groups = text.split(".")
  if (groups.length !== 4) return undefined
  const bytes = new Uint8Array(4)
  for (let i = 0; i < 4; i++) {
    const group = groups[i]!
    const octal = group.length > 1 && group.startsWith("0")
    if (!(octal ? /^[0-7]+$/ : /^[0-9]+$/).test(group)) return undefined
    const value = Number.parseInt(group, octal ? 8 : 10)
    if (value > 255) return undefined
    bytes[i] = value
  }
  return bytes
}

/** Sixteen bytes in network order; undefined when `text` is no IPv6 address. */
export const parseIpv6 = (text: string): Uint8Array | undefined => {
  const halves = text.split("::")
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0]!)
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  // A `::` stands for at least one group.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail]
  const bytes = new Uint8Array(16)
  groups.forEach((group, i) => {
    bytes[2 * i] = group >>> 8
    bytes[2 * i + 1] = group
  })
  return bytes
}

const parseGroups = (text: string): ReadonlyArray<number> | undefined => {
  if (text === "") return []
  const groups = text.split(":")
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return groups.map((group) => Number.parseInt(group, 16))
}

/** The usual spelling of a 4-byte or 16-byte address. */
export const formatAddress = (bytes: Uint8Array): string => {
  if (bytes.length === 4) return Array.from(bytes).join(".")
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!)
  const [start, length] = longestZeroRun(groups)
  const hex = groups.map((group) => group.toString(16))
  if (length < 2) return hex.join(":")
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`
}

type Run = readonly [start: number, length: number]

const longestZeroRun = (groups: ReadonlyArray<number>): Run => {
  let best: Run = [0, 0]
  let start = 0
  for (let i = 0; i <= groups.length; i++) {
    if (i < groups.length && groups[i] === 0) continue
    if (i - start > best[1]) best = [start, i - start]
    start = i + 1
  }
  return best
}

/** True when both are the same address of the same family. */
export const sameAddress = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])
