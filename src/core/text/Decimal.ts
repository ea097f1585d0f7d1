/**
 * Hot. Numbers as text, faster than the engine's own conversion for the small numbers of dumps.
 *
 * Ports, octets and seconds are mostly below a million: two look-ups in a table of three digits.
 */

/** 0 to 999 without padding. */
export const upTo999: ReadonlyArray<string> = Array.from({ length: 1000 }, (_, n) => String(n))
const threeDigits: ReadonlyArray<string> = upTo999.map((text) => text.padStart(3, "0"))

/** An integer, not negative, up to 2^53 - 1. */
export const decimal = (n: number): string => {
  if (n < 1_000) return upTo999[n]!
  if (n < 1_000_000) {
    const thousands = (n / 1_000) | 0
    return upTo999[thousands]! + threeDigits[n - thousands * 1_000]!
  }
  return String(n)
}

/** 0 to 255 in lower-case hexadecimal, without and with padding. */
const upToFf: ReadonlyArray<string> = Array.from({ length: 256 }, (_, n) => n.toString(16))
const twoHexDigits: ReadonlyArray<string> = upToFf.map((text) => text.padStart(2, "0"))

/** 16 bits in lower-case hexadecimal without leading zeros. */
export const hex16 = (n: number): string =>
  n < 0x100 ? upToFf[n]! : upToFf[n >>> 8]! + twoHexDigits[n & 0xff]!

/** The big-endian number in the low 16 bits of a word. */
export const low16Of = (word: number): number => ((word & 0xff) << 8) | ((word >>> 8) & 0xff)

/** The big-endian number in the high 16 bits of a word. */
export const high16Of = (word: number): number => low16Of(word >>> 16)
