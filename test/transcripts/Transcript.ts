/**
 * Protocol conversations as text: commands, a line `----`, and what came of them. A file is a list
 * of such blocks, separated by empty lines; `#` begins a comment. `UPDATE=1` rewrites the answers,
 * which are then reviewed like code.
 *
 * ```text
 * pair window=5 resend=100 first=100    two new nodes, x and y; y's first number is 7 higher
 * x open 1 | update 1 | close 1         flow 1 of x changes
 * x send                                x says what it has to say; it is on the wire now
 * deliver x [n]                         the oldest n packets of x arrive (all, without n)
 * lose x [n] | repeat x | swap x        the oldest n are lost; it comes twice; the first two swap
 * wait 1000                             milliseconds pass, alarms ring and are sent
 * heal 5                                seconds pass in which everything arrives; prints the end
 * x restart 500                         x starts again; its first number is 500
 * x resync                              x asks for everything
 * x state                               counters, queues, and what x's peer knows
 * ```
 */
import { Change, Entity, Verdict } from "../../src/core/protocol/SyncProtocol.ts"
import { Flag, rangeFlags } from "../../src/core/wire/MessageHeader.ts"
import type { Packet, PairNode, Side } from "../model/FtfwPair.ts"
import { Pair } from "../model/FtfwPair.ts"

const nameOf = (table: Record<string, number>, value: number): string =>
  Object.keys(table).find((name) => table[name] === value) ?? String(value)

const describePacket = ({ change, header, key, version }: Packet): string => {
  const flags = Object.entries(Flag).flatMap(([name, bit]) =>
    (header.flags & bit) !== 0 ? name : []
  )
  const content = header.type === 10
    ? (header.flags & rangeFlags) === 0 ? [] : [`${header.ackFrom}-${header.ackTo}`]
    : [nameOf(Change, change), `flow ${key}`, `v${version}`]
  return [header.seq, ...flags, ...content].join(" ")
}

export class Transcript {
  #pair = new Pair({ ackWindowSize: 300, resendQueueSize: 1000, firstSeq: 100 })
  #lines: Array<string> = []

  /** The file with the answers that its commands have now. */
  static play(text: string): string {
    const transcript = new Transcript()
    const blocks = text.trimEnd().split(/\n\n+/).map((block) => {
      const commands = block.split("\n----")[0]!
      const answer = transcript.#play(commands.split("\n"))
      return commands.split("\n").every((line) => line.startsWith("#"))
        ? commands
        : [commands, "----", ...answer].join("\n")
    })
    return blocks.join("\n\n") + "\n"
  }

  #play(commands: ReadonlyArray<string>): ReadonlyArray<string> {
    this.#lines = []
    for (const line of commands) {
      const words = line.replace(/#.*/, "").trim().split(/\s+/)
      if (words[0] !== "") this.#command(words[0]!, words.slice(1), line)
    }
    return this.#lines
  }

  #command(verb: string, words: ReadonlyArray<string>, line: string): void {
    const pair = this.#pair
    if (verb === "x" || verb === "y") return this.#node(pair.node(verb), words, line)
    if (verb === "pair") return this.#start(words)
    if (verb === "wait") return pair.advance(Number(words[0]))
    if (verb === "heal") {
      pair.heal(Number(words[0]))
      this.#lines.push(pair.disagreement() ?? "the nodes agree")
      return
    }
    const node = pair.node(words[0] as Side)
    const { wire } = node
    const count = words[1] === undefined ? wire.length : Number(words[1])
    if (verb === "deliver") { for (let i = 0; i < count; i++) pair.deliver(node) }
    else if (verb === "lose") wire.splice(0, words[1] === undefined ? 1 : count)
    else if (verb === "repeat") wire.unshift(wire[0]!)
    else if (verb === "swap") wire.splice(0, 2, wire[1]!, wire[0]!)
    else throw new Error(`what does this mean? ${line}`)
  }

  #start(words: ReadonlyArray<string>): void {
    const settings = new Map(words.map((word) => word.split("=") as [string, string]))
    const number = (name: string, value: number) => Number(settings.get(name) ?? value)
    this.#pair = new Pair({
      ackWindowSize: number("window", 300),
      resendQueueSize: number("resend", 1000),
      firstSeq: number("first", 100)
    })
    this.#pair.onSend = ({ name }, packet) => {
      this.#lines.push(`${name} says ${describePacket(packet)}`)
    }
    this.#pair.onReceive = ({ name }, { header }, verdict) => {
      this.#lines.push(`${name} hears ${header.seq}: ${nameOf(Verdict, verdict)}`)
    }
  }

  #node(node: PairNode, [verb, argument]: ReadonlyArray<string>, line: string): void {
    const pair = this.#pair
    const number = Number(argument)
    if (verb === "open") pair.open(node, number)
    else if (verb === "update") pair.update(node, number)
    else if (verb === "close") pair.close(node, number)
    else if (verb === "send") pair.send(node)
    else if (verb === "resync") node.machine.requestResync()
    else if (verb === "restart") pair.restart(node, number)
    else if (verb === "state") this.#state(node)
    else throw new Error(`what does this mean? ${line}`)
  }

  #state(node: PairNode): void {
    const { counters, helloState, txLength } = node.machine
    const resend = Array.from(
      node.machine.resendEntries(),
      ({ flags, kind, seq }) =>
        kind === Entity.control ? `control ${seq}/${flags}` : `object ${seq}`
    )
    const known = Array.from(this.#pair.peerOf(node).external, ([key, v]) => `${key}:v${v}`).sort()
    this.#lines.push(
      `${node.name} hello ${helloState}, lost ${counters.lost}, before ${counters.before}, ` +
        `dropped ${counters.resendQueueFull}`,
      `  tx ${txLength}, resend [${resend.join(", ")}]`,
      `  peer knows [${known.join(", ")}]`
    )
  }
}
