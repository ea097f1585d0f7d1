/**
 * Hot. Addresses as `inet_ntop` prints them, from words that keep network byte order.
 *
 * IPv6 follows the C library: the longest run of two or more zero groups becomes `::` (the first
 * one of equal runs), hexadecimal in lower case, and an IPv4 tail for `::a.b.c.d` and
 * `::ffff:a.b.c.d`.
 */
import { hex16, low16Of, upTo999 } from "./Decimal.ts"

export const formatIpv4 = (word: number): string =>
  upTo999[word & 0xff]! + "." + upTo999[(word >>> 8) & 0xff]! + "." +
  upTo999[(word >>> 16) & 0xff]! + "." + upTo999[word >>> 24]!

const groups = new Uint16Array(8)

/** The four words of an address, first word first. */
export const formatIpv6 = (w0: number, w1: number, w2: number, w3: number): string => {
  split(w0, 0)
  split(w1, 2)
  split(w2, 4)
  split(w3, 6)
  let runFrom = -1
  let runLength = 1
  for (let from = 0; from < 8; from++) {
    let length = 0
    while (from + length < 8 && groups[from + length] === 0) length++
    if (length > runLength) {
      runFrom = from
      runLength = length
    }
    from += length
  }
  const hasIpv4Tail = runFrom === 0 &&
    (runLength === 6 || (runLength === 5 && groups[5] === 0xffff))
  let text = ""
  for (let i = 0; i < 8; i++) {
    if (i === runFrom) {
      text += "::"
      i += runLength - 1
      continue
    }
    if (i !== 0 && i !== runFrom + runLength) text += ":"
    if (i === 6 && hasIpv4Tail) return text + formatIpv4(w3)
    text += hex16(groups[i]!)
  }
  return text
}

const split = (word: number, at: number): void => {
  groups[at] = low16Of(word)
  groups[at + 1] = low16Of(word >>> 16)
}
