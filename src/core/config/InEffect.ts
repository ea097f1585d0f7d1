/**
 * Which parts of the language this version reads but does not yet act on. Whoever makes one of them
 * work deletes its row here, and the warning is gone.
 *
 * These warnings are our own; upstream has no such texts.
 */
import type { Diagnostic } from "./Diagnose.ts"
import type { Token } from "./Lexer.ts"
import type { Settings } from "./Settings.ts"

/** Names as the reader mentions them: an option, a section, a mode, or a kind of link. */
const pending: ReadonlySet<string> = new Set([
  "DisableExternalCache",
  "DisableInternalCache",
  "EventIterationLimit",
  "ExpectationSync",
  "Filter",
  "Helper",
  "Mode ALARM",
  "Mode NOTRACK",
  "Multicast",
  "NetlinkEventsReliable",
  "PollSecs",
  "Stats",
  "Syslog",
  "TCP",
  "more than one UDP block"
])

/** The warning for something the file asks for, undefined when it is in effect. */
export const notYetInEffect = (name: string, at: Token): Diagnostic | undefined =>
  pending.has(name)
    ? {
      level: "warning",
      text: `${name} is not yet in effect in this version`,
      line: at.line,
      column: at.column,
      expected: undefined,
      hint: undefined
    }
    : undefined

/**
 * Why this version's daemon cannot start with these settings, as a sentence for the administrator;
 * undefined when it can. Client commands work with any settings that were read.
 */
export const unsupportedMode = (settings: Settings): string | undefined => {
  const { helper, sections, sync } = settings
  if (sections.stats && pending.has("Stats")) {
    return "the statistics mode (section Stats) is not yet available in this version;" +
      " only Sync with Mode FTFW over UDP is"
  }
  if (sections.sync) {
    const mode = sync.mode.toUpperCase()
    if (pending.has(`Mode ${mode}`)) {
      return `synchronisation mode ${mode} is not yet available in this version;` +
        " write \"Mode FTFW\" here and on the peers"
    }
    const kind = sync.links[0]?.kind
    const block = kind === "multicast" ? "Multicast" : kind === "tcp" ? "TCP" : undefined
    if (block !== undefined && pending.has(block)) {
      return `${block} links are not yet available in this version;` +
        " write a UDP block here and on the peers"
    }
  }
  if (helper.types.length > 0 && pending.has("Helper")) {
    return "userspace helpers (section Helper) are not yet available in this version;" +
      " remove the Type blocks"
  }
  return undefined
}
