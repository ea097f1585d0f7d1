/**
 * Recorded datagrams as a capture file that tcpdump and Wireshark open: raw IP packets (link type
 * 101), nanoseconds, real headers and checksums. A datagram larger than the MTU becomes fragments.
 *
 * Source: pcap-savefile(5); RFC 791, 768, 8200 (section 4.5 for fragments, 8.1 for checksums).
 */
import type { DatagramPath } from "./Datagram.ts"
import { fragmentBytes, fragmentCount, ipHeaderBytes, udpHeaderBytes } from "./Datagram.ts"

const nanosecondMagic = 0xa1b2_3c4d
const linkTypeRaw = 101
const snapshotBytes = 262_144
const fileHeaderBytes = 24
const recordHeaderBytes = 16
const ipv6FragmentBytes = 8
const protocolUdp = 17
const nextFragment = 44

export interface CapturedDatagram {
  /** Milliseconds since the world began. */
  readonly atMs: number
  readonly path: DatagramPath
  readonly bytes: Uint8Array
  readonly mtuBytes: number
}

export class Capture {
  readonly #epochMs: number
  readonly #datagrams: Array<CapturedDatagram> = []

  /** `epochMs`: the wall clock when the world began. */
  constructor(epochMs: number) {
    this.#epochMs = epochMs
  }

  get length(): number {
    return this.#datagrams.length
  }

  add(datagram: CapturedDatagram): void {
    this.#datagrams.push(datagram)
  }

  /** The whole file. */
  encode(): Uint8Array {
    let size = fileHeaderBytes
    for (const { bytes, mtuBytes, path } of this.#datagrams) {
      const fragments = fragmentCount(path.family, bytes.length, mtuBytes)
      size += udpHeaderBytes + bytes.length +
        fragments * (recordHeaderBytes + headerBytes(path, fragments > 1))
    }
    const file = new Uint8Array(size)
    const view = new DataView(file.buffer)
    view.setUint32(0, nanosecondMagic, true)
    view.setUint16(4, 2, true)
    view.setUint16(6, 4, true)
    view.setUint32(16, snapshotBytes, true)
    view.setUint32(20, linkTypeRaw, true)
    let at = fileHeaderBytes
    this.#datagrams.forEach((datagram, i) => {
      at = this.#writeDatagram(file, view, at, datagram, i + 1)
    })
    return file
  }

  /** Where the next record begins. */
  #writeDatagram(
    file: Uint8Array,
    view: DataView,
    start: number,
    { atMs, bytes, mtuBytes, path }: CapturedDatagram,
    id: number
  ): number {
    const udp = udpOf(path, bytes)
    const isWhole = fragmentCount(path.family, bytes.length, mtuBytes) === 1
    const step = isWhole ? udp.length : fragmentBytes(path.family, mtuBytes)
    const ipBytes = headerBytes(path, !isWhole)
    // In two steps: milliseconds since 1970 do not leave a double the digits for nanoseconds.
    const nanos = Math.round(((this.#epochMs % 1_000) + atMs) * 1e6)
    const seconds = Math.floor(this.#epochMs / 1_000) + Math.floor(nanos / 1e9)
    let at = start
    for (let offset = 0; offset < udp.length; offset += step) {
      const part = udp.subarray(offset, offset + step)
      const packetBytes = ipBytes + part.length
      view.setUint32(at, seconds, true)
      view.setUint32(at + 4, nanos % 1e9, true)
      view.setUint32(at + 8, packetBytes, true)
      view.setUint32(at + 12, packetBytes, true)
      at += recordHeaderBytes
      const hasMore = offset + part.length < udp.length
      const fragment = { isWhole, offset, hasMore, id }
      if (path.family === 4) writeIpv4(file, view, at, path, part.length, fragment)
      else writeIpv6(file, view, at, path, part.length, fragment)
      file.set(part, at + ipBytes)
      at += packetBytes
    }
    return at
  }
}

interface Fragment {
  readonly isWhole: boolean
  /** Bytes before it in the UDP datagram. */
  readonly offset: number
  readonly hasMore: boolean
  readonly id: number
}

const headerBytes = (path: DatagramPath, isFragment: boolean): number =>
  ipHeaderBytes(path.family) + (isFragment && path.family === 6 ? ipv6FragmentBytes : 0)

const writeIpv4 = (
  file: Uint8Array,
  view: DataView,
  at: number,
  path: DatagramPath,
  dataBytes: number,
  { hasMore, id, isWhole, offset }: Fragment
): void => {
  view.setUint8(at, 0x45)
  view.setUint16(at + 2, 20 + dataBytes)
  // Linux says "don't fragment" of what fits, and numbers only what it has to split.
  view.setUint16(at + 4, isWhole ? 0 : id)
  view.setUint16(at + 6, isWhole ? 0x4000 : (hasMore ? 0x2000 : 0) | (offset >> 3))
  view.setUint8(at + 8, path.isMulticast ? 1 : 64)
  view.setUint8(at + 9, protocolUdp)
  file.set(path.source, at + 12)
  file.set(path.destination, at + 16)
  view.setUint16(at + 10, checksumOf(file.subarray(at, at + 20), 0))
}

const writeIpv6 = (
  file: Uint8Array,
  view: DataView,
  at: number,
  path: DatagramPath,
  dataBytes: number,
  { hasMore, id, isWhole, offset }: Fragment
): void => {
  view.setUint8(at, 0x60)
  view.setUint16(at + 4, (isWhole ? 0 : ipv6FragmentBytes) + dataBytes)
  view.setUint8(at + 6, isWhole ? protocolUdp : nextFragment)
  view.setUint8(at + 7, path.isMulticast ? 1 : 64)
  file.set(path.source, at + 8)
  file.set(path.destination, at + 24)
  if (isWhole) return
  view.setUint8(at + 40, protocolUdp)
  view.setUint16(at + 42, offset | (hasMore ? 1 : 0))
  view.setUint32(at + 44, id)
}

/** Header and payload; the checksum covers the addresses too. */
const udpOf = (path: DatagramPath, bytes: Uint8Array): Uint8Array => {
  const udp = new Uint8Array(udpHeaderBytes + bytes.length)
  const view = new DataView(udp.buffer)
  view.setUint16(0, path.sourcePort)
  view.setUint16(2, path.destinationPort)
  view.setUint16(4, udp.length)
  udp.set(bytes, udpHeaderBytes)
  if (!path.hasChecksum) return udp
  const addresses = sumOf(path.destination, sumOf(path.source, protocolUdp + udp.length))
  // A sum of 0 would mean that there is none.
  view.setUint16(6, checksumOf(udp, addresses) || 0xffff)
  return udp
}

/** Internet checksum: the complement of the sum of 16-bit words, the carry added again. */
const checksumOf = (bytes: Uint8Array, start: number): number => {
  let sum = sumOf(bytes, start)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000)
  return ~sum & 0xffff
}

const sumOf = (bytes: Uint8Array, start: number): number => {
  let sum = start
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  return bytes.length % 2 === 0 ? sum : sum + (bytes[bytes.length - 1]! << 8)
}
