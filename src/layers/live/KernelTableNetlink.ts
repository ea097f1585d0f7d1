/**
 * Requests and dumps on netlink sockets of their own. The kernel executes requests while they are
 * sent.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  NetlinkOption,
  NetlinkProtocol,
  NlmsgCursor,
  NlmsgType,
  solNetlink
} from "../../core/netlink/Nlmsg.ts"
import type { Answers, DumpCursor, Requests } from "../KernelTable.ts"
import { KernelTable, KernelTableError, requestsMax } from "../KernelTable.ts"
import { errnoName } from "./ErrnoName.ts"
import type { NativeAddon, NetlinkHandle } from "./NativeAddon.ts"
import { netlinkSlots } from "./NetlinkSlots.ts"

/** Room for the refusals and the flows of one batch. */
const receiveBufferBytes = 1 << 20
const sendBufferBytes = 1 << 20
/** An answer: a flow with everything it can have, or a refusal without its request. */
const answerBytes = 2_048
/** What the kernel fills in one read of a dump. */
const dumpBytes = 32_768
const eagain = 11
const enobufs = 105

const refused = (operation: string, result: number): KernelTableError =>
  new KernelTableError({ operation, code: errnoName(result) })

/** Opens a netfilter socket whose errors do not carry the request back. */
const openSocket = (
  addon: NativeAddon,
  operation: string
): Effect.Effect<NetlinkHandle, KernelTableError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const handle = addon.openNetlink(NetlinkProtocol.netfilter)
      if (typeof handle === "number") return Effect.fail(refused(operation, handle))
      handle.setOption(solNetlink, NetlinkOption.capAck, 1)
      handle.setReceiveBuffer(receiveBufferBytes)
      handle.setSendBuffer(sendBufferBytes)
      return Effect.succeed(handle)
    }),
    (handle) => Effect.sync(() => handle.close())
  )

export interface OpenedTable {
  readonly table: KernelTable["Service"]
  /** Events caused by requests carry this port id. */
  readonly portId: number
}

/** Opens the request socket; dumps open their own. */
export const open = (
  addon: NativeAddon
): Effect.Effect<OpenedTable, KernelTableError, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* openSocket(addon, "open a netlink socket for requests")
    const slots = netlinkSlots(requestsMax * 2, answerBytes)
    const errnos = new Int32Array(requestsMax)
    const answers: Answers = { errnos, messages: slots }
    const cursor = new NlmsgCursor()

    /** Collects what the kernel answered; flows are moved together to the front of the slots. */
    const collect = (requests: Requests): number => {
      errnos.fill(0)
      slots.count = 0
      for (;;) {
        const room = slots.slotsMax - slots.count
        if (room === 0) return 0
        const from = slots.count * slots.slotBytes
        const result = socket.receive(
          slots.bytes.subarray(from),
          slots.slotBytes,
          slots.lengths.subarray(slots.count),
          room
        )
        if (result === -eagain) return 0
        if (result < 0) return result
        const first = slots.count
        for (let i = first; i < first + result; i++) keepOrJudge(requests, i)
      }
    }

    const keepOrJudge = (requests: Requests, slot: number): void => {
      const at = slot * slots.slotBytes
      const length = slots.lengths[slot]!
      cursor.reset(slots.words, at, at + Math.abs(length))
      if (cursor.next() && cursor.type === NlmsgType.error) {
        const index = (cursor.requestSeq - requests.firstSeq) >>> 0
        if (index < requests.count) errnos[index] = cursor.errno
        return
      }
      slots.bytes.copyWithin(slots.count * slots.slotBytes, at, at + Math.abs(length))
      slots.lengths[slots.count] = length
      slots.count++
    }

    const apply = (requests: Requests): Effect.Effect<Answers, KernelTableError> =>
      Effect.suspend(() => {
        if (requests.count === 0) {
          errnos.fill(0)
          slots.count = 0
          return Effect.succeed(answers)
        }
        const sent = socket.send(requests.bytes, requests.length)
        if (sent < 0) return Effect.fail(refused("change the kernel's conntrack table", sent))
        const result = collect(requests)
        return result < 0
          ? Effect.fail(refused("read the kernel's answers", result))
          : Effect.succeed(answers)
      })

    const dump = (
      request: Uint8Array
    ): Effect.Effect<DumpCursor, KernelTableError, Scope.Scope> =>
      Effect.gen(function*() {
        const operation = "read the kernel's conntrack table"
        const dumpSocket = yield* openSocket(addon, operation)
        const part = netlinkSlots(1, dumpBytes)
        const walk = new NlmsgCursor()
        const sent = dumpSocket.send(request, request.length)
        if (sent < 0) return yield* refused(operation, sent)
        let isDone = false
        const next = Effect.suspend(() => {
          if (isDone) {
            part.count = 0
            return Effect.succeed(part)
          }
          const result = dumpSocket.receive(part.bytes, part.slotBytes, part.lengths, 1)
          if (result === -enobufs || result === -eagain) {
            return Effect.fail(refused(operation, result))
          }
          if (result < 0) return Effect.fail(refused(operation, result))
          part.count = result
          walk.reset(part.words, 0, Math.abs(part.lengths[0]!))
          while (walk.next()) {
            if (walk.type === NlmsgType.error && walk.errno !== 0) {
              return Effect.fail(refused(operation, -walk.errno))
            }
            if (walk.type === NlmsgType.done) isDone = true
          }
          return Effect.succeed(part)
        })
        return { next }
      })

    return { table: KernelTable.of({ apply, dump }), portId: socket.portId }
  })
