/**
 * The dedicated links between the machines of a simulation: switches, cables, and the UDP part of
 * every machine's kernel. Delay, loss, duplication, reordering, corruption, partitions, clogging,
 * limited bandwidth, small and wrong MTUs, dead interfaces.
 *
 * The daemon's own link layer works over it: `open` returns what the addon's `openDatagram` does.
 * A datagram larger than the interface's MTU is fragmented, as IP does, and lost with any of its
 * fragments. A receiving kernel discards what has a wrong checksum; without one, it lets it pass.
 *
 * Source: udp(7), ip(7), ipv6(7); specification, chapter "Wire protocol", sections 10 and 13.
 */
import type { DatagramHandle, DatagramOptions } from "../../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "../machine/Machine.ts"
import { machineNames, numberOf } from "../machine/Machine.ts"
import type { Process, World } from "../World.ts"
import type { DatagramPath, Loss, NetworkObserver, SentDatagram } from "./Datagram.ts"
import { fragmentCount, losses, payloadMax, wireBytes } from "./Datagram.ts"
import type { DirectionCounters, LinkFaults, Transit } from "./NetworkDirection.ts"
import { Direction, noFaults } from "./NetworkDirection.ts"
import { Capture } from "./Pcap.ts"
import { linkOf, listenerFor, pathBack, pathBetween, placeOf } from "./SocketPlace.ts"
import { VirtualSocket } from "./VirtualSocket.ts"

export type { Loss, NetworkObserver, SentDatagram } from "./Datagram.ts"
export type { DirectionCounters, LinkFaults } from "./NetworkDirection.ts"

const [EAGAIN, ENODEV, EMSGSIZE, ENETUNREACH] = [11, 19, 90, 101]
const machineCount = machineNames.length
/** Linux gives these ports to senders that bind none. */
const ephemeralPortMin = 32_768
const ephemeralPortCount = 28_232

export interface NetworkOptions {
  readonly links: number
  /** Of every interface, in bytes. Default: 1500. */
  readonly mtuBytes?: number
  /** Keeps everything sent for `pcap`. Costs memory; default: false. */
  readonly record?: boolean
  /** Who is on the links; matters for multicast. Default: A and B. */
  readonly machines?: ReadonlyArray<MachineName>
}

/** What one machine's processes handed to one link and took from it, as their counters say. */
export interface EndCounters {
  /** A multicast datagram counts once here, and once per receiver elsewhere. */
  sent: number
  bytesSent: number
  refused: number
  bytesRefused: number
  read: number
  bytesRead: number
  /** Delivered into a socket that was closed before anybody read it. */
  unread: number
  bytesUnread: number
}

/** A machine's end of a link. */
interface End {
  readonly machine: MachineName
  readonly link: number
  readonly sockets: Array<VirtualSocket>
  readonly counters: EndCounters
  isUp: boolean
  hasCarrier: boolean
  /** When the interface will have sent what is queued. */
  busyUntilMs: number
}

interface Link {
  readonly faults: LinkFaults
  isDown: boolean
}

/** Hot. */
export class VirtualNetwork {
  readonly linkCount: number
  /** Of every interface; may change while the simulation runs. */
  mtuBytes: number
  /** Whether what is sent is kept for `pcap`. */
  isRecording: boolean
  readonly #world: World
  readonly #machines: ReadonlyArray<MachineName>
  readonly #links: ReadonlyArray<Link>
  readonly #ends: ReadonlyArray<End>
  readonly #directions: ReadonlyArray<Direction>
  readonly #isCut = new Uint8Array(machineCount * machineCount)
  readonly #capture: Capture
  #observers: ReadonlyArray<NetworkObserver> = []
  #idNext = 0
  #unroutable = 0
  #opened = 0

  constructor(world: World, options: NetworkOptions) {
    this.#world = world
    this.linkCount = options.links
    this.mtuBytes = options.mtuBytes ?? 1_500
    this.isRecording = options.record ?? false
    this.#machines = options.machines ?? ["A", "B"]
    this.#capture = new Capture(world.epochMs)
    const links = Array.from({ length: options.links }, (_, link) => link)
    this.#links = links.map(() => ({ faults: noFaults(), isDown: false }))
    this.#ends = links.flatMap((link) => machineNames.map((machine) => endOf(machine, link)))
    this.#directions = links.flatMap((link) =>
      machineNames.flatMap((from) =>
        machineNames.map((to) =>
          new Direction(world, this.#receiver, link, from, to, this.#links[link]!.faults)
        )
      )
    )
  }

