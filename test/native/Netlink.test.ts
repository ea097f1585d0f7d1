import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { addon, EAGAIN, EBADF, EINVAL, mayUse, opened } from "./Machine.ts"
import { addNamespace, deleteNamespaces, runInside } from "./Namespace.ts"

const NETLINK_ROUTE = 0
const NETLINK_NETFILTER = 12
const EPROTONOSUPPORT = 93
const EEXIST = 17

/** The recorded request, as hex: see `test/golden/ctnetlink`. */
const createTcp = (): string => {
  const golden = new URL("../golden/ctnetlink/ctnetlink-requests.json", import.meta.url)
  const { messages } = JSON.parse(readFileSync(golden, "utf8")) as {
    readonly messages: ReadonlyArray<{ source: string; step: string; hex: string }>
  }
  const found = messages.find((m) => m.source === "request" && m.step === "create: minimal tcp")
  return found!.hex
}

describe("a netlink socket", () => {
  it("is opened for the kernel's protocols, each with a port id of its own", () => {
    const all = [NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_NETFILTER].map((protocol) =>
      opened(addon.openNetlink(protocol))
    )
    for (const socket of all) {
      assert.isTrue(Number.isInteger(socket.portId) && socket.portId > 0)
      assert.isBelow(socket.portId, 2 ** 32)
    }
    assert.notStrictEqual(all[1]!.portId, all[2]!.portId)
    for (const socket of all) socket.close()
    assert.strictEqual(addon.openNetlink(31), -EPROTONOSUPPORT)
  })

  it("answers bad input and use after close with a negative errno", () => {
    const socket = opened(addon.openNetlink(NETLINK_ROUTE))
    const buffer = new Uint8Array(4096)
    const lengths = new Int32Array(4)
    assert.strictEqual(addon.openNetlink("12" as never), -EINVAL)
    assert.strictEqual(addon.openNetlink(-1), -EINVAL)
    assert.strictEqual(socket.receive(buffer, 1024, lengths, 4), -EAGAIN)
    assert.strictEqual(socket.receive(buffer, 8192, lengths, 4), -EINVAL)
    assert.strictEqual(socket.receive(buffer, 0, lengths, 4), -EINVAL)
    assert.strictEqual(socket.receive(buffer, 1024, lengths, 0), -EINVAL)
    assert.strictEqual(socket.receive(buffer, 1024, new Int32Array(0), 1), -EINVAL)
    assert.strictEqual(socket.receive(buffer, 1024, new Float64Array(4) as never, 1), -EINVAL)
    assert.strictEqual(socket.send(buffer, 4097), -EINVAL)
    assert.strictEqual(socket.send({} as never, 1), -EINVAL)
    assert.strictEqual(socket.attachFilter(new Uint8Array(0)), -EINVAL)
    assert.strictEqual(socket.join(1.5), -EINVAL)
    assert.strictEqual(socket.setReceiveBuffer(-1), -EINVAL)
    assert.strictEqual(socket.whenReadable(7 as never), -EINVAL)
    assert.strictEqual(socket.whenReadable(() => {}), 0)
    socket.close()
    socket.close()
    assert.strictEqual(socket.receive(buffer, 1024, lengths, 4), -EBADF)
    assert.strictEqual(socket.send(buffer, 16), -EBADF)
    assert.strictEqual(socket.join(1), -EBADF)
    assert.strictEqual(socket.whenReadable(() => {}), -EBADF)
    assert.strictEqual(socket.receiveBufferBytes(), -EBADF)
  })

  it("takes buffer sizes; the kernel doubles them", () => {
    const socket = opened(addon.openNetlink(NETLINK_ROUTE))
    assert.strictEqual(socket.setReceiveBuffer(65_536), 0)
    assert.strictEqual(socket.receiveBufferBytes(), 131_072)
    assert.strictEqual(socket.setSendBuffer(65_536), 0)
    socket.close()
  })
})

interface Report {
  readonly [field: string]: unknown
  readonly overrun: { readonly events: number; readonly errors: ReadonlyArray<unknown> }
  readonly lost: number
}

const possible = mayUse("netlink against the kernel", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

describe.skipIf(!possible)("a ctnetlink conversation", () => {
  let report: Report
  beforeAll(async () => {
    report = (await runInside(addNamespace("netlink"), "NetlinkProgram.ts", createTcp())) as Report
  })
  afterAll(deleteNamespaces)

  it("brings an event that names the requester", () => {
    assert.isTrue(report["portIdsDiffer"])
    assert.deepStrictEqual(report["joined"], [0, -EINVAL, 0])
    assert.strictEqual(report["nothingYet"], -EAGAIN)
    assert.strictEqual(report["sent"], 132)
    const event = { received: 1, length: 232, headerLength: 232, flags: 0x600, isOurs: true }
    assert.deepStrictEqual(report["event"], event)
  })

  it("brings an error only when a request fails", () => {
    assert.deepStrictEqual(report["answer"], { answers: 1, type: 2, seq: 1, error: -EEXIST })
  })

  it("carries many requests per call and many events per call", () => {
    assert.strictEqual(report["batch"], 64 * 132)
    assert.deepStrictEqual(report["parts"], [16, 16, 16, 16])
  })

  it("marks a datagram that did not fit its slot", () => {
    assert.deepStrictEqual(report["truncated"], { small: 1, length: -232 })
  })

  it("filters in the kernel", () => {
    assert.deepStrictEqual(report["attached"], [0, -EINVAL, 0])
    assert.strictEqual(report["filtered"], -EAGAIN)
    assert.strictEqual(report["unfiltered"], 1)
  })

  it("says ENOBUFS once per overrun, counts what was lost, and goes on", () => {
    assert.strictEqual(report["sized"], 0)
    assert.strictEqual(report["room"], 16_384)
    assert.isAbove(report.overrun.events, 0)
    assert.isBelow(report.overrun.events, 500)
    assert.deepStrictEqual(report.overrun.errors, ["ENOBUFS"])
    assert.strictEqual(report.lost, 500 - report.overrun.events)
    assert.deepStrictEqual(report["afterwards"], { events: 0, errors: [] })
    assert.deepStrictEqual(report["closed"], [-EBADF, -EBADF, -EBADF])
  })
})
