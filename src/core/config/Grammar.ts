/**
 * The grammar of `conntrackd.conf` as tables, and the way in: `parse`.
 *
 * This file holds the whole file, `General` and `Stats`; the other blocks have files of their own.
 *
 * Source: specification, chapter "conntrackd.conf", sections 4 to 7.
 */
import * as Result from "effect/Result"
import { block, name, number, path, signed, table, toggle, toggleOr } from "./Clauses.ts"
import { defaultLogFile, defaultStatsLogFile, resolve } from "./Defaults.ts"
import { type Diagnostic, hasError } from "./Diagnose.ts"
import { filter } from "./GrammarFilter.ts"
import { helperSection } from "./GrammarHelper.ts"
import { syncSection } from "./GrammarSync.ts"
import { type Clause, Reader, type ReaderEnvironment } from "./Reader.ts"
import type { Settings, SyslogFacility } from "./Settings.ts"

export interface Parsed {
  readonly settings: Settings
  /** Warnings in the order of the file; upstream's and, beside them, ours. */
  readonly warnings: ReadonlyArray<Diagnostic>
  /** One warning for each thing the file asks for and this version does not act on. */
  readonly notYetInEffect: ReadonlyArray<Diagnostic>
}

/**
 * Reads a configuration file.
 *
 * Fails with all diagnostics in the order of the file: every error, and the warnings between them.
 * The first error is the one upstream reports before it ends with status 1.
 */
export const parse = (
  bytes: Uint8Array,
  environment: ReaderEnvironment
): Result.Result<Parsed, ReadonlyArray<Diagnostic>> => {
  const reader = new Reader(bytes, environment)
  reader.file(file)
  checkCombinations(reader)
  const { diagnostics, pending } = reader
  if (hasError(diagnostics)) return Result.fail(diagnostics)
  const settings = resolve(reader.draft)
  return Result.succeed({ settings, warnings: diagnostics, notYetInEffect: pending })
}

const checkCombinations = (reader: Reader): void => {
  const { draft } = reader
  const end = reader.token
  if (draft.statsInGeneral && draft.sections.sync) {
    draft.statsLogFile = undefined
    draft.statsSyslog = undefined
    reader.warn(end, "`Stats' can't be combined with `Sync', ignoring the one inside `General'")
  } else if (draft.statsInGeneral) draft.sections.stats = true
  if (draft.commitTimeout !== 0 && draft.disableExternalCache) {
    draft.commitTimeout = 0
    reader.warn(
      end,
      "`CommitTimeout' can't be combined with `DisableExternalCache', ignoring this option. Fix" +
        " your configuration file."
    )
  }
}

// General

const logFileMax = 256
const socketPathMax = 107
const priorityMax = 99

/** `off` never undoes an earlier `on` or path. */
const logFile: Clause = toggleOr(
  toggle((reader, value) => {
    if (value) reader.draft.logFile = defaultLogFile
  }),
  path("LogFile path", logFileMax, (reader, value) => void (reader.draft.logFile = value)),
  ["path"],
  "a path"
)

const facilities: ReadonlyArray<SyslogFacility> = [
  "daemon",
  "local0",
  "local1",
  "local2",
  "local3",
  "local4",
  "local5",
  "local6",
  "local7"
]

const facilityNamed = (text: string): SyslogFacility | undefined =>
  facilities.find((facility) => facility === text)

const conflict = "conflicting Syslog facility values, defaulting to General"

const syslog: Clause = toggleOr(
  toggle((reader, value) => void (reader.draft.syslog = value ? "daemon" : undefined)),
  name("a syslog facility", (reader, value, at) => {
    const facility = facilityNamed(value)
    if (facility === undefined) {
      reader.warn(at, `'${value}' is not a known syslog facility, ignoring`, facilityHint)
      return
    }
    const { draft } = reader
    draft.syslog = facility
    if (draft.statsSyslog !== undefined && draft.statsSyslog !== facility) reader.warn(at, conflict)
  }),
  ["string", "ipv6"],
  "a syslog facility"
)

const facilityHint = "use daemon or local0 to local7"

const unix = table("UNIX", {
  Path: path("Path", socketPathMax, (reader, value) => void (reader.draft.socketPath = value)),
  Backlog: number((reader, _, at) =>
    reader.warn(at, "deprecated unix backlog configuration, ignoring.")
  )
})

