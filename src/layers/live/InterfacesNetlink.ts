/**
 * Interface states from rtnetlink: one dump at the start, then every change, and another dump when
 * changes were lost.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Fault } from "../../core/model/Fault.ts"
import { NetlinkProtocol, NlmsgCursor, NlmsgType } from "../../core/netlink/Nlmsg.ts"
import {
  decodeLink,
  encodeLinkDump,
  InterfaceFlag,
  isLinkMessage,
  linkGroup,
  LinkMessage
} from "../../core/netlink/Rtnetlink.ts"
import type { InterfaceState } from "../Interfaces.ts"
import { Interfaces, InterfacesLost } from "../Interfaces.ts"
import { errnoName } from "./ErrnoName.ts"
import type { NativeAddon, NetlinkHandle } from "./NativeAddon.ts"
import { netlinkSlots } from "./NetlinkSlots.ts"
import { whenReadable } from "./Readable.ts"

const slotsMax = 8
const slotBytes = 32_768
const requestBytes = 64
const eagain = 11
const enobufs = 105

class Watcher {
  readonly states = new Map<string, InterfaceState>()
  readonly #addon: NativeAddon
  readonly #slots = netlinkSlots(slotsMax, slotBytes)
  readonly #cursor = new NlmsgCursor()
  readonly #link = new LinkMessage()
  handle: NetlinkHandle | undefined
  #dumpSeq = 0
  /** A dump is not read to its end yet. */
  #isDumping = false
  /** Changes were lost meanwhile. */
  #mustDumpAgain = false
  /** Interfaces that were told of since the dump began; `undefined` before its first message. */
  #told: Set<string> | undefined

  constructor(addon: NativeAddon) {
    this.#addon = addon
  }

  /** 0, or -errno. */
  open(): number {
    this.close()
    const handle = this.#addon.openNetlink(NetlinkProtocol.route)
    if (typeof handle === "number") return handle
    this.handle = handle
    const joined = handle.join(linkGroup)
    if (joined < 0) return joined
    this.#isDumping = false
    // A dump is answered part by part while it is read.
    let result = this.#askForAll(handle)
    while (result > 0) result = this.drain()
    return result
  }

  close(): void {
    this.handle?.close()
    this.handle = undefined
  }

  /** 1: something is to be read, or -errno. */
  #askForAll(handle: NetlinkHandle): number {
    this.#mustDumpAgain = this.#isDumping
    if (this.#isDumping) return 1
    this.#isDumping = true
    this.#told = undefined
    this.#dumpSeq++
    const words = new Int32Array(requestBytes / 4)
    const end = encodeLinkDump(words, 0, this.#dumpSeq)
    const sent = handle.send(new Uint8Array(words.buffer), end)
    return sent < 0 ? sent : 1
  }

  /**
   * Takes in what the kernel reported; the number of datagrams, 0 for none, or -errno. Lost
   * changes are something to look at, too.
   */
  drain(): number {
    const slots = this.#slots
    const handle = this.handle
    if (handle === undefined) return 0
    const result = handle.receive(slots.bytes, slotBytes, slots.lengths, slotsMax)
    if (result === -eagain) return 0
    if (result === -enobufs) return this.#askForAll(handle)
    if (result < 0) return result
    for (let i = 0; i < result; i++) this.#take(i * slotBytes, Math.abs(slots.lengths[i]!))
    if (!this.#isDumping && this.#mustDumpAgain) return this.#askForAll(handle)
    return result
  }

  #take(at: number, length: number): void {
    const slots = this.#slots
    const cursor = this.#cursor
    const link = this.#link
    cursor.reset(slots.words, at, at + length)
    while (cursor.next()) {
      const isAnswer = cursor.seq === this.#dumpSeq
      if (isAnswer && cursor.type === NlmsgType.done) this.#endDump()
      // For want of room the kernel only puts the answer off; otherwise there will be none.
      else if (isAnswer && cursor.type === NlmsgType.error && cursor.errno !== enobufs) {
        this.#isDumping = false
      }
      if (!isLinkMessage(cursor)) continue
      if (decodeLink(slots.words, slots.bytes, cursor, link) !== Fault.none) continue
      // What was queued before the dump may be of interfaces that are gone.
      if (isAnswer) this.#told ??= new Set()
      if (!link.isDeleted) this.#told?.add(link.name)
      if (link.isDeleted) this.states.delete(link.name)
      else {
        this.states.set(link.name, {
          name: link.name,
          up: (link.flags & InterfaceFlag.up) !== 0,
          running: (link.flags & InterfaceFlag.running) !== 0
        })
      }
    }
  }

  /** What is in no dump went while nothing was heard of it. */
  #endDump(): void {
    this.#isDumping = false
    for (const name of this.states.keys()) {
      if (this.#told?.has(name) !== true) this.states.delete(name)
    }
    this.#told = undefined
  }
}

const lost = (result: number): InterfacesLost => new InterfacesLost({ code: errnoName(result) })

export const layer = (addon: NativeAddon): Layer.Layer<Interfaces, InterfacesLost> =>
  Layer.effect(
    Interfaces,
    Effect.gen(function*() {
      const watcher = new Watcher(addon)
      yield* Effect.addFinalizer(() => Effect.sync(() => watcher.close()))
      const opened = watcher.open()
      if (opened < 0) return yield* lost(opened)
      const reopen = Effect.suspend(() => {
        const result = watcher.open()
        return result < 0 ? Effect.fail(lost(result)) : Effect.void
      })
      return Interfaces.of({
        current: (name) => watcher.states.get(name),
        changed: Effect.gen(function*() {
          for (;;) {
            if (watcher.handle === undefined) return yield* reopen
            yield* whenReadable(() => watcher.handle!)
            const result = watcher.drain()
            if (result > 0) return
            if (result === 0) continue
            watcher.close()
            return yield* lost(result)
          }
        })
      })
    })
  )
