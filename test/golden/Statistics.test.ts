/**
 * Feeds the numbers of recorded statistics to the formatters and expects the recorded text back:
 * labels, order and columns are the formatters', only the numbers are the recording's.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FormatStats from "../../src/core/text/FormatStats.ts"
import { compilePattern } from "./Pattern.ts"
import { commandsOf, readSession } from "./Session.ts"

type Numbers = () => number

const cache = (name: "internal" | "external" | "stats") => (next: Numbers): string => {
  const [active, created, noSpace, updated] = [next(), next(), next(), next()]
  next()
  const destroyed = next()
  next()
  return FormatStats.formatCache(name, { active, created, noSpace, updated, destroyed })
}

const extended = (name: "internal" | "external" | "stats") => (next: Numbers): string => {
  const [allocated, active] = [next(), next()]
  next()
  const [created, noSpace] = [next(), next()]
  next()
  next()
  const updated = next()
  next()
  next()
  const destroyed = next()
  next()
  next()
  return FormatStats.formatCacheExtended(name, {
    allocated,
    active,
    created,
    noSpace,
    updated,
    destroyed
  })
}

const bypass = (next: Numbers): string =>
  FormatStats.formatInternalBypass({ created: next(), updated: next(), destroyed: next() })

const inject = (next: Numbers): string =>
  FormatStats.formatExternalInject({
    created: next(),
    createFailed: next(),
    updated: next(),
    updateFailed: next(),
    destroyed: next(),
    destroyFailed: next()
  })

const traffic = (next: Numbers): string =>
  FormatStats.formatTraffic({ bytes: next(), packets: next() })

const link = (kind: "multicast" | "udp" | "tcp", interfaceName: string) => (next: Numbers) => ({
  kind,
  interfaceName,
  bytesSent: next(),
  bytesReceived: next(),
  packetsSent: next(),
  packetsReceived: next(),
  errorsSent: next(),
  errorsReceived: next()
})

const tracking = (next: Numbers): string =>
  FormatStats.formatMessageTracking({ malformed: next(), lost: next() })

const network = (next: Numbers): string => {
  next()
  return FormatStats.formatNetwork({
    badVersion: next(),
    badHeader: next(),
    badPayload: next(),
    badType: next(),
    truncated: next(),
    badSize: next(),
    sendMalformed: next(),
    lost: next(),
    before: next()
  })
}

const queue = (name: "txqueue" | "errorq" | "rsqueue") => (next: Numbers) => ({
  name,
  length: next(),
  lengthMax: next(),
  full: next()
})

const runtime = (next: Numbers): string =>
  FormatStats.formatRuntime({
    uptimeSeconds: next() * 60,
    eventsReceived: next(),
    eventsFiltered: next(),
    eventsUnknownType: next(),
    eventsFailed: next(),
    dumpUnknownType: next(),
    overruns: next(),
    kernelFlushes: next(),
    kernelResyncs: next(),
    bufferBytes: next(),
    childFailed: next(),
    childSegfault: next(),
    childTermsig: next(),
    selectFailed: next(),
    waitFailed: next(),
    localReadFailed: next(),
    localUnknownRequest: next()
  })

const udpLink = (next: Numbers): string =>
  FormatStats.formatActiveLink(link("udp", "@IF0@")(next))

/** Session, options, and how the whole reply is put together. */
const replies: ReadonlyArray<readonly [string, string, (next: Numbers) => string]> = [
  [
    "02",
    "-s",
    (n) => cache("internal")(n) + cache("external")(n) + traffic(n) + udpLink(n) + tracking(n)
  ],
  [
    "02",
    "-s expect",
    (n) => cache("internal")(n) + cache("external")(n) + traffic(n) + udpLink(n) + tracking(n)
  ],
  ["02", "-s network", (n) => network(n) + udpLink(n)],
  ["02", "-s cache", (n) => extended("internal")(n) + extended("external")(n)],
  ["02", "-s runtime", runtime],
  [
    "02",
    "-s queue",
    (n) =>
      FormatStats.formatQueues(n(), [
        queue("txqueue")(n),
        queue("errorq")(n),
        queue("rsqueue")(n)
      ])
  ],
  ["09", "-s", (n) => bypass(n) + inject(n) + traffic(n) + udpLink(n) + tracking(n)],
  ["09", "-s cache", (n) => bypass(n) + inject(n)],
  ["12", "-s", (n) => cache("stats")(n) + traffic(n)],
  ["12", "-s cache", extended("stats")],
  [
    "20",
    "-s",
    (n) => cache("internal")(n) + cache("external")(n) + traffic(n) + udpLink(n) + tracking(n)
  ],
  ["23", "-s network", (n) => network(n) + udpLink(n)]
]

