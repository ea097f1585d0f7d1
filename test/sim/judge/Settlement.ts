/** What is not yet as it must be when faults and traffic have stopped: Q1, Q2, Q5, L1. */
import type { Disagreement } from "./Agreement.ts"
import { againstKernel, againstLedger, betweenCaches, miscounted, undrained } from "./Agreement.ts"
import { foreignReceives, foreignTold } from "./ForeignAgreement.ts"
import type { Running, Side } from "./Side.ts"
import { foreignWindowOf } from "./Side.ts"
import type { Invariant } from "./Verdict.ts"

export interface Problem {
  readonly invariant: Invariant
  readonly sentence: string
  readonly found?: ReadonlyArray<Disagreement>
}

const isUp = (side: Side | undefined): side is Side =>
  side !== undefined && side.machine.state === "running" &&
  (side.machine.kind === "reference" || side.running?.life.isReady === true)

/** The first thing that is wrong with this machine, and what it told its peer. */
export const problemOf = (
  side: Side,
  peer: Side | undefined
): Problem | undefined => {
  if (side.isAsked) {
    return { invariant: "L1", sentence: `${side.machine.name} has not answered its clients` }
  }
  return side.running === undefined
    ? problemOfForeign(side, peer)
    : problemInside(side, side.running) ?? problemBetween(side, side.running, peer)
}

/** A daemon of ours by itself: its counters, its kernel, what it was told. */
const problemInside = (side: Side, { life }: Running): Problem | undefined => {
  const { incoming, kernel, machine: { name, state } } = side
  if (state === "paused") return { invariant: "L1", sentence: `${name} gets no turns` }
  if (!life.isReady) return { invariant: "L1", sentence: `${name} has not started` }
  const wrong = miscounted(life)
  if (wrong !== undefined) return { invariant: "S10", sentence: wrong }
  const lost = kernel.lostEvents()
  if (lost.length > 0 && life.replica.runtime.overruns === 0) {
    return {
      invariant: "S5",
      sentence: `${name} lost events of ${lost.length} flows and counted no overrun`,
      found: lost.map((key) => ({ where: "lost events of", lines: [kernel.lineOf(key)] }))
    }
  }
  const kernelFound = againstKernel(life, kernel)
  if (kernelFound.length > 0) {
    const sentence = `${name}'s internal cache differs from its kernel`
    return { invariant: "Q1", sentence, found: kernelFound }
  }
  const ledgerFound = againstLedger(life, incoming)
  if (ledgerFound.length === 0) return undefined
  const sentence = `${name}'s external cache is not what it was told`
  return { invariant: "S1", sentence, found: ledgerFound }
}

/** What a daemon of ours told its peer. */
const problemBetween = (
  side: Side,
  { life, receiver, sender }: Running,
  peer: Side | undefined
): Problem | undefined => {
  const { incoming, machine: { name }, outgoing } = side
  if (!isUp(peer) || outgoing.isPoisoned || incoming.isPoisoned) return undefined
  if (receiver.unhandled > 0) {
    return { invariant: "L1", sentence: `${name} has not handled what it received` }
  }
  const isForeign = peer.machine.kind === "reference"
  const found = isForeign
    ? foreignReceives(life, sender, outgoing, foreignWindowOf(peer.machine)!)
    : betweenCaches(life, sender, outgoing)
  if (found.length > 0) {
    const invariant = outgoing.losses > 0 ? "Q2" : "Q1"
    const sentence = `${peer.machine.name}'s external cache differs from ${name}'s internal cache`
    return { invariant, sentence, found }
  }
  const { ackWindowMessages } = life.replica.settings.sync
  const queues = undrained(life, sender, isForeign ? ackWindowMessages : 0)
  return queues === undefined ? undefined : { invariant: "Q5", sentence: queues }
}

/** A peer that is not ours told us something that we do not have. */
const problemOfForeign = (side: Side, peer: Side | undefined): Problem | undefined => {
  if (side.machine.kind !== "reference" || side.machine.state !== "running") return undefined
  if (peer?.running === undefined || side.outgoing.isPoisoned) return undefined
  const found = foreignTold(side.outgoing)
  if (found.length === 0) return undefined
  const sentence = `${peer.machine.name} lacks what ${side.machine.name} told it`
  return { invariant: side.outgoing.losses > 0 ? "Q2" : "Q1", sentence, found }
}
