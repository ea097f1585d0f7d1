/**
 * Who hears of the simulated kernel's flows: sockets by multicast group, and observers.
 *
 * An event is written once, however many sockets get it, and not at all when none does.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1 and 7.
 */
import type { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import { nfmsg } from "./NetlinkWriter.ts"

/**
 * What an observer is told, whether or not anybody listens to events: the simulator's judge.
 * `causerPortId` is the port id of the socket whose request did it, 0 for packets and timers.
 */
export interface KernelObserver {
  readonly created?: (flow: KernelFlow, causerPortId: number) => void
  readonly updated?: (flow: KernelFlow, causerPortId: number) => void
  readonly destroyed?: (flow: KernelFlow, causerPortId: number) => void
}

/** Whose doing an event is. */
export interface Causer {
  /** 0: packets and timers. */
  readonly portId: number
  /** Gets a copy, whether or not it listens. */
  readonly echoTo: FakeNetlinkSocket | undefined
}

export const nobody: Causer = { portId: 0, echoTo: undefined }

export class KernelListeners {
  readonly #sockets = new Set<FakeNetlinkSocket>()
  readonly #observers = new Set<KernelObserver>()
  #causer = nobody
  /** How many events are still to be lost. */
  #toLose = 0

  // ---------------------------------------------------------------------------- sockets

  open(socket: FakeNetlinkSocket): void {
    this.#sockets.add(socket)
  }

  close(socket: FakeNetlinkSocket): void {
    this.#sockets.delete(socket)
  }

  /** Somebody listens to connection tracking, of whatever kind: new flows report. */
  get areThere(): boolean {
    for (const socket of this.#sockets) if (socket.listensToFlows) return true
    return false
  }

  // ----------------------------------------------------------------------------- causer

  get causer(): Causer {
    return this.#causer
  }

  /** What happens from now on is because of a request of this socket. */
  setCauser(socket: FakeNetlinkSocket, echo: boolean): void {
    this.#causer = { portId: socket.portId, echoTo: echo ? socket : undefined }
  }

  /** What happens from now on is because of packets and timers. */
  clearCauser(): void {
    this.#causer = nobody
  }

  // ----------------------------------------------------------------------------- events

  /** An event of this group would reach a socket. */
  wouldHear(group: number): boolean {
    if (this.#causer.echoTo !== undefined) return true
    for (const socket of this.#sockets) if (socket.listensTo(group)) return true
    return false
  }

  /**
   * Sends an event to the group, and a copy to a causer that asked for one. False when somebody
   * who wants every event had no room for it.
   */
  send(
    group: number,
    type: number,
    flags: number,
    family: number,
    attributes: ArrayLike<number>,
    causer: Causer = this.#causer
  ): boolean {
    const bytes = nfmsg({ type, flags, seq: 0, pid: causer.portId }, family, attributes)
    const isLost = this.#toLose > 0
    if (isLost) this.#toLose--
    let isDelivered = true
    for (const socket of this.#sockets) {
      const isEcho = socket === causer.echoTo
      if (!isEcho && !socket.listensTo(group)) continue
      if (isLost && !isEcho) socket.loseEvent()
      else if (socket.queueEvent(bytes)) continue
      if (socket.wantsEveryEvent) isDelivered = false
    }
    return isDelivered
  }

  /** The next `count` events reach nobody; their listeners are told of an overrun. */
  overrun(count: number): void {
    this.#toLose += count
  }

  // -------------------------------------------------------------------------- observers

  /** Tells what happens to flows, at once, from now on; the answer ends it. */
  observe(observer: KernelObserver): () => void {
    this.#observers.add(observer)
    return () => void this.#observers.delete(observer)
  }

  tell(what: keyof KernelObserver, flow: KernelFlow): void {
    for (const observer of this.#observers) observer[what]?.(flow, this.#causer.portId)
  }
}
