/** Reads the recorded cases of one flow each. What they are: test/golden/wire/README.md. */
import { readdirSync, readFileSync } from "node:fs"

export interface RecordedAttribute {
  readonly id: number
  readonly name: string
  readonly hex: string
  readonly value: unknown
}

export interface RecordedMessage {
  readonly type: number
  readonly len: number
  readonly attrs: ReadonlyArray<RecordedAttribute>
}

export interface RecordedStep {
  readonly action: string
  readonly netlink_events?: ReadonlyArray<string>
  readonly datagrams: ReadonlyArray<
    { readonly hex: string; readonly messages: ReadonlyArray<RecordedMessage> }
  >
  readonly peer_external_cache?: ReadonlyArray<string>
  readonly peer_external_cache_xml?: ReadonlyArray<string>
}

export interface RecordedCase {
  readonly id: string
  readonly kind: "ct" | "exp"
  readonly config: {
    readonly mode: string
    readonly mode_options: string
    readonly options: string
  }
  readonly steps: ReadonlyArray<RecordedStep>
}

export const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))

export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

const folder = new URL("../../golden/wire/cases/", import.meta.url)

/** Every case of a flow, by file name. */
export const flowCases: ReadonlyArray<RecordedCase> = readdirSync(folder)
  .filter((name) => /^(ct|traffic)-.*\.json$/.test(name))
  .sort()
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as RecordedCase)

/** What the sender's configuration says about encoding. */
export const encodeOptionsOf = (recorded: RecordedCase) => ({
  windowTracking: recorded.config.options.includes("TCPWindowTracking On"),
  timeout: !recorded.config.mode_options.includes("CommitTimeout")
})
