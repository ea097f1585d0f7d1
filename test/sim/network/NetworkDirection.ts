/**
 * One direction of one dedicated link: what happens to a datagram between two machines.
 *
 * Every decision is a throw of the dice keyed by link, direction, kind and the datagram's number in
 * that direction, so that other links and directions have no influence. Delay alone never reorders:
 * only `reorderPercent` does, and duplicates come late.
 */
import type { Stream } from "../Dice.ts"
import type { MachineName } from "../machine/Machine.ts"
import type { World } from "../World.ts"
import type { Loss, SentDatagram } from "./Datagram.ts"
import { losses } from "./Datagram.ts"

export interface LinkFaults {
  lossPercent: number
  duplicatePercent: number
  /** How many are overtaken: they take several mean delays longer. */
  reorderPercent: number
  corruptPercent: number
  delayMeanMs: number
  /** Up to so much more or less than the mean. */
  delayJitterMs: number
  /** Infinity: unlimited. Otherwise datagrams queue at the sender's interface. */
  bytesPerMs: number
  /** Larger frames vanish in the switch, with nobody told. Infinity: none do. */
  pathMtuBytes: number
}

/** A link in good order: a tenth of a millisecond. */
export const noFaults = (): LinkFaults => ({
  lossPercent: 0,
  duplicatePercent: 0,
  reorderPercent: 0,
  corruptPercent: 0,
  delayMeanMs: 0.1,
  delayJitterMs: 0,
  bytesPerMs: Infinity,
  pathMtuBytes: Infinity
})

/** Datagrams that a clogged network keeps for one direction. */
const heldMax = 10_000

/**
 * What came of the datagrams of one direction, and what was done to them. Everything but `sent` and
 * `refused` counts copies: sent + duplicated + injected = delivered + lost + in flight.
 */
export interface DirectionCounters {
  /** Accepted by the sender's kernel. */
  sent: number
  bytesSent: number
  /** Refused by the sender's kernel: neither in `sent` nor in `lost`. */
  refused: number
  bytesRefused: number
  injected: number
  duplicated: number
  reordered: number
  held: number
  /** Delivered with wrong bytes; those with a checksum count as lost. */
  corrupted: number
  delivered: number
  bytesDelivered: number
  lost: number
  readonly lostBy: Record<Loss, number>
}

const noCounts = (): DirectionCounters => ({
  sent: 0,
  bytesSent: 0,
  refused: 0,
  bytesRefused: 0,
  injected: 0,
  duplicated: 0,
  reordered: 0,
  held: 0,
  corrupted: 0,
  delivered: 0,
  bytesDelivered: 0,
  lost: 0,
  lostBy: Object.fromEntries(losses.map((why) => [why, 0])) as Record<Loss, number>
})

/** A copy under way. */
export interface Transit {
  readonly datagram: SentDatagram
  readonly copy: number
  /** Number of the throw that says how it was damaged; negative: it was not. */
  readonly damage: number
  atMs: number
}

export interface DirectionEnd {
  arrived(direction: Direction, transit: Transit): void
  lost(direction: Direction, datagram: SentDatagram, why: Loss, copy: number): void
}

/** Hot. */
export class Direction {
  readonly link: number
  readonly from: MachineName
  readonly to: MachineName
  readonly faults: LinkFaults
  readonly counters = noCounts()
  /** Copies under way. */
  inFlight = 0
  readonly #world: World
  readonly #end: DirectionEnd
  readonly #loss: Stream
  readonly #delay: Stream
  readonly #reorder: Stream
  readonly #reorderDelay: Stream
  readonly #duplicate: Stream
  readonly #duplicateDelay: Stream
  readonly #corrupt: Stream
  readonly #damage: Stream
  #number = 0
  /** Nobody overtakes: all wait for the first of them, whose time the timer is set to. */
  #queue: Array<Transit> = []
  #head = 0
  #timerMs = Infinity
  #clogUntilMs = 0
  #held: Array<Transit> = []

  constructor(
    world: World,
    end: DirectionEnd,
    link: number,
    from: MachineName,
    to: MachineName,
    faults: LinkFaults
  ) {
    const stream = (kind: string) => world.dice.stream(`network/${link}/${from}/${to}/${kind}`)
    this.#world = world
    this.#end = end
    this.link = link
    this.from = from
    this.to = to
    this.faults = faults
    this.#loss = stream("loss")
    this.#delay = stream("delay")
    this.#reorder = stream("reorder")
    this.#reorderDelay = stream("reorder delay")
    this.#duplicate = stream("duplicate")
    this.#duplicateDelay = stream("duplicate delay")
    this.#corrupt = stream("corrupt")
    this.#damage = stream("damage")
  }

