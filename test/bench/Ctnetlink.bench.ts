/** What do reading an event and writing a create request cost, against copying their bytes? */
import { readFileSync } from "node:fs"
import { Fault } from "../../src/core/model/Fault.ts"
import { clearScratch, scratchView } from "../../src/core/model/FlowView.ts"
import { decodeFlow } from "../../src/core/netlink/CtnetlinkDecode.ts"
import { encodeCreate, requestOptions } from "../../src/core/netlink/CtnetlinkEncode.ts"
import { NlmsgCursor } from "../../src/core/netlink/Nlmsg.ts"
import { compare } from "./Compare.ts"

export const title = "netlink: events and requests"

/** The third message of a recorded TCP connection: ESTABLISHED. */
const eventOf = (family: "ipv4" | "ipv6"): Uint8Array => {
  const path = new URL(`../golden/ctnetlink/tcp-lifecycle-${family}.json`, import.meta.url)
  const { messages } = JSON.parse(readFileSync(path, "utf8")) as {
    messages: ReadonlyArray<{ group: string; hex: string }>
  }
  return Uint8Array.from(Buffer.from(messages.find(({ group }) => group === "UPDATE")!.hex, "hex"))
}

export const run = (quick: boolean): void => {
  const times = quick ? 20_000 : 500_000
  for (const family of ["ipv4", "ipv6"] as const) {
    const event = eventOf(family)
    const slotBytes = 1024
    const bytes = new Uint8Array(256 * slotBytes)
    const words = new Int32Array(bytes.buffer)
    for (let i = 0; i < 256; i++) bytes.set(event, i * slotBytes)
    const view = scratchView()
    const cursor = new NlmsgCursor()
    const out = new Int32Array(64 * 1024)
    let slot = 0
    const next = (): number => {
      slot = (slot + 1) & 255
      return slot * slotBytes
    }
    const copy = () => {
      const from = next() >> 2
      for (let i = 0; i < event.length >> 2; i++) out[i] = words[from + i]!
    }
    compare(`decode a TCP event over ${family} (${event.length} bytes)`, {
      baseline: ["copy", copy],
      subject: ["decode", () => {
        const at = next()
        cursor.reset(words, at, at + event.length)
        while (cursor.next()) {
          clearScratch(view)
          if (decodeFlow(words, bytes, cursor.bodyAt, cursor.end, view) !== Fault.none) {
            throw new Error("fault")
          }
        }
      }]
    }, { times })
    const options = { ...requestOptions(), timeoutSeconds: 600 }
    compare(`encode the creation of a TCP flow over ${family}`, {
      baseline: ["copy", copy],
      subject: ["encode", () => {
        if (encodeCreate(out, next(), 1, view, options) < 0) throw new Error("no room")
      }]
    }, { times })
  }
}
