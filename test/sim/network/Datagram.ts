/** What travels over the dedicated links of the simulation, and who watches it. */
import type { MachineName } from "../machine/Machine.ts"

/** The headers in front of a datagram's payload: the same for all that one socket sends. */
export interface DatagramPath {
  readonly family: 4 | 6
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
  /** False: the checksum field is 0, the receiver believes what it gets. */
  readonly hasChecksum: boolean
  readonly isMulticast: boolean
}

export interface SentDatagram {
  /** Counts all datagrams of a network. */
  readonly id: number
  readonly link: number
  readonly from: MachineName
  readonly to: MachineName
  /** A copy of its own, as sent. */
  readonly bytes: Uint8Array
  /** Milliseconds since the world began. */
  readonly sentMs: number
  /**
   * accepted: it left the sender's socket. refused: the sender's kernel said no, and the sender
   * knows; it is lost at once. injected: nobody sent it, the simulation made it up.
   */
  readonly origin: "accepted" | "refused" | "injected"
  readonly path: DatagramPath
}

/** Why a datagram, or one of its copies, was not received. */
export type Loss = (typeof losses)[number]
export const losses = [
  /** By chance. */
  "loss",
  "partition",
  /** Cable, switch, or the interface at either end. */
  "link down",
  /** No socket of a living process is bound to where it goes. */
  "no receiver",
  /** The receiving socket had no room; it counts this as dropped. */
  "buffer full",
  /** Wrong UDP checksum: the receiver's kernel discards it; the socket counts it as dropped. */
  "corrupted",
  /** Larger than UDP can carry (refused), or a frame larger than what the switch forwards. */
  "too big",
  /** The sender's queue (refused) or the one in the network was full. */
  "clogged"
] as const

/** Who watches. All calls are synchronous, in the order of what happens. */
export interface NetworkObserver {
  /** A process sent it; what the kernel refuses is `lost` next. Not called for injected ones. */
  sent?(datagram: SentDatagram): void
  /**
   * Put into the receiver's socket; copy 0 is the first. `bytes` differ from the datagram's when
   * corruption slipped through (no checksum).
   */
  delivered?(datagram: SentDatagram, copy: number, bytes: Uint8Array): void
  /** One call for each copy that is lost; most datagrams have copy 0 only. */
  lost?(datagram: SentDatagram, why: Loss, copy: number): void
  /** The receiving process took a copy out of its socket. */
  read?(datagram: SentDatagram, copy: number, bytes: Uint8Array): void
}

export const udpHeaderBytes = 8
export const ipHeaderBytes = (family: 4 | 6): number => (family === 4 ? 20 : 40)
/** Of IPv6; IPv4 has the fields in every header. */
const fragmentHeaderBytes = 8

/** What UDP can carry: the IP packet's length, in IPv6 its payload's, is 65535 at most. */
export const payloadMax = (family: 4 | 6): number =>
  (family === 4 ? 65_535 - 20 : 65_535) - udpHeaderBytes

/** Bytes of UDP (header and payload) in each fragment but the last, which may be smaller. */
export const fragmentBytes = (family: 4 | 6, mtuBytes: number): number => {
  const room = mtuBytes - ipHeaderBytes(family) - (family === 4 ? 0 : fragmentHeaderBytes)
  return Math.max(8, room & ~7)
}

/** How many IP packets a payload takes. */
export const fragmentCount = (family: 4 | 6, payloadBytes: number, mtuBytes: number): number => {
  const udpBytes = udpHeaderBytes + payloadBytes
  if (ipHeaderBytes(family) + udpBytes <= mtuBytes) return 1
  return Math.ceil(udpBytes / fragmentBytes(family, mtuBytes))
}

/** Bytes of all its IP packets. */
export const wireBytes = (family: 4 | 6, payloadBytes: number, fragments: number): number => {
  const perFragment = ipHeaderBytes(family) + (family === 6 && fragments > 1 ? 8 : 0)
  return udpHeaderBytes + payloadBytes + fragments * perFragment
}
