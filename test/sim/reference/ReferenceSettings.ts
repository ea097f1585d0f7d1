/**
 * What the reference peer takes from a configuration text: the options of a plan, one link.
 *
 * Source: specification, "The configuration file"; "The synchronisation engines", section 4.
 */
import type { DatagramOptions } from "../../../src/layers/live/NativeAddon.ts"
import type { DaemonSettings } from "./ReferenceDaemon.ts"

export interface ReferenceSettings extends Omit<DaemonSettings, "datagramLimitBytes"> {
  readonly purgeTimeoutSeconds: number
  readonly startupResync: boolean
  /** Seconds between an overrun and its repair; undefined: never. */
  readonly overrunResyncSeconds: number | undefined
  readonly netlinkBufferBytes: number
  readonly netlinkBufferMaxBytes: number
  /** In the order of the text. */
  readonly links: ReadonlyArray<DatagramOptions>
}

const isOn = (value: string | undefined): boolean => /^(on|yes)$/i.test(value ?? "off")

/** Throws when something that the reference peer cannot do is asked for. */
export const referenceSettings = (text: string): ReferenceSettings => {
  const lines = text.replaceAll(/#.*/g, "")
  const unsupported =
    /\b(Mode +(?!FTFW)\w+|Multicast|TCP +\{|Disable\w+Cache|PollSecs|Filter|ExpectationSync)/i
      .exec(lines)
  if (unsupported !== null) {
    throw new Error(`the reference peer has no ${unsupported[0].trim()}`)
  }
  const option = (name: string, where = lines) =>
    new RegExp(`\\b${name}\\s+"?([^\\s"}]+)`, "i").exec(where)?.[1]
  /** 0 means the default, as everywhere. */
  const number = (name: string, otherwise: number) => Number(option(name) ?? 0) || otherwise
  const overrun = option("NetlinkOverrunResync") ?? "on"
  const commitTimeout = number("CommitTimeout", 0)
  const links = [...lines.matchAll(/\bUDP(?:\s+Default)?\s*\{([^}]*)\}/gi)].map(
    ([, block = ""]) => {
      const family: 4 | 6 = option("IPv6_address", block) === undefined ? 4 : 6
      const bytes = (name: string) => Number(option(name, block) ?? 0)
      return {
        family,
        bindAddress: option(`IPv${family}_address`, block) ?? "",
        port: Number(option("Port", block)),
        peerAddress: option(`IPv${family}_Destination_Address`, block) ?? "",
        interfaceName: option("Interface", block) ?? "",
        multicast: false,
        checksum: isOn(option("Checksum", block) ?? "on"),
        sendBufferBytes: bytes("SndSocketBuffer"),
        receiveBufferBytes: bytes("RcvSocketBuffer")
      }
    }
  )
  if (links.length === 0) throw new Error("the reference peer needs a UDP link")
  return {
    ackWindowSize: number("ACKWindowSize", 300),
    resendQueueSize: number("ResendQueueSize", 131_072),
    hashSize: number("HashSize", 65_536),
    hashLimit: number("HashLimit", 262_144),
    tcpWindowTracking: isOn(option("TCPWindowTracking")),
    commitTimeoutSeconds: commitTimeout === 0 ? undefined : commitTimeout,
    purgeTimeoutSeconds: number("PurgeTimeout", 60),
    startupResync: isOn(option("StartupResync")),
    overrunResyncSeconds: /^(off|no)$/i.test(overrun) ? undefined : Number(overrun) || 30,
    netlinkBufferBytes: number("NetlinkBufferSize", 0),
    netlinkBufferMaxBytes: number("NetlinkBufferSizeMaxGrowth", 0),
    links
  }
}
