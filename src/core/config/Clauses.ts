/**
 * The kinds of clauses that `conntrackd.conf` is made of: a word and a number, a word and a switch,
 * a word and a block. The tables of the grammar are built from them.
 *
 * Source: specification, chapter "conntrackd.conf", sections 2.3, 2.4 and 4.
 */
import type { Token, TokenKind } from "./Lexer.ts"
import type { Block, Clause, Reader } from "./Reader.ts"

type Apply<A> = (reader: Reader, value: A, at: Token) => void

export const table = (title: string, clauses: Readonly<Record<string, Clause>>): Block => ({
  title,
  clauses: new Map(Object.entries(clauses))
})

const numberMax = 0xffff_ffff

/** A word and an unsigned number that fits in 32 bits. `apply` gets the name as place. */
export const number = (apply: Apply<number>): Clause => (reader, name) => {
  const token = reader.take("number", "a number")
  if (token === undefined) return false
  const value = Number(token.text)
  if (value > numberMax) {
    reader.error(token, `${token.text} is too large for \`${name.text}'`, `at most ${numberMax}`)
    return true
  }
  reader.mention(name.text, name)
  apply(reader, value, token)
  return true
}

/** A word and a number with a sign. */
export const signed = (apply: Apply<string>): Clause => (reader) => {
  const token = reader.take("signed", "a number with a sign")
  if (token === undefined) return false
  apply(reader, token.text, token)
  return true
}

const isOn = (text: string): boolean => {
  const lower = text.toLowerCase()
  return lower === "on" || lower === "yes"
}

/** A word and a switch. What is switched off asks for nothing, so it is not mentioned. */
export const toggle = (apply: Apply<boolean>): Clause => (reader, name) => {
  const token = reader.take("switch", "on or off")
  if (token === undefined) return false
  const value = isOn(token.text)
  if (value) reader.mention(name.text, name)
  apply(reader, value, token)
  return true
}

/** A word and a path of at most `bytesMax` bytes; `what` starts the message about longer ones. */
export const path = (what: string, bytesMax: number, apply: Apply<string>): Clause => (reader) => {
  const token = reader.take("path", "a path that starts with /")
  if (token === undefined) return false
  const { text } = token
  if (text.length > bytesMax) {
    reader.error(token, `${what} is longer than ${bytesMax} characters`)
    return true
  }
  const decoded = decodePath(text)
  if (decoded === undefined) {
    reader.error(token, "this path is not valid UTF-8 or holds a NUL byte")
    return true
  }
  if (/[\t\r]/.test(text)) {
    reader.warn(token, "this path holds a tab or carriage return", "end paths with a blank or LF")
  }
  apply(reader, decoded, token)
  return true
}

/** A word and a name. */
export const name = (expected: string, apply: Apply<string>): Clause => (reader, word) => {
  const token = reader.takeName(expected)
  if (token === undefined) return false
  reader.mention(word.text, word)
  apply(reader, token.text, token)
  return true
}

/** A word and an address; `apply` checks it. */
export const address = (apply: Apply<string>): Clause => (reader) => {
  if (reader.token.kind !== "ipv4" && reader.token.kind !== "ipv6") {
    reader.unexpected("an address")
    return false
  }
  const token = reader.advance()
  apply(reader, token.text, token)
  return true
}

/** A switch, or else something that starts with a token of these kinds. */
export const toggleOr =
  (toggled: Clause, other: Clause, kinds: ReadonlyArray<TokenKind>, expected: string): Clause =>
  (reader, name) => {
    const { kind } = reader.token
    if (kind === "switch") return toggled(reader, name)
    if (kinds.includes(kind)) return other(reader, name)
    reader.unexpected(`on, off or ${expected}`)
    return false
  }

/** A word and a block. The block is a function, so that tables may refer to later ones. */
export const block = (body: () => Block): Clause => (reader, name) => {
  reader.mention(name.text, name)
  return reader.block(body())
}

/** Reads `{ names }`; true when the closing brace was found. */
export const names = (reader: Reader, expected: string, apply: Apply<string>): boolean => {
  if (reader.take("{", "`{'") === undefined) return false
  for (;;) {
    if (reader.token.kind === "}") {
      reader.advance()
      return true
    }
    const token = reader.optionalWord("TCP", "UDP") ?? reader.takeName(`${expected} or \`}'`)
    if (token === undefined) return skipToBrace(reader)
    apply(reader, token.text, token)
  }
}

/** After an error inside a flat list: goes on behind the brace that ends it. */
export const skipToBrace = (reader: Reader): boolean => {
  let depth = 0
  for (;;) {
    const { kind } = reader.token
    if (kind === "end") return false
    reader.advance()
    if (kind === "{") depth++
    if (kind === "}" && depth-- === 0) return true
  }
}

/** The text of a path: its bytes as UTF-8. A path that is no UTF-8 could not be opened by name. */
const decodePath = (latin1: string): string | undefined => {
  if (latin1.includes("\0")) return undefined
  if (!/[\x80-\xff]/.test(latin1)) return latin1
  try {
    const bytes = Uint8Array.from(latin1, (character) => character.charCodeAt(0))
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
