/**
 * A netlink message as one line of text: every attribute, in order, as it is. What differs from
 * run to run (port ids, flow ids, moments) is written without its value; timeouts are kept, marked,
 * so that they can be compared with a tolerance.
 *
 * Written without the codec of the daemon. Source: specification, "The kernel's connection-tracking
 * interface", sections 1 to 3.
 */

/** What is between the marks is a number of seconds. */
export const secondsMark = "~"

const flowNames: Readonly<Record<number, string>> = {
  1: "ORIG",
  2: "REPLY",
  3: "STATUS",
  4: "PROTOINFO",
  5: "HELP",
  7: "TIMEOUT",
  8: "MARK",
  9: "COUNTERS_ORIG",
  10: "COUNTERS_REPLY",
  11: "USE",
  12: "ID",
  14: "MASTER",
  15: "SEQ_ADJ_ORIG",
  16: "SEQ_ADJ_REPLY",
  18: "ZONE",
  20: "TIMESTAMP",
  22: "LABELS",
  24: "SYNPROXY",
  27: "TIMESTAMP_EVENT"
}

const expectationNames: Readonly<Record<number, string>> = {
  1: "MASTER",
  2: "TUPLE",
  3: "MASK",
  4: "TIMEOUT",
  5: "ID",
  6: "HELP_NAME",
  7: "ZONE",
  8: "FLAGS",
  9: "CLASS",
  10: "NAT",
  11: "FN"
}

const isNested = 0x8000

export interface Nlattr {
  readonly type: number
  readonly nested: boolean
  readonly value: Uint8Array
}

/** The attributes in `bytes`, in order. What a request ends with may be none. */
export const nlattrsIn = (bytes: Uint8Array, isRequest = false): ReadonlyArray<Nlattr> => {
  const out: Array<Nlattr> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = view.getUint16(at, true)
    const type = view.getUint16(at + 2, true)
    if (length < 4 || at + length > bytes.length) {
      if (isRequest) break
      throw new Error(`attribute length ${length}`)
    }
    const value = bytes.subarray(at + 4, at + length)
    out.push({ type: type & 0x3fff, nested: (type & isNested) !== 0, value })
    at += (length + 3) & ~3
  }
  return out
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

const nestText = (bytes: Uint8Array): string =>
  nlattrsIn(bytes)
    .map(({ nested, type, value }) =>
      nested ? `${type}{${nestText(value)}}` : `${type}=${hex(value)}`
    )
    .join(" ")

const attributeText = (names: Readonly<Record<number, string>>, attribute: Nlattr): string => {
  const { nested, type, value } = attribute
  const name = names[type] ?? String(type)
  switch (name) {
    case "ID":
    case "TIMESTAMP_EVENT":
      return `${name}[${value.length}]`
    case "TIMESTAMP":
      return `${name}{${
        nlattrsIn(value).map((one) => `${one.type}[${one.value.length}]`).join(" ")
      }}`
    case "TIMEOUT":
      return `${name}=${secondsMark}${parseInt(hex(value), 16)}${secondsMark}`
    default:
      return nested ? `${name}{${nestText(value)}}` : `${name}=${hex(value)}`
  }
}

export interface Nlmsg {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly pid: number
  /** Header included. */
  readonly bytes: Uint8Array
}

/** The messages of a datagram. Those of a request may end with one that is none. */
export const nlmsgsIn = (datagram: Uint8Array, isRequest = false): ReadonlyArray<Nlmsg> => {
  const out: Array<Nlmsg> = []
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  for (let at = 0; at + 16 <= datagram.length;) {
    const length = view.getUint32(at, true)
    if (length < 16 || at + length > datagram.length) {
      if (isRequest) break
      throw new Error(`message length ${length}`)
    }
    out.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      pid: view.getUint32(at + 12, true),
      bytes: datagram.subarray(at, at + length)
    })
    at += (length + 3) & ~3
  }
  return out
}

/** Attributes of a message about flows or expectations. */
export const attributesOf = ({ bytes }: Nlmsg): ReadonlyArray<Nlattr> =>
  nlattrsIn(bytes.subarray(20))

/** The names of its attributes, in order. */
export const namesOf = (message: Nlmsg): string => {
  const names = message.type >> 8 === 2 ? expectationNames : flowNames
  return attributesOf(message).map(({ type }) => names[type] ?? String(type)).join(" ")
}

export const errnoOf = ({ bytes }: Nlmsg): number =>
  -new DataView(bytes.buffer, bytes.byteOffset).getInt32(16, true)

/** What follows the errno: the request, whole or only its header, and what is said of the error. */
const echoText = (bytes: Uint8Array, flags: number): string => {
  const echo = bytes.slice(20)
  const view = new DataView(echo.buffer)
  const isCapped = (flags & 0x100) !== 0
  const end = isCapped ? 16 : (view.getUint32(0, true) + 3) & ~3
  const told = (flags & 0x200) === 0 ? "" : ` ${nestText(echo.subarray(end))}`
  if (isCapped || end <= 20) return hex(echo.subarray(0, end)) + told
  const names = view.getUint16(4, true) >> 8 === 2 ? expectationNames : flowNames
  for (const { type, value } of nlattrsIn(echo.subarray(20, end), true)) {
    if (names[type] === "ID") value.fill(0)
  }
  return hex(echo.subarray(0, end)) + told
}

const statistics = 0x0105
const cpuStatistics = [0x0104, 0x0103]

/** What a message says: all of it. `portIds` are written as "us". */
export const textOf = (message: Nlmsg, us: number): string => {
  const { bytes, flags, pid, seq, type } = message
  const head = `0x${type.toString(16)}/0x${flags.toString(16)} seq ${seq} pid ${
    pid === us ? "us" : pid
  }`
  if (type === 2) return `${head} errno ${errnoOf(message)}: ${echoText(bytes, flags)}`
  if (type === 3) return `${head} done ${hex(bytes.subarray(16))}`
  const attributes = attributesOf(message)
  if (cpuStatistics.includes(type)) {
    // How often what happened, and on which processor, is chance.
    const sizes = attributes.map((one) => `${one.type}[${one.value.length}]`)
    return `${head} family ${bytes[16]}: ${sizes.join(" ")}`
  }
  if (type === statistics) {
    const [entries, most] = attributes
    return `${head}: ${entries!.type}=${hex(entries!.value)} ${most!.type}[${most!.value.length}]`
  }
  const names = type >> 8 === 2 ? expectationNames : flowNames
  const texts = attributes.map((attribute) => attributeText(names, attribute))
  return `${head} family ${bytes[16]} res ${hex(bytes.subarray(18, 20))}: ${texts.join(" ")}`
}
