/**
 * Attributes of a ctnetlink message as a tree of names and values, for tests.
 *
 * The shape is that of `attrs` in the recorded requests (test/golden/wire/README.md): a list of
 * objects with one key each. Independent of the codec under test.
 */
import { addressTextOf } from "./Address.ts"

export type NlattrTree = ReadonlyArray<{ readonly [name: string]: number | string | NlattrTree }>

interface Shape {
  readonly [type: number]: readonly [
    name: string,
    shape: Shape | "number" | "address" | "text" | "hex"
  ]
}

const ip: Shape = {
  1: ["V4_SRC", "address"],
  2: ["V4_DST", "address"],
  3: ["V6_SRC", "address"],
  4: ["V6_DST", "address"]
}

const proto: Shape = {
  1: ["NUM", "number"],
  2: ["SRC_PORT", "number"],
  3: ["DST_PORT", "number"],
  4: ["ICMP_ID", "number"],
  5: ["ICMP_TYPE", "number"],
  6: ["ICMP_CODE", "number"],
  7: ["ICMPV6_ID", "number"],
  8: ["ICMPV6_TYPE", "number"],
  9: ["ICMPV6_CODE", "number"]
}

const tuple: Shape = { 1: ["IP", ip], 2: ["PROTO", proto], 3: ["ZONE", "number"] }

const nat: Shape = {
  1: ["V4_MINIP", "address"],
  2: ["V4_MAXIP", "address"],
  3: ["PROTO", { 1: ["PORT_MIN", "number"], 2: ["PORT_MAX", "number"] }],
  4: ["V6_MINIP", "address"],
  5: ["V6_MAXIP", "address"]
}

const protoInfo: Shape = {
  1: ["TCP", {
    1: ["STATE", "number"],
    2: ["WSCALE_ORIGINAL", "number"],
    3: ["WSCALE_REPLY", "number"],
    4: ["FLAGS_ORIGINAL", "hex"],
    5: ["FLAGS_REPLY", "hex"]
  }],
  2: ["DCCP", { 1: ["STATE", "number"], 2: ["ROLE", "number"], 3: ["HANDSHAKE_SEQ", "hex"] }],
  3: ["SCTP", {
    1: ["STATE", "number"],
    2: ["VTAG_ORIGINAL", "number"],
    3: ["VTAG_REPLY", "number"]
  }]
}

const seqAdj: Shape = {
  1: ["CORRECTION_POS", "number"],
  2: ["OFFSET_BEFORE", "number"],
  3: ["OFFSET_AFTER", "number"]
}

const message: Shape = {
  1: ["TUPLE_ORIG", tuple],
  2: ["TUPLE_REPLY", tuple],
  3: ["STATUS", "number"],
  4: ["PROTOINFO", protoInfo],
  5: ["HELP", { 1: ["NAME", "text"] }],
  6: ["NAT_SRC", nat],
  7: ["TIMEOUT", "number"],
  8: ["MARK", "number"],
  12: ["ID", "number"],
  13: ["NAT_DST", nat],
  14: ["TUPLE_MASTER", tuple],
  15: ["SEQ_ADJ_ORIG", seqAdj],
  16: ["SEQ_ADJ_REPLY", seqAdj],
  18: ["ZONE", "number"],
  21: ["MARK_MASK", "number"],
  22: ["LABELS", "hex"],
  23: ["LABELS_MASK", "hex"],
  24: ["SYNPROXY", { 1: ["ISN", "number"], 2: ["ITS", "number"], 3: ["TSOFF", "number"] }]
}

const walk = (bytes: Uint8Array, at: number, end: number, shape: Shape): NlattrTree => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tree: Array<{ [name: string]: number | string | NlattrTree }> = []
  while (at < end) {
    const length = view.getUint16(at, true)
    const type = view.getUint16(at + 2, true)
    if (length < 4 || at + length > end) throw new Error(`attribute at ${at} has length ${length}`)
    const row = shape[type & 0x3fff]
    if (row === undefined) throw new Error(`attribute ${type} at ${at} is unknown`)
    const [name, kind] = row
    const isNest = typeof kind === "object"
    if (isNest !== ((type & 0x8000) !== 0)) throw new Error(`${name} has the wrong nest bit`)
    const value = bytes.slice(at + 4, at + length)
    for (let i = at + length; i < at + ((length + 3) & ~3); i++) {
      if (bytes[i] !== 0) throw new Error(`padding of ${name} is not zero`)
    }
    tree.push({
      [name]: isNest
        ? walk(bytes, at + 4, at + length, kind)
        : kind === "number"
        ? value.reduce((sum, byte) => sum * 256 + byte, 0)
        : kind === "address"
        ? addressTextOf(Array.from(new Int32Array(value.slice().buffer)))
        : kind === "text"
        ? textOf(value)
        : Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")
    })
    at += (length + 3) & ~3
  }
  return tree
}

const textOf = (value: Uint8Array): string => {
  if (value.at(-1) !== 0) throw new Error("text does not end with NUL")
  return String.fromCharCode(...value.slice(0, -1))
}

/** The attributes of the netfilter message in `bytes[at, end)`. */
export const treeOf = (bytes: Uint8Array, at: number, end: number): NlattrTree => {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
  if (at + length !== end) throw new Error(`message has length ${length}, not ${end - at}`)
  return walk(bytes, at + 20, end, message)
}
