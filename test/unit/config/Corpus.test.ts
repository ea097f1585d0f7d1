/**
 * Reads the 324 recorded configuration files and compares verdict, messages and effective values
 * with what the reference binary made of them. `test/golden/config/README.md` explains the record.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { type Diagnostic, hasError } from "../../../src/core/config/Diagnose.ts"
import { parse, type Parsed } from "../../../src/core/config/Grammar.ts"
import { effectiveValues, sorted } from "./EffectiveValues.ts"
import { environment } from "./Environment.ts"

interface Message {
  readonly level: string
  readonly text: string
}

interface Recorded {
  readonly file: string
  readonly verdict: "accepted" | "rejected"
  readonly parse_messages: ReadonlyArray<Message>
  readonly effective: Readonly<Record<string, unknown>> | null
}

interface Index {
  readonly defaults: Readonly<Record<string, unknown>>
  readonly files: ReadonlyArray<Recorded>
}

const golden = new URL("../../golden/config/", import.meta.url)
const index = JSON.parse(readFileSync(new URL("index.json", golden), "utf8")) as Index

const run = "/tmp/recording"
const placeholders: ReadonlyArray<readonly [string, string]> = [
  ["@PAD107@", `${run}/`.padEnd(107, "u")],
  ["@RUN@", run],
  ["@IF0@", "lan0"],
  ["@IF1@", "lan1"]
]

const fillIn = (text: string): string =>
  placeholders.reduce((filled, [from, to]) => filled.replaceAll(from, to), text)

const read = (file: string): Result.Result<Parsed, ReadonlyArray<Diagnostic>> => {
  const text = readFileSync(new URL(file, golden), "latin1")
  return parse(Buffer.from(fillIn(text), "latin1"), environment)
}

/** Message texts of the recording, with the recorded `@RUN@/uuu…` path made ours. */
const recordedMessages = (recorded: Recorded): ReadonlyArray<Message> =>
  recorded.parse_messages.map(({ level, text }) => ({
    level: level.toLowerCase(),
    text: fillIn(text)
  }))

const messagesOf = (diagnostics: ReadonlyArray<Diagnostic>): ReadonlyArray<Message> =>
  diagnostics.map(({ level, text }) => ({ level, text }))

/** Defaults and what differs, with the placeholders filled in. */
const expectedValues = (recorded: Recorded): Readonly<Record<string, unknown>> => {
  const json = JSON.stringify({ ...index.defaults, ...recorded.effective })
  const values = JSON.parse(fillIn(json.replaceAll(/@RUN@\/u{5,}/g, "@PAD107@")))
  return sorted(values as Record<string, unknown>)
}

/** Accepted upstream with these values, but not by us or not quite so. */
const acceptedDifferently: ReadonlyMap<string, string> = new Map([
  ["lexical/18-switch-vertical-bar", "`|` for any letter of a switch is a slip of the lexer"],
  ["lexical/24-number-overflow", "numbers above 32 bits are refused instead of cut"],
  ["lexical/45-utf8-bom", "a byte order mark is reported; upstream reads an empty file"],
  ["lexical/46-nul-byte", "odd bytes are reported; upstream stops reading in silence"],
  ["lexical/47-high-byte-between-sections", "odd bytes are reported, as before"],
  ["filter/14-address-slash-zero", "IPv6 networks are compared with IPv6 networks only"],
  ["filter/19-address-duplicates", "repeated IPv6 networks are noticed"],
  ["options/06-expectations-on-off", "upstream crashes at start; the last one counts"],
  ["links/06-udp-mixed-families", "two families in one link are refused instead of misread"],
  ["links/43-multicast6-interface-first", "the order of IPv6 multicast options is free"],
  ["links/45-multicast-4-then-6", "the second group is ignored instead of half stored"],
  ["links/46-multicast-6-then-4", "the second group is ignored instead of half stored"],
  ["links/53-five-links-empty-fifth", "an empty fifth link is refused, as 1.4.8 does"]
])

/** Rejected upstream, accepted or rejected with another text by us. */
const rejectedDifferently: ReadonlyMap<string, string> = new Map([
  ["lexical/03-comment-last-line-without-newline", "a comment may end with the file"],
  ["lexical/31-hex-word-4", "names of hex digits are names"],
  ["lexical/32-hex-word-digit", "names of hex digits are names"],
  ["options/08-expectations-hex-name", "names of hex digits are names"],
  ["helper/29-name-hex-word", "names of hex digits are names; there is no helper `bad'"],
  ["sync-mode/21-alarm-with-disable-external", "the user manual promises it"],
  ["stats/12-netlink-reliable-inside", "the manual page promises it"],
  ["removed/12-McastSndSocketBuffer", "the user manual teaches it"],
  ["removed/13-McastRcvSocketBuffer", "the user manual teaches it"],
  ["complete/08-stats-inside-general", "published templates have it"]
])

