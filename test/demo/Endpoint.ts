/**
 * One end of all the connections: runs inside the client's or the server's namespace.
 *
 * On every connection both ends ask numbered questions (`? 17`) all the time and answer those of
 * the other end (`! 17`). Answers must come in order, so bytes that got lost, doubled or mixed up
 * are noticed. A connection is alive after a probe when a question that was asked later than the
 * probe has been answered. Nothing ever connects again.
 *
 * Commands come as JSON lines on standard input, reports go as JSON lines to standard output. The
 * program ends with its standard input.
 */
import { connect, createServer, type Socket } from "node:net"
import { createInterface } from "node:readline"
import { askEveryMs, openDelayMs, turns } from "./Pace.ts"

export type Command =
  | { readonly do: "listen"; readonly ports: ReadonlyArray<number> }
  | {
    readonly do: "open"
    readonly address: string
    readonly port: number
    /** Connections to open, numbered from `first` on. */
    readonly first: number
    readonly count: number
  }
  | { readonly do: "watch" }
  | { readonly do: "probe" }

export interface Report {
  /** All ports are open. */
  readonly listening?: boolean
  /** Connections that have carried their first data there and back. */
  readonly opened?: ReadonlyArray<number>
  /** Connections that have answered a question asked after the last probe. */
  readonly alive?: ReadonlyArray<number>
  /** Longest time since the last `watch` in which one of the living had heard nothing. */
  readonly silenceMs?: number
  /** Connections that ended, each with its reason. */
  readonly ended?: ReadonlyArray<readonly [id: number, why: string]>
}

interface Connection {
  readonly socket: Socket
  id: number
  received: string
  asked: number
  answered: number
  /** An answer from this number on shows that the connection is alive. */
  fresh: number
  heardAtMs: number
  silenceMs: number
}

const reportEveryMs = 40
/** Makes a question as long as a small request. */
const padding = "x".repeat(200)

const connections = new Set<Connection>()
let opened: Array<number> = []
let alive: Array<number> = []
let ended: Array<readonly [number, string]> = []
let silenceMs = 0

const say = (report: Report): void => {
  process.stdout.write(JSON.stringify(report) + "\n")
}

const ask = (connection: Connection): void => {
  connection.asked += 1
  connection.socket.write(`? ${connection.asked} ${padding}\n`)
}

const end = (connection: Connection, why: string): void => {
  if (!connections.delete(connection)) return
  connection.socket.destroy()
  ended.push([connection.id, why])
}

const handleAnswer = (connection: Connection, number: number): void => {
  if (number !== connection.answered + 1) {
    return end(connection, `answer ${number} after ${connection.answered}`)
  }
  connection.answered = number
  if (number === 1) opened.push(connection.id)
  if (number >= connection.fresh) {
    alive.push(connection.id)
    silenceMs = Math.max(silenceMs, connection.silenceMs)
    connection.fresh = Infinity
  }
}

const handleLine = (connection: Connection, line: string): void => {
  const [kind, word] = line.split(" ")
  const number = Number(word)
  switch (kind) {
    case "hello":
      connection.id = number
      return ask(connection)
    case "?":
      connection.socket.write(`! ${number}\n`)
      return
    case "!":
      return handleAnswer(connection, number)
    default:
      return end(connection, "received something else")
  }
}

const handleConnection = (socket: Socket, id: number): Connection => {
  const connection = {
    socket,
    id,
    received: "",
    asked: 0,
    answered: 0,
    fresh: Infinity,
    heardAtMs: performance.now(),
    silenceMs: 0
  }
  connections.add(connection)
  socket.setNoDelay(true)
  socket.setEncoding("latin1")
  socket.on("data", (text: string) => {
    const nowMs = performance.now()
    connection.silenceMs = Math.max(connection.silenceMs, nowMs - connection.heardAtMs)
    connection.heardAtMs = nowMs
    const lines = (connection.received + text).split("\n")
    connection.received = lines.pop()!
    for (const line of lines) handleLine(connection, line)
  })
  socket.on("error", (error) => end(connection, error.message))
  socket.on("close", () => end(connection, "closed by the other end"))
  return connection
}

const openOne = (address: string, port: number, id: number): void => {
  const connection = handleConnection(connect(port, address), id)
  connection.socket.once("connect", () => {
    connection.socket.write(`hello ${id}\n`)
    ask(connection)
  })
}

const open = (address: string, port: number, first: number, count: number): void => {
  for (let i = 0; i < count; i++) {
    setTimeout(openOne, openDelayMs(i, count), address, port, first + i)
  }
}

const listen = async (ports: ReadonlyArray<number>): Promise<void> => {
  for (const port of ports) {
    const server = createServer((socket) => handleConnection(socket, -1))
    server.listen({ port, host: "::", backlog: 1024 })
    await new Promise<void>((resolve) => server.once("listening", () => resolve()))
  }
  say({ listening: true })
}

const watch = (): void => {
  silenceMs = 0
  for (const connection of connections) {
    connection.heardAtMs = performance.now()
    connection.silenceMs = 0
  }
}

const probe = (): void => {
  for (const connection of connections) {
    connection.fresh = connection.asked + 1
    ask(connection)
  }
}

const handleCommand = (command: Command): void => {
  switch (command.do) {
    case "listen":
      return void listen(command.ports)
    case "open":
      return open(command.address, command.port, command.first, command.count)
    case "watch":
      return watch()
    case "probe":
      return probe()
  }
}

/** Asks on a share of the connections, so that the traffic is even. */
let turn = 0
const askSome = (): void => {
  turn = (turn + 1) % turns
  for (const connection of connections) {
    if (connection.answered > 0 && connection.id % turns === turn) ask(connection)
  }
}

const reportNews = (): void => {
  if (opened.length + alive.length + ended.length === 0) return
  say({ opened, alive, ended, silenceMs })
  opened = []
  alive = []
  ended = []
}

/** True when this file is the program, not a module that is asked for its types. */
if (process.argv[1] === import.meta.filename) {
  setInterval(askSome, askEveryMs / turns)
  setInterval(reportNews, reportEveryMs)
  createInterface({ input: process.stdin })
    .on("line", (line) => handleCommand(JSON.parse(line) as Command))
    .on("close", () => process.exit(0))
}
