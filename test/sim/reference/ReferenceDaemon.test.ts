/**
 * What the reference peer does with malformed datagrams, and what it asks of a kernel in a commit,
 * against what upstream was seen to do.
 */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { commitTimeout, createRequest } from "./ReferenceCommit.ts"
import { ReferenceDaemon } from "./ReferenceDaemon.ts"
import { parseFlow, splitDatagram } from "./ReferenceWire.ts"

const golden = new URL("../../golden/wire/", import.meta.url)
const read = <A>(name: string) => JSON.parse(readFileSync(new URL(name, golden), "utf8")) as A
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

interface Malformed {
  readonly cases: ReadonlyArray<{
    readonly id: string
    readonly hex: string
    readonly base_seq: number
    readonly results: {
      readonly FTFW?: {
        readonly counters: Record<string, number>
        readonly external_cache: { readonly created?: number; readonly active?: number }
        readonly external_dump?: ReadonlyArray<string>
        readonly lost_on_probe: number
        readonly before_on_probe: number
      }
    }
  }>
}

const newDaemon = () =>
  new ReferenceDaemon({
    ackWindowSize: 300,
    resendQueueSize: 131_072,
    hashSize: 65_536,
    hashLimit: 262_144,
    tcpWindowTracking: false,
    commitTimeoutSeconds: undefined,
    datagramLimitBytes: 1_472
  }, { nowMs: () => 0, epochSeconds: () => 1, lost: () => {}, log: () => {} })

const alive = (sequence: number, flags: number): Uint8Array => {
  const bytes = bytesOf("1a10000800000000")
  bytes[1] = flags
  new DataView(bytes.buffer).setUint32(4, sequence)
  return bytes
}

const countersOf = (daemon: ReferenceDaemon) => ({
  malformed: daemon.malformed,
  bad_version: daemon.engine.counters.badVersion,
  bad_header: daemon.engine.counters.badHeader,
  bad_payload: daemon.faults.badPayload,
  truncated: daemon.faults.truncated,
  bad_size: daemon.faults.badSize,
  lost: daemon.engine.counters.lost,
  before: daemon.engine.counters.before
})

test("malformed datagrams move the counters that they moved in upstream", () => {
  const { cases } = read<Malformed>("malformed.json")
  let checked = 0
  for (const { base_seq, hex, id, results } of cases) {
    const wanted = results.FTFW
    if (wanted === undefined) continue
    const daemon = newDaemon()
    daemon.receive(alive(base_seq, 0x30))
    daemon.receive(bytesOf(hex))
    const moved = Object.entries(countersOf(daemon)).filter(([, count]) => count > 0)
    expect(Object.fromEntries(moved), id).toEqual(wanted.counters)
    expect(daemon.external.counters.active, id).toBe(wanted.external_cache.active ?? 0)
    expect(daemon.external.counters.created, id).toBe(wanted.external_cache.created ?? 0)
    // A flow without any attribute has no line that could be compared.
    if (wanted.external_dump !== undefined && wanted.external_dump.length > 0) {
      const lines = daemon.externalLines().map((line) => line.replace("since 0s", "since Ns"))
      expect(lines, id).toEqual(wanted.external_dump)
    }
    const { before, lost } = daemon.engine.counters
    daemon.receive(alive(base_seq + 2, 0x10))
    expect(daemon.engine.counters.lost - lost, id).toBe(wanted.lost_on_probe)
    expect(daemon.engine.counters.before - before, id).toBe(wanted.before_on_probe)
    checked++
  }
  expect(checked).toBeGreaterThan(150)
})

interface Commit {
  readonly cases: ReadonlyArray<{
    readonly id: string
    readonly config: { readonly options: string; readonly mode_options: string }
    readonly wire_hex: string | ReadonlyArray<string>
    readonly netlink: ReadonlyArray<{
      readonly request: { readonly name: string; readonly hex: string }
    }>
  }>
}

/** The request without its timeout, which depends on the clock. */
const withoutTimeout = (hex: string) => hex.slice(8).replace(/08000700[0-9a-f]{8}/, "timeout")

test("a commit asks the kernel for what upstream asked for", () => {
  const { cases } = read<Commit>("commit.json")
  let checked = 0
  for (const { config, id, netlink, wire_hex } of cases) {
    const first = netlink[0]?.request
    if (typeof wire_hex !== "string" || first?.name !== "CT_NEW") continue
    const [frame] = splitDatagram(bytesOf(wire_hex)).frames
    if (frame === undefined || frame.type > 2) continue
    const configured = /CommitTimeout (\d+)/.exec(config.mode_options)?.[1]
    const options = {
      tcpWindowTracking: config.options.includes("TCPWindowTracking On"),
      commitTimeoutSeconds: configured === undefined ? undefined : Number(configured)
    }
    const flow = parseFlow(frame.body)
    const asksForTimeout = /08000700[0-9a-f]{8}/.test(first.hex)
    const timeout = asksForTimeout ? commitTimeout(flow, 1, options) : undefined
    const request = hexOf(createRequest(flow, timeout, options))
    expect(withoutTimeout(request), id).toBe(withoutTimeout(first.hex))
    checked++
  }
  expect(checked).toBeGreaterThan(35)
})

test("the timeout of a commit is what is left of the one received", () => {
  const options = { tcpWindowTracking: false, commitTimeoutSeconds: undefined }
  expect(commitTimeout({ timeout: 100 }, 30, options)).toBe(70)
  expect(commitTimeout({ timeout: 100 }, 100, options)).toBe(100)
  expect(commitTimeout({ timeout: 100 }, 101, options)).toBe(60)
  expect(commitTimeout({}, 1, options)).toBe(60)
  expect(commitTimeout({}, 0, options)).toBeUndefined()
  expect(commitTimeout({ timeout: 5 }, 1, { ...options, commitTimeoutSeconds: 180 })).toBe(180)
})
