/**
 * The reference peer against recorded conversations of two daemons of upstream.
 *
 * The recording says when something happened: which datagram arrived, which was lost, which flow
 * changed, when a second was over. What is sent then, to the last byte, is the reference's own.
 */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { ReferenceDaemon } from "./ReferenceDaemon.ts"
import type { SeenFlow } from "./ReferenceFlow.ts"
import type { FtfwState } from "./ReferenceFtfw.ts"
import type { ReferenceFlow, ReferenceMessage } from "./ReferenceWire.ts"
import { decodeDatagram, splitDatagram } from "./ReferenceWire.ts"

const golden = new URL("../../golden/wire/", import.meta.url)
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

type Side = "A" | "B"
type Item =
  & { readonly t: number }
  & (
    | { readonly action: string }
    | { readonly observed: string; readonly value: unknown }
    | { readonly from: Side; readonly hex: string }
  )

interface Recording {
  readonly timeline: ReadonlyArray<Item>
  readonly config: { readonly mode_options?: string }
}

const recordingOf = (name: string): Recording =>
  JSON.parse(readFileSync(new URL(`sequences/${name}.json`, golden), "utf8")) as Recording

const limitBytes = 1_472

/** The kernel's view of a flow without translation that is told as `flow`. */
const seen = (flow: ReferenceFlow): SeenFlow => {
  const { addresses, ports, protocol } = flow
  return {
    ...flow,
    original: flow,
    reply: {
      ...(addresses === undefined
        ? {}
        : { addresses: { source: addresses.destination, destination: addresses.source } }),
      ...(ports === undefined
        ? {}
        : { ports: { source: ports.destination, destination: ports.source } }),
      ...(protocol === undefined ? {} : { protocol })
    }
  }
}

interface Peer {
  daemon: ReferenceDaemon
  /** Datagrams that are out and not yet seen in the recording. */
  out: Array<Uint8Array>
  ranAt: number | undefined
  /** The resend queue before that run. */
  queueBefore: ReadonlyArray<string>
  isRunning: boolean
  readonly losses: Array<string>
}

interface Options {
  /** Where the recording begins, it begins in the middle of a conversation. */
  readonly states: { readonly [side in Side]?: Partial<FtfwState> }
  /** Written by hand: not ours to predict. */
  readonly handmade?: Side
  readonly prepare?: (peers: Peers) => void
  /** Flows of a bulk may come in any order: their numbers are in order all the same. */
  readonly isBulkUnordered?: boolean
  /** When a datagram of B was on its way while A sent one. */
  readonly crossedAt?: number
  readonly onAction?: (action: string, peers: Peers) => void
  /** When a peer got no CPU, or no link, for more than a second. */
  readonly isIrregularAt?: number
}
type Peers = { readonly [side in Side]: Peer }

const newDaemon = (recording: Recording, at: () => number, losses: Array<string>) =>
  new ReferenceDaemon({
    ackWindowSize: Number(
      /ACKWindowSize (\d+)/.exec(recording.config.mode_options ?? "")?.[1] ?? 300
    ),
    resendQueueSize: 131_072,
    hashSize: 65_536,
    hashLimit: 262_144,
    tcpWindowTracking: false,
    commitTimeoutSeconds: undefined,
    datagramLimitBytes: limitBytes
  }, {
    nowMs: () => 1_000 * at(),
    epochSeconds: () => {
      throw new Error("the test says what the first number is")
    },
    lost: (what) => losses.push(what),
    log: () => {}
  })

/** A datagram and those that were filled in the same run. */
const runFrom = (timeline: ReadonlyArray<Item>, index: number): ReadonlyArray<ReferenceMessage> => {
  const first = timeline[index]!
  if (!("hex" in first)) return []
  const messages = [...decodeDatagram(bytesOf(first.hex))]
  let used = first.hex.length / 2
  for (const item of timeline.slice(index + 1)) {
    if (!("hex" in item) || item.from !== first.from) break
    const [next] = splitDatagram(bytesOf(item.hex)).frames
    if (next === undefined || used + 8 + next.body.length < limitBytes) break
    messages.push(...decodeDatagram(bytesOf(item.hex)))
    used = item.hex.length / 2
  }
  return messages
}

