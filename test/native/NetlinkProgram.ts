/**
 * Talks ctnetlink with recorded request bytes, inside a namespace of its own, and prints (JSON)
 * what came back. Decodes nothing but the fixed header fields that the answers are told apart by.
 *
 * Source: specification, chapter "ctnetlink", sections 1, 7 and 8.
 */
import type { NetlinkHandle } from "../../src/layers/live/NativeAddon.ts"
import { addon, EAGAIN, ENOBUFS, opened, readable } from "./Machine.ts"

const NETLINK_NETFILTER = 12
const [groupNew, groupDestroy] = [1, 3]
const slotBytes = 1024
const buffer = new Uint8Array(256 * slotBytes)
const lengths = new Int32Array(256)
const view = new DataView(buffer.buffer)

/** The recorded request "create: minimal tcp", given as hex. */
const request = Uint8Array.from(Buffer.from(process.argv[2]!, "hex"))

/** `count` creates back to back; they differ in sequence number and original source address. */
const creates = (count: number, first: number): Uint8Array => {
  const bytes = new Uint8Array(count * request.length)
  const out = new DataView(bytes.buffer)
  // The source address of the original tuple and its mirror, the reply's destination.
  const addressAt = [32, 92]
  for (let i = 0; i < count; i++) {
    const at = i * request.length
    bytes.set(request, at)
    out.setUint16(at + 6, 0x0601, true) // REQUEST, CREATE, EXCL: silent unless it fails
    out.setUint32(at + 8, first + i, true)
    for (const offset of addressAt) out.setUint32(at + offset, 0x0a000000 + first + i)
  }
  return bytes
}

const open = (): NetlinkHandle => opened(addon.openNetlink(NETLINK_NETFILTER))
const receive = (socket: NetlinkHandle): number => socket.receive(buffer, slotBytes, lengths, 256)

/** Everything that is there now: numbers of datagrams, and the errors met. */
const drain = (socket: NetlinkHandle) => {
  const errors: Array<number> = []
  let events = 0
  while (true) {
    const received = receive(socket)
    if (received === -EAGAIN) return { events, errors }
    if (received < 0) errors.push(received)
    else events += received
  }
}

const main = async () => {
  const requester = open()
  const listener = open()
  const joined = [listener.join(groupNew), listener.join(0), listener.leave(groupDestroy)]
  const nothingYet = receive(listener)

  // One flow: the event names the requester, and is the same bytes for both ways of looking.
  const sent = requester.send(creates(1, 1), request.length)
  await readable(listener)
  const received = receive(listener)
  const event = {
    received,
    length: lengths[0]!,
    headerLength: view.getUint32(0, true),
    flags: view.getUint16(6, true),
    isOurs: view.getUint32(12, true) === requester.portId
  }

  // The same flow again fails, and only then does the kernel answer: EEXIST and our sequence.
  requester.send(creates(1, 1), request.length)
  await readable(requester)
  const answers = receive(requester)
  const answer = {
    answers,
    type: view.getUint16(4, true),
    seq: view.getUint32(8, true),
    error: view.getInt32(16, true)
  }

  // Sixty-four in one call, sixty-four events, at most sixteen at a time.
  const batch = requester.send(creates(64, 100), 64 * request.length)
  const parts: Array<number> = []
  for (let n = 0; n >= 0;) {
    n = listener.receive(buffer, slotBytes, lengths, 16)
    if (n > 0) parts.push(n)
  }

  // A slot too small for the event: its length comes back negative.
  requester.send(creates(1, 200), request.length)
  const small = listener.receive(buffer, 64, lengths, 4)
  const truncated = { small, length: lengths[0]! }

  // Filter: ret #0 drops everything, silently; then nothing attached again.
  const dropAll = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0)
  const attached = [listener.attachFilter(dropAll), listener.attachFilter(new Uint8Array(7))]
  requester.send(creates(1, 300), request.length)
  const filtered = receive(listener)
  const SO_DETACH_FILTER = 27
  attached.push(listener.setOption(1, SO_DETACH_FILTER, 0))
  requester.send(creates(1, 301), request.length)
  const unfiltered = receive(listener)

  // Overrun: room for a few, five hundred come.
  const sized = listener.setReceiveBuffer(8192)
  const room = listener.receiveBufferBytes()
  const before = listener.dropped()
  requester.send(creates(250, 1000), 250 * request.length)
  requester.send(creates(250, 2000), 250 * request.length)
  const overrun = drain(listener)
  const lost = listener.dropped() - before
  const afterwards = drain(listener)

  listener.close()
  requester.close()
  const closed = [listener.join(1), receive(listener), listener.whenReadable(() => {})]
  process.stdout.write(JSON.stringify({
    portIdsDiffer: requester.portId !== listener.portId,
    joined,
    nothingYet,
    sent,
    event,
    answer,
    batch,
    parts,
    truncated,
    attached,
    filtered,
    unfiltered,
    sized,
    room,
    overrun: { ...overrun, errors: overrun.errors.map((e) => e === -ENOBUFS ? "ENOBUFS" : e) },
    lost,
    afterwards,
    closed
  }))
}

await main()
