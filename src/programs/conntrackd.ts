/**
 * The program `conntrackd`: daemon, client, usage or version, as the command line says.
 *
 * Client requests are answered here, with plain sockets. The daemon is another module, loaded only
 * when it is wanted (see `DaemonMain.ts`).
 *
 * Source: specification, "Command line, life cycle …", sections 1 and 2.
 *
 * @effect-diagnostics globalDate:off
 */
import * as Result from "effect/Result"
import { parseArguments } from "../core/control/ConntrackdArguments.ts"
import type { Request } from "../core/control/Request.ts"
import { formatLogLine, goesToStderr, type LogLevel } from "../core/text/LogLine.ts"
import { cannotConnect } from "../core/text/LogTexts.ts"
import { conntrackdUsage, conntrackdVersion } from "../core/text/Usage.ts"
import { directoryExitStatus, directoryText, readConfiguration } from "./Configuration.ts"
import { exchange } from "./ConntrackdClient.ts"
import type { DaemonModule } from "./DaemonMain.ts"
import { localTimeOf } from "./LocalTime.ts"

const say = (level: LogLevel, text: string): void => {
  const line = formatLogLine(localTimeOf(new Date()), process.pid, level, text)
  const stream = goesToStderr(level) ? process.stderr : process.stdout
  stream.write(line)
}

/** Exit status of a process that a closed pipe ends, as shells report it: 128 + SIGPIPE. */
const readerGoneStatus = 141

/**
 * Asks the daemon; the exit status. 0 means that the request was delivered, whatever came of it.
 */
const runClient = async (request: Request, configFile: string): Promise<number> => {
  const configuration = readConfiguration(configFile)
  if (Result.isFailure(configuration)) {
    const { failure } = configuration
    if (failure.reason === "directory") {
      process.stderr.write(directoryText)
      return directoryExitStatus
    }
    for (const { level, text } of failure.diagnostics) say(level, text)
    return 1
  }
  const { settings, warnings } = configuration.success
  for (const { level, text } of warnings) say(level, text)
  const outcome = await exchange(settings.general.socketPath, request, process.stdout)
  switch (outcome) {
    case "complete":
      return 0
    case "notConnected":
      say(cannotConnect.level, cannotConnect.text)
      return 1
    case "lost":
      say("error", "lost the connection before the reply was complete")
      return 1
    case "readerGone":
      return readerGoneStatus
  }
}

const run = async (argv: ReadonlyArray<string>): Promise<void> => {
  const invocation = parseArguments(argv)
  if (invocation.role === "error" && invocation.printUsage) process.stdout.write(conntrackdUsage)
  for (const { level, text } of invocation.messages) say(level, text)
  switch (invocation.role) {
    case "usage":
      process.stdout.write(conntrackdUsage)
      return
    case "version":
      process.stdout.write(conntrackdVersion)
      return
    case "error":
      process.exitCode = 1
      return
    case "client":
      process.exitCode = await runClient(invocation.request, invocation.configFile)
      return
    case "daemon": {
      const { configFile, detach } = invocation
      const daemon: DaemonModule = await import("./conntrackd-daemon.ts")
      return daemon.main({ configFile, detach })
    }
  }
}

void run(process.argv.slice(2))
