import { assert, describe, it } from "@effect/vitest"
import { basename } from "node:path"
import type { Source } from "./Sources.ts"
import { matches, sourceOf, sourcesIn } from "./Sources.ts"

type Rule = (source: Source) => ReadonlyArray<string>

const columnsMax = 100
const linesMax = 600

/** Words at the start of a member access or call, not names of properties. */
const globals = (words: string): RegExp =>
  new RegExp(`(?<![\\w$.])(?:${words})\\b(?!\\s*\\??:)`, "g")

const pure = (path: string): boolean => /^src\/(core|actors)\//.test(path)
const contract = (path: string): boolean => pure(path) || /^src\/layers\/[^/]+\.ts$/.test(path)
const inSrc = (path: string): boolean => path.startsWith("src/")

const only = (where: (path: string) => boolean, rule: Rule): Rule => (source) =>
  where(source.path) ? rule(source) : []

/** Modules that load a whole package, or a whole part of one. */
const isBarrel = (specifier: string, path: string): boolean =>
  specifier === "effect" || specifier === "@effect/platform-node" ||
  (contract(path) && /^effect\/[a-z]+$/.test(specifier))

const rules: Readonly<Record<string, Rule>> = {
  "files are not called utils, common, helpers or misc": ({ path }) =>
    /^(common|helpers|misc)$|(^|[a-z.-])(utils?|misc)$/i.test(basename(path).replace(/\..*$/, ""))
      ? [`${path}:1: find the noun that the code is about`]
      : [],

  "there is no index.ts, and nothing is re-exported wholesale": (source) => [
    ...(basename(source.path) === "index.ts" ? [`${source.path}:1: an index`] : []),
    ...matches(source, /^\s*export\s*\*.*$/gm, () => "re-exports everything")
  ],

  "relative imports carry .ts": ({ imports, path }) =>
    imports
      .filter(({ specifier }) => specifier.startsWith(".") && !specifier.endsWith(".ts"))
      .map(({ line, specifier }) => `${path}:${line}: ${specifier} lacks .ts`),

  "modules are imported one by one, never through a barrel": ({ imports, path }) =>
    imports
      .filter(({ isType, specifier }) => !isType && isBarrel(specifier, path))
      .map(({ line, specifier }) => `${path}:${line}: ${specifier} is a barrel`),

  // Functions without a subject, like `pipe`, are the exception.
  "modules of Effect are imported as namespaces": only(inSrc, ({ imports, path }) =>
    imports
      .filter((one) => /^effect\/(?!Function$)[A-Z]/.test(one.specifier) && !one.isNamespace)
      .filter(({ isDynamic }) => !isDynamic)
      .map(({ line, specifier }) => `${path}:${line}: import * as … from "${specifier}"`)),

  "syntax can be erased: no enum, no namespace": (source) =>
    matches(
      source,
      /^\s*(export\s+)?(declare\s+)?(const\s+)?(enum|namespace|module)\s+\w+\s*\{/gm,
      (found) => `${found.replace(/\s*\{$/, "")} cannot be erased`
    ),

  "there are no default exports": (source) =>
    matches(source, /^\s*export\s+default\b/gm, () => "a default export"),

  "core and actors have no clock, dice, timers, process or console": only(pure, (source) => [
    ...matches(
      source,
      globals(
        "Date|performance|setTimeout|setInterval|setImmediate|clearTimeout|clearInterval|" +
          "queueMicrotask|console|globalThis|crypto"
      ),
      (found) => `${found} belongs to the world`
    ),
    ...matches(source, /(?<![\w$.])process\s*[.[]/g, () => "process belongs to the world"),
    ...matches(source, /\bMath\s*\.\s*random\b/g, () => "Math.random is not repeatable")
  ]),

  "core, actors and contracts have no promises": only(
    contract,
    (source) => matches(source, globals("Promise|async|await"), (found) => `${found}: use Effect`)
  ),

  "TODO has a name and a condition": (source) =>
    matches(
      source,
      /\b(?:TODO(?!\([\w-]+\): \S)|FIXME|XXX)\b/g,
      (found) => `${found} needs a name and a condition: TODO(name): when …`,
      source.comments
    ),

  "files open with what they are for": only(
    (path) => inSrc(path) || (path.startsWith("test/") && !/\.(test|bench)\.ts$/.test(path)),
    ({ path, text }) => text.startsWith("/**") ? [] : [`${path}:1: has no opening comment`]
  ),

  [`lines have at most ${columnsMax} columns`]: ({ lines, path }) =>
    lines.flatMap((line, i) =>
      [...line].length > columnsMax ? [`${path}:${i + 1}: ${[...line].length} columns`] : []
    ),

  [`files have at most ${linesMax} lines`]: only(
    inSrc,
    ({ lines, path }) =>
      lines.length > linesMax ? [`${path}:1: ${lines.length} lines; look for the second noun`] : []
  )
}

const sources = [
  ...sourcesIn("src"),
  ...sourcesIn("test"),
  // Scripts run before anything is installed, so they are JavaScript; most rules fit them too.
  ...sourcesIn("scripts", /\.mjs$/).map((source) => ({ ...source, imports: [] }))
]

describe("the code", () => {
  it.each(Object.entries(rules))("%s", (_, rule) => {
    assert.isAbove(sources.length, 10)
    assert.deepStrictEqual(sources.flatMap(rule), [])
  })
})

/** A file that breaks each rule: where a rule is silent about it, the rule is broken itself. */
const offenders: Readonly<Record<string, readonly [path: string, text: string, ok: string]>> = {
  "files are not called utils": ["src/core/model/FlowUtils.ts", "/** */", "src/core/model/Flow.ts"],
  "there is no index.ts": ["src/core/index.ts", "/** */", "src/core/model/Indexes.ts"]
}

describe("the rules about code", () => {
  const broken = (path: string, text: string): ReadonlyArray<string> =>
    Object.entries(rules)
      .filter(([, rule]) => rule(sourceOf(path, text)).length > 0)
      .map(([name]) => name)

  it.each(Object.entries(offenders))("notice: %s", (name, [path, text, ok]) => {
    assert.match(broken(path, text).join("\n"), new RegExp(name))
    assert.deepStrictEqual(broken(ok, text), [])
  })

  it.each([
    ["wholesale", "export * from \"./A.ts\""],
    ["carry .ts", "import { a } from \"./a\""],
    ["barrel", "import { Effect } from \"effect\""],
    ["namespaces", "import { succeed } from \"effect/Result\""],
    ["erased", "export const enum A { b }"],
    ["erased", "namespace A {}"],
    ["default", "export default 1"],
    ["clock", "const a = Date.now()"],
    ["clock", "const a = `${performance.now()}`"],
    ["clock", "process.exit(1)"],
    ["clock", "const a = Math.random()"],
    ["promises", "const a = async () => {}"],
    ["TODO", "// TODO later"],
    ["columns", `const a = "${"x".repeat(100)}"`]
  ])("notice: %s in %s", (name, line) => {
    const found = broken("src/core/model/A.ts", `/** A. */\n${line}\n`)
    assert.strictEqual(found.length, 1, found.join("; "))
    assert.include(found[0], name)
  })

  it("let through words in strings and comments, and properties of the same name", () => {
    const text = [
      "/** Not the Date of console.log; await nothing. TODO(ann): remove when Linux 7 is out. */",
      "const a = \"Date.now()\" + 'process.exit' + `await ${\"console\"} }`",
      "const b = { process: 1, async: 2, Date: /console.log(\"`\")/ }",
      "const c = b.process + b.Date",
      "/* export default */ export const enumerate = a"
    ]
    assert.deepStrictEqual(broken("src/core/model/A.ts", text.join("\n")), [])
  })
})
