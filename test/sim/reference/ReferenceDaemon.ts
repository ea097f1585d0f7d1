/**
 * The reference peer's daemon: engine and caches, without sockets and clocks. One `turn` sends what
 * has been queued since the last one.
 *
 * Source: specification, "The synchronisation engines", sections 8, 9, 12, 13 and 15.
 */
import type { CacheSettings, InternalObject } from "./ReferenceCache.ts"
import { ExternalCache, InternalCache } from "./ReferenceCache.ts"
import type { CommitOptions } from "./ReferenceCommit.ts"
import type { SeenFlow } from "./ReferenceFlow.ts"
import { externalLine, internalLine, wireFlow } from "./ReferenceFlow.ts"
import type { FtfwSettings } from "./ReferenceFtfw.ts"
import { ReferenceFtfw } from "./ReferenceFtfw.ts"
import type { KernelMessage } from "./ReferenceKernel.ts"
import type { Frame } from "./ReferenceWire.ts"
import {
  BadWire,
  encodeMessage,
  packMessages,
  parseExpectation,
  parseFlow,
  splitDatagram
} from "./ReferenceWire.ts"

export interface DaemonSettings extends FtfwSettings, CacheSettings, CommitOptions {
  /** A datagram has fewer bytes than that: the link's MTU less 28. */
  readonly datagramLimitBytes: number
}

export interface DaemonSurroundings {
  readonly nowMs: () => number
  readonly epochSeconds: () => number
  readonly lost: (what: string) => void
  readonly log: (line: string) => void
}

export class ReferenceDaemon {
  readonly engine: ReferenceFtfw<InternalObject>
  readonly internal: InternalCache
  readonly external: ExternalCache
  readonly faults = { badPayload: 0, truncated: 0, badSize: 0 }
  readonly #settings: DaemonSettings
  readonly #around: DaemonSurroundings

  constructor(settings: DaemonSettings, around: DaemonSurroundings) {
    this.#settings = settings
    this.#around = around
    const wireOptions = {
      hasCommitTimeout: settings.commitTimeoutSeconds !== undefined,
      tcpWindowTracking: settings.tcpWindowTracking
    }
    this.engine = new ReferenceFtfw<InternalObject>(settings, {
      apply: (frame) => this.#apply(frame),
      encode: ({ flow, status }) => ({
        type: status === "new" ? "CT_NEW" : status === "alive" ? "CT_UPD" : "CT_DEL",
        flow: wireFlow(flow, wireOptions)
      }),
      released: (object) => this.internal.released(object),
      resyncAsked: () => {
        around.log("resync requested by other node")
        this.bulk()
      },
      lost: around.lost,
      epochSeconds: around.epochSeconds
    })
    this.internal = new InternalCache(settings, (object) => this.engine.forget(object))
    this.external = new ExternalCache(settings)
  }

  get malformed(): number {
    const { badPayload, badSize, truncated } = this.faults
    return this.engine.counters.malformed + badPayload + truncated + badSize
  }

  // ------------------------------------------------------------------------ from the kernel

  /** An event. What our own commit or flush caused changes the cache, and the peer is not told. */
  event({ flow, kind }: KernelMessage, isOurs: boolean): void {
    const { engine, internal } = this
    const now = this.#around.nowMs()
    if (kind === "destroy") {
      const object = internal.find(flow)
      if (object === undefined || object.status === "dead") return
      if (!isOurs) engine.tell(object)
      internal.destroy(object)
      return
    }
    const old = internal.find(flow)
    const wasToBeTold = isOurs && old !== undefined && old.place !== "none"
    const object = kind === "new"
      ? internal.replace(flow, now)
      : internal.updateOrAdd(flow, now)
    if (wasToBeTold && object !== old) {
      this.#around.lost("a commit drops what was to be told of the flow before")
    }
    if (object === undefined) this.#around.lost("the internal cache is full")
    else if (!isOurs) engine.tell(object)
  }

  /** The kernel's table, at the start or on demand: the peer is not told. */
  learn(flows: ReadonlyArray<SeenFlow>): void {
    for (const flow of flows) this.internal.updateOrAdd(flow, this.#around.nowMs())
  }

  /** After an overrun: everything is told; what is not in the kernel any more is dead. */
  resyncWithKernel(flows: ReadonlyArray<SeenFlow>): void {
    const there = new Set<InternalObject>()
    for (const flow of flows) {
      const object = this.internal.updateOrAdd(flow, this.#around.nowMs())
      if (object === undefined) continue
      this.engine.tell(object)
      // It is looked for without its zone, and so not found.
      if ((flow.zone ?? 0) === 0) there.add(object)
    }
    for (const object of this.internal.objects) {
      if (there.has(object) || object.status === "dead") continue
      if ((object.flow.zone ?? 0) !== 0) {
        this.#around.lost("the repair of an overrun takes flows in zones for dead")
      }
      this.engine.tell(object)
      this.internal.destroy(object)
    }
  }

  // -------------------------------------------------------------------------- from the peer

  /** True: something in it was accepted. */
  receive(datagram: Uint8Array): boolean {
    const { before, malformed } = this.engine.counters
    const { fault, frames } = splitDatagram(datagram)
    for (const frame of frames) this.engine.receive(frame)
    if (fault === "truncated") this.faults.truncated++
    if (fault === "bad size") this.faults.badSize++
    const { counters } = this.engine
    return counters.before - before + counters.malformed - malformed < frames.length
  }

  #apply({ body, type }: Frame): void {
    try {
      if (type > 2) {
        // Accepted, and kept where nothing can show or commit it.
        parseExpectation(body)
        return
      }
      const flow = parseFlow(body)
      const now = this.#around.nowMs()
      if (type === 2) this.external.remove(flow)
      else {
        const isThere = type === 0
          ? this.external.replace(flow, now)
          : this.external.updateOrAdd(flow, now)
        if (!isThere) this.#around.lost("the external cache is full")
      }
    } catch (reason) {
      if (!(reason instanceof BadWire)) throw reason
      this.faults.badPayload++
    }
  }

  // ------------------------------------------------------------------------------- requests

  /** Everything is told once more, the dead included. */
  bulk(): void {
    this.#around.log("sending bulk update")
    for (const object of this.internal.objects) this.engine.tell(object)
  }

  askForResync(): void {
    this.#around.log("resync requested")
    this.engine.askForResync()
  }

  /** No message says so, and what was to be told of the flows is never told. */
  flushInternal(): void {
    if (this.internal.objects.some(({ place }) => place !== "none")) {
      this.#around.lost("a flush of the internal cache drops what was to be told")
    }
    this.internal.flush()
  }

  internalLines(): ReadonlyArray<string> {
    return this.internal.objects
      .filter(({ status }) => status !== "dead")
      .map(({ addedAtMs, flow }) => internalLine(flow, this.#secondsSince(addedAtMs)))
  }

  externalLines(): ReadonlyArray<string> {
    return this.external.entries
      .map(({ addedAtMs, flow }) => externalLine(flow, this.#secondsSince(addedAtMs)))
  }

  #secondsSince(ms: number): number {
    return Math.floor((this.#around.nowMs() - ms) / 1_000)
  }

  // --------------------------------------------------------------------------------- sending

  /** The datagrams that leave now. */
  turn(): ReadonlyArray<Uint8Array> {
    const messages = this.engine.drain().map(encodeMessage)
    return packMessages(messages, this.#settings.datagramLimitBytes)
  }
}
