/** The nine flows of the recorded flushes and dumps: two families, four marks, a zone. */
import type { Bench } from "./Bench.ts"
import { create, mark, status, tcp, tcp6, udp, zone } from "./Requests.ts"

/** What each probe of a flush or a dump meets. */
export const nineFlows: ReadonlyArray<Uint8Array> = [
  create(tcp(1000)),
  create(tcp(1001), mark(1)),
  create(tcp(1002), mark(2), status(0xe)),
  create(tcp(1003), mark(3), zone(5)),
  create(udp(1000)),
  create(tcp6(2000)),
  create(tcp6(2001)),
  create(tcp6(2002)),
  create(tcp6(2000, "fd00::9"))
]

export const withNineFlows = (b: Bench): Bench => {
  b.do(...nineFlows)
  return b
}
