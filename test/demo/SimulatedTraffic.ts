/**
 * Both ends of the connections on a simulated network. They know packets, not the firewall: what
 * arrives with other addresses or ports than those of a connection belongs to no connection.
 *
 * As TCP does, an end sends again what was not answered, in ever longer intervals. New questions
 * wait for that; a question stands for those before it, too.
 */
import type { KernelTuple } from "../sim/kernel/KernelFlow.ts"
import { inverted, keyOf } from "../sim/kernel/KernelFlow.ts"
import { hexOfAddress, tupleOf } from "../sim/kernel/KernelTraffic.ts"
import type { World } from "../sim/World.ts"
import { inside, kinds, outside } from "./Kinds.ts"
import { askEveryMs, openDelayMs, turns } from "./Pace.ts"
import type { Packet, PacketFilter } from "./SimulatedRules.ts"
import type { Traffic } from "./Stage.ts"

/** From one end through the firewall to the other. */
const wireMs = 0.2
/** Linux's first intervals for a SYN and for data. */
const synAgainMs = 1_000
const dataAgainMs = 200
const firstPort = 32_768

/** One end of a connection. */
interface Socket {
  readonly connection: number
  /** Of the packets it sends. */
  readonly tuple: KernelTuple
  isConnected: boolean
  asked: number
  answered: number
  /** The last question of the other end. */
  heard: number
  /** An answer from this number on shows that the connection is alive. */
  fresh: number
  isAlive: boolean
  heardAtMs: number
  silenceMs: number
  againMs: number
  /** Forgets to send again; undefined when nothing is missing. */
  cancelAgain: (() => void) | undefined
}

/** The client or the server. */
class Host {
  /** By the addresses and ports of what arrives. */
  readonly sockets = new Map<string, Socket>()
  silenceMs = 0
  readonly #world: World
  readonly #addresses: ReadonlyArray<string>
  readonly #ports: ReadonlySet<number>
  readonly #transmit: (packet: Packet) => void
  #turn = 0

  constructor(
    world: World,
    addresses: ReadonlyArray<string>,
    ports: ReadonlyArray<number>,
    transmit: (packet: Packet) => void
  ) {
    this.#world = world
    this.#addresses = addresses.map(hexOfAddress)
    this.#ports = new Set(ports)
    this.#transmit = transmit
    this.#askSome()
  }

  connect(connection: number, tuple: KernelTuple): void {
    const socket = this.#socket(connection, tuple)
    socket.againMs = synAgainMs
    this.#send(socket)
  }

  receive(packet: Packet): void {
    const { tuple } = packet
    if (!this.#addresses.includes(tuple.dst)) return
    const key = keyOf(tuple, 0)
    const socket = this.sockets.get(key)
    if (packet.flags === "SYN") {
      if (!this.#ports.has(tuple.b)) return
      const accepted = socket ?? this.#socket(packet.connection, inverted(tuple))
      this.#transmit({ ...this.#packet(accepted), flags: "SYN ACK" })
    } else if (socket?.connection === packet.connection) {
      // TCP tells bytes of another connection by their sequence numbers.
      if (packet.flags === "SYN ACK") this.#connected(socket)
      else this.#heard(socket, packet)
    }
  }

  watch(): void {
    this.silenceMs = 0
    for (const socket of this.sockets.values()) {
      socket.heardAtMs = this.#world.nowMs
      socket.silenceMs = 0
    }
  }

  probe(): void {
    for (const socket of this.sockets.values()) {
      socket.isAlive = false
      socket.fresh = socket.asked + 1
      this.#ask(socket)
    }
  }

  #socket(connection: number, tuple: KernelTuple): Socket {
    const socket: Socket = {
      connection,
      tuple,
      isConnected: false,
      asked: 0,
      answered: 0,
      heard: 0,
      fresh: Infinity,
      isAlive: false,
      heardAtMs: this.#world.nowMs,
      silenceMs: 0,
      againMs: dataAgainMs,
      cancelAgain: undefined
    }
    this.sockets.set(keyOf(inverted(tuple), 0), socket)
    return socket
  }

  #connected(socket: Socket): void {
    if (socket.isConnected) return
    socket.isConnected = true
    this.#answered(socket)
    this.#ask(socket)
  }

