/**
 * The reference peer's codec against what upstream sent, received and refused.
 */
import { readdirSync, readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { InternalCache } from "./ReferenceCache.ts"
import { externalLine, wireFlow } from "./ReferenceFlow.ts"
import { kernelMessages } from "./ReferenceKernel.ts"
import { BadWire, decodeDatagram, encodeMessage, packMessages } from "./ReferenceWire.ts"

interface Step {
  readonly action: string
  readonly netlink_events: ReadonlyArray<string>
  readonly datagrams: ReadonlyArray<{ readonly hex: string }>
  readonly peer_external_cache?: ReadonlyArray<string>
}
interface Case {
  readonly id: string
  readonly kind: "ct" | "exp"
  readonly config: {
    readonly mode: string
    readonly mode_options: string
    readonly options: string
  }
  readonly steps: ReadonlyArray<Step>
}

const golden = new URL("../../golden/wire/", import.meta.url)
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, golden), "utf8"))
const casesOf = (folder: string): ReadonlyArray<unknown> =>
  readdirSync(new URL(folder, golden)).map((name) => read(`${folder}/${name}`))

const cases = casesOf("cases") as ReadonlyArray<Case>
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

/** Sent by upstream, refused by upstream: helper names of more than 11 characters. */
const refused = new Set([
  "ct-helper-abcdefghijkl",
  "ct-helper-abcdefghijklmno",
  "ct-helper-abcdefghijklmnopqrst",
  "exp-helper-long"
])

const unexplained = new Set([
  // The kernel that knows no DCCP tells no ports, and upstream sends what is in memory.
  "ct-unknown-dccp-kernel",
  // The corrections were in no event, only in a dump that is not recorded.
  "traffic-ftp-nat-seqadj"
])

test("every recorded datagram is written as it was read", () => {
  let datagrams = 0
  for (const { id, steps } of cases) {
    if (refused.has(id)) continue
    for (const { hex } of steps.flatMap((step) => step.datagrams)) {
      const messages = decodeDatagram(bytesOf(hex)).map(encodeMessage)
      expect(messages.map(hexOf).join(""), id).toBe(hex)
      datagrams++
    }
  }
  for (const { hex } of casesOf("control") as ReadonlyArray<{ readonly hex: string }>) {
    expect(decodeDatagram(bytesOf(hex)).map(encodeMessage).map(hexOf).join("")).toBe(hex)
    datagrams++
  }
  expect(datagrams).toBeGreaterThan(200)
})

test("names that the receiver refuses are refused", () => {
  for (const { id, steps } of cases.filter(({ id }) => refused.has(id))) {
    const [first] = steps.flatMap((step) => step.datagrams)
    expect(first, id).toBeDefined()
    expect(() => decodeDatagram(bytesOf(first!.hex)), id).toThrow(BadWire)
  }
})

test("what the kernel told becomes the datagrams that upstream sent", () => {
  let events = 0
  const withoutNumbers = (hex: string) =>
    decodeLoosely(hex).map(({ body, flags, type }) => `${type} ${flags & ~0x60} ${hexOf(body)}`)
  for (const { config, id, kind, steps } of cases) {
    if (kind !== "ct" || unexplained.has(id)) continue
    const cache = new InternalCache({ hashSize: 65_536, hashLimit: 100 }, () => {})
    const options = {
      hasCommitTimeout: config.mode_options.includes("CommitTimeout"),
      tcpWindowTracking: config.options.includes("TCPWindowTracking On")
    }
    const sent: Array<string> = []
    const recorded: Array<string> = []
    for (const step of steps) {
      for (const hex of step.netlink_events) {
        for (const { flow, kind } of kernelMessages(bytesOf(hex))) {
          events++
          const type = kind === "destroy" ? "CT_DEL" as const : undefined
          const known = cache.find(flow)
          const object = kind === "new"
            ? cache.replace(flow, 0)
            : kind === "update"
            ? cache.updateOrAdd(flow, 0)
            : known
          if (object === undefined) continue
          const message = {
            type: type ?? (object.status === "new" ? "CT_NEW" as const : "CT_UPD" as const),
            flags: 0,
            sequence: 0,
            flow: wireFlow(object.flow, options)
          }
          if (kind === "destroy") cache.remove(object)
          sent.push(...withoutNumbers(hexOf(encodeMessage(message))))
        }
      }
      recorded.push(...step.datagrams.flatMap(({ hex }) => withoutNumbers(hex)))
    }
    // Events of one wake-up may have been told in one message: then only the last state counts.
    for (const message of recorded) expect(sent, `${id}: ${message}`).toContain(message)
  }
  expect(events).toBeGreaterThan(200)
})

const decodeLoosely = (hex: string) => {
  const bytes = bytesOf(hex)
  const out: Array<{ type: number; flags: number; body: Uint8Array }> = []
  for (let at = 0; at < bytes.length;) {
    const length = bytes[at + 2]! * 256 + bytes[at + 3]!
    const type = bytes[at]! & 0xf
    // Control messages are no answer to the kernel.
    if (type !== 10) {
      out.push({ type, flags: bytes[at + 1]!, body: bytes.subarray(at + 8, at + length) })
    }
    at += length
  }
  return out
}

test("the external cache prints what upstream printed", () => {
  let lines = 0
  for (const { config, id, kind, steps } of cases) {
    // ALARM prints when an entry expires.
    if (kind !== "ct" || config.mode === "ALARM" || refused.has(id)) continue
    for (const { datagrams, peer_external_cache: printed = [] } of steps) {
      if (printed.length !== 1) continue
      const last = datagrams.flatMap(({ hex }) => decodeDatagram(bytesOf(hex))).at(-1)
      if (last?.flow === undefined || last.type === "CT_DEL") continue
      // These carry no ports or keys, and upstream prints whatever is in memory.
      if ([47, 136].includes(last.flow.protocol ?? 0)) continue
      const line = externalLine(last.flow, 0).replace("since 0s", "since Ns")
      // An update that carries less than what was known already: the entry keeps it.
      expect(line, id).toBe(printed[0])
      lines++
    }
  }
  expect(lines).toBeGreaterThan(80)
})

test("datagrams are filled as upstream fills them", () => {
  const message = new Uint8Array(84)
  const datagrams = packMessages(Array.from({ length: 60 }, () => message), 1_472)
  expect(datagrams.map((datagram) => datagram.length / 84)).toEqual([17, 17, 17, 9])
})

test("a careful sender's rules", () => {
  const valid = cases.find(({ id }) => id === "ct-mark")!.steps[0]!.datagrams[0]!.hex
  const broken = (change: (bytes: Uint8Array) => void) => () => {
    const bytes = bytesOf(valid)
    change(bytes)
    return decodeDatagram(bytes)
  }
  expect(broken((bytes) => bytes.fill(0x20, 0, 1))).toThrow("protocol version 2")
  expect(broken((bytes) => bytes.fill(0x17, 0, 1))).toThrow("message type 7")
  expect(broken((bytes) => bytes.fill(0x08, 1, 2))).toThrow("flags 0x8")
  expect(broken((bytes) => bytes.fill(0xff, 2, 3))).toThrow("bad size")
  expect(broken((bytes) => bytes.fill(99, 11, 12))).toThrow("unknown identifier")
  expect(broken((bytes) => bytes.fill(7, 9, 10))).toThrow("do not fit addresses")
  expect(() => decodeDatagram(bytesOf("1a2000080000000a"))).toThrow("control message with flags")
  expect(() => decodeDatagram(bytesOf("1a0800100000000a0000000900000008"))).toThrow("reversed")
})
