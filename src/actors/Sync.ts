/**
 * Sends what the protocol has to say, keeps its time, and logs what it noticed.
 *
 * One effect per batch of datagrams, plain code per message. It sleeps on a latch that everybody
 * opens who gave the protocol something to do; a second fiber opens it when the protocol's timer is
 * due.
 */
import * as Effect from "effect/Effect"
import { absurd } from "effect/Function"
import type { Notice } from "../core/protocol/Notice.ts"
import type { Outbound } from "../core/protocol/SyncProtocol.ts"
import { Entity } from "../core/protocol/SyncProtocol.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import { encode, flowAttributesBytesMax } from "../core/wire/FlowAttributes.ts"
import { headerBytes, writeControl, writeHeader } from "../core/wire/MessageHeader.ts"
import type { Replica } from "./Replica.ts"
import { say } from "./Say.ts"

/**
 * The timer looks again at least this often; a timer that is due is served by the sender within the
 * short sleep.
 */
const longestSleepMs = 1_000
const shortestSleepMs = 5
const messageBytesMax = headerBytes + flowAttributesBytesMax

/** Writes one message into the send buffer at a place that `reserve` gave. */
const write = (replica: Replica, out: Outbound, at: number): void => {
  const { encodeOptions, internal, sendBuffer, view } = replica
  const { bytes } = sendBuffer
  if (out.kind === Entity.control) {
    sendBuffer.commit(writeControl(bytes, at, out.flags, out.seq, out.ackFrom, out.ackTo))
    return
  }
  internal.table.view(out.slot, view)
  const end = encode(view, bytes, at + headerBytes, encodeOptions)
  writeHeader(bytes, at, out.change, out.flags, end - at, out.seq)
  sendBuffer.commit(end)
}

/** Fills the send buffer; true when there may be more to say than it holds. */
const fill = (replica: Replica, nowMs: number): boolean => {
  const { outbound, protocol, sendBuffer } = replica
  for (;;) {
    const at = sendBuffer.reserve(messageBytesMax)
    if (at < 0) return true
    if (!protocol.pollOutbound(outbound, nowMs)) return false
    write(replica, outbound, at)
  }
}

const releaseSlots = (replica: Replica): void => {
  const { internal, protocol } = replica
  for (;;) {
    const slot = protocol.pollReleased(Entity.flow)
    if (slot < 0) return
    internal.release(slot)
  }
}

/** A link that is down must not fill the log. */
const overflowPauseMs = 1_000

/** Logs what was given up since the last time, at most once a second. */
const logOverflow = ({ nowMs, overflow }: Replica): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dropped, toldMs } = overflow
    if (dropped === 0 || nowMs() < toldMs + overflowPauseMs) return Effect.void
    overflow.dropped = 0
    overflow.toldMs = nowMs()
    return Effect.logWarning(
      `the resend queue is full: ${dropped} unacknowledged states were given up; ` +
        "is the peer down? ResendQueueSize can be raised, and a resync repairs the peer"
    )
  })

/** Upstream's words where it has any. Source: specification, "conntrackd: command line …", 10.4. */
const logNotice = (replica: Replica, notice: Notice): Effect.Effect<void> => {
  switch (notice._tag) {
    case "ResyncRequested":
      return say(LogTexts.resyncRequested)
    case "ResyncRequestedByPeer":
      return say(LogTexts.resyncRequestedByPeer)
    case "BulkSendStarted":
      return say(LogTexts.sendingBulkUpdate)
    case "ResendQueueOverflow":
      replica.overflow.dropped += notice.dropped
      return logOverflow(replica)
    case "PeerRestarted":
      return Effect.logInfo(
        `the peer has restarted: ${notice.requeued} unacknowledged states are sent again`
      )
    case "LinkChanged":
      return say(LogTexts.linkChanged(replica.links[notice.to]!.interfaceName))
    case "NoLinkUp":
      return say(LogTexts.noLinkUp)
    default:
      return absurd(notice)
  }
}

const logNotices = (replica: Replica): Effect.Effect<void> =>
  Effect.suspend(() => {
    const notice = replica.protocol.pollNotice() ?? replica.bulk.pollNotice() ??
      replica.selector.pollNotice()
    if (notice === undefined) return Effect.void
    return Effect.andThen(logNotice(replica, notice), logNotices(replica))
  })

/** Sends everything there is to say now. */
const drain = (replica: Replica): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { links, protocol, selector, sendBuffer } = replica
    const nowMs = replica.nowMs()
    if (protocol.nextWakeupMs() <= nowMs) protocol.handleTimer(nowMs)
    const more = fill(replica, nowMs)
    releaseSlots(replica)
    const send = sendBuffer.isEmpty
      ? Effect.void
      : links[selector.current]!.send(sendBuffer.take())
    // A long queue leaves in batches, and the others get their turn in between.
    return more ? Effect.andThen(send, Effect.andThen(Effect.yieldNow, drain(replica))) : send
  })

/** Messages that are not acknowledged, or not even sent. */
const waiting = ({ protocol }: Replica): number => protocol.resendLength + protocol.txLength

/** Only FTFW answers a HELLO, and FTFW acknowledges. */
const acknowledges = ({ protocol }: Replica): boolean => protocol.helloState === "done"

/** Puts the next part of a running bulk send into the transmit queue. */
const bulkStep = (replica: Replica): void => {
  const { bulk, internal, protocol } = replica
  bulk.step(
    replica.nowMs(),
    waiting(replica),
    acknowledges(replica),
    (entity, slot) => protocol.tell(entity, slot, internal.changeOf(slot))
  )
}

/** A bulk send begins: on a request of the peer's or of the operator's. */
export const startBulk = (replica: Replica): Effect.Effect<void> =>
  Effect.suspend(() => {
    replica.bulk.start(replica.nowMs())
    replica.work.openUnsafe()
    return logNotices(replica)
  })

/** The actor that sends. */
export const sync = (replica: Replica): Effect.Effect<never> =>
  Effect.gen(function*() {
    const { bulk, protocol, work } = replica
    for (;;) {
      yield* (bulk.isRunning ? bulkPause(replica) : work.await)
      work.closeUnsafe()
      if (protocol.pollBulkRequested()) yield* startBulk(replica)
      bulkStep(replica)
      yield* drain(replica)
      yield* logNotices(replica)
      yield* logOverflow(replica)
      replica.progress.syncMs = replica.nowMs()
    }
  })

/** Until the next step of a bulk send is due, or somebody has something else to send. */
const bulkPause = (replica: Replica): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { bulk, work } = replica
    // What the peer says opens the latch.
    if (bulk.isBlocked(waiting(replica), acknowledges(replica))) return work.await
    const leftMs = bulk.nextStepMs(waiting(replica)) - replica.nowMs()
    if (leftMs <= 0) return Effect.yieldNow
    return Effect.asVoid(Effect.timeoutOption(work.await, Math.ceil(leftMs)))
  })

/** The actor that wakes the sender when the protocol's timer is due. */
export const syncTimer = (replica: Replica): Effect.Effect<never> =>
  Effect.forever(Effect.suspend(() => {
    const leftMs = replica.protocol.nextWakeupMs() - replica.nowMs()
    if (leftMs > 0) return Effect.sleep(Math.min(leftMs, longestSleepMs))
    replica.work.openUnsafe()
    return Effect.sleep(shortestSleepMs)
  }))
