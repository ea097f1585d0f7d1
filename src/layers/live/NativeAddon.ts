/**
 * What `native/` exports, and how it is loaded.
 *
 * The addon moves bytes and knows no protocol. Every call returns a value or a negative errno and
 * none throws; an argument of a wrong type or range is `-EINVAL`, a closed handle `-EBADF`. Lent
 * buffers are used during the call only. Nothing is read until it is asked for, so a slow daemon
 * shows up as an overrun of the kernel, which is counted and repaired, and not as growing memory.
 *
 * Source: man pages netlink(7), udp(7), ip(7), ipv6(7), socket(7), fcntl(2), sd_notify(3).
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

/** A descriptor whose readiness we wait for. */
export interface Pollable {
  /**
   * Calls `ready` once when there is something to read (or an error to collect), then stays silent
   * until asked again; a second call replaces the first. The handle is kept alive, and keeps the
   * process alive, while it waits. 0, or -errno.
   */
  whenReadable(ready: () => void): number
  /** Closes the descriptors; a waiting `ready` is forgotten. May be called again. */
  close(): void
}

export interface NetlinkHandle extends Pollable {
  /** Port id the kernel gave this socket, 32 bits unsigned: how we recognise events we caused. */
  readonly portId: number
  /** Joins a multicast group; takes effect at once. 0, or -errno (-EPERM without CAP_NET_ADMIN). */
  join(group: number): number
  leave(group: number): number
  /** Any option that is an int: NETLINK_NO_ENOBUFS, CAP_ACK, SO_DETACH_FILTER, … 0, or -errno. */
  setOption(level: number, name: number, value: number): number
  /**
   * Room for received datagrams, in bytes; the kernel stores twice the value. Without
   * CAP_NET_ADMIN the system's limit applies: `receiveBufferBytes` says what came of it.
   */
  setReceiveBuffer(bytes: number): number
  /** The same for what one `send` may hold. */
  setSendBuffer(bytes: number): number
  /** The receive buffer as the kernel accounts it: twice what was set. Bytes, or -errno. */
  receiveBufferBytes(): number
  /** Attaches a classic BPF program, an array of `struct sock_filter`. A socket has one. */
  attachFilter(program: Uint8Array): number
  /**
   * Receives up to `datagramsMax` (1024 at most) datagrams into slots: number i begins at
   * `i * slotBytes` and has `lengths[i]` bytes, negative when it has more than a slot holds. What
   * other processes send us is discarded.
   *
   * Number received, or -errno: -EAGAIN when there is nothing, -ENOBUFS once when the kernel had
   * to drop datagrams; what was queued before can still be read afterwards.
   */
  receive(buffer: Uint8Array, slotBytes: number, lengths: Int32Array, datagramsMax: number): number
  /**
   * Sends `bytes[0, length)`, one or many requests back to back, in one system call; the kernel
   * carries them all out before it returns. Bytes sent, or -errno.
   */
  send(bytes: Uint8Array, length: number): number
  /** Datagrams the kernel could not queue for us since the socket was opened, or -errno. */
  dropped(): number
}

export interface DatagramHandle extends Pollable {
  /**
   * Receives up to `datagramsMax` datagrams, oldest first, back to back: number i ends at
   * `ends[i]` and begins where i - 1 ended. `buffer` has at least 65536 bytes. What does not fit
   * waits for the next call. Number received, or -errno: -EAGAIN when there is nothing.
   */
  receive(buffer: Uint8Array, ends: Int32Array, datagramsMax: number): number
  /**
   * Sends `count` datagrams, laid out as above, in order. One that is refused is passed over, and
   * a socket that stays full for 20 ms ends the call. Number accepted, or -errno.
   */
  send(buffer: Uint8Array, ends: Int32Array, count: number): number
  /** Errno (positive) of the last refusal during the last `send`; 0 when there was none. */
  lastSendError(): number
  /** Datagrams discarded for want of room or with a wrong checksum since opened, or -errno. */
  dropped(): number
  /** Port the receiver is bound to, or -errno. */
  localPort(): number
}

