/**
 * Randomness by key instead of by turn: a throw is a function of (seed, stream, index) and of
 * nothing else. Whoever takes one decision out of a plan does not change all later ones.
 *
 * Not cryptographic: 32-bit multiply-and-shift mixing (the finaliser of MurmurHash3).
 */

const mix = (value: number): number => {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** FNV-1a of the text's UTF-16 units, mixed. 32 bits, unsigned. */
export const hashText = (text: string, start = 0x811c_9dc5): number => {
  let h = start | 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193)
  return mix(h)
}

/** One named sequence of throws. */
export class Stream {
  readonly #a: number
  readonly #b: number
  #next = 0

  constructor(seed: string, name: string) {
    this.#a = hashText(name, hashText(seed))
    this.#b = hashText(name, hashText(seed, 0x1234_5671))
  }

  /** Throw number `index` (an integer): in [0, 1), with 53 random bits. */
  at(index: number): number {
    const high = mix(this.#a ^ Math.imul(index + 1, 0x9e37_79b1))
    const low = mix(this.#b ^ Math.imul(index + 1, 0x7feb_352d) ^ high)
    return ((high >>> 5) * 0x400_0000 + (low >>> 6)) / 0x20_0000_0000_0000
  }

  /** Whether throw `index` is among the lucky `percent` of a hundred. */
  isIn(percent: number, index: number): boolean {
    return percent > 0 && this.at(index) * 100 < percent
  }

  /** An integer from `min` to `max`, both included. */
  between(min: number, max: number, index: number): number {
    return min + Math.floor(this.at(index) * (max - min + 1))
  }

  /** The next throw of this object: for what happens in a fixed order anyway. */
  next(): number {
    return this.at(this.#next++)
  }

  nextBetween(min: number, max: number): number {
    return this.between(min, max, this.#next++)
  }

  nextIsIn(percent: number): boolean {
    return this.isIn(percent, this.#next++)
  }

  /** One of them. */
  nextOf<A>(choices: ReadonlyArray<A>): A {
    return choices[this.nextBetween(0, choices.length - 1)]!
  }
}

export class Dice {
  readonly seed: string
  readonly #streams = new Map<string, Stream>()

  constructor(seed: string) {
    this.seed = seed
  }

  /** The stream of this name; always the same object, so that `next` goes on. */
  stream(name: string): Stream {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = new Stream(this.seed, name)
      this.#streams.set(name, stream)
    }
    return stream
  }
}
