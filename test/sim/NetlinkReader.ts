/**
 * Reads requests as a kernel does: attribute by attribute, refusing with an errno.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 1 and 2.
 */

/** Why a request is refused. Thrown inside the simulated kernel only, and answered as its errno. */
export class Refused extends Error {
  readonly errno: number
  /** Attributes of the extended acknowledgement. */
  readonly reason: ReadonlyArray<number>

  constructor(errno: number, reason: ReadonlyArray<number> = []) {
    super(`errno ${errno}`)
    this.errno = errno
    this.reason = reason
  }
}

export const EPERM = 1
export const ENOENT = 2
export const EAGAIN = 11
export const ENOMEM = 12
export const EBUSY = 16
export const EEXIST = 17
export const EINVAL = 22
export const EMFILE = 24
export const ENOSPC = 28
export const ERANGE = 34
export const EMSGSIZE = 90
export const EPROTONOSUPPORT = 93
export const EOPNOTSUPP = 95
export const ENOBUFS = 105

/** Attributes by type, without their flags; of two the last counts. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>()
  /** What follows the last attribute is none. */
  readonly hasLeftover: boolean

  constructor(bytes: Uint8Array) {
    let at = 0
    while (bytes.length - at >= 4) {
      const length = bytes[at]! | (bytes[at + 1]! << 8)
      if (length < 4 || length > bytes.length - at) break
      const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
      this.#values.set(type, bytes.subarray(at + 4, at + length))
      at += (length + 3) & ~3
    }
    this.hasLeftover = at < bytes.length
  }

  /** All of them. */
  entries(): Iterable<readonly [type: number, value: Uint8Array]> {
    return this.#values
  }

  has(type: number): boolean {
    return this.#values.has(type)
  }

  /** The bytes; shorter than `bytesMin` is ERANGE. */
  bytes(type: number, bytesMin = 0): Uint8Array | undefined {
    const value = this.#values.get(type)
    if (value !== undefined && value.length < bytesMin) throw new Refused(ERANGE)
    return value
  }

  nest(type: number): Attributes | undefined {
    const value = this.#values.get(type)
    return value === undefined ? undefined : new Attributes(value)
  }

  /** A big-endian number of `width` bytes; of longer values the first bytes. */
  number(type: number, width: number): number | undefined {
    const value = this.bytes(type, width)
    if (value === undefined) return undefined
    let number = 0
    for (let i = 0; i < width; i++) number = number * 256 + value[i]!
    return number
  }

  /** A number of 32 bits in the order of the host. */
  hostNumber(type: number): number | undefined {
    const value = this.bytes(type, 4)
    return value && new DataView(value.buffer, value.byteOffset).getUint32(0, true)
  }

  /** The number of an attribute without which the request makes no sense: EINVAL. */
  required(type: number, width: number): number {
    const value = this.number(type, width)
    if (value === undefined) throw new Refused(EINVAL)
    return value
  }
}

/** A request as it came. */
export interface Request {
  readonly bytes: Uint8Array
  readonly type: number
  readonly flags: number
  readonly seq: number
  /** 0 when the message has no netfilter header. */
  readonly family: number
  readonly version: number
  readonly attributes: Attributes
}

/** The messages of one send; processing stops at the first malformed one, silently. */
export const requestsIn = (bytes: Uint8Array): ReadonlyArray<Request> => {
  const out: Array<Request> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  while (bytes.length - at >= 16) {
    const length = view.getUint32(at, true)
    if (length < 16 || length > bytes.length - at) break
    const message = bytes.slice(at, at + length)
    out.push({
      bytes: message,
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      family: message[16] ?? 0,
      version: message[17] ?? 0,
      attributes: new Attributes(message.subarray(20))
    })
    at += (length + 3) & ~3
  }
  return out
}
