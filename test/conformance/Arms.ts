/**
 * The two kernels that statements are tried on, and how a statement is tried.
 */
import { FakeKernel } from "../sim/kernel/FakeKernel.ts"
import type { FakeKernelOptions } from "../sim/kernel/KernelState.ts"
import { Bench } from "./Bench.ts"
import { secondsMark } from "./NlmsgText.ts"
import type { KernelArm, Outcome, Setting, Statement } from "./Statement.ts"

/** The moment 0 of simulated timestamps. */
const epochNs = 1_700_000_000_000_000_000n

const fakeOptions: Readonly<Record<Setting, FakeKernelOptions>> = {
  plain: { events: 1 },
  labels: { events: 1, labels: true },
  counters: { events: 1, accounting: true, epochNs },
  silent: { events: 0 }
}

/** The simulated kernel, fresh. */
export const fakeArm = (setting: Setting): KernelArm => {
  const kernel = new FakeKernel(fakeOptions[setting])
  return { open: () => kernel.openSocket() }
}

/** Tries a statement. An exception is an outcome too: the other statements go on. */
export const outcomeOf = (statement: Statement, arm: KernelArm): Outcome => {
  const bench = new Bench(arm)
  try {
    const summary = statement.run(bench)
    bench.dump(wholeTable)
    return { name: statement.name, summary, log: bench.log }
  } catch (reason) {
    return { name: statement.name, summary: `failed: ${String(reason)}`, log: bench.log }
  } finally {
    bench.close()
  }
}

/** DUMP of all families, whatever the statement left. */
const wholeTable = Uint8Array.of(20, 0, 0, 0, 1, 1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

/** Time goes by while a busy machine tries a statement. */
const secondsApartMax = 3

/** What two kernels wrote differently; undefined when nothing. */
export const differenceOf = (real: Outcome, fake: Outcome): unknown => {
  const count = Math.max(real.log.length, fake.log.length)
  for (let i = 0; i < count; i++) {
    if (!isSameLine(real.log[i], fake.log[i])) {
      return { line: i, real: real.log[i], fake: fake.log[i] }
    }
  }
  if (real.summary !== fake.summary) return { real: real.summary, fake: fake.summary }
  return undefined
}

const isSameLine = (x: string | undefined, y: string | undefined): boolean => {
  if (x === undefined || y === undefined) return x === y
  const [xs, ys] = [x.split(secondsMark), y.split(secondsMark)]
  return xs.length === ys.length &&
    xs.every((part, i) =>
      i % 2 === 0 ? part === ys[i] : Math.abs(Number(part) - Number(ys[i])) <= secondsApartMax
    )
}
