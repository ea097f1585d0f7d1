/**
 * What happened, for people: one line per event, with its moment and the machine it happened on.
 * Of datagrams only the facts are kept; their text is made when somebody wants to read it.
 */
import type {
  Answer,
  ClientOption,
  Ending,
  Machine,
  MachineName,
  Witness
} from "../machine/Machine.ts"
import type { NetworkObserver, SentDatagram, VirtualNetwork } from "../network/VirtualNetwork.ts"
import type { World } from "../World.ts"

export interface TimelineEntry {
  readonly atMs: number
  /** Undefined: it happened to the world as a whole. */
  readonly machine: MachineName | undefined
  readonly text: string
}

/** Older ones are forgotten unless somebody listens. */
const entriesMax = 4_000

/** The types and numbers of the messages in a datagram, as they stand in the headers. */
const messagesIn = (bytes: Uint8Array): string => {
  const types = ["new", "update", "destroy", "exp new", "exp update", "exp destroy", "control"]
  const parts: Array<string> = []
  let first = 0
  let last = 0
  let name = ""
  const flush = (): void => {
    if (name === "") return
    parts.push(last === first ? `${name} ${first}` : `${name} ${first}–${last}`)
  }
  for (let at = 0; at + 8 <= bytes.length;) {
    const type = bytes[at]! & 15
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!
    const seq = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) |
      bytes[at + 7]!) >>> 0
    const kind = type === 10 ? "control" : types[type] ?? `type ${type}`
    const flags = bytes[at + 1]!
    const text = kind === "control" ? `control${flagsText(flags)}` : `${kind}${flagsText(flags)}`
    if (text === name && seq === last + 1) last = seq
    else {
      flush()
      name = text
      first = last = seq
    }
    if (length < 8) break
    at += length
  }
  flush()
  return parts.join(", ")
}

const flagsText = (flags: number): string => {
  const names: Array<string> = []
  for (const [bit, name] of [[2, "resync"], [4, "nack"], [8, "ack"], [16, "alive"]] as const) {
    if ((flags & bit) !== 0) names.push(name)
  }
  if ((flags & 32) !== 0) names.push("hello")
  if ((flags & 64) !== 0) names.push("hello back")
  return names.length === 0 ? "" : ` (${names.join(", ")})`
}

export class Timeline implements Witness, NetworkObserver {
  readonly #world: World
  readonly #onEntry: ((entry: TimelineEntry) => void) | undefined
  #entries: Array<TimelineEntry> = []

  constructor(
    world: World,
    network: VirtualNetwork,
    onEntry?: (entry: TimelineEntry) => void
  ) {
    this.#world = world
    this.#onEntry = onEntry
    network.observe(this)
  }

  /** Oldest first. */
  get entries(): ReadonlyArray<TimelineEntry> {
    return this.#entries
  }

  phase(text: string): void {
    this.#add(undefined, text)
  }

  #add(machine: MachineName | undefined, text: string): void {
    this.#push({ atMs: this.#world.nowMs, machine, text })
  }

  #push(entry: TimelineEntry): void {
    if (this.#entries.length >= entriesMax) this.#entries = this.#entries.slice(entriesMax / 2)
    this.#entries.push(entry)
    this.#onEntry?.(entry)
  }

  #addDatagram(machine: MachineName, datagram: SentDatagram, before: string, after = ""): void {
    const { bytes, link } = datagram
    let text: string | undefined
    this.#push({
      atMs: this.#world.nowMs,
      machine,
      get text() {
        text ??= `${before} ${messagesIn(bytes)} on link ${link}${after}`
        return text
      }
    })
  }

  // ----------------------------------------------------------------------- witness

  ready({ name }: Machine): void {
    this.#add(name, "is ready")
  }

  ended({ name }: Machine, ending: Ending, _: ReadonlyArray<string>, reason?: string): void {
    this.#add(name, reason === undefined ? `daemon: ${ending}` : `daemon: ${ending}: ${reason}`)
  }

  logged({ name }: Machine, level: string, text: string): void {
    this.#add(name, level === "Info" ? `log: ${text}` : `log ${level.toLowerCase()}: ${text}`)
  }

  asked({ name }: Machine, option: ClientOption): void {
    this.#add(name, `conntrackd ${option}`)
  }

  answered({ name }: Machine, { isAnswered, option }: Answer): void {
    this.#add(name, `conntrackd ${option}: ${isAnswered ? "done" : "no answer"}`)
  }

  did(machine: Machine | undefined, sentence: string): void {
    this.#add(machine?.name, sentence)
  }

  // ----------------------------------------------------------------------- network

  sent(datagram: SentDatagram): void {
    this.#addDatagram(datagram.from, datagram, "→")
  }

  delivered(datagram: SentDatagram, copy: number): void {
    this.#addDatagram(datagram.to, datagram, copy === 0 ? "←" : "← again")
  }

  lost(datagram: SentDatagram, why: string): void {
    this.#addDatagram(datagram.to, datagram, "✗", `: ${why}`)
  }
}
