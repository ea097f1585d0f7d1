/**
 * A running daemon of the reference peer: engine and caches on the simulated kernel, links and
 * clock. It vanishes with its process.
 *
 * Not as upstream: a commit and a flush are done in one turn; the interfaces are not watched.
 *
 * Source: specification, "The synchronisation engines", sections 1, 2, 6, 12.5, 14, 15 and 20.
 */
import type { DatagramHandle } from "../../../src/layers/live/NativeAddon.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { ClientOption, MachineName } from "../machine/Machine.ts"
import type { VirtualNetwork } from "../network/VirtualNetwork.ts"
import type { Process, World } from "../World.ts"
import { ReferenceDaemon } from "./ReferenceDaemon.ts"
import { ReferenceKernelAccess } from "./ReferenceKernelAccess.ts"
import type { ReferenceSettings } from "./ReferenceSettings.ts"
import type { LinkCounters } from "./ReferenceStatistics.ts"
import {
  cachesText,
  linksText,
  networkText,
  queuesText,
  runtimeText,
  statisticsText
} from "./ReferenceStatistics.ts"

/** Datagrams read from a link before other work gets its turn. */
const datagramsPerTurn = 100
const aliveMs = 1_000
const headerBytes = 28

export interface ProcessParts {
  readonly world: World
  readonly network: VirtualNetwork
  readonly name: MachineName
  readonly process: Process
  readonly kernel: FakeKernel
  readonly settings: ReferenceSettings
  readonly lost: (what: string) => void
  readonly log: (line: string) => void
  /** `-k` was asked. */
  readonly stop: () => void
}

interface Link {
  readonly handle: DatagramHandle
  readonly counters: LinkCounters
}

export class ReferenceProcess {
  readonly daemon: ReferenceDaemon
  readonly #parts: ProcessParts
  readonly #kernel: ReferenceKernelAccess
  readonly #links: ReadonlyArray<Link>
  #current: Link
  readonly #buffer = new Uint8Array(65_536)
  readonly #ends = new Int32Array(1)
  readonly #startedMs: number
  #isTurnDue = false
  #overruns = 0
  #flushes = 0
  #resyncs = 0
  #cancelAlive = () => {}
  #cancelResync = () => {}
  #cancelFlush: (() => void) | undefined

