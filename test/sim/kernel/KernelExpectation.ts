/**
 * An expectation in the simulated kernel: a flow that a helper foresees, what of it is known, and
 * what the flow gets when it comes. With the policies of the helpers that kernels have.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 6; limits and
 * timeouts of the helpers as a real kernel (6.18) showed them.
 */
import type { KernelFlow, KernelTuple } from "./KernelFlow.ts"
import { Direction, hasPair, Ip6, isIcmp } from "./KernelFlow.ts"

/** What of the source counts. The destination counts wholly. */
export interface SourceMask {
  /** Hexadecimal, as long as an address of the family. */
  readonly src: string
  /** Source port, GRE key, ICMP identifier. */
  readonly a: number
}

/** How the flow is translated when it comes. */
export interface ExpectedTranslation {
  /** Of the master: the direction of the expected flow. */
  readonly direction: Direction
  /** The source, before the helper changed the expectation. */
  readonly address: string
  readonly port: number
}

export const ExpectFlag = { permanent: 1, inactive: 2, userspace: 4 } as const

export interface KernelExpectation {
  readonly id: number
  readonly family: number
  readonly master: KernelFlow
  readonly tuple: KernelTuple
  readonly mask: SourceMask
  readonly flags: number
  /** Which of the helper's policies counts. */
  readonly policy: number
  readonly translation: ExpectedTranslation | undefined
  /** The function that prepares the flow. */
  readonly fn: string | undefined
  expiresAtMs: number
  isGone: boolean
}

export interface Policy {
  /** One more of the same master pushes the oldest out. */
  readonly expectedMax: number
  readonly timeoutSeconds: number
}

const ofOne = (timeoutSeconds: number, expectedMax = 1): ReadonlyArray<Policy> => [
  { expectedMax, timeoutSeconds }
]
const media = { expectedMax: 4, timeoutSeconds: 180 }

const policies: Readonly<Record<string, ReadonlyArray<Policy>>> = {
  "ftp": ofOne(300),
  "tftp": ofOne(300),
  "irc": ofOne(300, 8),
  "amanda": ofOne(180, 4),
  "sane": ofOne(300),
  "pptp": ofOne(300, 2),
  "netbios-ns": ofOne(3),
  "snmp": ofOne(30),
  "RAS": ofOne(240, 32),
  "Q.931": ofOne(240, 20),
  "sip": [
    { expectedMax: 1, timeoutSeconds: 180 },
    media,
    media,
    { expectedMax: 2, timeoutSeconds: 180 }
  ]
}

/** Undefined: the helper has no such class. A helper that a test made up is like ftp. */
export const policyOf = (helper: string, number: number): Policy | undefined =>
  (policies[helper] ?? policies["ftp"]!)[number]

/** Functions that prepare an expected flow. */
export const knownFunctions = ["nat-follow-master", "sip", "Q.931", "callforwarding"] as const

/** How long an address is, in hexadecimal digits. */
const digitsOf = (family: number): number => family === Ip6 ? 32 : 8

/** What a mask lets through of an address. */
const masked = (address: string, mask: string): string => {
  let out = ""
  for (let i = 0; i < address.length; i++) {
    out += (parseInt(address[i]!, 16) & parseInt(mask[i]!, 16)).toString(16)
  }
  return out
}

const isFull = (mask: string): boolean => /^f*$/.test(mask)

const isSameUnder = (x: KernelTuple, y: KernelTuple, { a, src }: SourceMask): boolean =>
  x.l4 === y.l4 && x.dst === y.dst && x.b === y.b && (x.a & a) === (y.a & a) &&
  x.src.length === y.src.length &&
  (isFull(src) ? x.src === y.src : masked(x.src, src) === masked(y.src, src))

/** A flow with this tuple would be the expected one, or is named by it. */
export const isExpected = (expectation: KernelExpectation, tuple: KernelTuple): boolean =>
  isSameUnder(tuple, expectation.tuple, expectation.mask)

/** Some flow would be what both expect. */
export const clashes = (x: KernelExpectation, y: KernelExpectation): boolean =>
  x.master.zone === y.master.zone && isSameUnder(x.tuple, y.tuple, {
    src: masked(x.mask.src, y.mask.src),
    a: x.mask.a & y.mask.a
  })

/** The mask as it is written: the destination has only ones, the protocol is that of the tuple. */
export const writtenMask = ({ family, mask, tuple }: KernelExpectation): KernelTuple => {
  const hasMore = hasPair(tuple.l4) || isIcmp(tuple.l4)
  return {
    src: mask.src,
    dst: "f".repeat(digitsOf(family)),
    l4: tuple.l4,
    a: hasMore ? mask.a : 0,
    b: hasMore ? 0xffff : 0
  }
}

/** The tuple of the translation, as it is written. */
export const writtenTranslation = (
  { family, tuple }: KernelExpectation,
  { address, port }: ExpectedTranslation
): KernelTuple => ({
  src: address,
  dst: "0".repeat(digitsOf(family)),
  l4: tuple.l4,
  a: port,
  b: 0
})

/** A translation to nothing at all is none. */
export const isTranslation = ({ address, port }: ExpectedTranslation): boolean =>
  port !== 0 || !/^0*$/.test(address)

/**
 * The tuple of a flow after the translation, seen from its source: source and destination follow
 * those of the master.
 */
export const followMaster = (
  { fn, master, translation }: KernelExpectation,
  tuple: KernelTuple
): KernelTuple => {
  if (fn !== "nat-follow-master") return tuple
  const direction = translation?.direction ?? Direction.original
  const other = direction === Direction.original ? master.reply : master.original
  return { ...tuple, src: other.dst, dst: other.src, b: translation?.port ?? 0 }
}
