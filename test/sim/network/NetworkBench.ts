/**
 * What the tests of the simulated links share: two machines with a socket each, and a record of
 * everything the network tells its observers.
 */
import type { Datagrams } from "../../../src/layers/Links.ts"
import type { DatagramHandle, DatagramOptions } from "../../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "../machine/Machine.ts"
import { linkAddress, linkInterface, linkPort } from "../machine/Machine.ts"
import type { Process } from "../World.ts"
import { World } from "../World.ts"
import type { LinkFaults, NetworkOptions } from "./VirtualNetwork.ts"
import { VirtualNetwork } from "./VirtualNetwork.ts"

export const optionsOf = (
  machine: MachineName,
  link: number,
  more: Partial<DatagramOptions> = {}
): DatagramOptions => {
  const family = more.family ?? 4
  return {
    family,
    bindAddress: linkAddress(machine, link, family),
    port: linkPort(link),
    peerAddress: linkAddress(machine === "A" ? "B" : "A", link, family),
    interfaceName: linkInterface(link),
    multicast: false,
    checksum: true,
    ...more
  }
}

/** A socket of a process that reads whatever comes and keeps it with its time. */
export interface Talker {
  readonly handle: DatagramHandle
  readonly process: Process
  readonly got: Array<Uint8Array>
  readonly gotMs: Array<number>
  /** First bytes, for datagrams made by `numbered`. */
  numbers(): ReadonlyArray<number>
  /** Number accepted. */
  send(...datagrams: ReadonlyArray<Uint8Array>): number
}

export const packed = (datagrams: ReadonlyArray<Uint8Array>): Datagrams => {
  const bytes = new Uint8Array(datagrams.reduce((sum, one) => sum + one.length, 0))
  const ends = new Int32Array(datagrams.length)
  let end = 0
  for (const [i, one] of datagrams.entries()) {
    bytes.set(one, end)
    ends[i] = end += one.length
  }
  return { bytes, ends, count: datagrams.length }
}

export const unpacked = ({ bytes, count, ends }: Datagrams): Array<Uint8Array> =>
  Array.from({ length: count }, (_, i) => bytes.slice(i === 0 ? 0 : ends[i - 1]!, ends[i]))

/** Number `n` in the first two bytes. */
export const numbered = (n: number, length = 100): Uint8Array => {
  const bytes = new Uint8Array(length).fill(0x5a)
  bytes[0] = n >> 8
  bytes[1] = n
  return bytes
}

export const range = (count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => i)

export class Bench {
  readonly world: World
  readonly network: VirtualNetwork
  readonly story: Array<string> = []

  constructor(options: Partial<NetworkOptions> & { readonly seed?: string } = {}) {
    this.world = new World({ seed: options.seed ?? "network" })
    this.network = new VirtualNetwork(this.world, { links: 2, ...options })
    const tell = (what: string, link: number, ...more: ReadonlyArray<string | number>) =>
      this.story.push(`${this.world.nowMs} link ${link} ${what} ${more.join(" ")}`)
    this.network.observe({
      sent: ({ bytes, from, link, to }) => tell("sent", link, from, to, bytes.join()),
      delivered: ({ link, to }, copy, bytes) => tell("delivered", link, to, copy, bytes.join()),
      lost: ({ bytes, link }, why, copy) => tell(why, link, bytes.join(), copy),
      read: ({ link, to }, copy, bytes) => tell("read", link, to, copy, bytes.length)
    })
  }

  /** What happened on one link, with the virtual time of it. */
  storyOf(link: number): ReadonlyArray<string> {
    return this.story.filter((line) => line.includes(` link ${link} `))
  }

  open(machine: MachineName, link = 0, more: Partial<DatagramOptions> = {}): Talker {
    const process = this.world.process(machine)
    const handle = this.network.open(machine, process, optionsOf(machine, link, more))
    if (typeof handle === "number") throw new Error(`open says ${handle}`)
    const got: Array<Uint8Array> = []
    const gotMs: Array<number> = []
    const received = { bytes: new Uint8Array(65_536), ends: new Int32Array(64), count: 0 }
    const read = (): void => {
      for (;;) {
        received.count = handle.receive(received.bytes, received.ends, 64)
        if (received.count < 0) break
        got.push(...unpacked(received))
        for (let i = 0; i < received.count; i++) gotMs.push(this.world.nowMs)
      }
      handle.whenReadable(read)
    }
    handle.whenReadable(read)
    return {
      handle,
      process,
      got,
      gotMs,
      numbers: () => got.map((bytes) => (bytes[0]! << 8) | bytes[1]!),
      send: (...datagrams) => {
        const { bytes, count, ends } = packed(datagrams)
        return handle.send(bytes, ends, count)
      }
    }
  }

  pair(faults: Partial<LinkFaults> = {}, more: Partial<DatagramOptions> = {}) {
    Object.assign(this.network.faults(0), faults)
    return { a: this.open("A", 0, more), b: this.open("B", 0, more) }
  }

  /** Sends `count` numbered datagrams, one each millisecond, and waits until all is over. */
  stream(talker: Talker, count: number): void {
    for (const n of range(count)) this.world.after(n, () => talker.send(numbered(n)))
    this.world.runUntil(this.world.nowMs + count + 1_000)
  }

  get(name: string): number {
    return this.network.counters[name] ?? 0
  }

  /** Nothing appears or disappears: the equation the judge relies on. */
  assertBalanced(): void {
    const sources = this.get("sent") + this.get("duplicated") + this.get("injected")
    const sinks = this.get("delivered") + this.get("lost") + this.network.inFlight()
    if (sources !== sinks) throw new Error(`${sources} sent, ${sinks} accounted for`)
  }
}
