/** Laws of the reader: it survives anything, blanks mean nothing, and printing loses nothing. */
import { assert, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readdirSync, readFileSync } from "node:fs"
import { formatAddress, parseIpv4, parseIpv6 } from "../../../src/core/config/Address.ts"
import { hasError } from "../../../src/core/config/Diagnose.ts"
import { parse, type Parsed } from "../../../src/core/config/Grammar.ts"
import { keywords } from "../../../src/core/config/Keywords.ts"
import { Lexer, type Token } from "../../../src/core/config/Lexer.ts"
import { print } from "../../../src/core/config/Print.ts"
import { environment } from "./Environment.ts"

const Byte = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const bytes = Arbitrary.array(Arbitrary.schema(Byte), { maxLength: 300 })

const read = (text: string): ReturnType<typeof parse> =>
  parse(Buffer.from(text, "latin1"), environment)

/** What every result of the reader must be like, whatever the file. */
const checkResult = (result: ReturnType<typeof parse>): void => {
  if (Result.isSuccess(result)) assert.isFalse(hasError(result.success.warnings))
  else assert.isTrue(hasError(result.failure))
}

it.prop("the reader survives any bytes", { bytes }, ({ bytes }) => {
  checkResult(parse(Uint8Array.from(bytes), environment))
})

const words = [
  ...keywords,
  ..."{ { { } } } on off 1 300 99999999999 -5 10.0.0.1 10.0.0.1/8 ::1 ::/0 /run/x".split(" "),
  ..."FTFW ALARM NOTRACK ftp rpc inet inet6 tcp udp eth0 ae0 RR local0 # | \" \xff".split(" ")
]
const soup = Arbitrary.array(Arbitrary.schema(Schema.Literals(words)), { maxLength: 120 })

it.prop("the reader survives any words, and ends", { soup }, ({ soup }) => {
  checkResult(read(soup.join(" ")))
  checkResult(read(soup.join("\n")))
})

/** Complete clauses by block: any selection of them is a file that is accepted. */
const generalClauses = [
  "HashSize 7",
  "HashSize 0",
  "HashLimit 4294967295",
  "LogFile on",
  "LogFile off",
  "LogFile /var/log/\xc3\xb6#{}",
  "Syslog on",
  "Syslog off",
  "Syslog local3",
  "Syslog user",
  "LockFile /l",
  "UNIX { Path /run/ctl Backlog 3 }",
  "UNIX { }",
  "NetlinkBufferSize 100",
  "SocketBufferSizeMaxGrown 200",
  "NetlinkOverrunResync off",
  "NetlinkOverrunResync 9",
  "NetlinkEventsReliable on",
  "EventIterationLimit 5",
  "PollSecs 3",
  "Nice -20",
  "Scheduler { Type fifo Priority 7 }",
  "Scheduler { Type RR }",
  "Scheduler { Priority 99 }",
  "Systemd no",
  "Filter { }",
  "Filter From Kernelspace { Protocol Accept { TCP icmp ipv6-icmp FOO } }",
  "Filter { Protocol Ignore { UDP sctp } State Accept { ESTABLISHED CLOSED for TCP } }",
  "Filter From Userspace { State Ignore { LISTEN for TCP SYN_SENT SYN_RECV for TCP } }",
  "Filter { State Ignore { } Protocol Accept { } }",
  "Filter { Address Ignore { IPv4_address 10.1.2.3/8 IPv4_address 127.0.0.1 } }",
  "Filter { Address Accept { IPv6_address fe80::/10 IPv6_address ::1 IPv4_address 0.0.0.0/0 } }"
]

const syncClauses = [
  "RefreshTime 1",
  "CacheTimeout 2",
  "CommitTimeout 3",
  "PurgeTimeout 4",
  "Mode FTFW { ResendQueueSize 5 ACKWindowSize 6 DisableExternalCache on }",
  "Mode FTFW { StartupResync on CommitTimeout 0 }",
  "Mode ALARM { RefreshTime 7 }",
  "Mode NOTRACK { DisableInternalCache on }",
  "Mode NOTRACK { DisableExternalCache off StartupResync off }",
  "Options { TCPWindowTracking on }",
  "Options { ExpectationSync on }",
  "Options { ExpectationSync off }",
  "Options { ExpectationSync { ftp FTP fed q.931 } }"
]

const links = {
  none: [""],
  udp: [
    "UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 }",
    "UDP Default { IPv6_Destination_Address fd00::2 Checksum off Interface ae0 }",
    "UDP { SndSocketBuffer 1 RcvSocketBuffer 2 }"
  ],
  tcp: ["TCP { IPv6_address ::1 ErrorQueueLength 9 }", "TCP Default { Port 1 }"],
  multicast: [
    "Multicast { IPv4_address 225.0.0.50 IPv4_interface 10.0.0.1 Group 5 Interface eth0 }",
    "Multicast Default { IPv6_address ff02::77 Group 6 IPv6_interface fe80::1 }",
    "Multicast { IPv4_interface 10.0.0.1 }"
  ]
}

const helperClauses = [
  "Setup on",
  "QueueNum 7",
  "Type ftp inet tcp { QueueNum 1 QueueLen 2 Policy ftp { ExpectMax 3 } }",
  "Type rpc inet6 udp { }",
  "Type sane inet tcp { Policy sane { ExpectTimeout 0 } }",
  "Type slp inet udp { QueueLen 5 Type mdns inet udp { } Policy slp { ExpectMax 9 } }"
]