  /** Throws when a link cannot be opened: the daemon does not start. */
  constructor(parts: ProcessParts) {
    const { kernel, log, lost, name, network, process, settings, world } = parts
    this.#parts = parts
    this.#startedMs = world.nowMs
    const nowMs = process.clock.currentTimeMillisUnsafe
    this.daemon = new ReferenceDaemon({
      ...settings,
      datagramLimitBytes: network.mtuBytes - headerBytes
    }, {
      nowMs,
      epochSeconds: () => Math.floor(nowMs() / 1_000),
      lost,
      log
    })
    this.#links = settings.links.map((options) => {
      const handle = network.open(name, process, options)
      if (typeof handle === "number") throw new Error(`can't open channel socket: ${handle}`)
      const { interfaceName } = options
      const counters = {
        interfaceName,
        bytesSent: 0,
        bytesReceived: 0,
        sent: 0,
        received: 0,
        sendErrors: 0,
        receiveErrors: 0
      }
      return { handle, counters }
    })
    this.#current = this.#links[0]!
    this.#kernel = new ReferenceKernelAccess(kernel, settings, {
      event: (message, isOurs) => {
        this.daemon.event(message, isOurs)
        this.#turnSoon()
      },
      overrun: () => this.#overrun(),
      defer: process.defer,
      log
    })
    this.daemon.learn(this.#kernel.dump())
    this.#kernel.listen()
    for (const link of this.#links) this.#wait(link)
    this.#armAlive()
    log("initialization completed")
    if (settings.startupResync) this.daemon.askForResync()
    this.#turnSoon()
  }

  /** What the kernel does when the process is gone, and what an orderly end does. */
  close(): void {
    this.#cancelAlive()
    this.#cancelResync()
    this.#cancelFlush?.()
    this.#kernel.close()
    this.#parts.network.closeAll(this.#parts.process)
  }

  // --------------------------------------------------------------------------------- turns

  #turnSoon(): void {
    if (this.#isTurnDue || !this.daemon.engine.hasToSend) return
    this.#isTurnDue = true
    this.#parts.process.defer(() => this.#turn())
  }

  #turn(): void {
    this.#isTurnDue = false
    const { counters, handle } = this.#current
    for (const datagram of this.daemon.turn()) {
      this.#ends[0] = datagram.length
      if (handle.send(datagram, this.#ends, 1) === 1) {
        counters.sent++
        counters.bytesSent += datagram.length
      } else counters.sendErrors++
    }
    this.#armAlive()
  }

  #armAlive(): void {
    this.#cancelAlive()
    const { process, world } = this.#parts
    this.#cancelAlive = world.afterFor(process, aliveMs, () => {
      this.daemon.engine.alarm()
      this.#turnSoon()
    })
  }

  // --------------------------------------------------------------------------------- links

  #wait(link: Link): void {
    link.handle.whenReadable(() => this.#read(link))
  }

  #read(link: Link): void {
    const { counters, handle } = link
    for (let i = 0; i < datagramsPerTurn; i++) {
      if (handle.receive(this.#buffer, this.#ends, 1) !== 1) break
      const datagram = this.#buffer.slice(0, this.#ends[0])
      counters.received++
      counters.bytesReceived += datagram.length
      if (this.daemon.receive(datagram)) this.#current = link
    }
    this.#turnSoon()
    this.#wait(link)
  }

  // -------------------------------------------------------------------------------- kernel

  #overrun(): void {
    const { lost, process, settings, world } = this.#parts
    this.#overruns++
    lost("the kernel's events overran the socket")
    if (settings.overrunResyncSeconds === undefined) return
    this.#cancelResync()
    this.#cancelResync = world.afterFor(process, settings.overrunResyncSeconds * 1_000, () => {
      this.#resyncs++
      this.daemon.resyncWithKernel(this.#kernel.dump())
      this.#turnSoon()
    })
  }

  #flushKernel(): void {
    this.#flushes++
    this.#kernel.flush()
  }

  #flushLater(): void {
    if (this.#cancelFlush !== undefined) return
    const { log, process, settings: { purgeTimeoutSeconds }, world } = this.#parts
    log(`flushing conntrack table in ${purgeTimeoutSeconds} secs`)
    this.#cancelFlush = world.afterFor(process, purgeTimeoutSeconds * 1_000, () => {
      this.#cancelFlush = undefined
      log("flushing kernel conntrack table (scheduled)")
      this.#flushKernel()
      this.daemon.flushInternal()
    })
  }

  #forgetFlush(): void {
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
  }

  // ------------------------------------------------------------------------------- requests

  /** What the client prints. */
  ask(option: ClientOption): string {
    const { daemon } = this
    const { log, settings, stop, world } = this.#parts
    const lines = (all: ReadonlyArray<string>) => all.map((line) => `${line}\n`).join("")
    switch (option) {
      case "-c":
        this.#commit()
        break
      case "-f":
        log("flushing caches")
        this.#forgetFlush()
        daemon.flushInternal()
        daemon.external.flush()
        break
      case "-f internal":
        log("flushing internal cache")
        this.#forgetFlush()
        daemon.flushInternal()
        break
      case "-f external":
        log("flushing external cache")
        daemon.external.flush()
        break
      case "-F":
        log("flushing kernel conntrack table")
        log("flushing kernel expect table")
        this.#flushes++
        this.#flushKernel()
        break
      case "-R":
        log("resync with master conntrack table")
        log("resync with master expect table")
        this.#resyncs += 2
        daemon.learn(this.#kernel.dump())
        break
      case "-B":
        daemon.bulk()
        break
      case "-n":
        daemon.askForResync()
        break
      case "-t":
        this.#flushLater()
        break
      case "-i":
        return lines(daemon.internalLines())
      case "-e":
        return lines(daemon.externalLines())
      case "-s":
        return statisticsText(daemon, this.#current.counters)
      case "-s network":
        return networkText(daemon, this.#current.counters)
      case "-s cache":
        return cachesText(daemon)
      case "-s link":
        return linksText(this.#links.map(({ counters }) => counters), this.#current.counters)
      case "-s queue":
        return queuesText(daemon, settings.resendQueueSize)
      case "-s runtime":
        return runtimeText({
          uptimeSeconds: (world.nowMs - this.#startedMs) / 1_000,
          eventsReceived: this.#kernel.eventsReceived,
          overruns: this.#overruns,
          flushes: this.#flushes,
          resyncs: this.#resyncs,
          bufferBytes: this.#kernel.bufferBytes
        })
      case "-k":
        stop()
        return ""
    }
    this.#turnSoon()
    return ""
  }

  #commit(): void {
    const { log, process } = this.#parts
    log("committing all external caches")
    this.#forgetFlush()
    const nowMs = process.clock.currentTimeMillisUnsafe()
    const { committed, failed } = this.#kernel.commit(this.daemon.external.entries, nowMs)
    log(`Committed ${committed} new entries`)
    if (failed > 0) log(`${failed} entries can't be committed`)
    log("commit has taken 0.000000 seconds")
  }
}
