/**
 * Two firewalls in network namespaces, joined by a dedicated link, each with a conntrackd: ours or
 * the one that is installed (the reference).
 *
 *     A ══ sync ══ B
 *
 * Link traffic is not tracked. The rules keep connection tracking, labels and the ftp helper in
 * use, so that entries can be made through ctnetlink as traffic would make them.
 *
 * Source: specification, "Configuration"; nft(8).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import {
  type CommandFailed,
  eventually,
  hasEnded,
  ip,
  kill,
  namespace,
  runIn,
  startIn
} from "./Namespace.ts"

export type Binary = "ours" | "C"
export type Family = 4 | 6

/** Who sends, who receives, and the family of the link: every case that interoperation has. */
export const combinations: ReadonlyArray<
  { readonly a: Binary; readonly b: Binary; readonly family: Family }
> = ([4, 6] as const).flatMap((family) =>
  [
    { a: "ours", b: "ours", family },
    { a: "ours", b: "C", family },
    { a: "C", b: "ours", family }
  ] as const
)

export const referencePath = "/usr/sbin/conntrackd"

const ourPath = fileURLToPath(new URL("../../src/programs/conntrackd.ts", import.meta.url))

/** The words that start a conntrackd, as daemon or as client. */
export const wordsOf = (binary: Binary): ReadonlyArray<string> =>
  binary === "C" ? [referencePath] : [process.execPath, ourPath]

export interface PairOptions {
  /** Address family of the link. */
  readonly family: Family
  readonly windowTracking?: boolean
  /** Clauses added to the Mode block, of both nodes or of each. */
  readonly mode?: string | { readonly A: string; readonly B: string }
  /** Clauses of the General block that stand for the sizes of the netlink buffers. */
  readonly netlink?: string
}

/** Room for every event of a burst, so that a busy machine does not decide a test. */
const roomyNetlink = "NetlinkBufferSize 67108864\n  NetlinkBufferSizeMaxGrowth 67108864"

const addresses = {
  4: { A: "10.77.0.1", B: "10.77.0.2", prefix: 24 },
  6: { A: "fd77::1", B: "fd77::2", prefix: 64 }
} as const

const configuration = (directory: string, name: "A" | "B", options: PairOptions): string => {
  const own = addresses[options.family][name]
  const peer = addresses[options.family][name === "A" ? "B" : "A"]
  return `
Sync {
  Mode FTFW {
    ${typeof options.mode === "object" ? options.mode[name] : options.mode ?? ""}
  }
  UDP {
    IPv${options.family}_address ${own}
    IPv${options.family}_Destination_Address ${peer}
    Port 3780
    Interface sync
    SndSocketBuffer 8388608
    RcvSocketBuffer 8388608
    Checksum on
  }
  Options {
    TCPWindowTracking ${options.windowTracking === true ? "on" : "off"}
  }
}
General {
  HashSize 32768
  HashLimit 131072
  LogFile ${join(directory, `${name}.log`)}
  LockFile ${join(directory, `${name}.lock`)}
  UNIX {
    Path ${join(directory, `${name}.ctl`)}
  }
  ${options.netlink ?? roomyNetlink}
}
`
}

const rules = `
table inet base {
  ct helper ftpstd { type "ftp" protocol tcp; l3proto ip; }
  chain untracked-out { type filter hook output priority raw; oifname "sync" notrack; }
  chain untracked-in { type filter hook prerouting priority raw; iifname "sync" notrack; }
  chain output {
    type filter hook output priority 0;
    tcp dport 21 ct helper set "ftpstd"; ct mark 0x7fffffff ct label set 1; ct state new accept;
  }
}
`

/** Drops `percent` of the datagrams of the link before the receiver's sockets see them. */
const lossRules = (percent: number): string => `
table inet loss {
  counter dropped { }
  chain in {
    type filter hook prerouting priority raw - 10;
    iifname "sync" udp dport 3780 ${
  percent === 100 ? "" : `numgen random mod 100 < ${percent} `
}counter name dropped drop
  }
}
`

const startSeconds = 15

/** One firewall: its namespace and its conntrackd. */
export class Node {
  readonly name: "A" | "B"
  readonly namespace: string
  readonly binary: Binary
  /** Of the link. */
  readonly family: Family
  readonly directory: string
  readonly configFile: string
  #child: ChildProcess | undefined

