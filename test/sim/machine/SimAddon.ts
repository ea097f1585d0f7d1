/**
 * The native addon of a simulated process: the same calls as the real one, answered by the
 * machine's simulated kernel, interfaces, links and disk. The live layers cannot tell.
 *
 * What a process opens is remembered, so that a process that dies takes it along and one that ends
 * orderly can be asked what it forgot to close.
 */
import type {
  DatagramHandle,
  DatagramOptions,
  LockHandle,
  NativeAddon,
  NetlinkHandle,
  Pollable
} from "../../../src/layers/live/NativeAddon.ts"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { FakeRouting } from "../kernel/FakeRouting.ts"
import type { VirtualNetwork } from "../network/VirtualNetwork.ts"
import type { Process } from "../World.ts"
import type { MachineName } from "./Machine.ts"
import type { SimDisk } from "./SimDisk.ts"
import type { SlowDumps } from "./SlowDumps.ts"
import { slowDumps } from "./SlowDumps.ts"

const NETLINK_ROUTE = 0
const NETLINK_NETFILTER = 12
const [ENOENT, EAGAIN, EPROTONOSUPPORT] = [2, 11, 93]

export interface SimAddonParts {
  readonly machine: MachineName
  readonly process: Process
  readonly pid: number
  readonly kernel: FakeKernel
  readonly routing: FakeRouting
  readonly network: VirtualNetwork
  readonly disk: SimDisk
  readonly slowDumps?: SlowDumps | undefined
}

export class SimAddon implements NativeAddon {
  readonly #parts: SimAddonParts
  readonly #open = new Map<Pollable, string>()

  constructor(parts: SimAddonParts) {
    this.#parts = parts
  }

  /** What is open, by name. */
  get leaks(): ReadonlyArray<string> {
    const { disk, process } = this.#parts
    return [...this.#open.values(), ...disk.locksOf(process).map((path) => `lock ${path}`)]
  }

  /** What the kernel does when the process is gone. */
  closeAll(): void {
    for (const handle of this.#open.keys()) handle.close()
    this.#open.clear()
    this.#parts.network.closeAll(this.#parts.process)
  }

  /** Readiness wakes the process, which takes its turn when it gets one. */
  #opened<H extends Pollable>(handle: H, name: string): H {
    const { process } = this.#parts
    const wait = handle.whenReadable.bind(handle)
    const close = handle.close.bind(handle)
    handle.whenReadable = (ready) => wait(() => process.defer(ready))
    handle.close = () => {
      this.#open.delete(handle)
      close()
    }
    this.#open.set(handle, name)
    return handle
  }

  openNetlink(protocol: number): NetlinkHandle | number {
    switch (protocol) {
      case NETLINK_NETFILTER:
        return this.#opened<NetlinkHandle>(this.#netfilter(), "netfilter socket")
      case NETLINK_ROUTE:
        return this.#opened<NetlinkHandle>(this.#parts.routing.openSocket(), "route socket")
      default:
        return -EPROTONOSUPPORT
    }
  }

  #netfilter(): NetlinkHandle {
    const socket = this.#parts.kernel.openSocket()
    const { process, slowDumps: load } = this.#parts
    if (load !== undefined) slowDumps(socket, process, load)
    return socket
  }

  openDatagram(options: DatagramOptions): DatagramHandle | number {
    const { machine, network, process } = this.#parts
    const opened = network.open(machine, process, options)
    return typeof opened === "number"
      ? opened
      : this.#opened(opened, `datagram socket ${options.interfaceName}`)
  }

  interfaceMtu(name: string): number {
    return this.#parts.routing.mtuOf(name)
  }

  interfaceIndex(name: string): number {
    return this.#parts.routing.indexOf(name)
  }

  lockFile(path: string): LockHandle | number {
    const { disk, pid, process } = this.#parts
    if (!disk.lock(path, process, pid)) return -EAGAIN
    return { unlock: () => disk.unlock(path, process) }
  }

  lockOwner(path: string): number {
    const { disk } = this.#parts
    return disk.files.has(path) ? disk.lockOwner(path) : -ENOENT
  }

  setScheduler(): number {
    return 0
  }

  schedulerMaxPriority(): number {
    return 99
  }

  setNice(): number {
    return 0
  }

  /** No service manager asked to be told. */
  notifyServiceManager(): number {
    return 0
  }

  /** There is no system log. */
  syslog(): number {
    return -ENOENT
  }
}
