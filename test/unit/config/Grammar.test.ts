import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { cannotOpen, type Diagnostic, explain } from "../../../src/core/config/Diagnose.ts"
import { parse, type Parsed } from "../../../src/core/config/Grammar.ts"
import { unsupportedMode } from "../../../src/core/config/InEffect.ts"
import { activeLink } from "../../../src/core/config/Settings.ts"
import { environment } from "./Environment.ts"

const read = (text: string): Result.Result<Parsed, ReadonlyArray<Diagnostic>> =>
  parse(Buffer.from(text, "latin1"), environment)

const accept = (text: string): Parsed => {
  const result = read(text)
  return Result.isSuccess(result) ? result.success : assert.fail(JSON.stringify(result.failure))
}

const reject = (text: string): ReadonlyArray<Diagnostic> => {
  const result = read(text)
  return Result.isFailure(result) ? result.failure : assert.fail("accepted")
}

const places = (diagnostics: ReadonlyArray<Diagnostic>): ReadonlyArray<string> =>
  diagnostics.map(({ column, line }) => `${line}:${column}`)

const explained = (text: string): ReadonlyArray<string | undefined> =>
  reject(text).map((diagnostic) => explain(diagnostic, "x.conf"))

const texts = (diagnostics: ReadonlyArray<Diagnostic>): ReadonlyArray<string> =>
  diagnostics.map(({ text }) => text)

describe("the reader, after an error,", () => {
  it("goes on with the next option, and reports every error in its place", () => {
    const text = "General {\n  HashSize x1\n  Foo { Bar { } }\n  HashLimit -1\n  Systemd off\n}\n" +
      "Sync {\n  Port 3780\n  Mode FTFW { RefreshTime 1 }\n}\n"

    assert.deepStrictEqual(places(reject(text)), ["2:12", "3:3", "4:13", "8:3", "9:15"])
  })

  it("takes a section inside a block for a missing brace", () => {
    const text = "General {\n  UNIX {\n    Path /run/x\nSync {\n  Mode FTFW { }\n  Foo 1\n}\n"

    assert.deepStrictEqual(places(reject(text)), ["4:1", "6:3"])
  })

  it("does not complain about the end of the file as well", () => {
    assert.deepStrictEqual(places(reject("General {\n  HashSize {\n")), ["2:12"])
  })

  it("goes on behind a list it did not understand", () => {
    const text = "General {\n Filter {\n  Protocol Accept { TCP 17 UDP }\n" +
      "  State Accept { FOO for TCP }\n Address Ignore { 127.0.0.1 }\n }\n}\nFoo\n"

    assert.deepStrictEqual(places(reject(text)), ["3:25", "4:18", "5:19", "8:1"])
  })

  it("keeps count of braces that are too many", () => {
    assert.deepStrictEqual(places(reject("General { } }\nFoo { }\n")), ["1:13", "2:1"])
    assert.deepStrictEqual(places(reject("General { } }\nGeneral { Foo 1 }\n")), ["1:13", "2:11"])
  })

  it("refuses blocks nested without end instead of running out of stack", () => {
    const text = "Helper {" + "Type ftp inet tcp {".repeat(100_000)

    assert.strictEqual(texts(reject(text))[0], "blocks are nested deeper than 32 levels")
  })

  it("stops collecting when there is no end of errors", () => {
    assert.strictEqual(reject("General { " + "HashSize x1 ".repeat(5_000) + "}").length, 100)
  })
})

