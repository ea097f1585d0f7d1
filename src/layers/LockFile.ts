/** The lock that keeps a second daemon from starting with the same configuration. */
import * as Schema from "effect/Schema"

export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", {
  path: Schema.String,
  ownerPid: Schema.Int
}) {
  /**
   * Upstream's words, which tools look for. Source: specification, "conntrackd: command line …",
   * 2.5.
   */
  override get message(): string {
    const owner = this.ownerPid > 0 ? ` (held by process ${this.ownerPid})` : ""
    return `lockfile \`${this.path}' exists, perhaps conntrackd already running?${owner}`
  }
}

export class LockError extends Schema.TaggedError<LockError>()("LockError", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `cannot create the lock file \`${this.path}': ${this.code}; ` +
      "does its directory exist and may conntrackd write there?"
  }
}
