/** L4: an idle, settled pair sends signs of life and their acknowledgements, and nothing else. */
import type { Court } from "./Court.ts"
import type { Message } from "./Ledger.ts"
import type { Side } from "./Side.ts"

/** Control messages of an idle daemon per second: the smallest window of two needs two. */
const controlsPerSecondMax = 3

interface Heard {
  data: number
  control: number
  /** What the machine had told before. */
  readonly tells: number
}

export class Silence {
  readonly #court: Court
  readonly #sides: ReadonlyMap<string, Side>
  readonly #heard = new Map<string, Heard>()
  readonly #sinceMs: number

  constructor(court: Court, sides: ReadonlyMap<string, Side>) {
    this.#court = court
    this.#sides = sides
    this.#sinceMs = court.nowMs()
    for (const [name, { outgoing: { tells } }] of sides) {
      this.#heard.set(name, { data: 0, control: 0, tells })
    }
  }

  sent(name: string, messages: ReadonlyArray<Message>): void {
    const heard = this.#heard.get(name)
    if (heard === undefined) return
    for (const { type } of messages) {
      if (type <= 2) heard.data++
      else heard.control++
    }
  }

  end(): void {
    const elapsed = (this.#court.nowMs() - this.#sinceMs) / 1_000
    for (const side of this.#sides.values()) if (isJudged(side)) this.#judge(side, elapsed)
  }

  #judge({ machine: { name, peerName }, outgoing }: Side, elapsed: number): void {
    const heard = this.#heard.get(name)
    const peer = this.#sides.get(peerName)
    if (heard === undefined || peer === undefined || !isJudged(peer)) return
    // Flows end by themselves, and that is told.
    const told = outgoing.tells - heard.tells
    if (heard.data > 2 * told) {
      this.#court.violate(
        "L4",
        `${name} sent ${heard.data} states in silence, and had ${told} to tell`
      )
    }
    const data = heard.data + (this.#heard.get(peerName)?.data ?? 0)
    if (heard.control > controlsPerSecondMax * (elapsed + 1) + 2 * data) {
      this.#court.violate(
        "L4",
        `${name} sent ${heard.control} control messages in ${elapsed} s of silence`
      )
    }
  }
}

const isJudged = ({ incoming, outgoing, running }: Side): boolean =>
  running !== undefined && !outgoing.isPoisoned && !incoming.isPoisoned
