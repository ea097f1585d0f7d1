/**
 * Runs seeds in the tree it lies in until one fails, and tells its parent. A program of its own, so
 * that each mutant has a process with its own code.
 *
 *     fork("…/TryOut.ts", [from, to])     seeds number `from` up to, not including, `to`
 */
import { planOfSeed, seedOf } from "../plan/Swarm.ts"
import { simulate } from "../Simulate.ts"

/** What it says: that it begins a seed, that one failed, or that none did. */
export type Word =
  | { readonly _tag: "begins"; readonly index: number }
  | { readonly _tag: "failed"; readonly invariant: string; readonly sentence: string }
  | { readonly _tag: "survived" }

/** Mutants are tried on the same seeds each time, so that a table can be compared. */
const seedText = "mutants"

const say = (word: Word): void => void process.send!(word)

/** What broke, or undefined. An exception is our own bug, so an assertion of the engine counts. */
const broken = (index: number): Word | undefined => {
  try {
    const { verdict } = simulate(planOfSeed(seedOf(seedText, index)))
    if (verdict === undefined) return undefined
    return { _tag: "failed", invariant: verdict.invariant, sentence: verdict.sentence }
  } catch (error) {
    return { _tag: "failed", invariant: "S12", sentence: `it threw: ${String(error)}` }
  }
}

const [from, to] = process.argv.slice(2).map(Number) as [number, number]
let found: Word | undefined
for (let index = from; index < to && found === undefined; index++) {
  say({ _tag: "begins", index })
  found = broken(index)
}
say(found ?? { _tag: "survived" })
process.disconnect()
