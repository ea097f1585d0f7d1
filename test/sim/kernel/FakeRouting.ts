/**
 * A kernel's network interfaces, simulated: what rtnetlink tells about them.
 *
 * Answers the dump of all interfaces and the question for one, and announces every change in the
 * order in which a kernel does: an interface that is set up first has a carrier and does not run
 * yet, one that is deleted goes down before. An interface that is made again has another index.
 * Bytes as a kernel writes them, without the codec under test.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 11; rtnetlink(7).
 */
import { FakeNetlinkSocket } from "./FakeNetlinkSocket.ts"
import { startDump } from "./NetlinkDump.ts"
import { EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, Refused, requestsIn } from "./NetlinkReader.ts"
import type { Request } from "./NetlinkReader.ts"
import { attribute, hostOrder, nlmsg, text } from "./NetlinkWriter.ts"

export interface FakeRoutingOptions {
  /** How a socket's `ready` is called. Default: as a microtask. */
  readonly defer?: (task: () => void) => void
}

export interface InterfaceFields {
  /** Default: one more than the last. */
  readonly index?: number
  /** Bytes; default 1500. */
  readonly mtu?: number
  /** Administratively up; default true. */
  readonly up?: boolean
  /** Has a carrier as soon as it is up; default true. */
  readonly running?: boolean
}

const Rtm = { newLink: 16, delLink: 17, getLink: 18 } as const
const [REQUEST, ACK, DUMP] = [0x1, 0x4, 0x300]
const ENODEV = 19
const linkGroup = 1
const groupsMax = 36

const Iff = { up: 0x1, loopback: 0x8, running: 0x40, lowerUp: 0x1_0000 } as const
/** IFF_BROADCAST and IFF_MULTICAST. */
const etherFlags = 0x1002
const Device = { ether: 1, loopback: 772 } as const
const Operstate = { unknown: 0, down: 2, up: 6 } as const
/** `change` of a message that is about an interface as a whole. */
const everything = 0xffff_ffff

class Interface {
  readonly name: string
  readonly index: number
  readonly mtu: number
  isUp: boolean
  hasCarrier: boolean
  /** False for a moment after the interface was set up. */
  isSettled = true
  gained = 0
  lost = 0

  constructor(name: string, index: number, mtu: number, isUp: boolean, hasCarrier: boolean) {
    this.name = name
    this.index = index
    this.mtu = mtu
    this.isUp = isUp
    this.hasCarrier = hasCarrier
  }

  get isLoopback(): boolean {
    return this.name === "lo"
  }

  get isLowerUp(): boolean {
    return this.isUp && this.hasCarrier
  }

  get isRunning(): boolean {
    return this.isLowerUp && this.isSettled
  }

  get flags(): number {
    return (this.isLoopback ? Iff.loopback : etherFlags) |
      (this.isUp ? Iff.up : 0) |
      (this.isRunning ? Iff.running : 0) |
      (this.isLowerUp ? Iff.lowerUp : 0)
  }

  get operstate(): number {
    if (!this.isRunning) return Operstate.down
    return this.isLoopback ? Operstate.unknown : Operstate.up
  }
}

export class FakeRouting {
  readonly #options: FakeRoutingOptions
  readonly #interfaces = new Map<string, Interface>()
  readonly #sockets = new Set<FakeNetlinkSocket>()
  #lastIndex = 0
  #portIds = 0

  /** Every machine has the loopback interface; here it is up from the start. */
  constructor(options: FakeRoutingOptions = {}) {
    this.#options = options
    this.add("lo", { mtu: 65_536 })
  }

  // ------------------------------------------------------------------------ interfaces

