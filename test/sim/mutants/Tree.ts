/** Copies of the project in which a mutant may live: what the simulator needs, and no more. */
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Mutant } from "./Mutant.ts"

/** The project. */
export const root = fileURLToPath(new URL("../../..", import.meta.url))

const parts = ["src", "test/fakes", "test/sim", "package.json"]

/** A folder for copies, which the caller removes. */
export const makeFolder = (): string => mkdtempSync(join(tmpdir(), "conntrackd-mutants-"))

/** Copies the project in `from` to `to`, which must not exist. Packages are shared. */
export const copyTree = (from: string, to: string): void => {
  mkdirSync(to)
  for (const part of parts) cpSync(join(from, part), join(to, part), { recursive: true })
  symlinkSync(join(root, "node_modules"), join(to, "node_modules"))
}

export const removeTree = (path: string): void => rmSync(path, { recursive: true, force: true })

/**
 * What is wrong with the patch, or undefined. `check`: nothing is changed. Otherwise the mutant
 * lives in `tree` from now on.
 */
export const applyPatch = (tree: string, mutant: Mutant, check = false): string | undefined => {
  try {
    execFileSync("git", ["apply", ...(check ? ["--check"] : []), mutant.patchPath], {
      cwd: tree,
      // The copy is no repository, whatever its folder lies in.
      env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(tree) },
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"]
    })
    return undefined
  } catch (error) {
    const { message, stderr } = error as Error & { readonly stderr?: string }
    return `${mutant.patchPath} does not apply any more; mend it: ${(stderr ?? message).trim()}`
  }
}