  /** Both directions of a link; change it as you like. */
  faults(link: number): LinkFaults {
    return this.#link(link).faults
  }

  /** Until the function returned is called. */
  observe(observer: NetworkObserver): () => void {
    this.#observers = [...this.#observers, observer]
    return () => {
      this.#observers = this.#observers.filter((one) => one !== observer)
    }
  }

  /** What `openDatagram` of the addon does on that machine: a socket, or -errno. */
  open(
    machine: MachineName,
    process: Process,
    options: DatagramOptions
  ): DatagramHandle | number {
    const link = linkOf(options.interfaceName)
    if (link < 0 || link >= this.linkCount) return -ENODEV
    const sourcePort = ephemeralPortMin + this.#opened++ % ephemeralPortCount
    const place = placeOf(machine, link, process, sourcePort, options)
    if (typeof place === "number") return place
    const socket = new VirtualSocket(this.#kernel, place)
    this.#end(place.link, machine).sockets.push(socket)
    return socket
  }

  /** What the kernel does when a process dies. */
  closeAll(process: Process): void {
    for (const socket of this.#socketsOf(process)) socket.close()
  }

  openSockets(process: Process): number {
    return this.#socketsOf(process).length
  }

  /**
   * This machine's end. Nothing comes in; what it sends is refused when the interface is down, and
   * vanishes when it is up without a carrier, as measured on Linux.
   */
  setInterface(machine: MachineName, link: number, isUp: boolean, hasCarrier = true): void {
    const end = this.#end(link, machine)
    end.isUp = isUp
    end.hasCarrier = hasCarrier
    this.#world.note("interface", link, numberOf(machine), (isUp ? 1 : 0) | (hasCarrier ? 2 : 0))
  }

  /** The cable or the switch: eats everything, also what is under way, and nobody is told. */
  linkDown(link: number, isDown: boolean): void {
    this.#link(link).isDown = isDown
    this.#world.note(isDown ? "link down" : "link up", link)
  }

  /** One direction, all links. */
  partition(from: MachineName, to: MachineName, isCut: boolean): void {
    this.#isCut[machineIndex(from) * machineCount + machineIndex(to)] = isCut ? 1 : 0
    this.#world.note(isCut ? "partition" : "partition ends", numberOf(from), numberOf(to))
  }

  /** Holds back what `from` sends on the link, then delivers it in a burst, in order. */
  clog(link: number, from: MachineName, untilMs: number): void {
    for (const to of machineNames) this.#direction(link, from, to).clog(untilMs)
    this.#world.note("clog", link, numberOf(from), Math.round(untilMs))
  }

  /** No faults, partitions, clogs, cut cables. Interfaces are the machines' own: not touched. */
  healAll(): void {
    for (const link of this.#links) {
      Object.assign(link.faults, noFaults())
      link.isDown = false
    }
    this.#isCut.fill(0)
    for (const direction of this.#directions) direction.unclog()
    this.#world.note("network heals")
  }

  /** Foreign or malformed bytes, at once, from the address of the peer of whoever listens. */
  inject(link: number, to: MachineName, bytes: Uint8Array): void {
    const { sockets } = this.#end(link, to)
    const listener = sockets.findLast((socket) => !socket.place.process.isGone)
    const from = listener?.place.peer ?? machineNames.find((name) => name !== to)!
    const path = listener === undefined
      ? pathBetween(link, from, to)
      : pathBack(listener.place, from)
    const datagram: SentDatagram = {
      id: this.#idNext++,
      link,
      from,
      to,
      bytes: bytes.slice(),
      sentMs: this.#world.nowMs,
      origin: "injected",
      path
    }
    const direction = this.#direction(link, from, to)
    direction.counters.injected++
    this.#record(path, datagram.bytes)
    this.#receiver.arrived(direction, { datagram, copy: 0, damage: -1, atMs: datagram.sentMs })
  }

  /** Copies delivered into a machine's sockets on a link that wait to be read. */
  queued(link: number, machine: MachineName): number {
    return this.#end(link, machine).sockets.reduce((sum, socket) => sum + socket.queued, 0)
  }

  /** What the judge compares at the end. */
  get books(): this {
    return this
  }

  /** Copies sent and neither delivered nor lost. */
  inFlight(): number {
    return this.#directions.reduce((sum, direction) => sum + direction.inFlight, 0)
  }

  /** What came of what `from` sent to `to` on a link; goes on counting. */
  direction(link: number, from: MachineName, to: MachineName): Readonly<DirectionCounters> {
    return this.#direction(link, from, to).counters
  }

  /** What a machine's processes sent and read on a link, to compare with their own counters. */
  end(link: number, machine: MachineName): Readonly<EndCounters> {
    return this.#end(link, machine).counters
  }

  /**
   * All counters, summed up under their names, and per direction as `link 0 A to B: sent`. Losses
   * are called `lost: partition`, and so on.
   */
  get counters(): Record<string, number> {
    const out: Record<string, number> = { unroutable: this.#unroutable }
    for (const { counters, from, link, to } of this.#directions) {
      const isUsed = counters.sent + counters.refused + counters.injected > 0
      const add = (name: string, count: number) => {
        out[name] = (out[name] ?? 0) + count
        if (isUsed) out[`link ${link} ${from} to ${to}: ${name}`] = count
      }
      for (const [name, count] of Object.entries(counters)) {
        if (typeof count === "number") add(name, count)
      }
      for (const why of losses) add(`lost: ${why}`, counters.lostBy[why])
    }
    return out
  }

  /** Everything recorded so far: what left the senders' interfaces, whatever became of it. */
  pcap(): Uint8Array {
    return this.#capture.encode()
  }

  /** The kernel's side of a socket. */
  readonly #kernel = {
    transmit: (socket: VirtualSocket, bytes: Uint8Array): number => {
      const { link, machine, options, path, peer } = socket.place
      const end = this.#end(link, machine)
      const fragments = fragmentCount(path.family, bytes.length, this.mtuBytes)
      const wire = wireBytes(path.family, bytes.length, fragments)
      const refusal = this.#refusal(socket, end, bytes.length, wire)
      if (refusal === 0) {
        end.counters.sent++
        end.counters.bytesSent += bytes.length
        end.busyUntilMs = Math.max(end.busyUntilMs, this.#world.nowMs) +
          wire / this.#links[link]!.faults.bytesPerMs
        if (end.hasCarrier) this.#record(path, bytes)
      } else {
        end.counters.refused++
        end.counters.bytesRefused += bytes.length
      }
      const frame = Math.min(wire, this.mtuBytes)
      if (!options.multicast) {
        if (peer === undefined) this.#unroutable++
        else this.#depart(socket, peer, bytes, fragments, frame, refusal)
        return refusal
      }
      for (const to of this.#machines) {
        if (to !== machine) this.#depart(socket, to, bytes, fragments, frame, refusal)
      }
      return refusal
    },
    taken: (socket: VirtualSocket, datagram: SentDatagram, copy: number, bytes: Uint8Array) => {
      const { counters } = this.#end(socket.place.link, socket.place.machine)
      counters.read++
      counters.bytesRead += bytes.length
      for (const observer of this.#observers) observer.read?.(datagram, copy, bytes)
    },
    closed: (socket: VirtualSocket, unread: number, unreadBytes: number) => {
      const { counters, sockets } = this.#end(socket.place.link, socket.place.machine)
      counters.unread += unread
      counters.bytesUnread += unreadBytes
      const at = sockets.indexOf(socket)
      if (at >= 0) sockets.splice(at, 1)
    }
  }

  /** 0, or why the sender's kernel does not take it. */
  #refusal(socket: VirtualSocket, end: End, bytes: number, wire: number): number {
    if (bytes > payloadMax(socket.place.path.family)) return EMSGSIZE
    if (!end.isUp) return ENETUNREACH
    const { bytesPerMs } = this.#links[end.link]!.faults
    if (bytesPerMs === Infinity) return 0
    const queuedBytes = Math.max(0, end.busyUntilMs - this.#world.nowMs) * bytesPerMs
    return queuedBytes + wire > socket.sendBufferBytes ? EAGAIN : 0
  }

  #depart(
    socket: VirtualSocket,
    to: MachineName,
    bytes: Uint8Array,
    fragments: number,
    frameBytes: number,
    refusal: number
  ): void {
    const { link, machine: from, path } = socket.place
    const direction = this.#direction(link, from, to)
    const { counters } = direction
    const datagram: SentDatagram = {
      id: this.#idNext++,
      link,
      from,
      to,
      bytes,
      sentMs: this.#world.nowMs,
      origin: refusal === 0 ? "accepted" : "refused",
      path
    }
    this.#world.note("datagram sent", datagram.id, bytes.length, refusal)
    this.#world.noteBytes(bytes)
    for (const observer of this.#observers) observer.sent?.(datagram)
    if (refusal !== 0) {
      counters.refused++
      counters.bytesRefused += bytes.length
      this.#tellLost(datagram, lossOf(refusal), 0)
      return
    }
    counters.sent++
    counters.bytesSent += bytes.length
    const end = this.#end(link, from)
    const cut = end.hasCarrier ? this.#cutBetween(direction) : "link down"
    const leavesMs = Math.max(end.busyUntilMs, datagram.sentMs)
    direction.carry(datagram, leavesMs, fragments, frameBytes, cut)
  }

  readonly #receiver = {
    arrived: (direction: Direction, transit: Transit): void => {
      const { copy, damage, datagram } = transit
      const { path } = datagram
      const end = this.#end(direction.link, direction.to)
      const cut = this.#cutBetween(direction) ?? (isAlive(end) ? undefined : "link down")
      const socket = cut === undefined ? listenerFor(end.sockets, path) : undefined
      if (socket === undefined) {
        this.#receiver.lost(direction, datagram, cut ?? "no receiver", copy)
        return
      }
      let { bytes } = datagram
      if (damage >= 0) {
        if (path.hasChecksum || bytes.length === 0) {
          socket.discard()
          this.#receiver.lost(direction, datagram, "corrupted", copy)
          return
        }
        bytes = direction.damaged(transit)
      }
      if (!socket.put(datagram, copy, bytes)) {
        this.#receiver.lost(direction, datagram, "buffer full", copy)
        return
      }
      const { counters } = direction
      counters.delivered++
      counters.bytesDelivered += bytes.length
      this.#world.note("datagram delivered", datagram.id, copy, bytes.length)
      if (damage >= 0 || datagram.origin === "injected") {
        this.#world.noteBytes(bytes)
        if (damage >= 0) counters.corrupted++
      }
      for (const observer of this.#observers) observer.delivered?.(datagram, copy, bytes)
    },
    lost: (direction: Direction, datagram: SentDatagram, why: Loss, copy: number): void => {
      direction.counters.lost++
      direction.counters.lostBy[why]++
      this.#tellLost(datagram, why, copy)
    }
  }

  #tellLost(datagram: SentDatagram, why: Loss, copy: number): void {
    this.#world.note("datagram lost", datagram.id, losses.indexOf(why), copy)
    for (const observer of this.#observers) observer.lost?.(datagram, why, copy)
  }

  #cutBetween({ from, link, to }: Direction): Loss | undefined {
    if (this.#links[link]!.isDown) return "link down"
    const isCut = this.#isCut[machineIndex(from) * machineCount + machineIndex(to)] !== 0
    return isCut ? "partition" : undefined
  }

  #record(path: DatagramPath, bytes: Uint8Array): void {
    if (!this.isRecording) return
    this.#capture.add({ atMs: this.#world.nowMs, path, bytes, mtuBytes: this.mtuBytes })
  }

  #link(link: number): Link {
    const found = this.#links[link]
    if (found === undefined) throw new Error(`there is no link ${link}`)
    return found
  }

  #endIndex(link: number, machine: MachineName): number {
    return link * machineCount + machineIndex(machine)
  }

  #end(link: number, machine: MachineName): End {
    return this.#ends[this.#endIndex(link, machine)]!
  }

  #direction(link: number, from: MachineName, to: MachineName): Direction {
    return this.#directions[this.#endIndex(link, from) * machineCount + machineIndex(to)]!
  }

  #socketsOf(process: Process): ReadonlyArray<VirtualSocket> {
    return this.#ends.flatMap(({ sockets }) =>
      sockets.filter((socket) => socket.place.process === process)
    )
  }
}

const endOf = (machine: MachineName, link: number): End => ({
  machine,
  link,
  sockets: [],
  counters: {
    sent: 0,
    bytesSent: 0,
    refused: 0,
    bytesRefused: 0,
    read: 0,
    bytesRead: 0,
    unread: 0,
    bytesUnread: 0
  },
  isUp: true,
  hasCarrier: true,
  busyUntilMs: 0
})

const isAlive = ({ hasCarrier, isUp }: End): boolean => isUp && hasCarrier

const machineIndex = (name: MachineName): number => numberOf(name) - 1

const lossOf = (refusal: number): Loss =>
  refusal === EMSGSIZE ? "too big" : refusal === ENETUNREACH ? "link down" : "clogged"