export interface DatagramOptions {
  readonly family: 4 | 6
  /**
   * UDP: the address to receive on. Multicast: our own address on the interface, which becomes
   * the source of what we send; may be empty.
   */
  readonly bindAddress: string
  /** Both the port to receive on and the peer's. */
  readonly port: number
  /** UDP: the peer. Multicast: the group. */
  readonly peerAddress: string
  /** The dedicated link's interface: scope of link-local addresses, where the group is joined. */
  readonly interfaceName: string
  readonly multicast: boolean
  /** Forced past the system's limit; refused with -EPERM without CAP_NET_ADMIN. */
  readonly sendBufferBytes?: number | undefined
  readonly receiveBufferBytes?: number | undefined
  /** False: IPv4 datagrams leave without a UDP checksum. */
  readonly checksum: boolean
}

/** A lock that the kernel releases when its owner ends. Keep it: collected means unlocked. */
export interface LockHandle {
  /** Remove the file before, not after: afterwards it may be somebody else's. */
  readonly unlock: () => void
}

export type SchedulerPolicy = "rr" | "fifo" | "other"

export interface NativeAddon {
  /** A bound, non-blocking socket of a netlink protocol (NETLINK_ROUTE 0, NETLINK_NETFILTER 12). */
  openNetlink(protocol: number): NetlinkHandle | number
  /** A UDP or multicast link: -ENODEV unknown interface, -EADDRNOTAVAIL, -EPERM, … */
  openDatagram(options: DatagramOptions): DatagramHandle | number
  /** Bytes, or -ENODEV. */
  interfaceMtu(name: string): number
  /** Index (1 or more), or -ENODEV. */
  interfaceIndex(name: string): number
  /**
   * Creates the file (mode 0600) if need be, locks it without waiting, writes our process id into
   * it. -EAGAIN when another process, or another lock of ours, holds it.
   */
  lockFile(path: string): LockHandle | number
  /** Process id of the holder, 0 when nobody holds it; -ENOENT; -ESRCH when it does not say. */
  lockOwner(path: string): number
  /** For the calling thread, the one that does the work. 0, or -errno. */
  setScheduler(policy: SchedulerPolicy, priority: number): number
  schedulerMaxPriority(policy: SchedulerPolicy): number
  /** For the calling thread. 0, or -errno. */
  setNice(value: number): number
  /** 1 when told, 0 when no service manager asked to be, or -errno. */
  notifyServiceManager(state: string): number
  /**
   * One line to the system log as `ident[pid]: line`. `facility` is 0…23 (daemon 3, local0 16),
   * `level` 0…7. 0, or -errno (-ENOENT: no log daemon). `path` is for tests.
   */
  syslog(facility: number, level: number, ident: string, line: string, path?: string): number
}

/** The addon is not there, or does not fit this machine. The message says what to do. */
export class NativeAddonMissing extends Error {
  override readonly name = "NativeAddonMissing"
}

const fileName = "conntrackd_native.node"

/** Beside the bundle when installed, below `native/` in the source tree. */
const places = [`./${fileName}`, `../../../native/build/Release/${fileName}`]

/**
 * Loads the addon; `path` overrides the usual places.
 *
 * Throws `NativeAddonMissing`: nothing works without the addon, and every caller ends with the
 * message.
 */
export const loadNativeAddon = (path?: string): NativeAddon => {
  const candidates = path === undefined
    ? places.map((place) => fileURLToPath(new URL(place, import.meta.url)))
    : [path]
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found === undefined) {
    throw new NativeAddonMissing(
      `the native addon ${fileName} is missing; build it with: npm run build:native`
    )
  }
  try {
    return createRequire(import.meta.url)(found) as NativeAddon
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new NativeAddonMissing(
      `the native addon cannot be loaded (${reason}); build it again with: npm run build:native`,
      { cause }
    )
  }
}
