/**
 * A daemon that gets no turn for a while whenever it has read a part of a dump. The kernel made the
 * next part when this one was read, so events that come meanwhile say something newer.
 */
import type { Stream } from "../Dice.ts"
import type { FakeNetlinkSocket } from "../kernel/FakeNetlinkSocket.ts"
import type { Process } from "../World.ts"

/** Some dozens of flows in each part, so that events are about them. */
const partBytes = 8_192
const pauseMaxMs = 400

export interface SlowDumps {
  readonly dice: Stream
  /** Then the load is over. */
  readonly untilMs: number
}

export const slowDumps = (
  socket: FakeNetlinkSocket,
  process: Process,
  { dice, untilMs }: SlowDumps
): void => {
  socket.limitDumps(partBytes)
  const receive = socket.receive.bind(socket)
  socket.receive = (buffer, slotBytes, lengths, datagramsMax) => {
    const isLoaded = process.world.nowMs < untilMs
    if (!socket.isDumping || !isLoaded) return receive(buffer, slotBytes, lengths, datagramsMax)
    const count = receive(buffer, slotBytes, lengths, 1)
    if (!process.isPaused) {
      process.pause()
      process.world.after(dice.nextBetween(0, pauseMaxMs), () => process.resume())
    }
    return count
  }
}
