/** Real connections: starts both ends, a process each, and knows what they report. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { DemoFailed, startIn } from "./Command.ts"
import type { Command, Report } from "./Endpoint.ts"
import { kinds } from "./Kinds.ts"
import type { Traffic } from "./Stage.ts"
import type { Topology } from "./Topology.ts"
import { waitUntil } from "./Waiting.ts"

const endpoint = fileURLToPath(new URL("./Endpoint.ts", import.meta.url))

/** One of the two processes, with what it has reported. */
interface End {
  readonly process: ChildProcess
  readonly send: (command: Command) => void
  readonly opened: Set<number>
  readonly alive: Set<number>
  readonly ended: Map<number, string>
  listening: boolean
  silenceMs: number
}

const startEnd = (namespace: string): Effect.Effect<End, never, Scope.Scope> =>
  Effect.map(
    startIn(namespace, process.execPath, [endpoint], ["pipe", "pipe", "inherit"]),
    (child) => {
      const end: End = {
        process: child,
        send: (command) => child.stdin!.write(JSON.stringify(command) + "\n"),
        opened: new Set(),
        alive: new Set(),
        ended: new Map(),
        listening: false,
        silenceMs: 0
      }
      child.stdin!.on("error", () => {})
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const report = JSON.parse(line) as Report
        if (report.listening === true) end.listening = true
        for (const id of report.opened ?? []) end.opened.add(id)
        for (const id of report.alive ?? []) end.alive.add(id)
        end.silenceMs = report.silenceMs ?? end.silenceMs
        for (const [id, why] of report.ended ?? []) end.ended.set(id, why)
      })
      return end
    }
  )

export class EndpointTraffic implements Traffic {
  readonly #client: End
  readonly #server: End
  /** Kind of each connection, by its number. */
  readonly #kinds: Array<number> = []

  constructor(client: End, server: End) {
    this.#client = client
    this.#server = server
  }

  open(counts: ReadonlyArray<number>): void {
    counts.forEach((count, index) => {
      const { address, port } = kinds[index]!
      this.#client.send({ do: "open", address, port, first: this.#kinds.length, count })
      for (let i = 0; i < count; i++) this.#kinds.push(index)
    })
  }

  get opened(): number {
    return this.#count(({ opened }) => opened)
  }

  watch(): void {
    for (const end of [this.#client, this.#server]) end.send({ do: "watch" })
  }

  get silenceMs(): number {
    return Math.max(this.#client.silenceMs, this.#server.silenceMs)
  }

  probe(): void {
    for (const end of [this.#client, this.#server]) {
      end.alive.clear()
      end.send({ do: "probe" })
    }
  }

  get alive(): number {
    return this.#count(({ alive }) => alive)
  }

  aliveByKind(): ReadonlyArray<number> {
    const counts = kinds.map(() => 0)
    this.#kinds.forEach((kind, id) => {
      if (this.#client.alive.has(id) && this.#server.alive.has(id)) counts[kind]! += 1
    })
    return counts
  }

  reasons(): ReadonlyArray<string> {
    const counts = new Map<string, number>()
    for (const [id, why] of [...this.#client.ended, ...this.#server.ended]) {
      const line = `${kinds[this.#kinds[id] ?? -1]?.name ?? "unknown"}: ${why}`
      counts.set(line, (counts.get(line) ?? 0) + 1)
    }
    return [...counts].map(([line, count]) => `${count} × ${line}`)
  }

  #count(set: (end: End) => ReadonlySet<number>): number {
    let count = 0
    for (const id of set(this.#client)) if (set(this.#server).has(id)) count += 1
    return count
  }
}

/** Starts both ends; they go with the scope. */
export const startTraffic = (
  topology: Topology
): Effect.Effect<Traffic, DemoFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* startEnd(topology.server)
    const client = yield* startEnd(topology.client)
    server.send({ do: "listen", ports: kinds.map((kind) => kind.port) })
    const isUp = yield* waitUntil(() => server.listening, 10_000)
    if (!isUp) return yield* new DemoFailed({ message: "the server does not listen" })
    return new EndpointTraffic(client, server)
  })
