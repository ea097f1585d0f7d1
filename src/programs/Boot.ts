/**
 * From settings to a daemon that runs, and to its orderly end: the lock, the scheduler, the layers
 * in their order, the last words.
 *
 * The machine it starts on is an argument. The program hands it the real one, the simulator one of
 * its own; everything else is the same code.
 *
 * Source: specification, "conntrackd: command line …", sections 3 and 11.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Daemon, layer as daemonLayer } from "../actors/Daemon.ts"
import type { Replica } from "../actors/Replica.ts"
import { say } from "../actors/Say.ts"
import type { Settings, UnicastLinkSettings } from "../core/config/Settings.ts"
import { errnoNumber, errnoText } from "../core/netlink/Errno.ts"
import * as LogTexts from "../core/text/LogTexts.ts"
import type { ControlSocket } from "../layers/ControlSocket.ts"
import type { KernelTableError } from "../layers/KernelTable.ts"
import type { LinkOpenError } from "../layers/LinkError.ts"
import * as InterfacesNetlink from "../layers/live/InterfacesNetlink.ts"
import * as KernelNetlink from "../layers/live/KernelNetlink.ts"
import * as LinkUdp from "../layers/live/LinkUdp.ts"
import { lockFile } from "../layers/live/LockFileNative.ts"
import type { DatagramOptions, NativeAddon } from "../layers/live/NativeAddon.ts"
import type { ServiceEnvironment } from "../layers/live/ServiceManagerSystemd.ts"
import * as ServiceManagerSystemd from "../layers/live/ServiceManagerSystemd.ts"
import * as Supervisor from "../layers/Supervisor.ts"

/** The machine a daemon starts on. */
export interface Surroundings {
  readonly addon: NativeAddon
  readonly environment: ServiceEnvironment
  /** Listens on the path; undefined when none is configured. */
  readonly control: (
    path: string | undefined
  ) => Layer.Layer<ControlSocket, { readonly message: string }>
  /** Does nothing when there is no such file. */
  readonly removeFile: (path: string) => void
  /** Run when the daemon is ready. */
  readonly announceReady: Effect.Effect<void>
  /** Completes when somebody other than a client asks the daemon to end. */
  readonly stopRequested: Effect.Effect<void>
  /** For the simulator's judge: sees the daemon's state before anything is read or sent. */
  readonly watch?: (replica: Replica) => void
}

const datagramOptions = (link: UnicastLinkSettings): DatagramOptions => ({
  family: link.family ?? 4,
  bindAddress: link.listenAddress ?? (link.family === 6 ? "::" : "0.0.0.0"),
  port: link.port,
  peerAddress: link.destinationAddress ?? (link.family === 6 ? "::" : "0.0.0.0"),
  interfaceName: link.interfaceName ?? "",
  multicast: false,
  sendBufferBytes: link.sendBufferBytes || undefined,
  receiveBufferBytes: link.receiveBufferBytes || undefined,
  checksum: link.checksum
})

/** The link that this version uses: the last one marked `Default`, else the first. */
const linksOf = (settings: Settings): ReadonlyArray<DatagramOptions> => {
  const { links } = settings.sync
  const link = links.findLast((candidate) => candidate.isDefault) ?? links[0]
  return link !== undefined && link.kind === "udp" ? [datagramOptions(link)] : []
}

const cannotOpenChannel = (error: LinkOpenError): Effect.Effect<void> =>
  Effect.gen(function*() {
    const errno = errnoNumber(error.code)
    yield* say(LogTexts.cannotOpenChannel(errno < 0 ? error.code : errnoText(errno)))
    yield* Effect.logError(error.message)
    yield* say(LogTexts.initializationFailed)
  })

/** Upstream's words when the kernel lets us not in, whichever request it refused. */
const cannotReadKernel = (error: KernelTableError): Effect.Effect<void> =>
  Effect.logError(`can't get kernel conntrack table: ${error.message}`)

const cannotStart = say(LogTexts.cannotStart)

const platform = ({ addon, control, environment }: Surroundings, settings: Settings) => {
  const { general } = settings
  return Layer.mergeAll(
    KernelNetlink.layer(addon, {
      bufferBytes: general.netlinkBufferBytes,
      bufferMaxBytes: general.netlinkBufferMaxBytes
    }).pipe(Layer.tapError(cannotReadKernel)),
    LinkUdp.layer(addon, linksOf(settings)).pipe(Layer.tapError(cannotOpenChannel)),
    InterfacesNetlink.layer(addon),
    control(general.socketPath).pipe(
      Layer.tapError((error) => Effect.logError(`can't open unix socket! ${error.message}`))
    ),
    general.systemd
      ? ServiceManagerSystemd.layer(addon, environment)
      : ServiceManagerSystemd.layerNone
  )
}

/**
 * Real-time round-robin at the highest priority unless the file says otherwise: events must not
 * wait.
 */
const applyScheduler = (addon: NativeAddon, settings: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { policy, priority } = settings.general.scheduler
    const result = policy === undefined
      ? addon.setScheduler("rr", addon.schedulerMaxPriority("rr"))
      : addon.setScheduler(policy, priority)
    if (result >= 0) return Effect.void
    return say(LogTexts.schedulerFailed(errnoText(-result)))
  })

/** Starts the daemon and runs it until it is asked to end, or an actor fails. */
export const run = (
  surroundings: Surroundings,
  settings: Settings,
  mode: "console" | "daemon"
) =>
  Effect.gen(function*() {
    const { addon, announceReady, removeFile, stopRequested, watch } = surroundings
    const started = Effect.gen(function*() {
      yield* Effect.tapError(
        lockFile(addon, settings.general.lockFile, removeFile),
        (error) => Effect.logError(error.message)
      )
      yield* applyScheduler(addon, settings)
      const layer = daemonLayer(settings, mode, watch).pipe(
        // The actors end before the sockets they use.
        Layer.provide(Supervisor.layer),
        Layer.provide(platform(surroundings, settings))
      )
      const context = yield* Effect.tapError(Layer.build(layer), () => cannotStart)
      yield* announceReady
      return yield* Daemon.pipe(Effect.provide(context))
    })
    // A large kernel table takes a while to read: a daemon may be stopped before it is ready.
    yield* Effect.scoped(
      Effect.raceFirst(stopRequested, Effect.flatMap(started, (daemon) => daemon.ended))
    )
    yield* say(LogTexts.shutdownReceived)
  })
