/**
 * `Sync { … }`: the mode, its timers and queues, and the options of synchronisation.
 *
 * Source: specification, chapter "conntrackd.conf", sections 5.3 and 5.5.
 */
import { block, names, number, table, toggle } from "./Clauses.ts"
import { link } from "./GrammarLinks.ts"
import type { Block, Clause } from "./Reader.ts"
import type { SyncMode } from "./Settings.ts"

const refresh = number((reader, value) => void (reader.draft.refresh = value))
const cacheTimeout = number((reader, value) => void (reader.draft.cacheTimeout = value))
const commitTimeout = number((reader, value) => void (reader.draft.commitTimeout = value))
const purgeTimeout = number((reader, value) => void (reader.draft.purgeTimeout = value))
const startupResync = toggle((reader, value) => void (reader.draft.startupResync = value))
const disableInternalCache = toggle((reader, value) => {
  reader.draft.disableInternalCache = value
})
const disableExternalCache = toggle((reader, value) => {
  reader.draft.disableExternalCache = value
})

const modeBlocks: Readonly<Record<SyncMode, Block>> = {
  ftfw: table("Mode FTFW", {
    ResendQueueSize: number((reader, value) => void (reader.draft.resendQueue = value)),
    ACKWindowSize: number((reader, value) => void (reader.draft.ackWindow = value)),
    CommitTimeout: commitTimeout,
    PurgeTimeout: purgeTimeout,
    DisableExternalCache: disableExternalCache,
    StartupResync: startupResync
  }),
  alarm: table("Mode ALARM", {
    RefreshTime: refresh,
    CacheTimeout: cacheTimeout,
    CommitTimeout: commitTimeout,
    PurgeTimeout: purgeTimeout,
    // The user manual promises it here; upstream refuses it.
    DisableExternalCache: disableExternalCache
  }),
  notrack: table("Mode NOTRACK", {
    CommitTimeout: commitTimeout,
    PurgeTimeout: purgeTimeout,
    DisableInternalCache: disableInternalCache,
    DisableExternalCache: disableExternalCache,
    StartupResync: startupResync
  })
}

const modeNames: ReadonlyMap<string, SyncMode> = new Map([
  ["ftfw", "ftfw"],
  ["nack", "ftfw"],
  ["alarm", "alarm"],
  ["persistent", "alarm"],
  ["notrack", "notrack"]
])

const mode: Clause = (reader, name) => {
  const token = reader.take("mode", "FTFW, ALARM or NOTRACK")
  if (token === undefined) return false
  const word = token.text.toLowerCase()
  const given = modeNames.get(word)!
  const update = "Please, update your conntrackd.conf file."
  // The extra line feed of the first text is upstream's.
  if (word === "nack") reader.warn(token, `Now \`nack' mode is called \`ftfw'. ${update}\n`)
  if (word === "persistent") {
    reader.warn(token, `Now \`persistent' mode is called \`alarm'. ${update}`)
  }
  reader.mention(`Mode ${given.toUpperCase()}`, name)
  if (!reader.block(modeBlocks[given])) return false
  reader.draft.modes.add(given)
  return true
}

const expectationSync: Clause = (reader, name) => {
  const { draft } = reader
  if (reader.token.kind === "switch") {
    // Upstream crashes at start when `off` follows `on`; here the last one counts.
    return toggle((_, value) => void (draft.expectationSync = value))(reader, name)
  }
  if (reader.token.kind !== "{") {
    reader.unexpected("on, off or `{'")
    return false
  }
  reader.mention(name.text, name)
  draft.expectationSync = true
  return names(reader, "a helper name", (_, helper) => {
    const lower = helper.toLowerCase()
    if (!draft.expectationHelpers.some((known) => known.toLowerCase() === lower)) {
      draft.expectationHelpers.push(helper)
    }
  })
}

const options = table("Options", {
  TCPWindowTracking: toggle((reader, value) => void (reader.draft.tcpWindowTracking = value)),
  ExpectationSync: expectationSync
})

const sync = table("Sync", {
  RefreshTime: refresh,
  CacheTimeout: cacheTimeout,
  CommitTimeout: commitTimeout,
  PurgeTimeout: purgeTimeout,
  Mode: mode,
  Multicast: link("multicast"),
  UDP: link("udp"),
  TCP: link("tcp"),
  Options: block(() => options)
})

export const syncSection: Clause = block(() => sync)