const statsClauses = ["LogFile on", "LogFile /s", "Syslog on", "Syslog local1", "Syslog off"]

const some = (clauses: ReadonlyArray<string>, maxLength: number) =>
  Arbitrary.array(Arbitrary.schema(Schema.Literals(clauses)), { maxLength })

const pieces = {
  general: some(generalClauses, 12),
  sync: some(syncClauses, 8),
  kind: Schema.Literals(["none", "udp", "tcp", "multicast"]),
  linkChoice: Arbitrary.array(Arbitrary.schema(Schema.Literals([0, 1, 2])), { maxLength: 4 }),
  other: Schema.Literals(["Sync", "Stats", "nothing"]),
  helper: some(helperClauses, 4),
  stats: some(statsClauses, 4),
  withHelper: Schema.Boolean
}

interface Pieces {
  readonly general: ReadonlyArray<string>
  readonly sync: ReadonlyArray<string>
  readonly kind: keyof typeof links
  readonly linkChoice: ReadonlyArray<number>
  readonly other: string
  readonly helper: ReadonlyArray<string>
  readonly stats: ReadonlyArray<string>
  readonly withHelper: boolean
}

const fileOf = (pieces: Pieces): string => {
  const { general, helper, kind, linkChoice, other, stats, sync, withHelper } = pieces
  const chosen = linkChoice.map((i) => links[kind][i % links[kind].length]!)
  return [
    `General { ${general.join(" ")} }`,
    other === "Sync" ? `Sync { ${[...sync, ...chosen].join(" ")} }` : "",
    other === "Stats" ? `Stats { ${stats.join(" ")} }` : "",
    withHelper ? `Helper { ${helper.join(" ")} }` : ""
  ].join("\n")
}

const accept = (text: string): Parsed => {
  const result = read(text)
  return Result.isSuccess(result)
    ? result.success
    : assert.fail(`${JSON.stringify(result.failure)}\n${text}`)
}

it.prop("printed settings read back as the same settings", pieces, (pieces) => {
  const { settings } = accept(fileOf(pieces))

  const printed = Result.getOrThrow(parse(Buffer.from(print(settings), "utf8"), environment))

  assert.deepStrictEqual(printed.settings, settings)
})

const tokensOf = (text: string): ReadonlyArray<Token> => {
  const lexer = new Lexer(Buffer.from(text, "latin1"))
  const tokens: Array<Token> = []
  for (let token = lexer.next(); token.kind !== "end"; token = lexer.next()) tokens.push(token)
  return tokens
}

const separators = [" ", "\n", " \t ", "\r\n", " # HashSize 1 }\n", "\n\n#\xff\0{\n"]
const separatorChoice = Arbitrary.array(
  Arbitrary.schema(Schema.Literals(separators)),
  { minLength: 1, maxLength: 40 }
)

/** A path goes on over everything but a blank and a line feed. */
const respace = (text: string, choice: ReadonlyArray<string>): string =>
  tokensOf(text)
    .map((token, i) => token.text + (token.kind === "path" ? " " : "") + choice[i % choice.length]!)
    .join("")

it.prop(
  "white space and comments between tokens mean nothing",
  { ...pieces, separatorChoice },
  ({ separatorChoice, ...pieces }) => {
    const text = fileOf(pieces)

    const respaced = accept(respace(text, separatorChoice))

    const original = accept(text)
    assert.deepStrictEqual(respaced.settings, original.settings)
    assert.deepStrictEqual(
      respaced.warnings.map((warning) => warning.text),
      original.warnings.map((warning) => warning.text)
    )
  }
)

const recorded = new URL("../../golden/config/files/", import.meta.url)

it("holds for every recorded file too: printed settings read back the same", () => {
  let checked = 0
  for (const group of readdirSync(recorded)) {
    for (const file of readdirSync(new URL(`${group}/`, recorded))) {
      const text = readFileSync(new URL(`${group}/${file}`, recorded), "latin1")
      const filled = text.replaceAll(/@(RUN|PAD107)@/g, "/run/x").replaceAll(/@IF(.)@/g, "lan$1")
      const result = read(filled)
      if (Result.isFailure(result)) continue
      const { settings } = result.success
      const again = Result.getOrThrow(parse(Buffer.from(print(settings), "utf8"), environment))
      assert.deepStrictEqual(again.settings, settings, file)
      checked++
    }
  }
  assert.isAbove(checked, 190)
})

const four = Arbitrary.array(Arbitrary.schema(Byte), { minLength: 4, maxLength: 4 })
const Sparse = Schema.Literals([0, 0, 0, 1, 255])
const sixteen = Arbitrary.array(Arbitrary.schema(Sparse), { minLength: 16, maxLength: 16 })

it.prop("addresses read back as they were written", { four, sixteen }, ({ four, sixteen }) => {
  assert.deepStrictEqual(parseIpv4(formatAddress(Uint8Array.from(four))), Uint8Array.from(four))
  const text = formatAddress(Uint8Array.from(sixteen))
  assert.deepStrictEqual(parseIpv6(text), Uint8Array.from(sixteen), text)
})
