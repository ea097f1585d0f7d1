/**
 * The queues of sockets: how much they hold, what is said of an overrun, how long the datagrams of
 * a dump are, and who hears of what found no room.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 7.3, 7.4 and 8.
 */
import type { Bench } from "./Bench.ts"
import { attributesOf, nlmsgsIn } from "./NlmsgText.ts"
import { create, dump, Flag, flush, remove, request, Type, udp, update } from "./Requests.ts"
import type { KernelSocket, Statement } from "./Statement.ts"

const stating = (name: string, expected: string, run: (b: Bench) => string): Statement => ({
  name: `socket: ${name}`,
  setting: "plain",
  expected,
  run
})

const netlink = 270
const Option = { broadcastError: 4, noEnobufs: 5, capAck: 10 } as const
const [eagain, enobufs] = [11, 105]
const done = 3

const buffer = new Uint8Array(1 << 16)
const lengths = new Int32Array(1)

/** The next datagram, or the errno. */
const next = (socket: KernelSocket): Uint8Array | number => {
  const result = socket.receive(buffer, buffer.length, lengths, 1)
  return result < 0 ? -result : buffer.slice(0, lengths[0]!)
}

/** Everything that waits, ENOBUFS as "!". */
const drain = (
  socket: KernelSocket,
  describe: (datagram: Uint8Array) => string,
  countMax = 1_000
): string => {
  const out: Array<string> = []
  while (out.length < countMax) {
    const one = next(socket)
    if (one === eagain) break
    if (one === enobufs) out.push("!")
    else if (typeof one === "number") throw new Error(`receive: errno ${one}`)
    else out.push(describe(one))
  }
  return out.join(" ")
}

const lengthOf = (datagram: Uint8Array): string => String(datagram.length)
const portOf = (datagram: Uint8Array): string => String(new DataView(datagram.buffer).getUint16(60))
const flagsOf = (datagram: Uint8Array): string => nlmsgsIn(datagram)[0]!.flags.toString(16)

/** A listener with so much room, in bytes as the kernel accounts them. */
const listen = (
  b: Bench,
  groups: ReadonlyArray<number>,
  roomBytes: number,
  ...options: ReadonlyArray<number>
): KernelSocket => {
  const socket = b.listen(...groups)
  socket.setReceiveBuffer(roomBytes / 2)
  for (const option of options) socket.setOption(netlink, option, 1)
  return socket
}

const flows = (count: number, from = 1_001) =>
  Array.from({ length: count }, (_, i) => create(udp(from + i)))

const rooms: ReadonlyArray<Statement> = [[0, 1], [4_000, 3], [8_192, 6], [16_384, 12]]
  .map(([roomBytes, held]) =>
    stating(`${roomBytes} bytes hold ${held} events`, `! ${held} events, 20 in all`, (b) => {
      const socket = listen(b, [1], roomBytes!)
      b.do(...flows(20))
      const heard = drain(socket, () => "e").split(" ")
      const dropped = socket.dropped()
      const events = heard.filter((one) => one === "e").length
      return `${heard[0]} ${events} events, ${events + dropped} in all`
    })
  )

const overruns: ReadonlyArray<Statement> = [
  stating(
    "nothing is queued after an overrun before all has been read",
    "! 1001 1002 | 1003 | 1011",
    (b) => {
      const socket = listen(b, [1], 4_000)
      b.do(...flows(5))
      const first = drain(socket, portOf, 3)
      b.do(...flows(3, 1_006))
      const rest = drain(socket, portOf)
      b.do(...flows(1, 1_011))
      return [first, rest, drain(socket, portOf)].join(" | ")
    }
  ),
  stating("an overrun that is not told is told once", "! 1001 1002 1003 | ", (b) => {
    const socket = listen(b, [1], 4_000)
    b.do(...flows(5))
    b.do(...flows(5, 1_101))
    return [drain(socket, portOf), drain(socket, portOf)].join(" | ")
  }),
  stating(
    "who does not want to be told gets what fits again",
    "1001 1002 | 1003 1006 1007",
    (b) => {
      const socket = listen(b, [1], 4_000, Option.noEnobufs)
      b.do(...flows(5))
      const first = drain(socket, portOf, 2)
      b.do(...flows(3, 1_006))
      return [first, drain(socket, portOf)].join(" | ")
    }
  ),
  stating("each overrun is told", "! 1001 | ! 1003", (b) => {
    const socket = listen(b, [1], 0)
    b.do(...flows(2))
    const first = drain(socket, portOf)
    b.do(...flows(2, 1_003))
    return [first, drain(socket, portOf)].join(" | ")
  }),
  stating("answers that find no room are lost", "! 9 answers, 20 flows", (b) => {
    b.socket.setReceiveBuffer(4_096)
    b.send(...flows(20))
    const heard = drain(b.socket, () => "a").split(" ")
    b.socket.setReceiveBuffer(1 << 20)
    const made = b.dump(dump({ family: 2 })).entries.length
    return `${heard[0]} ${heard.length - 1} answers, ${made} flows`
  })
]

const manyFlows = 200

