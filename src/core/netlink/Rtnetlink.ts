/**
 * Network interfaces from rtnetlink: the request for all of them, and what announces a change.
 *
 * ```text
 *  0       family          4 - 7   index, host order as everything here
 *  2 - 3   device type     8 - 11  flags        12 - 15  changed flags (not to be trusted)
 * ```
 *
 * then attributes. An interface that is deleted and made again has another index: the name counts.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 11; rtnetlink(7).
 */
import { Fault } from "../model/Fault.ts"
import { NlattrCursor } from "./Nlattr.ts"
import type { NlmsgCursor } from "./Nlmsg.ts"
import { Flag, nlmsgHeaderBytes } from "./Nlmsg.ts"

export const RtType = { newLink: 16, delLink: 17, getLink: 18 } as const

/** Multicast group of interface changes. */
export const linkGroup = 1

export const InterfaceFlag = {
  up: 0x1,
  running: 0x40,
  lowerUp: 0x1_0000,
  dormant: 0x2_0000
} as const

const Ifla = { name: 3, mtu: 4, operstate: 16 } as const

const ifinfoBytes = 16
const linkDumpBytes = nlmsgHeaderBytes + ifinfoBytes

/** One interface, as the last message told. Reused. */
export class LinkMessage {
  /** The interface is gone. */
  isDeleted = false
  index = 0
  name = ""
  flags = 0
  /** 0 when not told. */
  mtuBytes = 0
  /** RFC 2863: 2 down, 6 up, 0 unknown. */
  operstate = 0

  /** Administratively up. */
  get isUp(): boolean {
    return (this.flags & InterfaceFlag.up) !== 0
  }

  /** Has a carrier. */
  get isRunning(): boolean {
    return (this.flags & InterfaceFlag.running) !== 0
  }
}

/** Asks for all interfaces. Returns the end, or -1 when there is no room. */
export const encodeLinkDump = (words: Int32Array, at: number, seq: number): number => {
  if (at + linkDumpBytes > words.length * 4) return -1
  const word = at >> 2
  words[word] = linkDumpBytes
  words[word + 1] = RtType.getLink | ((Flag.request | Flag.dump) << 16)
  words[word + 2] = seq
  words.fill(0, word + 3, word + linkDumpBytes / 4)
  return at + linkDumpBytes
}

/** A message about an interface: `decodeLink` can read it. */
export const isLinkMessage = (message: NlmsgCursor): boolean =>
  message.type === RtType.newLink || message.type === RtType.delLink

const attributes = new NlattrCursor()

/** Reads the message at which the cursor stands; `words` and `bytes` are the same memory. */
export const decodeLink = (
  words: Int32Array,
  bytes: Uint8Array,
  message: NlmsgCursor,
  out: LinkMessage
): Fault => {
  if (!isLinkMessage(message)) return Fault.badType
  if (message.end - message.bodyAt < ifinfoBytes) return Fault.truncated
  const word = message.bodyAt >> 2
  out.isDeleted = message.type === RtType.delLink
  out.index = words[word + 1]!
  out.flags = words[word + 2]! >>> 0
  out.name = ""
  out.mtuBytes = 0
  out.operstate = 0
  attributes.reset(words, message.bodyAt + ifinfoBytes, message.end)
  while (attributes.next()) {
    const { type, valueAt, valueBytes } = attributes
    switch (type) {
      case Ifla.name:
        out.name = textOf(bytes, valueAt, valueAt + valueBytes)
        break
      case Ifla.mtu:
        if (valueBytes < 4) return Fault.wrongLength
        out.mtuBytes = words[valueAt >> 2]! >>> 0
        break
      case Ifla.operstate:
        if (valueBytes < 1) return Fault.wrongLength
        out.operstate = bytes[valueAt]!
        break
    }
  }
  return attributes.fault
}

/** Names of interfaces are bytes without a character set; all that occur are ASCII. */
const textOf = (bytes: Uint8Array, at: number, end: number): string => {
  let text = ""
  for (let i = at; i < end && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!)
  return text
}
