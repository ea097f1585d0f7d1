/**
 * The caches of the reference peer: what its own kernel has (internal), what the peer told
 * (external).
 *
 * Source: specification, "The synchronisation engines", sections 5, 8 and 13.
 */
import type { SeenFlow, SeenTuple } from "./ReferenceFlow.ts"
import type { Told } from "./ReferenceFtfw.ts"
import type { ReferenceFlow } from "./ReferenceWire.ts"

/**
 * The original tuple. The zone is no part of the key: only the bucket knows it, so it separates
 * flows unless the table has a single bucket. Keys of GRE are not looked at.
 */
const keyOf = (tuple: SeenTuple, zone: number | undefined, hashSize: number): string => {
  const { addresses, icmpCode, icmpId, icmpType, ports, protocol } = tuple
  const isPorted = [6, 17, 33, 132, 136].includes(protocol ?? 0)
  return [
    hashSize > 1 ? zone ?? 0 : 0,
    protocol,
    addresses?.source,
    addresses?.destination,
    isPorted ? `${ports?.source}:${ports?.destination}` : `${icmpId}:${icmpType}:${icmpCode}`
  ].join("/")
}

export interface CacheSettings {
  readonly hashSize: number
  /** Objects at most, the dead ones that wait for an acknowledgement included. */
  readonly hashLimit: number
}

export interface CacheCounters {
  active: number
  created: number
  createFailed: number
  updated: number
  destroyed: number
}

const noCounts = (): CacheCounters => ({
  active: 0,
  created: 0,
  createFailed: 0,
  updated: 0,
  destroyed: 0
})

export interface InternalObject extends Told {
  readonly key: string
  flow: SeenFlow
  readonly addedAtMs: number
}

export class InternalCache {
  readonly counters = noCounts()
  readonly #settings: CacheSettings
  readonly #objects = new Map<string, InternalObject>()
  /** Takes an object out of the queues. */
  readonly #forget: (object: InternalObject) => void

  constructor(settings: CacheSettings, forget: (object: InternalObject) => void) {
    this.#settings = settings
    this.#forget = forget
  }

  /** The dead ones included. */
  get objects(): ReadonlyArray<InternalObject> {
    return [...this.#objects.values()]
  }

  find(flow: SeenFlow): InternalObject | undefined {
    return this.#objects.get(keyOf(flow.original, flow.zone, this.#settings.hashSize))
  }

  /** A NEW event: whatever was known of the flow goes, with what was still to be said of it. */
  replace(flow: SeenFlow, nowMs: number): InternalObject | undefined {
    const old = this.find(flow)
    if (old !== undefined) this.remove(old)
    return this.#add(flow, nowMs)
  }

  /** An UPDATE event, or an entry of a dump: merged. A dead flow begins a new life. */
  updateOrAdd(flow: SeenFlow, nowMs: number): InternalObject | undefined {
    const object = this.find(flow)
    if (object === undefined || object.status === "dead") return this.replace(flow, nowMs)
    const { original, reply } = object.flow
    object.flow = { ...object.flow, ...flow, original, reply }
    object.status = "alive"
    this.counters.updated++
    return object
  }

  /** It is dead, and leaves when no queue holds it any more. */
  destroy(object: InternalObject): void {
    object.status = "dead"
    this.counters.active--
    this.counters.destroyed++
    if (object.place === "none") this.#objects.delete(object.key)
  }

  /** No queue holds the dead object any more. */
  released(object: InternalObject): void {
    if (this.#objects.get(object.key) === object) this.#objects.delete(object.key)
  }

  remove(object: InternalObject): void {
    this.#forget(object)
    this.#objects.delete(object.key)
    if (object.status === "dead") return
    this.counters.active--
    this.counters.destroyed++
  }

  flush(): void {
    for (const object of this.objects) this.remove(object)
  }

  #add(flow: SeenFlow, nowMs: number): InternalObject | undefined {
    if (this.#objects.size >= this.#settings.hashLimit) {
      this.counters.createFailed++
      return undefined
    }
    const key = keyOf(flow.original, flow.zone, this.#settings.hashSize)
    const object: InternalObject = {
      key,
      flow,
      addedAtMs: nowMs,
      status: "new",
      place: "none",
      sequence: 0
    }
    this.#objects.set(key, object)
    this.counters.active++
    this.counters.created++
    return object
  }
}

export interface ExternalEntry {
  flow: ReferenceFlow
  readonly addedAtMs: number
  updatedAtMs: number
}

export class ExternalCache {
  readonly counters = noCounts()
  readonly #settings: CacheSettings
  readonly #entries = new Map<string, ExternalEntry>()

  constructor(settings: CacheSettings) {
    this.#settings = settings
  }

  get entries(): ReadonlyArray<ExternalEntry> {
    return [...this.#entries.values()]
  }

  /** CT_NEW. False: the cache is full. */
  replace(flow: ReferenceFlow, nowMs: number): boolean {
    this.remove(flow)
    if (this.#entries.size >= this.#settings.hashLimit) {
      this.counters.createFailed++
      return false
    }
    this.#entries.set(this.#key(flow), { flow, addedAtMs: nowMs, updatedAtMs: nowMs })
    this.counters.active++
    this.counters.created++
    return true
  }

  /** CT_UPD: what it does not carry stays. False: the cache is full. */
  updateOrAdd(flow: ReferenceFlow, nowMs: number): boolean {
    const entry = this.#entries.get(this.#key(flow))
    if (entry === undefined) return this.replace(flow, nowMs)
    entry.flow = { ...entry.flow, ...flow }
    entry.updatedAtMs = nowMs
    this.counters.updated++
    return true
  }

  /** CT_DEL. */
  remove(flow: ReferenceFlow): void {
    if (!this.#entries.delete(this.#key(flow))) return
    this.counters.active--
    this.counters.destroyed++
  }

  flush(): void {
    for (const { flow } of this.entries) this.remove(flow)
  }

  #key(flow: ReferenceFlow): string {
    return keyOf(flow, flow.zone, this.#settings.hashSize)
  }
}
