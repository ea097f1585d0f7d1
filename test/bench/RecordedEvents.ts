/**
 * Kernel events for benchmarks: messages as recorded from a kernel, with another flow's source
 * address and port written into them.
 */
import type { Change } from "../../src/core/model/Change.ts"
import { ctnetlinkRecordings, memoryOf } from "../golden/CtnetlinkMessages.ts"

export const eventSlotBytes = 1_024

interface Flow {
  readonly orig?: { readonly sport?: number }
}

/** Type `update` is that of a creation, without the flags CREATE and EXCL. */
const flagsAt = 6

/** Headers of the attributes to overwrite: length and type. */
const addressHeaders = {
  IPv4: [[8, 0, 1, 0], [8, 0, 2, 0]],
  IPv6: [[20, 0, 3, 0], [20, 0, 4, 0]]
} as const
const portHeaders = [[6, 0, 2, 0], [6, 0, 3, 0]] as const

const placesOf = (
  bytes: Uint8Array,
  headers: ReadonlyArray<ReadonlyArray<number>>,
  value: Uint8Array
): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let at = 20; at + 4 + value.length <= bytes.length; at += 4) {
    const isHere = headers.some((header) => header.every((byte, i) => bytes[at + i] === byte)) &&
      value.every((byte, i) => bytes[at + 4 + i] === byte)
    if (isHere) found.push(at + 4)
  }
  if (found.length !== 2) throw new Error(`${found.length} places instead of original and reply`)
  return found
}

class Template {
  readonly bytes: Uint8Array
  readonly #lastWords: ReadonlyArray<number>
  readonly #ports: ReadonlyArray<number>

  constructor(hex: string, family: "IPv4" | "IPv6", sourceHex: string, port: number) {
    this.bytes = memoryOf(hex).bytes
    const source = memoryOf(sourceHex).bytes
    const addresses = placesOf(this.bytes, addressHeaders[family], source)
    this.#lastWords = addresses.map((at) => at + source.length - 4)
    this.#ports = placesOf(this.bytes, portHeaders, Uint8Array.of(port >>> 8, port & 0xff))
  }

  write(out: Uint8Array, at: number, n: number): void {
    out.set(this.bytes, at)
    for (const word of this.#lastWords) {
      out[at + word] = 10
      out[at + word + 1] = n >>> 30
      out[at + word + 2] = n >>> 22
      out[at + word + 3] = n >>> 14
    }
    const port = 1024 + (n & 0x3fff)
    for (const place of this.#ports) {
      out[at + place] = port >>> 8
      out[at + place + 1] = port
    }
  }
}

const recorded = (group: string, port: number): string => {
  for (const { messages } of ctnetlinkRecordings) {
    for (const { flow, group: of, hex, source } of messages) {
      if (source !== "event" || of !== group) continue
      if ((flow as Flow | undefined)?.orig?.sport === port) return hex
    }
  }
  throw new Error(`no recorded ${group} event of port ${port}`)
}

/** Writes events of an established TCP flow, number n always of the same flow. */
export class RecordedEvents {
  readonly #templates: ReadonlyArray<Template>

  constructor(family: "IPv4" | "IPv6") {
    const port = family === "IPv4" ? 10_006 : 10_014
    const source = family === "IPv4" ? "c0000201" : "fd000000000000000000000000000001"
    const of = (group: string) => new Template(recorded(group, port), family, source, port)
    const [created, updated, destroyed] = [of("NEW"), of("NEW"), of("DESTROY")]
    updated.bytes.fill(0, flagsAt, flagsAt + 2)
    this.#templates = [created, updated, destroyed]
  }

  /** Bytes of an event. */
  lengthOf(change: Change): number {
    return this.#templates[change]!.bytes.length
  }

  write(out: Uint8Array, at: number, change: Change, n: number): void {
    this.#templates[change]!.write(out, at, n)
  }
}
