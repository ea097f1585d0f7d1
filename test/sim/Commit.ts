/**
 * The commit of this clone, from which seeds derive: every commit explores new ground, and can be
 * repeated.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** Twelve digits; undefined where there is no repository. */
export const commitOf = (): string | undefined => {
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    }).trim()
  } catch {
    return undefined
  }
}

/** Takes the place of the commit where there is none. */
export const noCommit = "no commit"
