/**
 * The simulated kernel's table of expectations: found by what of them is known for certain, the
 * destination.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6.
 */
import type { KernelExpectation } from "./KernelExpectation.ts"
import { clashes, ExpectFlag, isExpected } from "./KernelExpectation.ts"
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"

const keyOf = ({ b, dst, l4 }: KernelTuple): string => `${l4}/${dst}/${b}`

const none: ReadonlySet<KernelExpectation> = new Set()

export class ExpectationTable {
  readonly #all = new Set<KernelExpectation>()
  readonly #byMaster = new Map<KernelFlow, Set<KernelExpectation>>()
  readonly #byDestination = new Map<string, Set<KernelExpectation>>()
  #ids = 0
  /** Nothing expires before. */
  #quietUntilMs = Infinity

  get size(): number {
    return this.#all.size
  }

  /** Opaque and never the same for two: multiplication by an odd number. */
  nextId(): number {
    return Math.imul(++this.#ids, 0x85eb_ca6b) >>> 0
  }

  /** In the order of their creation. */
  all(): Iterable<KernelExpectation> {
    return this.#all
  }

  /** Of one master, oldest first. */
  of(master: KernelFlow): ReadonlySet<KernelExpectation> {
    return this.#byMaster.get(master) ?? none
  }

  /** The expectation that such a flow would fulfil. */
  find(tuple: KernelTuple, zone: number): KernelExpectation | undefined {
    for (const one of this.#near(tuple)) {
      if (one.master.zone === zone && isExpected(one, tuple)) return one
    }
    return undefined
  }

  /** The same, for a packet: what is switched off does not count. */
  findActive(tuple: KernelTuple, zone: number): KernelExpectation | undefined {
    if (this.#all.size === 0) return undefined
    for (const one of this.#near(tuple)) {
      if ((one.flags & ExpectFlag.inactive) !== 0) continue
      if (one.master.zone === zone && isExpected(one, tuple)) return one
    }
    return undefined
  }

  hasClash(wanted: KernelExpectation): boolean {
    for (const one of this.#near(wanted.tuple)) if (clashes(one, wanted)) return true
    return false
  }

  #near(tuple: KernelTuple): ReadonlySet<KernelExpectation> {
    return this.#byDestination.get(keyOf(tuple)) ?? none
  }

  /** The oldest of its kind, when there are as many as there may be. */
  surplus(wanted: KernelExpectation, expectedMax: number): KernelExpectation | undefined {
    let oldest: KernelExpectation | undefined
    let count = 0
    for (const one of this.of(wanted.master)) {
      if (one.policy !== wanted.policy) continue
      oldest ??= one
      count++
    }
    return count >= expectedMax ? oldest : undefined
  }

  insert(one: KernelExpectation): void {
    this.#all.add(one)
    addTo(this.#byMaster, one.master, one)
    addTo(this.#byDestination, keyOf(one.tuple), one)
    this.#quietUntilMs = Math.min(this.#quietUntilMs, one.expiresAtMs)
  }

  delete(one: KernelExpectation): void {
    one.isGone = true
    this.#all.delete(one)
    takeFrom(this.#byMaster, one.master, one)
    takeFrom(this.#byDestination, keyOf(one.tuple), one)
  }

  setExpiry(one: KernelExpectation, atMs: number): void {
    one.expiresAtMs = atMs
    this.#quietUntilMs = Math.min(this.#quietUntilMs, atMs)
  }

  /** When the next one expires; `Infinity` when there is none. */
  nextExpiryMs(): number {
    if (this.#all.size === 0) return Infinity
    let next = Infinity
    for (const one of this.#all) next = Math.min(next, one.expiresAtMs)
    this.#quietUntilMs = next
    return next
  }

  /** The one that expires first, if that is not after `nowMs`. */
  expired(nowMs: number): KernelExpectation | undefined {
    if (this.#quietUntilMs > nowMs) return undefined
    const next = this.nextExpiryMs()
    if (next > nowMs) return undefined
    for (const one of this.#all) if (one.expiresAtMs === next) return one
    return undefined
  }
}

const addTo = <Key>(
  sets: Map<Key, Set<KernelExpectation>>,
  key: Key,
  one: KernelExpectation
): void => {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([one]))
  else set.add(one)
}

const takeFrom = <Key>(
  sets: Map<Key, Set<KernelExpectation>>,
  key: Key,
  one: KernelExpectation
): void => {
  const set = sets.get(key)
  set?.delete(one)
  if (set?.size === 0) sets.delete(key)
}
