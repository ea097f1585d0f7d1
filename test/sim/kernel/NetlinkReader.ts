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

/** The least bytes of attributes by type; others are not looked at. */
export type Sizes = { readonly [type: number]: number }

/** The size of a nest: none at all, or one attribute at least. */
export const nestSize = -4

/** Attributes by type, without their flags; of two the last counts. */
export class Attributes {
  readonly #bytes: Uint8Array
  readonly #values = new Map<number, Uint8Array>()
  /** What follows the last attribute is none. */
  readonly hasLeftover: boolean
  /** Bit n: the last one of type n is marked as a nest. */
  #marks = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    let at = 0
    while (bytes.length - at >= 4) {
      const length = bytes[at]! | (bytes[at + 1]! << 8)
      if (length < 4 || length > bytes.length - at) break
      const word = bytes[at + 2]! | (bytes[at + 3]! << 8)
      const type = word & 0x3fff
      if (type < 32) {
        this.#marks = (word & 0x8000) !== 0
          ? this.#marks | (1 << type)
          : this.#marks & ~(1 << type)
      }
      this.#values.set(type, bytes.subarray(at + 4, at + length))
      at += (length + 3) & ~3
    }
    this.hasLeftover = at < bytes.length
  }

  /** All of them, also those that do not count because they are repeated. */
  *entries(): Generator<readonly [type: number, value: Uint8Array]> {
    const bytes = this.#bytes
    for (let at = 0; bytes.length - at >= 4;) {
      const length = bytes[at]! | (bytes[at + 1]! << 8)
      if (length < 4 || length > bytes.length - at) return
      const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff
      yield [type, bytes.subarray(at + 4, at + length)]
      at += (length + 3) & ~3
    }
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

  /** It is there, and marked as a nest. Types below 32. */
  isMarked(type: number): boolean {
    return (this.#marks & (1 << type)) !== 0
  }

  /** What is inside; ERANGE when one of them is too short, also one that does not count. */
  nest(type: number, sizes?: Sizes): Attributes | undefined {
    const value = this.#values.get(type)
    if (value === undefined) return undefined
    const inner = new Attributes(value)
    if (sizes !== undefined) inner.check(sizes)
    return inner
  }

  check(sizes: Sizes): void {
    const bytes = this.#bytes
    for (let at = 0; bytes.length - at >= 4;) {
      const length = bytes[at]! | (bytes[at + 1]! << 8)
      if (length < 4 || length > bytes.length - at) return
      const least = sizes[(bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff]
      if (least !== undefined && isTooShort(length - 4, least)) throw new Refused(ERANGE)
      at += (length + 3) & ~3
    }
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
    return value && hostWord(value)
  }

  /** The number of an attribute without which the request makes no sense: EINVAL. */
  required(type: number, width: number): number {
    const value = this.number(type, width)
    if (value === undefined) throw new Refused(EINVAL)
    return value
  }
}

/** The first 32 bits, in the order of the host. */
export const hostWord = (value: Uint8Array): number =>
  new DataView(value.buffer, value.byteOffset).getUint32(0, true)

const isTooShort = (length: number, least: number): boolean =>
  least < 0 ? length > 0 && length < -least : length < least

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
