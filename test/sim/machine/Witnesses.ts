/** Several witnesses as one: each call goes to all of them, in their order. */
import type { Replica } from "../../../src/actors/Replica.ts"
import type { Answer, ClientOption, Ending, Machine, Witness } from "./Machine.ts"

export class Witnesses implements Required<Witness> {
  readonly #all: Array<Witness> = []

  add(witness: Witness): void {
    this.#all.push(witness)
  }

  booted(machine: Machine, replica: Replica): void {
    for (const one of this.#all) one.booted?.(machine, replica)
  }

  ready(machine: Machine): void {
    for (const one of this.#all) one.ready?.(machine)
  }

  ended(machine: Machine, ending: Ending, leaks: ReadonlyArray<string>, reason?: string): void {
    for (const one of this.#all) one.ended?.(machine, ending, leaks, reason)
  }

  kernelMade(machine: Machine): void {
    for (const one of this.#all) one.kernelMade?.(machine)
  }

  logged(machine: Machine, level: string, text: string): void {
    for (const one of this.#all) one.logged?.(machine, level, text)
  }

  asked(machine: Machine, option: ClientOption): void {
    for (const one of this.#all) one.asked?.(machine, option)
  }

  answered(machine: Machine, answer: Answer): void {
    for (const one of this.#all) one.answered?.(machine, answer)
  }

  did(machine: Machine | undefined, sentence: string): void {
    for (const one of this.#all) one.did?.(machine, sentence)
  }
}
