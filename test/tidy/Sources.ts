/**
 * The project's own source files, as text that rules can be tested on.
 *
 * Rules read lines, not syntax trees: what they forbid can be told from the words, once comments
 * and the contents of strings are out of the way.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Import {
  readonly specifier: string
  readonly line: number
  /** Erased before anything runs. */
  readonly isType: boolean
  readonly isNamespace: boolean
  /** `export … from`. */
  readonly isExport: boolean
  readonly isDynamic: boolean
  /** Path from the project's root of what a relative specifier names. */
  readonly target: string | undefined
}

export interface Source {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly text: string
  readonly lines: ReadonlyArray<string>
  /** The text with comments and the contents of strings blanked; as long as the text. */
  readonly code: string
  /** The text with everything but comments blanked. */
  readonly comments: string
  readonly imports: ReadonlyArray<Import>
}

const blank = (text: string): string => text.replace(/[^\n]/g, " ")

/** What may stand before a slash that begins a regular expression, not a division. */
const beforeRegExp = /(^|[=(,:;!&|?{}[+\-*%~^<>]|\b(return|typeof|case|in|of))\s*$/

/** Splits a text into code, strings and comments, character by character. */
const separate = (text: string): { code: string; comments: string; uncommented: string } => {
  let code = ""
  let comments = ""
  let uncommented = ""
  // Depths of braces inside `${…}`: the innermost template is last.
  const templates: Array<number> = []
  let at = 0
  const take = (kind: "code" | "string" | "comment", end: number): void => {
    const part = text.slice(at, end)
    code += kind === "code" ? part : blank(part)
    comments += kind === "comment" ? part : blank(part)
    uncommented += kind === "comment" ? blank(part) : part
    at = end
  }
  const match = (pattern: RegExp): number => {
    pattern.lastIndex = at
    return pattern.exec(text) === null ? text.length : pattern.lastIndex
  }
  while (at < text.length) {
    const two = text.slice(at, at + 2)
    const one = two[0]!
    if (two === "//" || (at === 0 && two === "#!")) take("comment", match(/[^\n]*/y))
    else if (two === "/*") take("comment", match(/\/\*[^]*?\*\//y))
    else if (one === "\"") take("string", match(/"(?:\\[^]|[^"\\])*"/y))
    else if (one === "'") take("string", match(/'(?:\\[^]|[^'\\])*'/y))
    else if (one === "`" || (one === "}" && templates.at(-1) === 0)) {
      if (one === "}") templates.pop()
      take("string", match(/[`}](?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y))
      if (text[at - 1] === "{") templates.push(0)
    } else if (one === "/" && beforeRegExp.test(code.slice(-40))) {
      take("string", match(/\/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[\n])+\/[a-z]*/y))
    } else {
      const depth = templates.length - 1
      if (depth >= 0 && one === "{") templates[depth]!++
      if (depth >= 0 && one === "}") templates[depth]!--
      take("code", at + 1)
    }
  }
  return { code, comments, uncommented }
}

/** One-based line of an offset. */
const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

/**
 * `import … from "x"`, `import "x"`, `export * from "x"`, `export { … } from "x"`; `type` or not.
 */
const importPattern =
  /^[ \t]*(?:(import|export)\b([\s\w$,]*(?:\*[\s\w$]*|\{[^}]*\})?\s*)\bfrom|import)\s*"([^"]+)"/gm
const dynamicPattern = /\bimport[ \t]*\([ \t\n]*"([^"]+)"/g

const importsOf = (path: string, uncommented: string): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  const add = (specifier: string, offset: number, rest: Partial<Import>): void => {
    const target = specifier.startsWith(".")
      ? relative(root, resolve(root, dirname(path), specifier))
      : undefined
    const plain = { isType: false, isNamespace: false, isExport: false, isDynamic: false }
    found.push({ ...plain, ...rest, specifier, target, line: lineOf(uncommented, offset) })
  }
  for (
    const { 1: word, 2: what = "", 3: specifier, index } of uncommented.matchAll(importPattern)
  ) {
    add(specifier!, index, {
      isExport: word === "export",
      isType: /^\s*type\b/.test(what),
      isNamespace: /^\s*(type\s+)?\*/.test(what)
    })
  }
  for (const { 1: specifier, index } of uncommented.matchAll(dynamicPattern)) {
    add(specifier!, index, { isDynamic: true })
  }
  return found
}

export const sourceOf = (path: string, text: string): Source => {
  const { code, comments, uncommented } = separate(text)
  const imports = importsOf(path, uncommented)
  return { path, text, lines: text.split("\n"), code, comments, imports }
}

const skipped = new Set(["node_modules", "build", "golden", "dist"])

const walk = (folder: string, suffix: RegExp): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : walk(path, suffix)
    return suffix.test(entry.name) ? [path] : []
  })

/** All files below `folder` whose names end like that. */
export const sourcesIn = (folder: string, suffix = /\.ts$/): ReadonlyArray<Source> =>
  walk(folder, suffix).map((path) => sourceOf(path, readFileSync(join(root, path), "utf8")))

/** Every match of `pattern` in the code of `source`, as `path:line: complaint`. */
export const matches = (
  source: Source,
  pattern: RegExp,
  complaint: (found: string) => string,
  text: string = source.code
): ReadonlyArray<string> =>
  [...text.matchAll(pattern)].map((match) => {
    const line = lineOf(text, match.index)
    return `${source.path}:${line}: ${complaint(match[0].trim())}`
  })
