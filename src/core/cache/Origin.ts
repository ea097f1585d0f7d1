/**
 * Whose doing an event was: ours, or somebody else's.
 *
 * The kernel stamps every event with the netlink port of the socket that caused it. We know the
 * ports of our own sockets; 0, the kernel itself, and all others are `other`.
 *
 * Source: specification, "The synchronisation engines", section 8.3.
 */

export const Origin = {
  /** The kernel or any other process: cached and told to peers. */
  other: 0,
  /** Our commit of the external cache: cached, not told. */
  commit: 1,
  /** Our flush of the kernel's table: cached, not told. */
  flush: 2,
  /** What a peer told and we passed on (`DisableExternalCache`): neither. */
  inject: 3
} as const
export type Origin = (typeof Origin)[keyof typeof Origin]

export class Origins {
  readonly #byPort = new Map<number, Origin>()

  /** `portId` as the kernel gave it to our socket. Registering a port again replaces its origin. */
  register(portId: number, origin: Origin): void {
    this.#byPort.set(portId, origin)
  }

  /** The socket is closed: the kernel may give its port to anybody. */
  unregister(portId: number): void {
    this.#byPort.delete(portId)
  }

  of(portId: number): Origin {
    return this.#byPort.get(portId) ?? Origin.other
  }
}
