/**
 * Deliberate bugs, each a patch in this folder: `NN-name.patch`, a line that says what the bug is
 * and which invariant ought to see it, then a unified diff from the root of the project.
 */
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export interface Mutant {
  /** As in the file's name, without number and ending. */
  readonly name: string
  /** The bug, in one sentence. */
  readonly sentence: string
  /** The invariant that ought to see it. */
  readonly seenBy: string
  readonly patchPath: string
}

const folder = fileURLToPath(new URL(".", import.meta.url))
const firstLine = /^# (.+\.) Ought to be seen by ([A-Z]\d+)\.$/

const mutantOf = (file: string): Mutant => {
  const patchPath = `${folder}${file}`
  const name = /^\d\d-([a-z0-9-]+)\.patch$/.exec(file)?.[1]
  const line = readFileSync(patchPath, "utf8").split("\n", 1)[0]!
  const [, sentence, seenBy] = firstLine.exec(line) ?? []
  if (name === undefined || sentence === undefined || seenBy === undefined) {
    throw new Error(`${file}: not NN-name.patch, or its first line is not "${firstLine.source}"`)
  }
  return { name, sentence, seenBy, patchPath }
}

/** All mutants, in the order of their numbers. Throws when a file is not as it must be. */
export const mutants = (): ReadonlyArray<Mutant> =>
  readdirSync(folder).filter((file) => file.endsWith(".patch")).toSorted().map(mutantOf)