const nameOf = (recorded: Recorded): string =>
  recorded.file.replace(/^files\//, "").replace(/\.conf$/, "")

const select = (
  verdict: Recorded["verdict"],
  differently: ReadonlyMap<string, string>
): ReadonlyArray<readonly [string, Recorded]> =>
  index.files
    .filter((recorded) => recorded.verdict === verdict && !differently.has(nameOf(recorded)))
    .map((recorded) => [nameOf(recorded), recorded] as const)

const accepted = select("accepted", acceptedDifferently)
const rejected = select("rejected", rejectedDifferently)

const find = (name: string): Recorded =>
  index.files.find((recorded) => nameOf(recorded) === name) ?? assert.fail(`no file ${name}`)

/** True when the messages of `part` appear in `whole` in the same order. */
const appearsIn = (part: ReadonlyArray<Message>, whole: ReadonlyArray<Message>): boolean => {
  let found = 0
  for (const { level, text } of whole) {
    const wanted = part[found]
    if (wanted !== undefined && wanted.level === level && wanted.text === text) found++
  }
  return found === part.length
}

const succeed = (name: string): Parsed => {
  const result = read(find(name).file)
  return Result.isSuccess(result)
    ? result.success
    : assert.fail(`${name}: ${JSON.stringify(result.failure)}`)
}

const fail = (name: string): ReadonlyArray<Diagnostic> => {
  const result = read(find(name).file)
  return Result.isFailure(result) ? result.failure : assert.fail(`${name} was accepted`)
}

const firstError = (diagnostics: ReadonlyArray<Diagnostic>): string =>
  diagnostics.find(({ level }) => level === "error")!.text

describe("the recorded configuration files", () => {
  it("are all here, and every listed difference is one of them", () => {
    assert.strictEqual(index.files.length, 324)
    for (const name of acceptedDifferently.keys()) {
      assert.strictEqual(find(name).verdict, "accepted", name)
    }
    for (const name of rejectedDifferently.keys()) {
      assert.strictEqual(find(name).verdict, "rejected", name)
    }
  })

  it.each(accepted)("%s is accepted, as recorded", (name, recorded) => {
    const { settings, warnings } = succeed(name)

    assert.deepStrictEqual(effectiveValues(settings), expectedValues(recorded))
    const expected = recordedMessages(recorded)
    const actual = messagesOf(warnings)
    assert.isTrue(appearsIn(expected, actual), JSON.stringify({ expected, actual }))
  })

  it.each(rejected)("%s is rejected, as recorded", (name, recorded) => {
    const diagnostics = fail(name)

    assert.isTrue(hasError(diagnostics))
    const first = diagnostics.findIndex(({ level }) => level === "error")
    const actual = messagesOf(diagnostics.slice(0, first + 1))
    const expected = recordedMessages(recorded)
    assert.deepStrictEqual(actual.at(-1), expected.at(-1))
    assert.isTrue(appearsIn(expected, actual), JSON.stringify({ expected, actual }))
  })
})

describe("the files we judge differently", () => {
  it.each([
    ["lexical/18-switch-vertical-bar", "parsing config file in line (6), symbol '|': syntax error"],
    ["lexical/24-number-overflow", "99999999999 is too large for `HashSize'"],
    ["lexical/45-utf8-bom", "parsing config file in line (1), symbol '\u00ef': syntax error"],
    ["lexical/46-nul-byte", "parsing config file in line (7), symbol '\0': syntax error"],
    [
      "lexical/47-high-byte-between-sections",
      "parsing config file in line (7), symbol '\u00e9': syntax error"
    ],
    [
      "links/06-udp-mixed-families",
      "the addresses of a `UDP' link must be of the same family"
    ],
    [
      "links/53-five-links-empty-fifth",
      "too many dedicated links in the configuration file (Maximum: 4)"
    ],
    ["helper/29-name-hex-word", "Unknown `bad' helper"]
  ])("%s is rejected", (name, text) => {
    assert.strictEqual(firstError(fail(name)), text)
  })

  it.each([
    ["lexical/31-hex-word-4", "face"],
    ["lexical/32-hex-word-digit", "bee0"]
  ])("%s: an interface may be called like a hex number", (name, interfaceName) => {
    const { settings, warnings } = succeed(name)

    assert.strictEqual(settings.sync.links[0]?.interfaceName, interfaceName)
    assert.deepStrictEqual(messagesOf(warnings), [
      { level: "warning", text: `${interfaceName} is an invalid interface` }
    ])
  })

  it("lexical/03: a comment may end with the file", () => {
    assert.strictEqual(succeed("lexical/03-comment-last-line-without-newline").warnings.length, 0)
  })

  it("options/08: a helper may be called like a hex number", () => {
    const { expectationSync } = succeed("options/08-expectations-hex-name").settings.sync
    assert.include(expectationSync.helpers, "fed")
  })

  it("options/06: `ExpectationSync off' undoes an earlier `on'", () => {
    const { expectationSync } = succeed("options/06-expectations-on-off").settings.sync
    assert.isFalse(expectationSync.enabled)
  })

  it("sync-mode/21: ALARM may disable the external cache", () => {
    const { sync } = succeed("sync-mode/21-alarm-with-disable-external").settings
    assert.isTrue(sync.disableExternalCache)
    assert.strictEqual(sync.mode, "alarm")
  })

  it("stats/12: `NetlinkEventsReliable' inside `Stats' means what it means in `General'", () => {
    const { settings, warnings } = succeed("stats/12-netlink-reliable-inside")
    assert.isTrue(settings.sections.stats)
    assert.strictEqual(warnings.length, 0)
    const parsed = parse(Buffer.from("Stats { NetlinkEventsReliable on }"), environment)
    assert.isTrue(Result.getOrThrow(parsed).settings.general.netlinkEventsReliable)
  })

  it("complete/08: `Stats' inside `General' is read, with a warning", () => {
    const { settings, warnings } = succeed("complete/08-stats-inside-general")
    assert.isTrue(settings.sections.stats)
    assert.strictEqual(settings.stats.logFile, "/var/log/conntrackd-stats.log")
    assert.strictEqual(warnings[0]?.text, "`Stats' does not belong inside `General'")
  })

  it.each(
    [
      ["removed/12-McastSndSocketBuffer", "sendBufferBytes", "Snd"],
      ["removed/13-McastRcvSocketBuffer", "receiveBufferBytes", "Rcv"]
    ] as const
  )("%s: the old name is an alias, with a warning", (name, field, prefix) => {
    const { settings, warnings } = succeed(name)
    assert.strictEqual(settings.sync.links[0]?.[field], 1_249_280)
    assert.strictEqual(
      warnings[0]?.text,
      `\`Mcast${prefix}SocketBuffer' is now called \`${prefix}SocketBuffer',` +
        " please update your configuration file"
    )
  })

  it("links/43: an IPv6 multicast link may name its interface first", () => {
    const { settings, warnings } = succeed("links/43-multicast6-interface-first")
    const link = settings.sync.links[0]!
    assert.deepStrictEqual([link.family, link.interfaceName], [6, "lan0"])
    assert.strictEqual(link.kind === "multicast" && link.groupAddress, "ff02::77")
    assert.strictEqual(warnings.length, 0)
  })

  it.each([
    ["links/45-multicast-4-then-6", 4, "225.0.0.50"],
    ["links/46-multicast-6-then-4", 6, "ff02::77"]
  ])("%s: the first group stays, with upstream's warning", (name, family, group) => {
    const { settings, warnings } = succeed(name)
    const link = settings.sync.links[0]!
    assert.strictEqual(link.family, family)
    assert.strictEqual(link.kind === "multicast" && link.groupAddress, group)
    assert.deepStrictEqual(messagesOf(warnings), recordedMessages(find(name)))
  })

  it("filter/14: `::/0' is no repetition of `0.0.0.0/0'", () => {
    const { settings, warnings } = succeed("filter/14-address-slash-zero")
    assert.deepStrictEqual(
      settings.general.filter?.networks.map(({ address }) => address.length),
      [4, 16]
    )
    assert.strictEqual(warnings.length, 0)
  })

  it("filter/19: repeated networks of both families are named", () => {
    const { settings, warnings } = succeed("filter/19-address-duplicates")
    assert.strictEqual(settings.general.filter?.networks.length, 2)
    assert.deepStrictEqual(warnings.map(({ text }) => text), [
      "netmask 10.0.0.0 is repeated in the ignore pool",
      "netmask fd00:: is repeated in the ignore pool"
    ])
  })
})