  /**
   * A datagram of so many fragments leaves the sender's interface at `leavesMs`; `cut` says why
   * nothing gets through just now. The number advances with every datagram, whatever becomes of it.
   */
  carry(
    datagram: SentDatagram,
    leavesMs: number,
    fragments: number,
    frameBytes: number,
    cut: Loss | undefined
  ): void {
    const number = this.#number++
    const { faults } = this
    const why = cut ??
      (this.#isLost(number, fragments)
        ? "loss"
        : frameBytes > faults.pathMtuBytes
        ? "too big"
        : undefined)
    if (why !== undefined) {
      this.#end.lost(this, datagram, why, 0)
      return
    }
    const spread = (this.#delay.at(number) * 2 - 1) * faults.delayJitterMs
    const usualMs = leavesMs + Math.max(0, faults.delayMeanMs + spread)
    // A link without delay still needs some time for one datagram to overtake another.
    const unitMs = Math.max(faults.delayMeanMs, 0.5)
    const damage = this.#corrupt.isIn(faults.corruptPercent, number) ? number : -1
    const first: Transit = { datagram, copy: 0, damage, atMs: usualMs }
    if (this.#reorder.isIn(faults.reorderPercent, number)) {
      this.counters.reordered++
      first.atMs += (2 + 6 * this.#reorderDelay.at(number)) * unitMs
      this.#goAlone(first)
    } else {
      this.#goInOrder(first)
    }
    if (this.#duplicate.isIn(faults.duplicatePercent, number)) {
      this.counters.duplicated++
      const atMs = usualMs + 4 * this.#duplicateDelay.at(number) * unitMs
      this.#goAlone({ datagram, copy: 1, damage: -1, atMs })
    }
  }

  /** Holds back what is sent until then; what is already under way arrives. */
  clog(untilMs: number): void {
    this.#clogUntilMs = Math.max(this.#clogUntilMs, untilMs)
    this.#world.after(untilMs - this.#world.nowMs, this.#release)
  }

  unclog(): void {
    this.#clogUntilMs = 0
    this.#release()
  }

  /** Flips one to four bits. */
  damaged(transit: Transit): Uint8Array {
    const bytes = transit.datagram.bytes.slice()
    if (bytes.length === 0) return bytes
    const base = transit.damage * 8
    const flips = this.#damage.between(1, 4, base)
    for (let i = 1; i <= flips; i++) {
      const bit = this.#damage.between(0, bytes.length * 8 - 1, base + i)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
    }
    return bytes
  }

  /** One lost fragment is the end of a datagram. */
  #isLost(number: number, fragments: number): boolean {
    const { lossPercent } = this.faults
    if (fragments === 1) return this.#loss.isIn(lossPercent, number)
    return this.#loss.isIn(100 * (1 - (1 - lossPercent / 100) ** fragments), number)
  }

  #isHeld(transit: Transit): boolean {
    // What is sent in the moment of the release does not overtake what was held.
    if (this.#world.nowMs >= this.#clogUntilMs && this.#held.length === 0) return false
    if (this.#held.length < heldMax) {
      this.counters.held++
      this.inFlight++
      this.#held.push(transit)
    } else {
      this.#end.lost(this, transit.datagram, "clogged", transit.copy)
    }
    return true
  }

  /** All at once, in the order of sending, behind what was under way before. */
  readonly #release = (): void => {
    if (this.#world.nowMs < this.#clogUntilMs) return
    const held = this.#held
    this.#held = []
    for (let i = 0; i < held.length; i++) {
      held[i]!.atMs = this.#world.nowMs
      this.#enqueue(held[i]!)
    }
  }

  #goInOrder(transit: Transit): void {
    if (this.#isHeld(transit)) return
    this.inFlight++
    this.#enqueue(transit)
  }

  #goAlone(transit: Transit): void {
    if (this.#isHeld(transit)) return
    this.inFlight++
    this.#world.after(transit.atMs - this.#world.nowMs, () => this.#arrive(transit))
  }

  #enqueue(transit: Transit): void {
    this.#queue.push(transit)
    this.#arm()
  }

  #arm(): void {
    const first = this.#queue[this.#head]
    if (first === undefined || first.atMs >= this.#timerMs) return
    this.#timerMs = first.atMs
    this.#world.after(first.atMs - this.#world.nowMs, this.#due)
  }

  readonly #due = (): void => {
    this.#timerMs = Infinity
    const { nowMs } = this.#world
    let next = this.#queue[this.#head]
    while (next !== undefined && next.atMs <= nowMs) {
      this.#head++
      this.#arrive(next)
      next = this.#queue[this.#head]
    }
    if (next === undefined) {
      this.#queue.length = 0
      this.#head = 0
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head)
      this.#head = 0
    }
    this.#arm()
  }

  #arrive(transit: Transit): void {
    this.inFlight--
    this.#end.arrived(this, transit)
  }
}