/** Numbers that stand alone; those inside names of interfaces do not count. */
const numbersOf = (text: string): Numbers => {
  const numbers = text.replace(/@[A-Z0-9]+@/g, "").match(/\d+/g)!.map(Number)
  let at = 0
  return () => {
    const number = numbers[at++]
    if (number === undefined) throw new Error("the recording has fewer numbers than the format")
    return number
  }
}

const recordedTexts = (session: string, options: string): ReadonlyArray<string> =>
  commandsOf(readSession(session))
    .filter(({ argv, stdout }) => argv.slice(3).join(" ") === options && stdout !== "")
    .map(({ stdout }) => stdout)

describe("statistics", () => {
  it.each(replies)("session %s: %s prints as recorded", (session, options, format) => {
    const texts = recordedTexts(session, options)
    assert.isAbove(texts.length, 0)
    for (const text of texts) assert.strictEqual(format(numbersOf(text)), text)
  })

  it("session 10: -s link names status and role of each link", () => {
    const texts = recordedTexts("10", "-s link")
    assert.isAbove(texts.length, 3)
    for (const text of texts) {
      const next = numbersOf(text)
      const heads = [...text.matchAll(/device=(\S+) status=(\S+) role=(\S+):/g)]
      const formatted = heads.map(([, device, status, role]) =>
        FormatStats.formatLink(
          link("multicast", device!)(next),
          status as FormatStats.LinkStatus,
          role === "ACTIVE"
        )
      )
      assert.strictEqual(formatted.join(""), text)
    }
  })

  it("session 11: the TCP link's block tells whether both sides are connected", () => {
    const texts = recordedTexts("11", "-s")
    assert.isAbove(texts.length, 1)
    for (const text of texts) {
      const block = text.slice(text.indexOf("TCP traffic"), text.indexOf("message tracking"))
      const [, server, client] = block.match(/server=(\w+) client=(\w+)/)!
      const formatted = FormatStats.formatActiveLink(link("tcp", "@IF0@")(numbersOf(block)), {
        serverConnected: server === "connected",
        clientConnected: client === "connected"
      })
      assert.strictEqual(formatted, block)
    }
  })

  it("sessions 02 and 03: -s rsqueue lists what waits for an acknowledgement", () => {
    const texts = ["02", "03"].flatMap((session) => recordedTexts(session, "-s rsqueue"))
    assert.isAbove(texts.length, 1)
    for (const text of texts) {
      const elements = [...text.matchAll(/^(control|object) -> seq:(\d+)(?: flags:(\d+))?$/gm)]
        .map(([, kind, seq, flags]) => ({
          kind: kind === "control" ? "control" as const : "flow" as const,
          seq: Number(seq),
          flags: Number(flags ?? 0)
        }))
      assert.strictEqual(FormatStats.formatResendQueue(elements), text)
    }
  })

  it("session 20: -s process lists children", () => {
    const event = commandsOf(readSession("20")).find(({ argv, stdout }) =>
      argv.includes("process") && stdout !== ""
    )!
    const text = FormatStats.formatProcesses([{ pid: 1234, kind: "any" }])
    assert.isTrue(compilePattern(event.stdout_pattern!).test(text))
  })

  it("says the uptime in days, hours and minutes", () => {
    assert.deepStrictEqual(
      [0, 59, 3_599, 3_600, 86_400, 90_061, 172_800].map(FormatStats.formatUptime),
      ["0 min", "0 min", "59 min", "1 h 0 min", "1 day 0 min", "1 day 1 h 1 min", "2 days 0 min"]
    )
  })

  it("prints counters beyond 32 and 64 bits in full", () => {
    assert.strictEqual(
      FormatStats.formatTraffic({ bytes: 18_446_744_073_709_551_616n, packets: 4_294_967_296 }),
      "traffic processed:\n18446744073709551616 Bytes                4294967296 Pckts\n\n"
    )
  })
})
