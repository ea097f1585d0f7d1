/** Interface states from rtnetlink: one dump at the start, then every change. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Fault } from "../../core/model/Fault.ts"
import { NetlinkProtocol, NlmsgCursor } from "../../core/netlink/Nlmsg.ts"
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
    return joined < 0 ? joined : this.#askForAll(handle)
  }

  close(): void {
    this.handle?.close()
    this.handle = undefined
  }

  #askForAll(handle: NetlinkHandle): number {
    const words = new Int32Array(requestBytes / 4)
    const end = encodeLinkDump(words, 0, 1)
    const sent = handle.send(new Uint8Array(words.buffer), end)
    if (sent < 0) return sent
    // A dump is answered part by part while it is read.
    let result = this.drain()
    while (result > 0) result = this.drain()
    return result
  }

  /** Takes in what the kernel reported; the number of datagrams, 0 for none, or -errno. */
  drain(): number {
    const slots = this.#slots
    const handle = this.handle
    if (handle === undefined) return 0
    const result = handle.receive(slots.bytes, slotBytes, slots.lengths, slotsMax)
    if (result === -eagain) return 0
    if (result === -enobufs) return this.#askForAll(handle)
    if (result < 0) return result
    for (let i = 0; i < result; i++) this.#take(i * slotBytes, Math.abs(slots.lengths[i]!))
    return result
  }

  #take(at: number, length: number): void {
    const slots = this.#slots
    const cursor = this.#cursor
    const link = this.#link
    cursor.reset(slots.words, at, at + length)
    while (cursor.next()) {
      if (!isLinkMessage(cursor)) continue
      if (decodeLink(slots.words, slots.bytes, cursor, link) !== Fault.none) continue
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