  #heard(socket: Socket, { answer, question }: Packet): void {
    const { nowMs } = this.#world
    socket.silenceMs = Math.max(socket.silenceMs, nowMs - socket.heardAtMs)
    socket.heardAtMs = nowMs
    if (question > 0) {
      socket.heard = Math.max(socket.heard, question)
      this.#transmit({ ...this.#packet(socket), flags: "ACK", answer: socket.heard })
      if (!socket.isConnected) {
        socket.isConnected = true
        this.#ask(socket)
      }
    }
    if (answer > socket.answered && answer <= socket.asked) {
      socket.answered = answer
      this.#answered(socket)
      if (answer < socket.fresh) return
      socket.isAlive = true
      socket.fresh = Infinity
      this.silenceMs = Math.max(this.silenceMs, socket.silenceMs)
    }
  }

  /** The other end is there: what it does not have yet is sent at once. */
  #answered(socket: Socket): void {
    socket.cancelAgain?.()
    socket.cancelAgain = undefined
    socket.againMs = dataAgainMs
    if (socket.answered < socket.asked) this.#send(socket)
  }

  #ask(socket: Socket): void {
    socket.asked++
    if (socket.isConnected && socket.cancelAgain === undefined) this.#send(socket)
  }

  /** A share of the connections at a time. */
  #askSome(): void {
    this.#turn = (this.#turn + 1) % turns
    for (const socket of this.sockets.values()) {
      if (socket.answered > 0 && socket.connection % turns === this.#turn) this.#ask(socket)
    }
    this.#world.after(askEveryMs / turns, () => this.#askSome())
  }

  #packet({ connection, tuple }: Socket): Packet {
    return { tuple, flags: "SYN", connection, question: 0, answer: 0 }
  }

  /** What is missing at the other end: the SYN, or all questions up to the last. */
  #send(socket: Socket): void {
    const packet = this.#packet(socket)
    this.#transmit(
      socket.isConnected ? { ...packet, flags: "ACK", question: socket.asked } : packet
    )
    socket.cancelAgain = this.#world.after(socket.againMs, () => {
      socket.cancelAgain = undefined
      socket.againMs *= 2
      this.#send(socket)
    })
  }
}

export class SimulatedTraffic implements Traffic {
  readonly #world: World
  readonly #active: () => PacketFilter | undefined
  readonly #client: Host
  readonly #server: Host
  /** Kind of each connection, by its number. */
  readonly #kinds: Array<number> = []

  /** `active` is the firewall that has the addresses; undefined when nobody has them. */
  constructor(world: World, active: () => PacketFilter | undefined) {
    this.#world = world
    this.#active = active
    const ports = kinds.map(({ port }) => port)
    this.#client = new Host(
      world,
      [inside.client4, inside.client6],
      [],
      (packet) => this.#carry(packet, this.#server)
    )
    this.#server = new Host(
      world,
      [outside.server4, outside.server6],
      ports,
      (packet) => this.#carry(packet, this.#client)
    )
  }

  open(counts: ReadonlyArray<number>): void {
    counts.forEach((count, index) => {
      for (let i = 0; i < count; i++) this.#openOne(index, openDelayMs(i, count))
    })
  }

  get opened(): number {
    return this.#count(({ answered }) => answered > 0).reduce((a, b) => a + b, 0)
  }

  watch(): void {
    this.#client.watch()
    this.#server.watch()
  }

  get silenceMs(): number {
    return Math.max(this.#client.silenceMs, this.#server.silenceMs)
  }

  probe(): void {
    this.#client.probe()
    this.#server.probe()
  }

  get alive(): number {
    return this.aliveByKind().reduce((a, b) => a + b, 0)
  }

  aliveByKind(): ReadonlyArray<number> {
    return this.#count(({ isAlive }) => isAlive)
  }

  /** Nobody gives up within the time of a story: some only go on asking. */
  reasons(): ReadonlyArray<string> {
    const alive = this.aliveByKind()
    return kinds.flatMap(({ name }, index) => {
      const silent = this.#kinds.filter((kind) => kind === index).length - alive[index]!
      return silent === 0 ? [] : [`${silent} × ${name}: no answer`]
    })
  }

  #openOne(kind: number, delayMs: number): void {
    const connection = this.#kinds.length
    this.#kinds.push(kind)
    const { address, port } = kinds[kind]!
    const tuple = tupleOf(6, {
      src: address.includes(":") ? inside.client6 : inside.client4,
      dst: address,
      sport: firstPort + connection,
      dport: port
    })
    this.#world.after(delayMs, () => this.#client.connect(connection, tuple))
  }

  #carry(packet: Packet, to: Host): void {
    this.#world.after(wireMs, () => {
      const tuple = this.#active()?.pass(packet)
      if (tuple !== undefined) to.receive({ ...packet, tuple })
    })
  }

  /** By kind: connections of which both ends say so. */
  #count(says: (socket: Socket) => boolean): ReadonlyArray<number> {
    const atClient = new Set<number>()
    for (const socket of this.#client.sockets.values()) {
      if (says(socket)) atClient.add(socket.connection)
    }
    const counts = kinds.map(() => 0)
    for (const socket of this.#server.sockets.values()) {
      if (atClient.has(socket.connection) && says(socket)) {
        counts[this.#kinds[socket.connection]!]! += 1
      }
    }
    return counts
  }
}