  /** Plugs in an interface. A name or an index that is in use is a mistake of the test. */
  add(name: string, fields: InterfaceFields = {}): void {
    const { index = this.#lastIndex + 1, mtu = 1_500, up = true, running = true } = fields
    const inUse = [...this.#interfaces.values()].some((one) => one.index === index)
    if (this.#interfaces.has(name) || inUse) throw new Error(`${name} (${index}): in use`)
    this.#lastIndex = Math.max(this.#lastIndex, index)
    const made = new Interface(name, index, mtu, false, running)
    this.#interfaces.set(name, made)
    this.#announce(made, Rtm.newLink, everything)
    if (up) this.#setUp(made, true)
  }

  /** Unplugs it; what is not there cannot go. */
  remove(name: string): void {
    const gone = this.#interfaces.get(name)
    if (gone === undefined) return
    if (gone.isUp) this.#setUp(gone, false)
    this.#interfaces.delete(name)
    this.#announce(gone, Rtm.delLink, everything)
  }

  /** What an administrator (`up`) or the other end of the cable (`running`) does. */
  set(name: string, state: { readonly up?: boolean; readonly running?: boolean }): void {
    const one = this.#interfaces.get(name)
    if (one === undefined) throw new Error(`${name}: no such interface`)
    const { up = one.isUp, running = one.hasCarrier } = state
    if (one.isUp && !up) this.#setUp(one, false)
    if (one.hasCarrier !== running) {
      one.hasCarrier = running
      if (one.isUp) {
        countCarrier(one)
        this.#announce(one, Rtm.newLink, 0)
      }
    }
    if (!one.isUp && up) this.#setUp(one, true)
  }

  /** 1 or more, or -ENODEV. */
  indexOf(name: string): number {
    return this.#interfaces.get(name)?.index ?? -ENODEV
  }

  /** Bytes, or -ENODEV. */
  mtuOf(name: string): number {
    return this.#interfaces.get(name)?.mtu ?? -ENODEV
  }

  /** Administratively up and with a carrier: datagrams pass. */
  isRunning(name: string): boolean {
    return this.#interfaces.get(name)?.isRunning ?? false
  }

  // --------------------------------------------------------------------------- sockets

  /** What the addon's function of this name does. Only routing sockets: others are -errno. */
  readonly openNetlink = (protocol: number): FakeNetlinkSocket | number =>
    protocol === 0 ? this.openSocket() : -EPROTONOSUPPORT

  openSocket(): FakeNetlinkSocket {
    this.#portIds++
    const portId = (0x9000_0000 + this.#portIds * 0x0100_0193) >>> 0
    const socket = new FakeNetlinkSocket(portId, {
      execute: (from, bytes) => this.#execute(from, bytes),
      closed: (closed) => this.#sockets.delete(closed),
      defer: this.#options.defer
    }, groupsMax)
    this.#sockets.add(socket)
    return socket
  }

  #setUp(one: Interface, up: boolean): void {
    const before = one.flags
    one.isUp = up
    one.isSettled = one.isLoopback
    if (one.hasCarrier && !one.isLoopback) countCarrier(one)
    this.#announce(one, Rtm.newLink, up ? Iff.up : (before & (Iff.up | Iff.running)))
    if (one.isSettled) return
    one.isSettled = true
    if (one.isRunning) this.#announce(one, Rtm.newLink, 0)
  }

  #announce(one: Interface, type: number, change: number): void {
    let message: Uint8Array | undefined
    for (const socket of this.#sockets) {
      if (!socket.listensTo(linkGroup)) continue
      message ??= linkMessage(one, { type, flags: 0, seq: 0, pid: 0 }, change)
      socket.queueEvent(message)
    }
  }

  // -------------------------------------------------------------------------- requests

  #execute(socket: FakeNetlinkSocket, bytes: Uint8Array): void {
    for (const request of requestsIn(bytes)) {
      if ((request.flags & REQUEST) === 0 || request.type < 16) continue
      const { seq } = request
      let errno = 0
      try {
        if (this.#perform(socket, request) === "dump") continue
      } catch (reason) {
        if (!(reason instanceof Refused)) throw reason
        errno = reason.errno
      }
      if (errno === 0 && (request.flags & ACK) === 0) continue
      const echo = errno === 0 ? request.bytes.subarray(0, 16) : request.bytes
      socket.queueAnswer(nlmsg(
        { type: 2, flags: errno === 0 ? 0x100 : 0, seq, pid: socket.portId },
        [...hostOrder(-errno >>> 0, 4), ...echo]
      ))
    }
  }

  #perform(socket: FakeNetlinkSocket, request: Request): "dump" | undefined {
    if (request.type !== Rtm.getLink) throw new Refused(EOPNOTSUPP)
    const { seq, bytes } = request
    const { portId: pid } = socket
    if ((request.flags & DUMP) === DUMP) return this.#dump(socket, seq)
    if (bytes.length < 32) throw new Refused(EINVAL)
    const index = new DataView(bytes.buffer, bytes.byteOffset).getInt32(20, true)
    const one = [...this.#interfaces.values()].find((candidate) => candidate.index === index)
    if (one === undefined) throw new Refused(ENODEV)
    socket.queueAnswer(linkMessage(one, { type: Rtm.newLink, flags: 0, seq, pid }, 0))
    return undefined
  }

  /** By index, part by part as it is read; what comes or goes meanwhile may be in it or not. */
  #dump(socket: FakeNetlinkSocket, seq: number): "dump" {
    const { portId: pid } = socket
    let reached = 0
    startDump(socket, seq, () => {
      let following: Interface | undefined
      for (const one of this.#interfaces.values()) {
        if (one.index <= reached) continue
        if (following === undefined || one.index < following.index) following = one
      }
      if (following === undefined) return undefined
      reached = following.index
      return linkMessage(following, { type: Rtm.newLink, flags: 2, seq, pid }, 0)
    })
    return "dump"
  }
}

const countCarrier = (one: Interface): void => {
  if (one.isLowerUp) one.gained++
  else one.lost++
}

const hostU32 = (type: number, value: number) => attribute(type, hostOrder(value, 4))

interface Header {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly pid: number
}

const linkMessage = (one: Interface, header: Header, change: number): Uint8Array => {
  const address = one.isLoopback
    ? [0, 0, 0, 0, 0, 0]
    : [0x02, 0, ...hostOrder(one.index, 4).toReversed()]
  const broadcast = address.map(() => one.isLoopback ? 0 : 0xff)
  return nlmsg(header, [
    0,
    0,
    ...hostOrder(one.isLoopback ? Device.loopback : Device.ether, 2),
    ...hostOrder(one.index, 4),
    ...hostOrder(one.flags, 4),
    ...hostOrder(change, 4),
    ...text(3, one.name),
    ...hostU32(13, 1_000),
    ...attribute(16, [one.operstate]),
    ...attribute(17, [0]),
    ...hostU32(4, one.mtu),
    ...hostU32(27, 0),
    ...hostU32(30, 0),
    ...hostU32(31, 1),
    ...hostU32(32, 1),
    ...attribute(33, [one.isLowerUp || one.isLoopback ? 1 : 0]),
    ...hostU32(35, one.gained + one.lost),
    ...hostU32(47, one.gained),
    ...hostU32(48, one.lost),
    ...attribute(1, address),
    ...attribute(2, broadcast),
    ...attribute(23, statistics64),
    ...attribute(7, statistics)
  ])
}

const statistics64 = Array.from({ length: 200 }, () => 0)
const statistics = Array.from({ length: 96 }, () => 0)
