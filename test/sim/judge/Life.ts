/** One run of a daemon of ours, from its boot to its end, with what the judge knows of it. */
import type { Replica } from "../../../src/actors/Replica.ts"
import type { Message } from "./Ledger.ts"

export class Life {
  /** Unique among all daemons of the run. 0 is nobody. */
  readonly id: number
  readonly machine: string
  readonly replica: Replica
  /** What it built, by number. */
  readonly built = new Map<number, Message>()
  /** Built, and in no datagram yet. */
  unsent = 0
  /** Life of the peer whose message it accepted last. 0: nobody's, or nobody sent it. */
  heardLife = 0
  /** That life and the one before it: an acknowledgement may still be about the latter. */
  heardLives: ReadonlyArray<number> = []
  /** Where the numbers of the life before went on as those of this one. Undefined: they did not. */
  joinedAt: number | undefined
  isReady = false
  hasEnded = false

  constructor(id: number, machine: string, replica: Replica) {
    this.id = id
    this.machine = machine
    this.replica = replica
  }

  /**
   * It accepted a message of this life of its peer; 0: of nobody. `joinedAt`: the message's number,
   * when nothing in the message tells the new life from the one before.
   */
  heard(life: number, joinedAt?: number): void {
    if (this.heardLife === life) return
    this.heardLife = life
    this.joinedAt = joinedAt
    this.heardLives = life === 0 ? [] : [life, ...this.heardLives].slice(0, 2)
  }
}
