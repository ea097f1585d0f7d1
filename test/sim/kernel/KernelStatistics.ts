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
export class KernelStatistics {
  readonly #state: KernelState

  constructor(state: KernelState) {
    this.#state = state
  }

  /** How many flows there are, and may be. */
  answer(socket: FakeNetlinkSocket, { seq }: Request): void {
    const { count, options } = this.#state
    const attributes = [...u32(1, count), ...u32(2, options.flowsMax ?? flowsMaxDefault)]
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
      const counts = isFlows ? this.#flowCounts() : this.#expectationCounts()
      const attributes = counts.flatMap(([counter, count]) =>
        u32(counter, processor === 0 ? count : 0)
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

  #flowCounts(): ReadonlyArray<readonly [type: number, count: number]> {
    const { drop, insert, insertFailed } = this.#state.counts
    return [
      [2, 0],
      [4, 0],
      [8, insert],
      [9, insertFailed],
      [10, drop],
      [11, 0],
      [12, 0],
      [13, 0],
      [14, 0],
      [15, 0]
    ]
  }

  #expectationCounts(): ReadonlyArray<readonly [type: number, count: number]> {
    const { created, deleted, fulfilled } = this.#state.expectationCounts
    return [[1, fulfilled], [2, created], [3, deleted]]
  }
}
