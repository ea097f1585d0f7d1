/**
 * How the simulated kernel's events of flows reach listeners that want every one of them.
 *
 * What finds no room at such a listener is tried again. Of a flow that is there the kernel
 * remembers what it could not say, and says it with the next event. A flow that goes waits on the
 * dying list until its end could be told; a worker tries again, first after a second, then every
 * few milliseconds, and at once when some other flow's end was told. Every try reaches everybody:
 * who was fast enough hears of the same end again and again.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 7.4; the worker's
 * order and pace as a real kernel (6.18) showed them.
 */
import type { EventContent } from "./FlowMessage.ts"
import { destroyAttributes, eventAttributes } from "./FlowMessage.ts"
import type { KernelFlow } from "./KernelFlow.ts"
import type { Causer, KernelListeners } from "./KernelListeners.ts"

interface Missed {
  readonly isNew: boolean
  readonly content: EventContent
}

interface Dying {
  readonly flow: KernelFlow
  readonly portId: number
  readonly stopNs: bigint | undefined
}

const firstRetryMs = 1_000
const retryMs = 16

export class KernelDelivery {
  readonly #listeners: KernelListeners
  readonly #missed = new WeakMap<KernelFlow, Missed>()
  /** The last is the one that is tried first. */
  readonly #dying: Array<Dying> = []
  #retryAtMs = Infinity

  constructor(listeners: KernelListeners) {
    this.#listeners = listeners
  }

  /** Flows that are gone and still count. */
  get dyingCount(): number {
    return this.#dying.length
  }

  /** In the order in which they are tried. */
  get dying(): ReadonlyArray<KernelFlow> {
    return this.#dying.map(({ flow }) => flow).toReversed()
  }

  /** When the worker tries again; `Infinity` when there is nothing to do. */
  get retryAtMs(): number {
    return this.#dying.length === 0 ? Infinity : this.#retryAtMs
  }

  /** NEW or UPDATE; `stampNs` when events say when they were. */
  tell(
    flow: KernelFlow,
    isNew: boolean,
    content: EventContent,
    nowMs: number,
    stampNs: bigint | undefined
  ): void {
    if (!flow.hasEvents) return
    const missed = this.#missed.get(flow)
    const saysNew = isNew || missed?.isNew === true
    const group = saysNew ? 1 : 2
    if (!this.#listeners.wouldHear(group)) return
    const all = missed === undefined ? content : merged(content, missed.content)
    const attributes = eventAttributes(flow, nowMs, all, stampNs)
    const flags = saysNew ? 0x600 : 0
    if (this.#listeners.send(group, 0x0100, flags, flow.family, attributes)) {
      if (missed !== undefined) this.#missed.delete(flow)
    } else this.#missed.set(flow, { isNew: saysNew, content: all })
  }

  /** DESTROY, of a flow that is in no table any more. */
  tellEnd(flow: KernelFlow, nowMs: number, stopNs: bigint | undefined): void {
    if (!flow.hasEvents) return
    const { causer } = this.#listeners
    if (this.#send(flow, nowMs, stopNs, causer)) {
      if (this.#dying.length > 0) this.#retryAtMs = nowMs
      return
    }
    if (this.#dying.length === 0) this.#retryAtMs = nowMs + firstRetryMs
    this.#dying.push({ flow, portId: causer.portId, stopNs })
  }

  /** The worker's turn: until the first that cannot be told. */
  retry(nowMs: number): void {
    for (let last = this.#dying.at(-1); last !== undefined; last = this.#dying.at(-1)) {
      const { flow, portId, stopNs } = last
      if (!this.#send(flow, nowMs, stopNs, { portId, echoTo: undefined })) {
        this.#retryAtMs = nowMs + retryMs
        return
      }
      this.#dying.pop()
    }
  }

  #send(flow: KernelFlow, nowMs: number, stopNs: bigint | undefined, causer: Causer): boolean {
    if (!this.#listeners.wouldHear(3)) return true
    const attributes = destroyAttributes(flow, nowMs, stopNs)
    return this.#listeners.send(3, 0x0102, 0, flow.family, attributes, causer)
  }
}

const merged = (x: EventContent, y: EventContent): EventContent => ({
  protoInfo: x.protoInfo || y.protoInfo,
  mark: x.mark || y.mark,
  labels: x.labels || y.labels,
  seqAdj: x.seqAdj || y.seqAdj,
  synproxy: x.synproxy || y.synproxy,
  master: x.master || y.master
})