const numbers = (datagram: Uint8Array) =>
  splitDatagram(datagram).frames.map((
    { flags, from, sequence, to, type }
  ) => [type, flags, sequence, from, to])
const bodies = (datagram: Uint8Array) =>
  splitDatagram(datagram).frames.map(({ body }) => hexOf(body)).toSorted()

/** Replays; the number of datagrams that were predicted. */
const replay = (name: string, options: Options): number => {
  const recording = recordingOf(name)
  const { timeline } = recording
  const actions = timeline.flatMap((item) => "action" in item ? [item.action] : [])
  let now = 0
  const peer = (side: Side): Peer => {
    const losses: Array<string> = []
    const daemon = newDaemon(recording, () => now, losses)
    const first = timeline.find((item) => "hex" in item && item.from === side)
    if (first !== undefined && "hex" in first) {
      daemon.engine.state.next = decodeDatagram(bytesOf(first.hex))[0]!.sequence
    }
    Object.assign(daemon.engine.state, options.states[side])
    const isRunning = !actions.some((action) => action.startsWith(`${side} starts (`))
    return { daemon, out: [], ranAt: undefined, queueBefore: [], isRunning, losses }
  }
  const peers: Peers = { A: peer("A"), B: peer("B") }
  options.prepare?.(peers)
  const start = (side: Side, rest: ReadonlyArray<Item>, action: string): void => {
    const fresh = peer(side)
    if (action.includes("again")) {
      const first = rest.find((item) => "hex" in item && item.from === side)
      if (first === undefined || !("hex" in first)) throw new Error(`${side} says nothing`)
      const { daemon } = fresh
      daemon.engine.state.next = decodeDatagram(bytesOf(first.hex))[0]!.sequence
      Object.assign(peers[side], { ...fresh, losses: peers[side].losses })
      Object.assign(daemon.engine.state, { hello: "init", last: undefined, ackFrom: undefined })
    }
    peers[side].isRunning = true
    if (action.includes("StartupResync")) peers[side].daemon.askForResync()
  }
  let lastAction = ""
  let isDropping = false
  let late: Uint8Array | undefined
  let predicted = 0

  for (const [index, item] of timeline.entries()) {
    now = item.t
    if ("action" in item) {
      const { action } = item
      lastAction = action
      if (action.startsWith("B starts dropping")) isDropping = true
      if (action === "B stops dropping") isDropping = false
      if (action.startsWith("conntrackd -B on A")) peers.A.daemon.bulk()
      if (action.startsWith("conntrackd -n on B")) peers.B.daemon.askForResync()
      options.onAction?.(action, peers)
      const starting = /^([AB]) starts /.exec(action)?.[1] as Side | undefined
      if (action === "kill -9 B") peers.B.isRunning = false
      if (starting !== undefined) start(starting, timeline.slice(index), action)
      continue
    }
    if ("observed" in item) {
      observe(item.observed, item.value, peers, now)
      continue
    }
    const sender = peers[item.from]
    if (item.from !== options.handmade) {
      if (sender.out.length === 0) {
        const { engine } = sender.daemon
        const expected = runFrom(timeline, index)
        if (engine.transmitQueueLength === 0 && expected[0]!.type === "CTL") {
          // Nothing made it send: a second must be over.
          const isIrregular = Math.abs(now - (options.isIrregularAt ?? -1)) < 0.7
          if (sender.ranAt !== undefined && !isIrregular) {
            expect(now - sender.ranAt, `${name} at ${now}`).toBeGreaterThan(0.45)
            expect(now - sender.ranAt, `${name} at ${now}`).toBeLessThan(1.6)
          }
          engine.alarm()
        }
        for (const { flow, type } of expected.slice(engine.transmitQueueLength)) {
          if (flow === undefined) break
          const kind = type === "CT_NEW" ? "new" : type === "CT_UPD" ? "update" : "destroy"
          const message = { kind, causer: 0, flow: seen(flow) } as const
          if (lastAction.includes("created, deleted and created again")) {
            sender.daemon.event({ ...message, kind: "new" }, false)
            sender.daemon.event({ ...message, kind: "destroy" }, false)
          }
          // A flow whose birth nobody saw before its death was told: both were in one turn.
          if (kind === "destroy" && sender.daemon.internal.find(message.flow) === undefined) {
            sender.daemon.event({ ...message, kind: "new" }, false)
          }
          sender.daemon.event(message, false)
        }
        sender.queueBefore = engine.resendQueueText
        sender.out = [...sender.daemon.turn()]
        sender.ranAt = now
      }
      const sent = sender.out.shift()
      const recorded = bytesOf(item.hex)
      const where = `${name} at ${now}`
      if (options.isBulkUnordered === true && sent !== undefined) {
        expect(numbers(sent), where).toEqual(numbers(recorded))
        expect(bodies(sent), where).toEqual(bodies(recorded))
      } else {
        const messages = sent === undefined ? "nothing" : decodeDatagram(sent)
        expect(messages, where).toEqual(decodeDatagram(recorded))
        expect(hexOf(sent!), where).toBe(item.hex)
      }
      predicted++
    }
    const receiver = peers[item.from === "A" ? "B" : "A"]
    const isLost = (isDropping && item.from === "A") || !receiver.isRunning
    if (isLost) continue
    if (Math.abs(now - (options.crossedAt ?? -1)) < 0.01 && item.from === "B") {
      late = bytesOf(item.hex)
      continue
    }
    receiver.daemon.receive(bytesOf(item.hex))
    if (late !== undefined) peers.A.daemon.receive(late)
    late = undefined
  }
  expect(late).toBeUndefined()
  return predicted
}

