/**
 * What a kernel demands of a message before it looks at what it says: the sizes of attributes. A
 * refusal comes with a reason, for sockets that want to hear it.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1; the reasons are
 * those of a real kernel (6.18).
 */
import type { Request } from "./NetlinkReader.ts"
import { EINVAL, ERANGE, Refused } from "./NetlinkReader.ts"
import { attribute, hostOrder, nest, text } from "./NetlinkWriter.ts"

/** A number of so many bytes; a nest; at most 16 bytes; never. */
export type Rule = 2 | 4 | "nest" | "bitmap" | "reject"

export type Policy = { readonly [type: number]: Rule }

const bitmapBytesMax = 16

/** Kinds of attributes, as reasons name them. */
const kinds = { u16: 3, u32: 4, binary: 10, nest: 13 } as const

const kind = (value: number) => attribute(1, hostOrder(value, 4))

/** A number's range, from 0 on: 64 bits in the order of the host. */
const range = (bytes: 2 | 4): ReadonlyArray<number> => [
  ...attribute(4, Array.from({ length: 8 }, () => 0)),
  ...attribute(5, Array.from({ length: 8 }, (_, i) => i < bytes ? 0xff : 0)),
  ...kind(bytes === 2 ? kinds.u16 : kinds.u32)
]

const demandOf = (rule: Rule): ReadonlyArray<number> => {
  switch (rule) {
    case 2:
    case 4:
      return nest(4, range(rule))
    case "nest":
      return nest(4, kind(kinds.nest))
    case "bitmap":
      return nest(4, attribute(7, hostOrder(bitmapBytesMax, 4)), kind(kinds.binary))
    case "reject":
      return []
  }
}

const isBroken = (rule: Rule, bytes: number): boolean => {
  switch (rule) {
    case 2:
    case 4:
      return bytes < rule
    case "nest":
      return bytes > 0 && bytes < 4
    case "bitmap":
      return bytes > bitmapBytesMax
    case "reject":
      return true
  }
}

/** Refuses the first attribute that breaks its rule. */
export const checkPolicy = ({ bytes }: Request, policy: Policy): void => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 20; at + 4 <= bytes.length;) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > bytes.length) return
    const rule = policy[view.getUint16(at + 2, true) & 0x3fff]
    if (rule !== undefined && isBroken(rule, length - 4)) {
      throw new Refused(rule === "reject" ? EINVAL : ERANGE, [
        ...text(1, "Attribute failed policy validation"),
        ...attribute(2, hostOrder(at, 4)),
        ...demandOf(rule)
      ])
    }
    at += (length + 3) & ~3
  }
}

/** What is said of a message that ends with bytes that are no attribute. */
export const leftoverReason: ReadonlyArray<number> = text(
  1,
  "bytes leftover after parsing attributes"
)
