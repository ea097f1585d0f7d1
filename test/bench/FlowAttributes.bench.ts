/** What do encoding and decoding the attributes of a flow cost, against copying the same bytes? */
import { Fault } from "../../src/core/model/Fault.ts"
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import { decode, encode } from "../../src/core/wire/FlowAttributes.ts"
import { fillIpv4, fillIpv6, withMark } from "../model/Flows.ts"
import { compare } from "./Compare.ts"

export const title = "wire: attributes of a flow"

const options = { windowTracking: false, timeout: true }

export const run = (quick: boolean): void => {
  const times = quick ? 20_000 : 500_000
  for (const [family, fill] of [["IPv4", fillIpv4], ["IPv6", fillIpv6]] as const) {
    const view = scratchView()
    withMark(fill(view, 12_345), 7)
    const message = new Uint8Array(1024)
    const end = encode(view, message, 0, options)
    const out = new Uint8Array(64 * 1472)
    const datagram = out.length - 1024
    let at = 0
    // Byte by byte, since that is how both codecs would have to start without knowing more.
    const copy = () => {
      at = at > datagram ? 0 : (at + 84) & ~3
      for (let i = 0; i < end; i++) out[at + i] = message[i]!
    }
    compare(`encode a TCP flow over ${family} (${end} bytes)`, {
      baseline: ["copy", copy],
      subject: ["encode", () => {
        at = at > datagram ? 0 : (at + 84) & ~3
        if (encode(view, out, at, options) !== at + end) throw new Error("wrong end")
      }]
    }, { times })
    const counters = { unknownAttributes: 0 }
    const received = scratchView()
    for (const shift of [0, 1]) {
      const moved = new Uint8Array(1024)
      moved.set(message.subarray(0, end), shift)
      compare(`decode a TCP flow over ${family} (${end} bytes, offset ${shift})`, {
        baseline: ["copy", copy],
        subject: ["decode", () => {
          clearScratch(received)
          const fault = decode(moved, shift, shift + end, received, counters)
          if (fault !== Fault.none) throw new Error("wrong fault")
        }]
      }, { times })
    }
  }
}
