/** Dedicated links over UDP: the addon's batched sockets behind the `Links` service. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { LinkOpenError, LinkReceiveError } from "../LinkError.ts"
import type { Datagrams, Link, LinkCounters } from "../Links.ts"
import { Links } from "../Links.ts"
import { moderated } from "../Moderation.ts"
import { errnoName } from "./ErrnoName.ts"
import type { DatagramHandle, DatagramOptions, NativeAddon } from "./NativeAddon.ts"
import { whenReadable } from "./Readable.ts"

/** Datagrams taken per pull. */
const pullMax = 256
/** Room for that many datagrams of a usual MTU; larger ones come in several pulls. */
const pullBytes = 512 * 1024

/** Linux's usual `net.core.rmem_default`, and what it accounts for a datagram of a usual MTU. */
const defaultBufferBytes = 212_992
const accountedBytes = 2_304

const ipHeaderBytes = (family: 4 | 6): number => (family === 4 ? 20 : 40)
const udpHeaderBytes = 8

const openLink = (
  addon: NativeAddon,
  options: DatagramOptions
): Effect.Effect<Link, LinkOpenError, Scope.Scope> =>
  Effect.gen(function*() {
    const { interfaceName } = options
    const failed = (result: number): LinkOpenError =>
      new LinkOpenError({
        interfaceName,
        address: `${options.bindAddress || "any address"} port ${options.port}`,
        code: errnoName(result)
      })
    const open = Effect.suspend(() => {
      const opened = addon.openDatagram(options)
      return typeof opened === "number" ? Effect.fail(failed(opened)) : Effect.succeed(opened)
    })
    const mtuBytes = addon.interfaceMtu(interfaceName)
    if (mtuBytes < 0) return yield* failed(mtuBytes)
    let handle: DatagramHandle = yield* open
    yield* Effect.addFinalizer(() => Effect.sync(() => handle.close()))

    const counters: LinkCounters = {
      bytesSent: 0,
      bytesReceived: 0,
      packetsSent: 0,
      packetsReceived: 0,
      sendErrors: 0,
      receiveErrors: 0
    }
    const received: Datagrams & { count: number } = {
      bytes: new Uint8Array(pullBytes),
      ends: new Int32Array(pullMax),
      count: 0
    }
    const drain = (): number => {
      const result = handle.receive(received.bytes, received.ends, pullMax)
      if (result === -eagain) return 0
      if (result < 0) {
        counters.receiveErrors++
        return result
      }
      received.count = result
      counters.packetsReceived += result
      if (result > 0) counters.bytesReceived += received.ends[result - 1]!
      return result
    }
    const source = moderated({
      readable: whenReadable(() => handle),
      drain,
      drainMax: pullMax,
      // The kernel doubles what is configured.
      roomItems: () => (2 * (options.receiveBufferBytes ?? defaultBufferBytes / 2)) / accountedBytes
    })

    return {
      interfaceName,
      transport: "udp",
      headerBytes: ipHeaderBytes(options.family) + udpHeaderBytes,
      mtuBytes,
      counters,
      pull: Effect.flatMap(source, (items) =>
        items < 0
          ? Effect.fail(new LinkReceiveError({ interfaceName, code: errnoName(items) }))
          : Effect.succeed(received)),
      send: (datagrams) =>
        Effect.sync(() => {
          const accepted = handle.send(datagrams.bytes, datagrams.ends, datagrams.count)
          if (accepted < datagrams.count) {
            counters.sendErrors += datagrams.count - Math.max(0, accepted)
          }
          if (accepted <= 0) return
          counters.packetsSent += accepted
          // Which of them were refused is not known; a partly refused batch counts its share.
          const bytes = datagrams.ends[datagrams.count - 1]!
          counters.bytesSent += accepted === datagrams.count
            ? bytes
            : Math.round((bytes * accepted) / datagrams.count)
        }),
      reopen: Effect.suspend(() => {
        handle.close()
        return Effect.map(open, (opened) => {
          handle = opened
        })
      })
    }
  })

const eagain = 11

/** Opens every link; fails with the first that cannot be opened. */
export const layer = (
  addon: NativeAddon,
  options: ReadonlyArray<DatagramOptions>
): Layer.Layer<Links, LinkOpenError> =>
  Layer.effect(Links, Effect.forEach(options, (link) => openLink(addon, link)))
