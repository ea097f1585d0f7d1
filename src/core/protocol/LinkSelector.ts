/**
 * Which dedicated link is current: the one we send on. All links receive all the time.
 *
 * The current link follows reception, so both nodes meet on a link that works in both directions.
 * Otherwise it changes only when its interface fails, never back by itself.
 *
 * Source: specification, "The synchronisation engines", section 20.
 */
import { assert } from "../assert.ts"
import type { Notice } from "./Notice.ts"

/** What the kernel last said of a link's interface. */
const State = { unknown: 0, usable: 1, dead: 2 } as const
type State = (typeof State)[keyof typeof State]

export class LinkSelector {
  readonly #interfaces: ReadonlyArray<string>
  readonly #states: Array<State>
  readonly #notices: Array<Notice> = []
  #current: number

  /** `interfaces`: the interface of each link, in configuration order. `current`: first choice. */
  constructor(interfaces: ReadonlyArray<string>, current: number) {
    assert(current >= 0 && current < interfaces.length, "the first choice is a link")
    this.#interfaces = interfaces
    this.#states = interfaces.map(() => State.unknown)
    this.#current = current
  }

  /** Index of the link to send on. There always is one, even if it is dead. */
  get current(): number {
    return this.#current
  }

  /** A data or control message was accepted on this link (neither malformed nor old). */
  handleTraffic(link: number): void {
    assert(link >= 0 && link < this.#interfaces.length, "traffic arrives on a link")
    this.#current = link
  }

  /**
   * The kernel reported the flags of the link's interface. An interface that is gone has neither.
   */
  handleLinkState(link: number, up: boolean, running: boolean): void {
    assert(link >= 0 && link < this.#interfaces.length, "a state belongs to a link")
    this.#states[link] = up && running ? State.usable : State.dead
    if (this.#states[this.#current] === State.dead) this.#replaceCurrent()
  }

  pollNotice(): Notice | undefined {
    return this.#notices.shift()
  }

  #replaceCurrent(): void {
    const from = this.#current
    const to = this.#interfaces.findIndex((name, link) =>
      name !== this.#interfaces[from] && this.#states[link] === State.usable
    )
    if (to >= 0) {
      this.#current = to
      this.#notices.push({ _tag: "LinkChanged", from, to })
    } else if (this.#notices.at(-1)?._tag !== "NoLinkUp") {
      this.#notices.push({ _tag: "NoLinkUp" })
    }
  }
}
