/**
 * One machine in memory: the whole daemon over a fake kernel, link, control socket, service manager
 * and log.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { Daemon, layer as daemonLayer } from "../../src/actors/Daemon.ts"
import type { Replica, ReplicaSettings } from "../../src/actors/Replica.ts"
import { emptyDraft, resolve } from "../../src/core/config/Defaults.ts"
import type { LinkSettings } from "../../src/core/config/Settings.ts"
import { FlowView } from "../../src/core/model/FlowView.ts"
import { headerBytes, MessageType } from "../../src/core/wire/MessageHeader.ts"
import { ControlSocket } from "../../src/layers/ControlSocket.ts"
import { Interfaces } from "../../src/layers/Interfaces.ts"
import type { KernelEvents } from "../../src/layers/KernelEvents.ts"
import type { KernelTableError } from "../../src/layers/KernelTable.ts"
import type { KernelTable } from "../../src/layers/KernelTable.ts"
import { Links } from "../../src/layers/Links.ts"
import { ServiceManager } from "../../src/layers/ServiceManager.ts"
import * as Supervisor from "../../src/layers/Supervisor.ts"
import { ControlSocketFake } from "./ControlSocketFake.ts"
import { FaultyKernel } from "./FaultyKernel.ts"
import { describeFlow } from "./FlowDescription.ts"
import type { Tuple } from "./FlowLine.ts"
import { lineOf } from "./FlowLine.ts"
import { InterfacesFake } from "./InterfacesFake.ts"
import { joinLinks, LinkFake } from "./LinksFake.ts"
import { LogFake } from "./LogFake.ts"
import { ServiceManagerFake } from "./ServiceManagerFake.ts"

export interface NodeOptions {
  readonly general?: Partial<ReplicaSettings["general"]>
  readonly sync?: Partial<ReplicaSettings["sync"]>
  readonly pingIntervalMs?: number
  /** Names of the interfaces of the dedicated links. */
  readonly interfaces?: ReadonlyArray<string>
  /** How far the event socket's room may grow. Default: not at all. */
  readonly bufferMaxBytes?: number
  /** Another kernel than `FaultyKernel`. */
  readonly kernel?: Layer.Layer<KernelEvents | KernelTable, unknown>
}

const linkSettings = (interfaceName: string): LinkSettings => ({
  kind: "udp",
  isDefault: false,
  interfaceName,
  family: 4,
  port: 3_780,
  sendBufferBytes: 0,
  receiveBufferBytes: 0,
  checksum: true,
  listenAddress: undefined,
  destinationAddress: undefined
})

const settingsOf = ({ general, interfaces, sync }: NodeOptions): ReplicaSettings => {
  const defaults = resolve(emptyDraft())
  const links = (interfaces ?? ["eth2"]).map(linkSettings)
  return {
    general: { ...defaults.general, ...general },
    sync: { ...defaults.sync, links, ...sync }
  }
}

export class NodeFake {
  readonly kernel: FaultyKernel
  readonly links: ReadonlyArray<LinkFake>
  readonly control = new ControlSocketFake()
  readonly interfaces: InterfacesFake
  readonly manager: ServiceManagerFake
  readonly log = new LogFake()
  readonly settings: ReplicaSettings
  readonly #kernelLayer: Layer.Layer<KernelEvents | KernelTable>

  constructor(options: NodeOptions = {}) {
    const names = options.interfaces ?? ["eth2"]
    this.kernel = new FaultyKernel(options.bufferMaxBytes)
    this.links = names.map((name) => new LinkFake(name))
    this.interfaces = new InterfacesFake(names)
    this.manager = new ServiceManagerFake(options.pingIntervalMs ?? Number.POSITIVE_INFINITY)
    this.settings = settingsOf(options)
    this.#kernelLayer = options.kernel === undefined
      ? this.kernel.layer
      : Layer.orDie(options.kernel)
  }