const sinceN = (lines: ReadonlyArray<string>) =>
  lines.map((line) => line.replace(/since \d+s/, "since Ns")).toSorted()

const observe = (what: string, value: unknown, peers: Peers, now: number): void => {
  const { daemon, queueBefore, ranAt = -1 } = peers[what.startsWith("B") ? "B" : "A"]
  if (what.endsWith("rsqueue")) {
    // One recording kept only the length.
    const lines = value as ReadonlyArray<string>
    // The client was answered before a datagram left that the recording has before the answer.
    const isJustSent = now - ranAt < 0.1 && String(lines) === String(queueBefore)
    const text = isJustSent ? queueBefore : daemon.engine.resendQueueText
    expect(lines.length === 1 ? text.slice(0, 1) : text, what).toEqual(lines)
  } else if (what.endsWith(" -e")) {
    expect(sinceN(daemon.externalLines()), what).toEqual((value as Array<string>).toSorted())
  } else if (what.endsWith("external cache")) {
    expect(daemon.externalLines().length, what).toBe(value)
  } else if (what.endsWith("counters")) {
    const { badHeader, before, lost } = daemon.engine.counters
    const mine = { malformed: daemon.malformed, bad_header: badHeader, lost, before }
    expect(mine, what).toMatchObject(value as object)
  } else if (!/ -s (link|network)| sockets/.test(what)) {
    throw new Error(`nobody checks ${what}`)
  }
}

/**
 * Fills the internal cache with the flows of the first bulk, in its order: that of the buckets,
 * which only upstream's hash function knows.
 */
const preload = (peer: Peer, count: number, name: string): void => {
  const messages = recordingOf(name).timeline.flatMap((item, index, all) =>
    "hex" in item && item.from === "A" ? runFrom(all, index) : []
  )
  const bulk = messages.findIndex(({ flow }, i) =>
    messages.slice(i, i + count).every((message) => message.flow !== undefined) &&
    flow !== undefined && messages.length >= i + count
  )
  peer.daemon.learn(messages.slice(bulk, bulk + count).map(({ flow }) => seen(flow!)))
}

const talking = { hello: "done" } as const

test("hello at the start", () => {
  expect(replay("ftfw-hello-startup", { states: {} })).toBe(22)
})

test("loss, negative acknowledgement, retransmission of the current state", () => {
  const predicted = replay("ftfw-loss-nack-resend", {
    states: {
      A: { ...talking, last: 1_795_450_370, ackFrom: 1_795_450_370 },
      B: { ...talking, last: 1_795_450_370 }
    }
  })
  expect(predicted).toBe(12)
})

