/**
 * The command line of `conntrackd`.
 *
 * Arguments are read from left to right. An option is a `-` and one letter; what follows the letter
 * is ignored (`-kill` is `-k`), since scripts have relied on that for years. The last request wins.
 *
 * Two things differ from upstream 1.4.7 on purpose: a word without `-` is never an option
 * (`conntrackd status` must not schedule a purge), and errors end with exit status 1, as in 1.4.9.
 *
 * Source: specification, "Command line, life cycle …", sections 2.1 to 2.6.
 */
import { Request } from "./Request.ts"

export const defaultConfigFile = "/etc/conntrackd/conntrackd.conf"

/** Written to standard error before anything else is done. */
export interface ArgumentMessage {
  readonly level: "warning" | "error"
  readonly text: string
}

interface Said {
  readonly messages: ReadonlyArray<ArgumentMessage>
}

/** What a command line asks for. */
export type Invocation =
  & Said
  & (
    | { readonly role: "daemon"; readonly detach: boolean; readonly configFile: string }
    | { readonly role: "client"; readonly request: Request; readonly configFile: string }
    /** Print the usage text; exit status 0. */
    | { readonly role: "usage" }
    /** Print the version text; exit status 0. */
    | { readonly role: "version" }
    /** The last of `messages` says what is wrong; exit status 1. */
    | { readonly role: "error"; readonly printUsage: boolean }
  )

type Choice = readonly [word: string, request: Request]

/** Words after an option, in the order in which prefixes are tried; `otherwise` without a word. */
interface RequestOption {
  readonly choices: ReadonlyArray<Choice>
  readonly otherwise: Request
  /** Another word is an error; if not, it is read as the next argument. */
  readonly strict: boolean
}

const plain = (otherwise: Request): RequestOption => ({ choices: [], otherwise, strict: false })

const ctOrExpect = (ct: Request, expect: Request, otherwise: Request): RequestOption => ({
  choices: [["ct", ct], ["expect", expect]],
  otherwise,
  strict: false
})

const requestOptions = new Map<string, RequestOption>([
  ["i", ctOrExpect(Request.dumpInternal, Request.dumpInternalExpectations, Request.dumpInternal)],
  ["e", ctOrExpect(Request.dumpExternal, Request.dumpExternalExpectations, Request.dumpExternal)],
  ["c", ctOrExpect(Request.commitFlows, Request.commitExpectations, Request.commit)],
  [
    "F",
    ctOrExpect(Request.flushKernelFlows, Request.flushKernelExpectations, Request.flushKernel)
  ],
  [
    "R",
    ctOrExpect(Request.resyncKernelFlows, Request.resyncKernelExpectations, Request.resyncKernel)
  ],
  ["f", {
    choices: [["internal", Request.flushInternal], ["external", Request.flushExternal]],
    otherwise: Request.flushCaches,
    strict: true
  }],
  ["s", {
    choices: [
      ["network", Request.statsNetwork],
      ["cache", Request.statsCache],
      ["runtime", Request.statsRuntime],
      ["multicast", Request.statsLink],
      ["link", Request.statsLink],
      ["rsqueue", Request.statsResendQueue],
      ["process", Request.statsProcess],
      ["queue", Request.statsQueue],
      ["ct", Request.stats],
      ["expect", Request.statsExpect]
    ],
    otherwise: Request.stats,
    strict: true
  }],
  ["B", plain(Request.sendBulk)],
  ["n", plain(Request.requestResync)],
  ["t", plain(Request.purge)],
  ["k", plain(Request.kill)]
])

const xmlOf = new Map<Request, Request>([
  [Request.dumpInternal, Request.dumpInternalXml],
  [Request.dumpExternal, Request.dumpExternalXml],
  [Request.dumpInternalExpectations, Request.dumpInternalExpectationsXml],
  [Request.dumpExternalExpectations, Request.dumpExternalExpectationsXml]
])

/** Reads the arguments after the program's name. */
export const parseArguments = (argv: ReadonlyArray<string>): Invocation => {
  const messages: Array<ArgumentMessage> = []
  const fail = (text: string, printUsage: boolean): Invocation => {
    messages.push({ level: "error", text })
    return { role: "error", printUsage, messages }
  }
  let detach = false
  let request: Request | undefined
  let configFile = defaultConfigFile

  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!
    const letter = argument.startsWith("-") ? argument.charAt(1) : ""
    const option = requestOptions.get(letter)
    if (option !== undefined) {
      if (detach) return fail("Invalid parameters", true)
      const word = argv[i + 1]
      request = option.otherwise
      if (word === undefined || word.startsWith("-") || option.choices.length === 0) continue
      const choice = option.choices.find(([name]) => name.startsWith(word))
      if (choice !== undefined) {
        request = choice[1]
        i++
        if (choice[0] === "multicast") {
          messages.push({
            level: "warning",
            text: "use `link' instead of `multicast' as parameter."
          })
        }
      } else if (option.strict) {
        return fail(`unknown parameter \`${word}' for option \`-${letter}'`, false)
      }
      continue
    }
    switch (letter) {
      case "d":
        if (request !== undefined) return fail("Invalid parameters", true)
        detach = true
        break
      case "C": {
        const file = argv[++i]
        if (file === undefined) return fail("Missing config filename", true)
        configFile = file
        break
      }
      case "x": {
        const xml = request === undefined ? undefined : xmlOf.get(request)
        if (xml === undefined) return fail("Invalid parameters", true)
        request = xml
        break
      }
      case "h":
        return { role: "usage", messages }
      case "v":
        return { role: "version", messages }
      default:
        return fail(`Unknown option: ${argument}`, true)
    }
  }
  return request === undefined
    ? { role: "daemon", detach, configFile, messages }
    : { role: "client", request, configFile, messages }
}
