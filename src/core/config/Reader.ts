/**
 * Walks over the tokens of a `conntrackd.conf` by the tables of the grammar.
 *
 * A block is a table: the word that starts a clause, and the function that reads the rest of it.
 * A clause answers whether it was complete. When it was not, the reader has reported the token in
 * the way and now looks for a place to go on: the next clause of the same block, the brace that
 * ends it, or the next section of the file. So one run reports all errors, and the first of them is
 * the one upstream stops at.
 *
 * Source: specification, chapter "conntrackd.conf", sections 1 and 4.
 */
import { type Draft, emptyDraft } from "./Defaults.ts"
import { type Diagnostic, syntaxError } from "./Diagnose.ts"
import { hintFor } from "./Hints.ts"
import { notYetInEffect } from "./InEffect.ts"
import { Lexer, type Token, type TokenKind } from "./Lexer.ts"
import type { ExpectPolicy } from "./Settings.ts"

/** What the reader must know about the machine. Core asks, the program answers. */
export interface ReaderEnvironment {
  /** Whether a network interface of that name exists now. */
  readonly interfaceExists: (name: string) => boolean
  /** Number of an IP protocol by a name or alias of `/etc/protocols`. */
  readonly protocolNumber: (name: string) => number | undefined
  /** The policies of a userspace helper; undefined when there is no such helper. */
  readonly helperPolicies: (
    name: string,
    l4Protocol: "tcp" | "udp"
  ) => ReadonlyArray<ExpectPolicy> | undefined
}

/** Reads what follows the word `name`; false when it met a token it cannot use. */
export type Clause = (reader: Reader, name: Token) => boolean

export interface Block {
  /** How messages call it, as "General". */
  readonly title: string
  readonly clauses: ReadonlyMap<string, Clause>
}

/** Blocks nest at most this deep in any useful file: `Helper { Type … { Policy … { } } }`. */
const nestingMax = 32

/** More messages than this help nobody. */
const diagnosticsMax = 100

const sections: ReadonlySet<string> = new Set(["General", "Sync", "Stats", "Helper"])

export class Reader {
  readonly environment: ReaderEnvironment
  readonly draft: Draft = emptyDraft()
  readonly diagnostics: Array<Diagnostic> = []
  readonly pending: Array<Diagnostic> = []
  /** The next token, not yet consumed. */
  token: Token
  readonly #lexer: Lexer
  readonly #mentioned = new Set<string>()
  #depth = 0

  constructor(bytes: Uint8Array, environment: ReaderEnvironment) {
    this.environment = environment
    this.#lexer = new Lexer(bytes)
    this.token = this.#lexer.next()
  }

  advance(): Token {
    const token = this.token
    this.token = this.#lexer.next()
    return token
  }

  /** Consumes a token of that kind; otherwise reports and leaves it. */
  take(kind: TokenKind, expected: string): Token | undefined {
    if (this.token.kind === kind) return this.advance()
    this.unexpected(expected)
    return undefined
  }

  /** Consumes one of these words and answers which; undefined leaves the token alone, silently. */
  optionalWord(...words: ReadonlyArray<string>): Token | undefined {
    return this.token.kind === "keyword" && words.includes(this.token.text)
      ? this.advance()
      : undefined
  }

  /**
   * A name. Words of one to four hex digits are addresses to the lexer, and upstream refuses them;
   * nothing else can be meant where a name is due, so we take them (interface `ae0`).
   */
  takeName(expected: string): Token | undefined {
    const { kind, text } = this.token
    if (kind === "string" || (kind === "ipv6" && /^[a-zA-Z][0-9a-fA-F]*$/.test(text))) {
      return this.advance()
    }
    this.unexpected(expected)
    return undefined
  }

  /** Reports the next token as a syntax error. */
  unexpected(expected: string): void {
    const { column, line, text } = this.token
    this.#add({
      level: "error",
      text: syntaxError(line, text),
      line,
      column,
      expected,
      hint: hintFor(this.token)
    })
  }

  error(at: Token, text: string, hint?: string): void {
    const { column, line } = at
    this.#add({ level: "error", text, line, column, expected: undefined, hint })
  }

  warn(at: Token, text: string, hint?: string): void {
    const { column, line } = at
    this.#add({ level: "warning", text, line, column, expected: undefined, hint })
  }

  /** Notes that the file asks for `name`; warns once when this version does not act on it. */
  mention(name: string, at: Token): void {
    if (this.#mentioned.has(name)) return
    this.#mentioned.add(name)
    const warning = notYetInEffect(name, at)
    if (warning !== undefined) this.pending.push(warning)
  }

  /** `{ clauses }`; true when the closing brace was found. */
  block(block: Block): boolean {
    if (this.take("{", `\`{' after ${block.title}`) === undefined) return false
    if (this.#depth >= nestingMax) {
      this.error(this.token, `blocks are nested deeper than ${nestingMax} levels`)
      while (this.token.kind !== "end") this.advance()
      return false
    }
    this.#depth++
    const complete = this.#clauses(block, false)
    this.#depth--
    return complete
  }

  /** The whole file: clauses up to the end. */
  file(block: Block): void {
    this.#clauses(block, true)
  }

  #clauses(block: Block, isFile: boolean): boolean {
    for (;;) {
      const { kind, text } = this.token
      if (kind === (isFile ? "end" : "}")) {
        this.advance()
        return true
      }
      const clause = this.#isWord() ? block.clauses.get(text) : undefined
      if (clause !== undefined) {
        if (clause(this, this.advance())) continue
      } else {
        this.unexpected(isFile ? "a section" : `an option of ${block.title} or \`}'`)
      }
      if (!this.#recover(block, isFile)) return false
    }
  }

  #isWord(): boolean {
    return this.token.kind === "keyword" || this.token.kind === "string"
  }

  /**
   * Skips to where `block` can go on; false when it cannot. Whole inner blocks are skipped. A word
   * in a later line is taken for the next clause, known or not: clauses are rarely broken in two.
   */
  #recover(block: Block, isFile: boolean): boolean {
    const { line } = this.token
    let depth = 0
    for (;;) {
      const { kind, text } = this.token
      if (kind === "end") return false
      if (depth === 0 && this.#isWord()) {
        if (block.clauses.has(text)) return true
        // A section cannot stand inside a block: a brace is missing, so the block is over.
        if (sections.has(text)) return false
        if (this.token.line > line) return true
      }
      if (depth === 0 && kind === "}" && !isFile) return true
      if (kind === "{") depth++
      if (kind === "}" && depth > 0) depth--
      this.advance()
    }
  }

  #add(diagnostic: Diagnostic): void {
    if (this.diagnostics.length < diagnosticsMax) this.diagnostics.push(diagnostic)
  }
}
