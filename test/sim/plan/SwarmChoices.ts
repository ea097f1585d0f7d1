/**
 * Named choices: each name is a stream of dice, so what one of them gives depends on nothing but
 * the seed and the name.
 */
import type { Dice, Stream } from "../Dice.ts"

export class Choices {
  readonly #dice: Dice

  constructor(dice: Dice) {
    this.#dice = dice
  }

  /** Whether this fault or feature exists, in so many seeds of a hundred. */
  isOn(name: string, percent: number): boolean {
    return this.#dice.stream(`swarm/${name}/on`).isIn(percent, 0)
  }

  /** From `min` to `max`, all alike. */
  between(name: string, min: number, max: number): number {
    return this.#dice.stream(`swarm/${name}`).between(min, max, 0)
  }

  /** From `min` to `max`, small ones as often as large ones ten times their size. */
  skewed(name: string, min: number, max: number): number {
    return skew(min, max, this.#dice.stream(`swarm/${name}`).at(0))
  }

  /** For choices that repeat. */
  stream(name: string): Stream {
    return this.#dice.stream(`swarm/${name}`)
  }
}

/** `throwing` in [0, 1) to an integer from `min` (at least 1) to `max`, even in its logarithm. */
export const skew = (min: number, max: number, throwing: number): number =>
  Math.min(max, Math.floor(min * Math.pow((max + 1) / min, throwing)))