  constructor(
    name: "A" | "B",
    namespace: string,
    binary: Binary,
    family: Family,
    directory: string
  ) {
    this.name = name
    this.namespace = namespace
    this.binary = binary
    this.family = family
    this.directory = directory
    this.configFile = join(directory, `${name}.conf`)
  }

  /** The link gets its address; IPv6 addresses go when a link goes down. */
  giveAddress(): Effect.Effect<void, CommandFailed> {
    const { [this.name]: address, prefix } = addresses[this.family]
    const noDad = this.family === 6 ? " nodad" : ""
    return Effect.asVoid(
      ip(this.namespace, [`addr replace ${address}/${prefix} dev sync${noDad}`])
    )
  }

  /** Starts the daemon in console mode and waits until it answers. */
  start(): Effect.Effect<void, CommandFailed, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const console = openSync(join(this.directory, `${this.name}.console`), "a")
      const words = [...wordsOf(this.binary), "-C", this.configFile]
      this.#child = yield* startIn(this.namespace, words, console)
      if (this.binary === "ours") yield* Effect.addFinalizer(() => this.#checkCalm)
      const answers = Effect.gen({ self: this }, function*() {
        if (hasEnded(this.#child!)) {
          return yield* Effect.die(new Error(`${this.name} ended at its start:\n${this.log()}`))
        }
        const asked = yield* Effect.result(this.poll("-s"))
        return asked._tag === "Success"
      })
      const complaint = Effect.sync(() => `${this.name} answers\n${this.log()}`)
      yield* eventually(complaint, startSeconds, answers)
    })
  }

  /** Our daemon complains of a dead link, never of itself: neither in its log nor through Node. */
  get #checkCalm(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const complaints = this.log().split("\n").filter((line) =>
        /Warning: |Error: |\[ERROR\] (?!no dedicated links available!)/.test(line)
      )
      if (complaints.length === 0) return Effect.void
      return Effect.die(new Error(`${this.name} complained:\n${complaints.join("\n")}`))
    })
  }

  /** Kills the daemon; what only C needs before it starts again is done too. */
  kill(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (this.#child !== undefined) yield* kill(this.#child)
      if (this.binary === "C") rmSync(join(this.directory, `${this.name}.lock`), { force: true })
    })
  }

  get hasEnded(): boolean {
    return this.#child === undefined || hasEnded(this.#child)
  }

  /** Sends one request with the client of the daemon's kind, or of the other; its answer. */
  request(
    words: string,
    client: Binary = this.binary
  ): Effect.Effect<string, CommandFailed> {
    const request = words.split(" ")
    return runIn(this.namespace, [...wordsOf(client), "-C", this.configFile, ...request])
  }

  /** The same for requests that are repeated while one waits: the reference's client is light. */
  poll(words: string): Effect.Effect<string, CommandFailed> {
    return this.request(words, "C")
  }

  /** Entries in the internal and external cache, by the statistics. */
  counts(): Effect.Effect<{ readonly internal: number; readonly external: number }, CommandFailed> {
    return Effect.map(this.poll("-s"), (text) => ({
      internal: numberAfter(text, /cache internal:\s+current active connections:\s+(\d+)/),
      external: numberAfter(text, /cache external:\s+current active connections:\s+(\d+)/)
    }))
  }

  /** Entries in the kernel's table. */
  kernelCount(): Effect.Effect<number, CommandFailed> {
    const file = "/proc/sys/net/netfilter/nf_conntrack_count"
    return Effect.map(runIn(this.namespace, ["cat", file]), Number)
  }

  /** Loses `percent` of what the peer sends, from now on; none when 0. */
  lose(percent: number): Effect.Effect<void, CommandFailed> {
    const table = percent > 0 ? lossRules(percent) : "delete table inet loss\n"
    return Effect.asVoid(runIn(this.namespace, ["nft", "-f", "-"], table))
  }

  /** How many datagrams were lost on purpose. */
  lost(): Effect.Effect<number, CommandFailed> {
    const words = ["nft", "list", "counter", "inet", "loss", "dropped"]
    return Effect.map(
      runIn(this.namespace, words),
      (text) => numberAfter(text, /packets (\d+)/)
    )
  }

  /** All that helps to see why a node does not do what it should. */
  report(): Effect.Effect<string, CommandFailed> {
    return Effect.gen({ self: this }, function*() {
      const texts = [`--- ${this.name}, ${this.binary}\n${this.log()}`]
      if (this.hasEnded) return `${texts[0]}(it has ended)\n`
      for (const topic of ["", " network", " cache", " runtime", " queue", " link"]) {
        texts.push(yield* this.request(`-s${topic}`))
      }
      const link = "ip -s link show dev sync; grep -i 'reasm\\|udp6\\|frag' /proc/net/snmp6; " +
        "grep -i 'udp' /proc/net/snmp"
      texts.push(yield* runIn(this.namespace, ["sh", "-c", link]))
      return texts.join("\n")
    })
  }

  /** What the daemon has to say for itself. */
  log(): string {
    const read = (kind: string) => {
      const path = join(this.directory, `${this.name}.${kind}`)
      return existsSync(path) ? readFileSync(path, "utf8") : ""
    }
    return read("log") + read("console")
  }
}