describe("an error", () => {
  const tooMany = "too many dedicated links in the configuration file (Maximum: 4)"
  const syntax = "parsing config file in line (1), symbol 'Foo': syntax error"
  it.each([
    ["UDP { Port 1 Foo }", [tooMany, syntax]],
    ["UDP { Foo }", [syntax, tooMany]],
    ["UDP { }", [tooMany]],
    ["TCP { Port 1 Port 2 }", ["cannot use `TCP' with other dedicated link protocols!"]]
  ])("about the fifth link comes once, behind its first option: %s", (fifth, expected) => {
    const errors = texts(reject(`Sync { ${"UDP { } ".repeat(4)} ${fifth} }`))

    assert.deepStrictEqual(errors, expected)
  })

  it("says what was expected, and what to do", () => {
    assert.deepStrictEqual(explained("General {\n HashSize\n}\n"), [
      "x.conf:3:1: expected a number"
    ])
    assert.deepStrictEqual(explained("Sync {\n Multicast {\n  Port 1\n }\n}\n"), [
      "x.conf:3:3: expected an option of Multicast or `}'; `Port' belongs in UDP or TCP"
    ])
    assert.deepStrictEqual(explained("General {\n hashsize 1\n}\n"), [
      "x.conf:2:2: expected an option of General or `}'; did you mean `HashSize'?"
    ])
    assert.deepStrictEqual(explained("General {\n LockFile \"/run/x\"\n}\n"), [
      "x.conf:2:11: expected a path that starts with /; there is no quoting"
    ])
    assert.deepStrictEqual(explained("Sync {\n Mode FT-FW { }\n}\n"), [
      "x.conf:2:7: expected FTFW, ALARM or NOTRACK; `FT-FW' is spelt FTFW"
    ])
    assert.deepStrictEqual(explained("\xef\xbb\xbfGeneral { }\n"), [
      "x.conf:1:1: expected a section; save the file without the UTF-8 byte order mark"
    ])
    assert.deepStrictEqual(explained("General {\n"), [
      "x.conf:2:1: expected an option of General or `}'; the file ends here, a `}' is missing"
    ])
  })

  it("about the file as a whole has no place", () => {
    const diagnostic = cannotOpen("/etc/x.conf")

    assert.strictEqual(diagnostic.text, "can't open config file `/etc/x.conf'")
    assert.strictEqual(explain(diagnostic, "/etc/x.conf"), undefined)
  })

  it.each([
    ["General { HashLimit 4294967296 }", "4294967296 is too large for `HashLimit'"],
    [
      "Sync { CommitTimeout 99999999999999999999 }",
      "99999999999999999999 is too large for " +
      "`CommitTimeout'"
    ],
    [
      "General { LockFile /run/\xff }",
      "this path is not valid UTF-8 or holds a NUL byte"
    ],
    [
      "General { LockFile /run/\0x }",
      "this path is not valid UTF-8 or holds a NUL byte"
    ],
    [
      "Sync { TCP { Port 1 IPv4_address 10.0.0.1 IPv6_Destination_Address ::1 } }",
      "the addresses of a `TCP' link must be of the same family"
    ]
  ])("is better than a wrong value: %j", (text, expected) => {
    assert.deepStrictEqual(texts(reject(text)), [expected])
  })
})

describe("a value", () => {
  it("of 32 bits is kept whole", () => {
    const { general } = accept("General { HashLimit 4294967295 }").settings
    assert.strictEqual(general.hashLimitEntries, 4_294_967_295)
  })

  it("for a port is cut to 16 bits as upstream does, with a warning", () => {
    const { settings, warnings } = accept("Sync { UDP { Port 70000 } }")

    assert.strictEqual(settings.sync.links[0]?.port, 4464)
    assert.deepStrictEqual(texts(warnings), ["port 70000 does not fit in 16 bits, using 4464"])
  })

  it("that is an address of the other family, given in full, replaces the link's addresses", () => {
    const [link] = accept(
      "Sync { UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2" +
        " IPv6_address fd00:0::1 IPv6_Destination_Address fd00::2 } }"
    ).settings.sync.links

    assert.strictEqual(link?.family, 6)
    assert.strictEqual(link?.kind === "udp" && link.listenAddress, "fd00::1")
  })

  it("that is a path may hold any UTF-8", () => {
    const { general } = accept("General { LockFile /run/\xc3\xb6 }").settings
    assert.strictEqual(general.lockFile, "/run/ö")
  })

  it("given twice: the last wins", () => {
    const { sync } = accept("Sync { PurgeTimeout 5 Mode FTFW { PurgeTimeout 7 } }").settings
    assert.strictEqual(sync.purgeTimeoutSeconds, 7)
  })
})

