/**
 * How much one machine sends within a second of simulated time: S9. Two peers that answer each
 * other's acknowledgements send for ever, and settle all the same.
 *
 * An acknowledgement is owed for what was told, by either of the two; a link may hold that back
 * for a while and deliver it in a burst.
 */

/** Datagrams of a machine in any second; swarms come to 1 200. */
const datagramsMax = 20_000
/** Control messages beyond one for each message that was told; swarms come to 25. */
const controlsMax = 250
/** For so long what was told is a reason. */
const reasonSeconds = 10

export class SendRate {
  #second = 0
  #datagrams = 0
  #controls = 0
  /** Messages that either end told, by second; a ring. */
  readonly #told = new Int32Array(reasonSeconds)

  #moveTo(ms: number): void {
    const second = Math.floor(ms / 1_000)
    if (second === this.#second) return
    this.#datagrams = this.#controls = 0
    const from = Math.max(this.#second + 1, second - reasonSeconds + 1)
    for (let each = from; each <= second; each++) this.#told[each % reasonSeconds] = 0
    this.#second = second
  }

  /** The machine sent a datagram with so many messages. */
  sent(ms: number, controls: number, told: number): void {
    this.#moveTo(ms)
    this.#datagrams++
    this.#controls += controls
    this.#told[this.#second % reasonSeconds]! += told
  }

  /** Its peer sent it so many messages that are no control messages. */
  heard(ms: number, told: number): void {
    this.#moveTo(ms)
    this.#told[this.#second % reasonSeconds]! += told
  }

  /** What is too much in this second; undefined: nothing. */
  excess(): string | undefined {
    if (this.#datagrams > datagramsMax) return `${this.#datagrams} datagrams within a second`
    if (this.#controls <= controlsMax) return undefined
    const told = this.#told.reduce((sum, count) => sum + count, 0)
    if (this.#controls <= controlsMax + told) return undefined
    return `${this.#controls} control messages within a second, ` +
      `for ${told} that were told within ${reasonSeconds} s`
  }
}