test("a hand-made peer: duplicates, gaps, reversed ranges, half the circle", () => {
  const predicted = replay("ftfw-handmade-peer", { states: {}, handmade: "B" })
  expect(predicted).toBe(12)
})

test("numbers of the peer wrap", () => {
  const predicted = replay("ftfw-receive-wraparound", { states: {}, handmade: "B" })
  expect(predicted).toBe(4)
})

test("own numbers wrap", () => {
  const predicted = replay("ftfw-send-wraparound", {
    states: {
      A: { last: 1_795_450_623, ackFrom: undefined },
      B: { last: 0xffff_fffd, ackFrom: 0xffff_fffd }
    }
  })
  expect(predicted).toBeGreaterThan(10)
})

test("an acknowledgement for every window", () => {
  const predicted = replay("ftfw-ack-window-5", {
    states: {
      A: { ...talking, last: 1_795_450_377, ackFrom: 1_795_450_377, window: 2 },
      B: { ...talking, last: 1_795_450_377, window: 2 }
    }
  })
  expect(predicted).toBeGreaterThan(25)
})

test("the peer restarts, everything unacknowledged is forgotten, a resync repairs it", () => {
  let losses: ReadonlyArray<string> = []
  const predicted = replay("ftfw-peer-restart", {
    states: {
      A: { ...talking, last: 1_795_450_383, ackFrom: 1_795_450_383 },
      B: { ...talking, last: 1_795_450_384, ackFrom: 1_795_450_384 }
    },
    isBulkUnordered: true,
    prepare: ({ A }) => {
      losses = A.losses
      preload(A, 3, "ftfw-peer-restart")
    }
  })
  expect(predicted).toBe(15)
  expect(losses).toEqual([
    "a hello empties the resend queue of 3, flows: 2",
    "a hello hides what was lost before it"
  ])
})

test("a resync at the start", () => {
  const predicted = replay("ftfw-startup-resync", {
    states: {},
    prepare: ({ A }) => preload(A, 3, "ftfw-startup-resync")
  })
  expect(predicted).toBe(7)
})

test("bulk: everything at once, packed", () => {
  const predicted = replay("ftfw-bulk", {
    states: {
      A: { ...talking, last: 1_795_450_416, ackFrom: 1_795_450_416 },
      B: { ...talking, last: 1_795_450_475 }
    },
    crossedAt: 2.754,
    prepare: ({ A }) => preload(A, 60, "ftfw-bulk")
  })
  expect(predicted).toBe(15)
})

test("events of one turn are one message", () => {
  const predicted = replay("ftfw-coalescing", {
    states: {
      A: { ...talking, last: 1_795_450_643, ackFrom: undefined },
      B: { ...talking, last: 1_795_450_644, ackFrom: 1_795_450_644 }
    }
  })
  expect(predicted).toBe(21)
})

test("over IPv6, and over multicast", () => {
  expect(replay("udp-ipv6", { states: {} })).toBe(9)
  expect(replay("multicast-ipv6", { states: {} })).toBe(8)
})

test("two links fail together: what could not be sent is sent again", () => {
  const { timeline } = recordingOf("udp-two-links-failover")
  const last = timeline.flatMap((item) => "hex" in item ? decodeDatagram(bytesOf(item.hex)) : [])
    .find(({ flow, sequence }) => flow !== undefined && sequence === 1_795_450_565)
  const predicted = replay("udp-two-links-failover", {
    states: {
      A: { ...talking, last: 1_795_450_551 },
      B: { ...talking, last: 1_795_450_551, ackFrom: 1_795_450_551 }
    },
    onAction: (action, { A }) => {
      if (action !== "flow 5 is created on A") return
      // The recording has the number of errors; what was refused follows from what comes later.
      A.daemon.event({ kind: "new", causer: 0, flow: seen(last!.flow!) }, false)
      expect(A.daemon.turn().length).toBe(1)
      A.daemon.engine.alarm()
      expect(A.daemon.turn().length).toBe(1)
    },
    isIrregularAt: 9.8,
    crossedAt: 11.166
  })
  expect(predicted).toBe(25)
})
