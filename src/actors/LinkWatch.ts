/** Tells the link selector which interfaces can carry traffic. */
import * as Effect from "effect/Effect"
import type { Interfaces } from "../layers/Interfaces.ts"
import type { Link } from "../layers/Links.ts"
import { reopening } from "./Reopening.ts"
import type { Replica } from "./Replica.ts"

/** Looks at the interface of every link now. */
const look = (replica: Replica, interfaces: Interfaces["Service"]): void => {
  const isUsable = ({ interfaceName }: Link): boolean => {
    const state = interfaces.current(interfaceName)
    return state !== undefined && state.up && state.running
  }
  const report = (usable: boolean): void =>
    replica.links.forEach((link, index) => {
      if (isUsable(link) === usable) replica.selector.handleLinkState(index, usable, usable)
    })
  // What can be used is known before the current link is given up.
  report(true)
  report(false)
  replica.work.openUnsafe()
}

export const linkWatch = (
  replica: Replica,
  interfaces: Interfaces["Service"]
): Effect.Effect<never> =>
  interfaces.changed.pipe(
    Effect.map(() => look(replica, interfaces)),
    Effect.forever,
    Effect.tapError((lost) => Effect.logWarning(lost.message)),
    Effect.retry({ schedule: reopening }),
    Effect.orDie
  )
