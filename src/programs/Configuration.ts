/**
 * Reads the configuration file from the disk of this machine. Every role of `conntrackd` does: the
 * client needs the path of the control socket.
 *
 * Source: specification, chapter "conntrackd.conf", section 1.
 */
import * as Result from "effect/Result"
import { existsSync, readFileSync } from "node:fs"
import { helperPolicies } from "../core/config/BuiltinHelpers.ts"
import { cannotOpen, type Diagnostic } from "../core/config/Diagnose.ts"
import { parse, type Parsed } from "../core/config/Grammar.ts"
import { parseProtocols, protocolNumber } from "../core/config/ProtocolNames.ts"
import type { ReaderEnvironment } from "../core/config/Reader.ts"

export type ConfigurationFailure =
  | { readonly reason: "invalid"; readonly diagnostics: ReadonlyArray<Diagnostic> }
  /**
   * The path names a directory: upstream's scanner gives up with a line and a status of its own.
   */
  | { readonly reason: "directory" }

/** Printed, without a prefix, when the file is a directory; the exit status is then 2. */
export const directoryText = "input in flex scanner failed\n"
export const directoryExitStatus = 2

/** The file's settings, or why there are none. */
export const readConfiguration = (
  path: string
): Result.Result<Parsed, ConfigurationFailure> => {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EISDIR"
      ? Result.fail({ reason: "directory" })
      : Result.fail({ reason: "invalid", diagnostics: [cannotOpen(path)] })
  }
  return Result.mapError(
    parse(bytes, makeEnvironment()),
    (diagnostics) => ({ reason: "invalid", diagnostics })
  )
}

/** What the reader may ask about this machine; `/etc/protocols` is read when first needed. */
export const makeEnvironment = (): ReaderEnvironment => {
  let protocols: ReadonlyMap<string, number> | undefined
  const readProtocols = (): ReadonlyMap<string, number> => {
    try {
      return parseProtocols(readFileSync("/etc/protocols", "utf8"))
    } catch {
      // A machine without the file: the built-in names answer.
      return new Map()
    }
  }
  return {
    interfaceExists: (name) =>
      name !== "." && name !== ".." && !name.includes("/") &&
      existsSync(`/sys/class/net/${name}`),
    protocolNumber: (name) => {
      protocols ??= readProtocols()
      return protocols.get(name) ?? (protocols.size === 0 ? protocolNumber(name) : undefined)
    },
    helperPolicies
  }
}