/** The number that the pattern finds; fails the test when there is none. */
export const numberAfter = (text: string, pattern: RegExp): number => {
  const found = pattern.exec(text)
  if (found === null) throw new Error(`${pattern} not in:\n${text}`)
  return Number(found[1])
}

export interface Pair {
  readonly a: Node
  readonly b: Node
}

/** What both nodes report, after what they did not do. */
export const reportOf = (
  { a, b }: Pair,
  what: () => string
): Effect.Effect<string, CommandFailed> =>
  Effect.map(
    Effect.all([a.report(), b.report()]),
    (reports) => [what(), ...reports].join("\n")
  )

/** Starts both daemons and waits until each has heard the other. */
export const startBoth = (
  nodes: Pair
): Effect.Effect<void, CommandFailed, Scope.Scope> =>
  Effect.gen(function*() {
    yield* nodes.a.start()
    yield* nodes.b.start()
    yield* heardBoth(nodes)
  })

/**
 * Waits until each node has heard the other. What the reference sends before that may be lost for
 * good: a receiver cannot miss what came before the first message that it sees.
 */
export const heardBoth = (nodes: Pair): Effect.Effect<void, CommandFailed> => {
  const hears = (node: Node) =>
    Effect.map(node.poll("-s"), (text) => numberAfter(text, /(\d+) Pckts recv/) > 0)
  return eventually(
    reportOf(nodes, () => "each hears the other"),
    startSeconds,
    Effect.map(Effect.all([hears(nodes.a), hears(nodes.b)]), (all) => all.every(Boolean))
  )
}

/** Builds both firewalls; nothing is started. All is gone when the scope closes. */
export const pair = (
  a: Binary,
  b: Binary,
  options: PairOptions
): Effect.Effect<Pair, CommandFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const spaces = { A: yield* namespace("a"), B: yield* namespace("b") }
    const { A, B } = spaces
    yield* ip(undefined, [`link add name sync netns ${A} type veth peer name sync netns ${B}`])
    for (const name of ["A", "B"] as const) {
      yield* ip(spaces[name], ["link set lo up", "link set dev sync up"])
      yield* runIn(spaces[name], ["nft", "-f", "-"], rules)
    }
    // The link carries nothing until both ends are up.
    yield* eventually("the link is up", 5, Effect.map(ip(A, ["link show dev sync"]), isUp))
    return yield* nodesIn(spaces, a, b, options)
  })

const isUp = (text: string): boolean => text.includes("state UP")

/** The nodes of two namespaces that are joined by a link of that name; it gets its addresses. */
export const nodesIn = (
  spaces: { readonly A: string; readonly B: string },
  a: Binary,
  b: Binary,
  options: PairOptions
): Effect.Effect<Pair, CommandFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "ctd-pair-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const nodes = {
      a: new Node("A", spaces.A, a, options.family, directory),
      b: new Node("B", spaces.B, b, options.family, directory)
    }
    for (const node of [nodes.a, nodes.b]) {
      yield* node.giveAddress()
      writeFileSync(node.configFile, configuration(directory, node.name, options))
    }
    return nodes
  })
