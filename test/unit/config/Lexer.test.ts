import { assert, describe, it } from "@effect/vitest"
import { Lexer, type Token } from "../../../src/core/config/Lexer.ts"

const tokens = (text: string): ReadonlyArray<Token> => {
  const lexer = new Lexer(Buffer.from(text, "latin1"))
  const found: Array<Token> = []
  for (let token = lexer.next(); token.kind !== "end"; token = lexer.next()) found.push(token)
  return found
}

const shape = (text: string): ReadonlyArray<string> =>
  tokens(text).map((token) => `${token.kind} ${token.text}`)

describe("a token of conntrackd.conf", () => {
  it.each([
    ["HashSize 8192", ["keyword HashSize", "number 8192"]],
    ["HashSizes", ["string HashSizes"]],
    ["General{HashSize", ["keyword General", "{ {", "keyword HashSize"]],
    ["LockFile/run/x }", ["keyword LockFile", "path /run/x", "} }"]],
    ["/run/x} {", ["path /run/x}", "{ {"]],
    ["/run/x\t# y", ["path /run/x\t#", "string y"]],
    ["/a\"b", ["path /a", "stray \"", "ipv6 b"]],
    ["on Yes oFF NO none", ["switch on", "switch Yes", "switch oFF", "switch NO", "string none"]],
    ["-20 +1 - +", ["signed -20", "signed +1", "stray -", "stray +"]],
    ["10.77.0.1 10.77.0.1/24", ["ipv4 10.77.0.1", "ipv4 10.77.0.1/24"]],
    ["10.1.2", ["number 10", "stray .", "number 1", "stray .", "number 2"]],
    ["fd77::1 ::1 ::/0 ::", ["ipv6 fd77::1", "ipv6 ::1", "ipv6 ::/0", "ipv6 ::"]],
    ["1:2:3:4:5:6:7:8", ["ipv6 1:2:3:4:5:6:7:8"]],
    ["1::2::3", ["ipv6 1::2:", "stray :", "number 3"]],
    ["fe80::1%eth0", ["ipv6 fe80::1", "stray %", "string eth0"]],
    ["eth0:1", ["string eth0", "stray :", "number 1"]],
    ["face ae0 bad fade0 bond0", [
      "ipv6 face",
      "ipv6 ae0",
      "ipv6 bad",
      "string fade0",
      "string bond0"
    ]],
    ["12ab 12abc 12345", ["ipv6 12ab", "ipv6 12ab", "ipv6 c", "number 12345"]],
    ["6to4 2M 0x10", ["number 6", "string to4", "number 2", "string M", "number 0", "string x10"]],
    ["ftfw FtFw NOTRACK nack", ["mode ftfw", "mode FtFw", "mode NOTRACK", "mode nack"]],
    ["persistenT PERSISTENT persistent FT-FW", [
      "mode persistenT",
      "mode PERSISTENT",
      "string persistent",
      "string FT-FW"
    ]],
    ["a\fb", ["ipv6 a", "stray \f", "ipv6 b"]],
    ["\0 \xff", ["stray \0", "stray \xff"]],
    ["eth0.100 q.931 a_b-c", ["string eth0.100", "string q.931", "string a_b-c"]]
  ])("is the longest match in %j", (text, expected) => {
    assert.deepStrictEqual(shape(text), expected)
  })

  it.each(["# all\xff\0of it", "#", "x # one\n#two", "#one\r\n#two"])(
    "is never part of a comment: %j",
    (text) => {
      assert.isAtMost(tokens(text).length, 1)
    }
  )

  it("knows its line, column and offset", () => {
    const [first, second] = tokens("# one\r\n\n\t General {")

    assert.deepStrictEqual(first, {
      kind: "keyword",
      text: "General",
      line: 3,
      column: 3,
      at: 10
    })
    assert.deepStrictEqual([second?.line, second?.column], [3, 11])
  })

  it("ends the file again and again, in the line after the last line feed", () => {
    const lexer = new Lexer(Buffer.from("\n\n"))

    for (let i = 0; i < 3; i++) {
      assert.deepStrictEqual(lexer.next(), { kind: "end", text: "", line: 3, column: 1, at: 2 })
    }
  })
})