  get layer(): Layer.Layer<Daemon, KernelTableError> {
    const world = Layer.mergeAll(
      this.#kernelLayer,
      Layer.succeed(Links, this.links),
      Layer.succeed(Interfaces, this.interfaces.service),
      Layer.succeed(ControlSocket, this.control.service),
      Layer.succeed(ServiceManager, this.manager.service),
      this.log.layer
    )
    return Layer.fresh(
      daemonLayer(this.settings, "console").pipe(
        Layer.provide(Layer.fresh(Supervisor.layer)),
        Layer.provide(world)
      )
    )
  }
}

/** A daemon that runs. */
export interface RunningNode {
  readonly node: NodeFake
  readonly replica: Replica
  readonly ended: Effect.Effect<void, unknown>
  readonly stop: Effect.Effect<void>
}

/** Starts the node's daemon; it stops with `stop`, or at the end of the test. */
export const start = (node: NodeFake) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(node.layer, scope)
    const { ended, replica } = yield* Effect.provide(Daemon, context)
    const running: RunningNode = { node, replica, ended, stop: Scope.close(scope, Exit.void) }
    return running
  })

/** Enough for whatever the tests start. */
const turns = 200

/** Lets everybody do what can be done now, then lets time pass. */
export const pass = (ms: number) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
    yield* TestClock.adjust(ms)
    for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
  })

/** Two nodes whose links are joined, started. */
export const startPair = (primaryOptions: NodeOptions = {}, backupOptions: NodeOptions = {}) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(1_700_000_000_000)
    const primary = new NodeFake(primaryOptions)
    const backup = new NodeFake(backupOptions)
    primary.links.forEach((link, i) => joinLinks(link, backup.links[i]!))
    const a = yield* start(primary)
    const b = yield* start(backup)
    yield* pass(10)
    return { a, b }
  })

/** A started node without a peer. */
export const startAlone = (options: NodeOptions = {}) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(1_700_000_000_000)
    const running = yield* start(new NodeFake(options))
    yield* pass(10)
    return running
  })

/** Types of the messages about flows that the node sends its peer from now on. */
export const messagesTold = ({ node }: RunningNode): ReadonlyArray<number> => {
  const types: Array<number> = []
  for (const { peer } of node.links) {
    if (peer === undefined) continue
    const deliver = peer.deliver.bind(peer)
    peer.deliver = (datagram) => {
      for (let at = 0; at + headerBytes <= datagram.length;) {
        const type = datagram[at]! & 15
        if (type !== MessageType.control) types.push(type)
        at += (datagram[at + 2]! << 8) | datagram[at + 3]!
      }
      deliver(datagram)
    }
  }
  return types
}

/** A UDP flow of traffic; `number` makes it another one. */
export const udp = (number: number): { readonly original: Tuple } => ({
  original: { src: `10.0.${number >> 8}.${number & 255}`, dst: "10.1.0.1", sport: 5_000, dport: 53 }
})

/** The flows of a cache as the fake kernel shows its own, sorted. */
export const linesIn = (
  cache: Replica["internal"] | Replica["external"]
): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const view = new FlowView()
  const { table } = cache
  for (let slot = 0; slot < table.slotsHigh; slot++) {
    if (table.lifeOf(slot) === 0) continue
    if ("isDead" in cache && cache.isDead(slot)) continue
    const flow = describeFlow(table.view(slot, view))
    const original = flow.orig as Tuple
    const { dnat, dnatPort, snat, snatPort } = flow.translation ?? {}
    const mirrored = {
      src: dnat ?? original.dst,
      dst: snat ?? original.src,
      sport: dnatPort ?? original.dport,
      dport: snatPort ?? original.sport
    }
    const reply = (flow.reply as Tuple | undefined) ?? mirrored
    const protocol = flow.orig?.proto === 6 ? "tcp" : "udp"
    lines.push(lineOf({ protocol, original, reply, mark: flow.mark ?? 0 }))
  }
  return lines.sort()
}