const scheduler = table("Scheduler", {
  Type: name("RR or FIFO", (reader, value, at) => {
    const policy = value.toLowerCase()
    if (policy === "rr" || policy === "fifo") reader.draft.schedulerPolicy = policy
    else reader.error(at, `unknown scheduler \`${value}'`, "use RR or FIFO")
  }),
  Priority: number((reader, value, at) => {
    if (value > priorityMax) reader.error(at, "`Priority' must be [0, 99]\n")
    else reader.draft.schedulerPriority = value
  })
})

const netlinkBuffer = number((reader, value) => void (reader.draft.netlinkBuffer = value))
const netlinkBufferMax = number((reader, value) => void (reader.draft.netlinkBufferMax = value))
const eventsReliable = toggle((reader, value) => void (reader.draft.eventsReliable = value))

const general = table("General", {
  HashSize: number((reader, value) => void (reader.draft.hashSize = value)),
  HashLimit: number((reader, value) => void (reader.draft.hashLimit = value)),
  LogFile: logFile,
  Syslog: syslog,
  LockFile: path("LockFile path", logFileMax, (reader, value) => {
    reader.draft.lockFile = value
  }),
  UNIX: block(() => unix),
  NetlinkBufferSize: netlinkBuffer,
  SocketBufferSize: netlinkBuffer,
  NetlinkBufferSizeMaxGrowth: netlinkBufferMax,
  SocketBufferSizeMaxGrown: netlinkBufferMax,
  SocketBufferSizeMaxGrowth: netlinkBufferMax,
  EventIterationLimit: number((reader, value) => void (reader.draft.eventIterationLimit = value)),
  PollSecs: number((reader, value, at) => {
    if (value === 0) reader.error(at, "`PollSecs' clause must be > 0")
    reader.draft.poll = value
  }),
  Filter: filter,
  NetlinkOverrunResync: toggleOr(
    toggle((reader, value) => void (reader.draft.overrunResync = value ? 0 : undefined)),
    number((reader, value) => void (reader.draft.overrunResync = value)),
    ["number"],
    "a number of seconds"
  ),
  NetlinkEventsReliable: eventsReliable,
  Nice: signed((reader, _, at) =>
    reader.warn(
      at,
      "deprecated nice configuration, ignoring. The nice value can be set externally with" +
        " nice(1) and renice(1)."
    )
  ),
  Scheduler: block(() => scheduler),
  Systemd: toggle((reader, value) => void (reader.draft.systemd = value)),
  // Some published templates put it here. Upstream refuses the file.
  Stats: (reader, at) => {
    reader.warn(at, "`Stats' does not belong inside `General'", "move it to the top level")
    reader.draft.statsInGeneral = true
    return block(() => stats)(reader, at)
  }
})

// Stats

const stats = table("Stats", {
  LogFile: toggleOr(
    toggle((reader, value) => {
      if (value) reader.draft.statsLogFile = defaultStatsLogFile
    }),
    path("stats LogFile path", logFileMax, (reader, value) => {
      reader.draft.statsLogFile = value
    }),
    ["path"],
    "a path"
  ),
  Syslog: toggleOr(
    toggle((reader, value) => void (reader.draft.statsSyslog = value ? "daemon" : undefined)),
    name("a syslog facility", (reader, value, at) => {
      const facility = facilityNamed(value)
      if (facility === undefined) {
        reader.warn(at, `'${value}' is not a known syslog facility, ignoring.`, facilityHint)
        return
      }
      const { draft } = reader
      draft.statsSyslog = facility
      if (draft.syslog !== undefined && draft.syslog !== facility) reader.warn(at, conflict)
    }),
    ["string", "ipv6"],
    "a syslog facility"
  ),
  // The manual page has it here, upstream refuses it. It means the same as in `General`.
  NetlinkEventsReliable: eventsReliable
})

/** A section that is complete is in the file; `Sync` and `Stats` exclude each other. */
const section = (kind: "sync" | "stats" | "helper", body: Clause): Clause => (reader, at) => {
  const { sections } = reader.draft
  if (!body(reader, at)) return false
  sections[kind] = true
  if (kind !== "helper" && sections.sync && sections.stats) {
    reader.error(
      at,
      "cannot use both `Stats' and `Sync' clauses in conntrackd.conf",
      "run a second daemon with a file of its own"
    )
  }
  return true
}

const file = table("the file", {
  General: block(() => general),
  Sync: section("sync", syncSection),
  Stats: section("stats", block(() => stats)),
  Helper: section("helper", helperSection)
})
