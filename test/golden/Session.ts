/** Reads the recorded command-line sessions (`cli/README.md` explains them). */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export const cliFolder = join(dirname(fileURLToPath(import.meta.url)), "cli")

export type Node = "A" | "B"

export interface CommandEvent {
  readonly type: "conntrackd"
  readonly node: Node
  readonly argv: ReadonlyArray<string>
  readonly exit: number | string
  readonly stdout: string
  readonly stderr: string
  readonly stdout_pattern?: string
  readonly stderr_pattern?: string
  readonly note?: string
  readonly isolated_defaults?: boolean
  readonly kept_running?: string
}

export interface ShellEvent {
  readonly type: "shell"
  readonly node: Node
  readonly command: string
  readonly stdout?: string
  readonly stderr?: string
  readonly stdout_pattern?: string
  readonly stderr_pattern?: string
}

export type SessionEvent =
  | CommandEvent
  | ShellEvent
  | {
    readonly type: "config"
    readonly node: Node
    readonly file: string
    readonly text: string
  }
  | {
    readonly type: "log"
    readonly node: Node
    readonly file: string
    readonly new_text: string
    readonly new_text_pattern?: string
  }
  | {
    readonly type: "raw"
    readonly node: Node
    readonly note: string
    readonly hex?: string
    readonly result?: ReadonlyArray<string>
  }
  | { readonly type: "files"; readonly list: ReadonlyArray<string> }
  | { readonly type: "wait"; readonly seconds: number }
  | { readonly type: "note"; readonly text: string }

export interface Session {
  readonly situation: string
  readonly description: string
  readonly version: string
  readonly events: ReadonlyArray<SessionEvent>
}

/** The session whose file name starts with `number`, as "03". */
export const readSession = (number: string): Session => {
  const file = readdirSync(cliFolder).find((name) => name.startsWith(`${number}-`))
  if (file === undefined) throw new Error(`no recorded session ${number}`)
  return JSON.parse(readFileSync(join(cliFolder, file), "utf8")) as Session
}

export const recordedUsage = (): string => readFileSync(join(cliFolder, "usage.txt"), "utf8")

/** The commands of a session, in order. */
export const commandsOf = (session: Session): ReadonlyArray<CommandEvent> =>
  session.events.filter((event) => event.type === "conntrackd")
