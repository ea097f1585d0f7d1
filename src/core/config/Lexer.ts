/**
 * Cuts the bytes of `conntrackd.conf` into tokens.
 *
 * The language is a language of bytes: nothing is decoded, and the token's text holds one character
 * per byte. At each position the longest match wins; on equal length a keyword beats a switch, a
 * switch a number, a number an address, an address a mode name, and a mode name a string. That is
 * why `ae0` is an address and `bond0` a string: every word of one to four hex digits is an address.
 *
 * Source: specification, chapter "conntrackd.conf", section 2.
 */
import { keywords } from "./Keywords.ts"

export type TokenKind =
  | "keyword"
  | "switch"
  | "number"
  | "signed"
  | "ipv4"
  | "ipv6"
  | "path"
  | "mode"
  | "string"
  | "{"
  | "}"
  /** One byte that starts no token. */
  | "stray"
  /** The end of the file; its text is empty. */
  | "end"

export interface Token {
  readonly kind: TokenKind
  /** The bytes of the token, one character (0–255) per byte. */
  readonly text: string
  /** Line of the first byte, counted from 1 by line feeds. */
  readonly line: number
  /** Column of the first byte, counted from 1 in bytes. */
  readonly column: number
  /** Offset of the first byte in the file. */
  readonly at: number
}

const newline = 0x0a
const quote = 0x22
const hash = 0x23
const plus = 0x2b
const minus = 0x2d
const dot = 0x2e
const slash = 0x2f
const colon = 0x3a
const underscore = 0x5f

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const isHexDigit = (byte: number): boolean =>
  isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)
const isWordByte = (byte: number): boolean =>
  isLetter(byte) || isDigit(byte) || byte === dot || byte === minus || byte === underscore
/** Form feed and vertical tab are not white space. Source: section 2.1. */
const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x09 || byte === newline || byte === 0x0d

const switches: ReadonlySet<string> = new Set(["on", "yes", "off", "no"])
const modes: ReadonlySet<string> = new Set(["alarm", "ftfw", "notrack", "nack"])

/** `persistent` was only ever recognised with a capital final T. Source: section 5.3. */
const isPersistent = (word: string): boolean =>
  word.length === 10 && word.endsWith("T") && word.toLowerCase() === "persistent"

const kindOfWord = (word: string): TokenKind => {
  if (keywords.has(word)) return "keyword"
  const lower = word.toLowerCase()
  if (switches.has(lower)) return "switch"
  return modes.has(lower) || isPersistent(word) ? "mode" : "string"
}

/** Reads one token after the other; after the last one it answers "end" for ever. */
export class Lexer {
  readonly #bytes: Uint8Array
  #at = 0
  #line = 1
  #lineStart = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  next(): Token {
    this.#skipBlanks()
    const bytes = this.#bytes
    const at = this.#at
    if (at >= bytes.length) return this.#token("end", 0)
    const byte = bytes[at]!
    if (byte === 0x7b) return this.#token("{", 1)
    if (byte === 0x7d) return this.#token("}", 1)
    if (byte === slash) return this.#token("path", this.#pathBytes(at))
    if (byte === plus || byte === minus) {
      const digits = this.#digits(at + 1)
      return digits === 0 ? this.#token("stray", 1) : this.#token("signed", 1 + digits)
    }
    return this.#numberAddressOrWord(at)
  }

  #numberAddressOrWord(at: number): Token {
    const word = this.#wordBytes(at)
    const number = this.#digits(at)
    const ipv4 = number === 0 ? 0 : this.#ipv4Bytes(at)
    const ipv6 = this.#ipv6Bytes(at)
    const longest = Math.max(word, number, ipv4, ipv6)
    if (longest === 0) return this.#token("stray", 1)
    if (number === longest) return this.#token("number", number)
    if (ipv4 === longest) return this.#token("ipv4", ipv4)
    // No keyword, switch or mode name consists of one to four hex digits, so the tie is simple.
    if (ipv6 === longest) return this.#token("ipv6", ipv6)
    return this.#token(kindOfWord(this.#text(at, at + word)), word)
  }

  /** A comment that the file's end cuts short is a comment too; upstream needs a line feed. */
  #skipBlanks(): void {
    const bytes = this.#bytes
    let at = this.#at
    while (at < bytes.length) {
      const byte = bytes[at]!
      if (byte === hash) {
        // Most of a commented file is skipped here, in native code.
        const end = bytes.indexOf(newline, at)
        at = end === -1 ? bytes.length : end
        continue
      }
      if (!isSpace(byte)) break
      at++
      if (byte === newline) {
        this.#line++
        this.#lineStart = at
      }
    }
    this.#at = at
  }

  #token(kind: TokenKind, length: number): Token {
    const at = this.#at
    this.#at += length
    const text = this.#text(at, at + length)
    return { kind, text, line: this.#line, column: at - this.#lineStart + 1, at }
  }

  #text(from: number, to: number): string {
    let text = ""
    for (let i = from; i < to; i++) text += String.fromCharCode(this.#bytes[i]!)
    return text
  }

  /** Tab, carriage return, `#` and braces belong to the path. Source: section 2.3. */
  #pathBytes(at: number): number {
    const bytes = this.#bytes
    let end = at + 1
    while (end < bytes.length) {
      const byte = bytes[end]!
      if (byte === 0x20 || byte === newline || byte === quote) break
      end++
    }
    return end - at
  }

  #wordBytes(at: number): number {
    const bytes = this.#bytes
    if (!isLetter(bytes[at]!)) return 0
    let end = at + 1
    while (end < bytes.length && isWordByte(bytes[end]!)) end++
    return end - at
  }

  #digits(at: number): number {
    let end = at
    while (end < this.#bytes.length && isDigit(this.#bytes[end]!)) end++
    return end - at
  }

  #ipv4Bytes(at: number): number {
    let end = at
    for (let group = 0; group < 4; group++) {
      if (group > 0) {
        if (this.#bytes[end] !== dot) return 0
        end++
      }
      const digits = this.#digits(end)
      if (digits === 0) return 0
      end += digits
    }
    return end - at + this.#prefixBytes(end)
  }

  /** Groups joined by single colons, at most one `::`, perhaps one colon too many at the end. */
  #ipv6Bytes(at: number): number {
    const bytes = this.#bytes
    let end = at
    let doubled = false
    if (bytes[end] === colon) {
      if (bytes[end + 1] !== colon) return 0
      doubled = true
      end += 2
    }
    for (;;) {
      const group = this.#hexGroup(end)
      if (group === 0) break
      end += group
      if (bytes[end] !== colon) break
      end++
      if (bytes[end] === colon && !doubled) {
        doubled = true
        end++
      }
    }
    return end === at ? 0 : end - at + this.#prefixBytes(end)
  }

  #hexGroup(at: number): number {
    const last = Math.min(at + 4, this.#bytes.length)
    let end = at
    while (end < last && isHexDigit(this.#bytes[end]!)) end++
    return end - at
  }

  #prefixBytes(at: number): number {
    if (this.#bytes[at] !== slash) return 0
    const digits = this.#digits(at + 1)
    return digits === 0 ? 0 : 1 + digits
  }
}
