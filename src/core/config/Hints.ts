/**
 * What to tell people about a word that stands where it must not: options that were removed,
 * options that belong elsewhere, and words in the wrong case.
 *
 * Source: specification, chapter "conntrackd.conf", sections 4, 10 and 11.
 */
import { keywords } from "./Keywords.ts"
import type { Token } from "./Lexer.ts"

const removed: ReadonlyMap<string, string> = new Map([
  ["CacheWriteThrough", "was removed long ago, delete it; see `DisableExternalCache'"],
  ["DelayDestroyMessages", "was removed long ago, delete it"],
  ["DestroyTimeout", "was removed long ago, delete it"],
  ["Family", "was removed long ago, delete it: both families are always synchronised"],
  ["IgnoreProtocol", "was removed long ago, use `Filter { Protocol Ignore { … } }' in General"],
  ["IgnoreTrafficFor", "was removed long ago, use `Filter { Address Ignore { … } }' in General"],
  ["ListenTo", "was removed long ago, use the address options of the link block"],
  ["LogFileBufferSize", "was removed long ago, delete it"],
  ["RelaxTransitions", "was removed long ago, delete it"],
  ["Replicate", "was removed long ago, use `Filter { State Accept { … for TCP } }' in General"],
  ["ResendBufferSize", "was removed long ago, use `ResendQueueSize' (a number of objects)"],
  ["StripNAT", "was removed long ago, delete it"],
  ["FT-FW", "is spelt FTFW"],
  ["IPv6_Destionation_Address", "is spelt `IPv6_Destination_Address'"],
  ["Lockfile", "is spelt `LockFile'"]
])

/** Where the options that exist in some blocks only belong. */
const homes: ReadonlyMap<string, string> = new Map(
  ([
    ["General", "Filter HashLimit HashSize LockFile NetlinkBufferSize NetlinkBufferSizeMaxGrowth"],
    ["General", "NetlinkEventsReliable NetlinkOverrunResync Nice PollSecs Scheduler Systemd UNIX"],
    ["General", "EventIterationLimit SocketBufferSize SocketBufferSizeMaxGrown"],
    ["General", "SocketBufferSizeMaxGrowth"],
    ["General or Stats", "LogFile Syslog"],
    ["UNIX", "Backlog Path"],
    ["Sync", "Mode Multicast Options TCP UDP"],
    ["Mode FTFW", "ACKWindowSize ResendQueueSize"],
    ["Mode NOTRACK", "DisableInternalCache"],
    ["Mode FTFW, NOTRACK or ALARM", "DisableExternalCache"],
    ["Mode FTFW or NOTRACK", "StartupResync"],
    ["Mode ALARM or Sync", "CacheTimeout RefreshTime"],
    ["Mode or Sync", "CommitTimeout PurgeTimeout"],
    ["Multicast", "Group IPv4_interface IPv6_interface"],
    ["UDP or TCP", "IPv4_Destination_Address IPv6_Destination_Address Port"],
    ["Multicast, UDP or TCP", "Checksum Interface RcvSocketBuffer SndSocketBuffer"],
    ["TCP", "ErrorQueueLength"],
    ["Options", "ExpectationSync TCPWindowTracking"],
    ["Filter", "Address Protocol State"],
    ["Scheduler", "Priority"],
    ["Helper", "Policy QueueLen QueueNum Setup"],
    ["Policy", "ExpectMax ExpectTimeout"],
    ["the top level of the file", "General Helper Stats Sync"]
  ] as const).flatMap(([home, names]) => names.split(" ").map((name) => [name, home] as const))
)

/** Advice about a token that was not expected; undefined when there is none to give. */
export const hintFor = (token: Token): string | undefined => {
  const { kind, text } = token
  if (kind === "end") return "the file ends here, a `}' is missing"
  if (kind === "stray") return hintForByte(token)
  if (kind !== "keyword" && kind !== "string") return undefined
  const known = removed.get(text)
  if (known !== undefined) return `\`${text}' ${known}`
  const home = homes.get(text)
  if (home !== undefined) return `\`${text}' belongs in ${home}`
  const lower = text.toLowerCase()
  for (const keyword of keywords) {
    if (keyword !== text && keyword.toLowerCase() === lower) return `did you mean \`${keyword}'?`
  }
  return undefined
}

const hintForByte = ({ at, text }: Token): string | undefined => {
  const byte = text.charCodeAt(0)
  if (at === 0 && byte === 0xef) return "save the file without the UTF-8 byte order mark"
  if (byte === 0 || byte > 127) {
    const hex = byte.toString(16).padStart(2, "0")
    return `the byte 0x${hex} may only stand in comments and paths`
  }
  if (text === "\"") return "there is no quoting"
  if (text === "|") return "write on or off"
  if (text === ";" || text === "=" || text === ",") return "separate words with blanks only"
  return undefined
}
