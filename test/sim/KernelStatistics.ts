/**
 * What the simulated kernel says of itself: how many flows there are, and how often what happened
 * on which processor. All happens on processor 0.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 4.7.
 */
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import type { KernelState } from "./KernelState.ts"
import { startDump } from "./NetlinkDump.ts"
import type { Request } from "./NetlinkReader.ts"
import { nfmsg, u32 } from "./NetlinkWriter.ts"

const flowsMaxDefault = 262_144
const processors = 2

const multi = 0x2
/** What is counted, in the order of a message. */
const flowCounters = { insert: 8, insertFailed: 9, drop: 10 } as const
const flowTypes = [2, 4, 8, 9, 10, 11, 12, 13, 14, 15]
/** Of expectations: new, create, delete. */
const expectationTypes = [1, 2, 3]

export class KernelStatistics {
  readonly #state: KernelState

  constructor(state: KernelState) {
    this.#state = state
  }

  /** How many flows there are, and may be. */
  answer(socket: FakeNetlinkSocket, { seq }: Request): void {
    const { options, table } = this.#state
    const attributes = [...u32(1, table.size), ...u32(2, options.flowsMax ?? flowsMaxDefault)]
    socket.queueAnswer(
      nfmsg({ type: 0x0105, flags: multi, seq, pid: socket.portId }, 0, attributes)
    )
  }

  /** A message per processor: of flows, or of expectations (under a type that is not theirs). */
  dump(socket: FakeNetlinkSocket, { seq, type }: Request): void {
    const isFlows = type === 0x0104
    let processor = 0
    startDump(socket, seq, () => {
      if (processor === processors) return undefined
      const attributes = (isFlows ? flowTypes : expectationTypes).flatMap((counter) =>
        u32(counter, isFlows && processor === 0 ? this.#count(counter) : 0)
      )
      const answerType = isFlows ? 0x0104 : 0x0103
      const bytes = nfmsg(
        { type: answerType, flags: multi, seq, pid: socket.portId },
        0,
        attributes
      )
      bytes[19] = processor++
      return bytes
    })
  }

  #count(type: number): number {
    const { counts } = this.#state
    switch (type) {
      case flowCounters.insert:
        return counts.insert
      case flowCounters.insertFailed:
        return counts.insertFailed
      case flowCounters.drop:
        return counts.drop
      default:
        return 0
    }
  }
}
