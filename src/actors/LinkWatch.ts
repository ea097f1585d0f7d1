/** Tells the link selector which interfaces can carry traffic. */
import * as Effect from "effect/Effect"
import type { Interfaces } from "../layers/Interfaces.ts"
import { reopening } from "./Reopening.ts"
import type { Replica } from "./Replica.ts"

/** Looks at the interface of every link now. */
const look = (replica: Replica, interfaces: Interfaces["Service"]): void => {
  replica.links.forEach((link, index) => {
    const state = interfaces.current(link.interfaceName)
    replica.selector.handleLinkState(index, state?.up ?? false, state?.running ?? false)
  })
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
