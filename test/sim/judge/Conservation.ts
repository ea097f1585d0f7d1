/**
 * S10 over a whole run: no datagram appears or disappears in the network, and what it saw leave and
 * enter the sockets of a machine is what the machine's daemons counted, all lives together.
 */
import type { MachineName } from "../machine/Machine.ts"
import type { Life } from "./Life.ts"

interface Seen {
  readonly sent: number
  readonly bytesSent: number
  readonly refused: number
  readonly read: number
  readonly bytesRead: number
}

/** The books of a network. */
export interface NetworkBooks {
  readonly counters: Readonly<Record<string, number>>
  /** Copies sent and neither delivered nor lost. */
  inFlight(): number
  end(link: number, machine: MachineName): Seen
}

type Total = { -readonly [K in keyof Seen]: Seen[K] } & { links: number }

const seenOf = (links: number): Total => (
  { sent: 0, bytesSent: 0, refused: 0, read: 0, bytesRead: 0, links }
)

const add = (total: Total, { replica: { links } }: Life): void => {
  for (const { counters } of links) {
    total.sent += counters.packetsSent
    total.bytesSent += counters.bytesSent
    total.refused += counters.sendErrors
    total.read += counters.packetsReceived
    total.bytesRead += counters.bytesReceived
  }
}

const names = ["sent", "bytesSent", "refused", "read", "bytesRead"] as const

export class Conservation {
  readonly #totals = new Map<MachineName, Total>()

  /** A daemon's life is over: what its links counted. */
  ended(machine: MachineName, life: Life): void {
    let total = this.#totals.get(machine)
    if (total === undefined) {
      total = seenOf(life.replica.links.length)
      this.#totals.set(machine, total)
    }
    add(total, life)
  }

  /** What does not add up, in words. `running`: the lives that are not over. */
  difference(
    network: NetworkBooks,
    running: ReadonlyMap<MachineName, Life>
  ): string | undefined {
    const get = (name: string): number => network.counters[name] ?? 0
    const begun = get("sent") + get("duplicated") + get("injected")
    const over = get("delivered") + get("lost") + network.inFlight()
    if (begun !== over) return `the network took ${begun} copies, and accounts for ${over}`
    for (const machine of new Set([...this.#totals.keys(), ...running.keys()])) {
      const life = running.get(machine)
      const total = { ...this.#totals.get(machine) ?? seenOf(life!.replica.links.length) }
      if (life !== undefined) add(total, life)
      const seen = seenOf(0)
      for (let link = 0; link < total.links; link++) {
        const end = network.end(link, machine)
        for (const name of names) seen[name] += end[name]
      }
      for (const name of names) {
        // A partly refused batch counts its share, which need not be exact.
        if (name === "bytesSent" && total.refused > 0) continue
        if (seen[name] === total[name]) continue
        return `the lives of ${machine} count ${total[name]} (${name}), the network ${seen[name]}`
      }
    }
    return undefined
  }
}