describe("the active link", () => {
  it.each([
    ["UDP { Port 1 } UDP { Port 2 }", 1],
    ["UDP { Port 1 } UDP Default { Port 2 } UDP { Port 3 }", 2],
    ["UDP Default { Port 1 } UDP Default { Port 2 }", 2]
  ])("of %s is the last Default, else the first", (links, port) => {
    assert.strictEqual(activeLink(accept(`Sync { ${links} }`).settings.sync)?.port, port)
  })
})

describe("`Stats' inside `General'", () => {
  it("gives way to `Sync', with a warning", () => {
    const { settings, warnings } = accept(
      "General { Stats { LogFile on } } Sync { Mode FTFW { } }"
    )

    assert.deepStrictEqual(settings.sections, { sync: true, stats: false, helper: false })
    assert.strictEqual(settings.stats.logFile, undefined)
    assert.strictEqual(
      warnings[1]?.text,
      "`Stats' can't be combined with `Sync', ignoring the one inside `General'"
    )
  })
})

describe("what is not yet in effect", () => {
  it("is named once each, where it stands", () => {
    const { notYetInEffect, warnings } = accept(
      "General {\n Systemd on\n Syslog local0\n Filter { Protocol Accept { TCP } }\n}\n" +
        "Sync {\n Mode NOTRACK { DisableInternalCache on }\n" +
        " TCP { Port 1 }\n TCP { Port 2 }\n Options { ExpectationSync { ftp } }\n}\n"
    )

    assert.deepStrictEqual(warnings, [])
    assert.deepStrictEqual(
      notYetInEffect.map(({ line, text }) => `${line}: ${text}`),
      [
        "3: Syslog",
        "4: Filter",
        "7: Mode NOTRACK",
        "7: DisableInternalCache",
        "8: TCP",
        "10: ExpectationSync"
      ].map((name) => `${name} is not yet in effect in this version`)
    )
  })

  it("is silent about what is switched off", () => {
    const { notYetInEffect } = accept(
      "General { Systemd off Syslog no NetlinkEventsReliable off }" +
        " Sync { Mode FTFW { DisableExternalCache off } Options { ExpectationSync off } }"
    )

    assert.deepStrictEqual(notYetInEffect, [])
  })

  it("includes a second UDP link, but nothing else of FTFW over UDP", () => {
    const { notYetInEffect } = accept(
      "General { HashSize 1 HashLimit 2 LogFile on LockFile /l UNIX { Path /p } NetlinkBufferSize" +
        " 1 NetlinkBufferSizeMaxGrowth 2 NetlinkOverrunResync 3 }\nSync {\n Mode FTFW {" +
        " ResendQueueSize 1 ACKWindowSize 2 CommitTimeout 3 PurgeTimeout 4 StartupResync on }\n" +
        " UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3 Interface lan0" +
        " SndSocketBuffer 1 RcvSocketBuffer 2 Checksum off }\n UDP Default { }\n" +
        " Options { TCPWindowTracking on } }"
    )

    assert.deepStrictEqual(
      notYetInEffect.map(({ line, text }) => [line, text]),
      [[5, "more than one UDP block is not yet in effect in this version"]]
    )
  })

  it.each([
    ["Sync { Mode FTFW { } UDP { } }", undefined],
    ["Sync { UDP { } }", undefined],
    ["General { }", undefined],
    ["Helper { }", undefined],
    ["Sync { Mode ALARM { } Mode FTFW { } UDP { } }", undefined],
    ["Sync { Mode ALARM { } UDP { } }", "synchronisation mode ALARM"],
    ["Sync { Mode NOTRACK { } UDP { } }", "synchronisation mode NOTRACK"],
    ["Sync { Mode FTFW { } Multicast { } }", "Multicast links"],
    ["Sync { Mode FTFW { } TCP { } }", "TCP links"],
    ["Stats { }", "the statistics mode (section Stats)"],
    ["Helper { Type ftp inet tcp { } }", "userspace helpers (section Helper)"]
  ])("forbids the daemon to start, or not: %s", (text, reason) => {
    const sentence = unsupportedMode(accept(text).settings)

    if (reason === undefined) assert.strictEqual(sentence, undefined)
    else assert.include(sentence, `${reason} `)
  })
})
