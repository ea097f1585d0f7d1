/** Reads the recorded ctnetlink messages. What they are: test/golden/ctnetlink/README.md. */
import { readdirSync, readFileSync } from "node:fs"

/** An attribute of the exact tree. */
export interface RecordedNlattr {
  readonly type: number
  readonly name?: string
  readonly nested?: boolean
  readonly len: number
  readonly value?: unknown
  readonly children?: ReadonlyArray<RecordedNlattr>
  readonly malformed?: boolean
}

export interface RecordedNlmsg {
  readonly source: "event" | "dump" | "request" | "answer"
  readonly group?: string
  readonly step: string
  readonly result?: string | null
  readonly hex: string
  readonly decoded: {
    readonly nlmsg: {
      readonly len: number
      readonly type: number
      readonly flags: number
      readonly seq: number
      readonly pid: number
    }
    readonly nfgenmsg?: { readonly family: number; readonly version: number }
    readonly attrs?: ReadonlyArray<RecordedNlattr>
    readonly error?: unknown
    readonly original?: { readonly seq: number }
  }
  readonly flow?: Record<string, unknown>
}

export interface Recording {
  readonly name: string
  readonly messages: ReadonlyArray<RecordedNlmsg>
}

const folder = new URL("./ctnetlink/", import.meta.url)

/** Probes are of another schema: see test/conformance. */
export const ctnetlinkRecordings: ReadonlyArray<Recording> = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "probes.json")
  .sort()
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Recording)

/** The bytes of a message in memory that words can be read from. */
export const memoryOf = (hex: string): { bytes: Uint8Array; words: Int32Array; length: number } => {
  const length = hex.length / 2
  const bytes = new Uint8Array((length + 3) & ~3)
  for (let i = 0; i < length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return { bytes, words: new Int32Array(bytes.buffer), length }
}