const dumps: ReadonlyArray<Statement> = [
  stating("a dump is as long as the buffers it is read into", "3648 32448 2304 20", (b) => {
    b.do(...flows(manyFlows))
    const socket = b.open()
    const bytes = dump({ family: 2 })
    socket.send(bytes, bytes.length)
    return drain(socket, lengthOf)
  }),
  stating("the second one begins with a long datagram", "32448 5952 20", (b) => {
    b.do(...flows(manyFlows))
    const socket = b.open()
    const bytes = dump({ family: 2 })
    socket.send(bytes, bytes.length)
    drain(socket, lengthOf)
    socket.send(bytes, bytes.length)
    return drain(socket, lengthOf)
  }),
  stating(
    "a dump that finds no room comes when all has been read; each try is told",
    "3840 20 | ! 184 184 184 184 184 184 ! 184 ! 184 ! 184 ! 184 ! 184 ! 184 7680 20",
    (b) => {
      b.do(...flows(20))
      const socket = listen(b, [1], 16_384)
      const bytes = dump({ family: 2 })
      // Now the kernel knows how large our buffers are.
      socket.send(bytes, bytes.length)
      drain(socket, lengthOf)
      socket.send(bytes, bytes.length)
      const first = drain(socket, lengthOf)
      b.do(...flows(20, 1_101))
      socket.send(bytes, bytes.length)
      return [first, drain(socket, lengthOf)].join(" | ")
    }
  )
]

/** How many flows count, as the statistics say. */
const counted = (b: Bench): number => {
  const [answer] = b.read(request(Type.stats, 0, [], { family: 0 }))
  const { value } = attributesOf(answer!)[0]!
  return new DataView(value.buffer, value.byteOffset).getUint32(0)
}
/** How many flows wait for their end to be told. */
const dying = (socket: KernelSocket): number => {
  const bytes = request(Type.dying, Flag.dump, [], { family: 0 })
  socket.send(bytes, bytes.length)
  let count = 0
  drain(socket, (datagram) => {
    count += nlmsgsIn(datagram).filter(({ type }) => type !== done).length
    return ""
  })
  return count
}

const triesMax = 20_000

/** Waits until no flow is held up: the end of one more flow makes the kernel try again. */
const settle = (b: Bench, slow: KernelSocket): void => {
  slow.close()
  const last = udp(9_999)
  b.do(create(last))
  b.read(remove(last))
  // Not on the socket that asks, whose requests are numbered: how often we ask is chance.
  const other = b.open()
  for (let i = 0; i < triesMax && dying(other) > 0; i++);
  if (dying(other) > 0) throw new Error("flows are held up by nobody")
  // Ends of flows alone: they are written down in another order than that of their telling.
  b.events()
}

const removals = (count: number) => Array.from({ length: count }, (_, i) => remove(udp(1_001 + i)))

/** With a listener that wants to hear of every end, and has room for so much. */
const holding = (
  name: string,
  expected: string,
  roomBytes: number,
  run: (b: Bench, slow: KernelSocket) => string
): Statement =>
  stating(name, expected, (b) => {
    const slow = listen(b, [3], roomBytes, Option.broadcastError, Option.noEnobufs)
    const answer = run(b, slow)
    settle(b, slow)
    return answer
  })

const delivery: ReadonlyArray<Statement> = [
  stating("who does not want every event holds up no flow", "0 count, 0 dying", (b) => {
    b.do(...flows(10))
    listen(b, [3], 4_000)
    b.do(...removals(10))
    return `${counted(b)} count, ${dying(b.open())} dying`
  }),
  holding(
    "who wants every event holds flows up",
    "ACK, 7 count, 7 dying, 1001 1002 1003",
    4_000,
    (b, slow) => {
      b.do(...flows(10), ...removals(9))
      const answer = b.ask(remove(udp(1_010)))
      return `${answer}, ${counted(b)} count, ${dying(b.open())} dying, ${drain(slow, portOf)}`
    }
  ),
  holding("flows that wait are found no more, and made anew", "ENOENT ACK, 4 count", 0, (b) => {
    b.do(...flows(4), ...removals(4))
    const flow = udp(1_004)
    return `${b.ask(update(flow))} ${b.ask(create(flow))}, ${counted(b)} count`
  }),
  holding("a flush holds flows up as well", "ACK, 1 count", 0, (b) => {
    b.do(...flows(2), ...removals(1))
    return `${b.ask(flush({ family: 0 }))}, ${counted(b)} count`
  }),
  stating("a NEW that found no room is told with the next event", "600 600 600 | 600 | 0", (b) => {
    const socket = listen(b, [1, 2], 4_000, Option.broadcastError, Option.noEnobufs)
    b.do(...flows(4))
    const first = drain(socket, flagsOf)
    b.do(update(udp(1_004)))
    const second = drain(socket, flagsOf)
    b.do(update(udp(1_004)))
    return [first, second, drain(socket, flagsOf)].join(" | ")
  }),
  stating("without the option it is lost", "! 600 600 600 | 0", (b) => {
    const socket = listen(b, [1, 2], 4_000)
    b.do(...flows(4))
    const first = drain(socket, flagsOf)
    b.do(update(udp(1_004)))
    return [first, drain(socket, flagsOf)].join(" | ")
  })
]

export const socketStatements: ReadonlyArray<Statement> = [
  ...rooms,
  ...overruns,
  ...dumps,
  ...delivery
]
