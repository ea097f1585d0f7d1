/**
 * Where a simulated socket is bound, what the headers of its datagrams say, and which socket a
 * datagram is for.
 *
 * Source: contract of `openDatagram`; udp(7), ip(7), ipv6(7).
 */
import { parseIpv4, parseIpv6 } from "../../../src/core/config/Address.ts"
import type { DatagramOptions } from "../../../src/layers/live/NativeAddon.ts"
import type { MachineName } from "../machine/Machine.ts"
import { linkAddress, linkInterface, machineNames } from "../machine/Machine.ts"
import type { Process } from "../World.ts"
import type { DatagramPath } from "./Datagram.ts"

const [EINVAL, EADDRNOTAVAIL] = [22, 99]
/** Source port of what nobody's socket sent. */
const foreignPort = 32_767

export interface SocketPlace {
  readonly machine: MachineName
  readonly link: number
  readonly process: Process
  /** Who has the peer's address; undefined for a group, and when nobody has it. */
  readonly peer: MachineName | undefined
  /** The headers of what it sends. */
  readonly path: DatagramPath
  readonly options: DatagramOptions
}

/** Number of the link that has the interface; negative when no link ever has. */
export const linkOf = (interfaceName: string): number => {
  const link = Number(/^eth(\d+)$/.exec(interfaceName)?.[1] ?? 0) - 2
  return linkInterface(link) === interfaceName ? link : -1
}

/** Binds a socket of a machine, or says -errno. Without an address it hears all of them. */
export const placeOf = (
  machine: MachineName,
  link: number,
  process: Process,
  sourcePort: number,
  options: DatagramOptions
): SocketPlace | number => {
  const { bindAddress, checksum, family, multicast, peerAddress, port } = options
  const own = addressOf(machine, link, family)
  const any = new Uint8Array(own.length)
  const bound = bindAddress === "" ? any : parse(bindAddress, family)
  const destination = parse(peerAddress, family)
  if (bound === undefined || destination === undefined) return -EINVAL
  if (!isSame(bound, own) && !isSame(bound, any)) return -EADDRNOTAVAIL
  const path: DatagramPath = {
    family,
    source: own,
    destination,
    sourcePort,
    destinationPort: port,
    // Over IPv6 every datagram has one, whatever the socket says.
    hasChecksum: checksum || family === 6,
    isMulticast: multicast
  }
  const isPeer = (name: MachineName) => isSame(addressOf(name, link, family), destination)
  const peer = multicast ? undefined : machineNames.find(isPeer)
  return { machine, link, process, peer, path, options }
}

/** The headers of what `from` would send the socket, or its group. */
export const pathBack = (listener: SocketPlace, from: MachineName): DatagramPath => {
  const { link, options, path } = listener
  return {
    ...path,
    source: addressOf(from, link, options.family),
    destination: options.multicast ? path.destination : path.source,
    sourcePort: foreignPort
  }
}

/** The headers of what is sent where nobody listens. */
export const pathBetween = (link: number, from: MachineName, to: MachineName): DatagramPath => ({
  family: 4,
  source: addressOf(from, link, 4),
  destination: addressOf(to, link, 4),
  sourcePort: foreignPort,
  destinationPort: 0,
  hasChecksum: true,
  isMulticast: false
})

/** Of a machine's sockets on a link. The one bound last wins, as in the kernel. */
export const listenerFor = <Socket extends { readonly place: SocketPlace }>(
  sockets: ReadonlyArray<Socket>,
  path: DatagramPath
): Socket | undefined => {
  for (let i = sockets.length - 1; i >= 0; i--) {
    const { options, path: own, process } = sockets[i]!.place
    if (process.isGone || options.port !== path.destinationPort) continue
    if (own.family !== path.family || options.multicast !== path.isMulticast) continue
    if (!path.isMulticast || isSame(own.destination, path.destination)) return sockets[i]
  }
  return undefined
}

const parse = (text: string, family: 4 | 6): Uint8Array | undefined =>
  family === 4 ? parseIpv4(text) : parseIpv6(text)

const addressOf = (name: MachineName, link: number, family: 4 | 6): Uint8Array =>
  parse(linkAddress(name, link, family), family)!

const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])
