import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { DatagramOptions } from "../../src/layers/live/NativeAddon.ts"
import { mayUse } from "./Machine.ts"
import { addNamespace, deleteNamespaces, ip, runInside } from "./Namespace.ts"

const possible = mayUse("links between two namespaces", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")

/** Two nodes with two cables between them; `a1`–`b1` is the first, `a2`–`b2` the second. */
describe.skipIf(!possible)("a link between two nodes", () => {
  let a = ""
  let b = ""
  const linkLocal = (namespace: string, device: string): string => {
    const found = /inet6 (fe80:[0-9a-f:]+)/.exec(ip("-n", namespace, "-6", "addr", "show", device))
    return found![1]!
  }

  /** The kernel refuses to send from an address while it looks for duplicates of it. */
  const usable = async (namespace: string): Promise<void> => {
    for (
      let attempt = 0;
      ip("-n", namespace, "-6", "addr", "show", "tentative") !== "";
      attempt++
    ) {
      if (attempt === 100) throw new Error("IPv6 addresses still tentative after 10 s")
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  beforeAll(async () => {
    a = addNamespace("a")
    b = addNamespace("b")
    for (const cable of ["1", "2"]) {
      ip("link", "add", `a${cable}`, "netns", a, "type", "veth", "peer", `b${cable}`, "netns", b)
      for (const [namespace, node, host] of [[a, "a", "1"], [b, "b", "2"]] as const) {
        const device = `${node}${cable}`
        ip("-n", namespace, "addr", "add", `10.9.${cable}.${host}/24`, "dev", device)
        ip("-n", namespace, "addr", "add", `fd09:${cable}::${host}/64`, "dev", device, "nodad")
        ip("-n", namespace, "link", "set", device, "up")
      }
    }
    await usable(a)
    await usable(b)
  })
  afterAll(deleteNamespaces)

  /** Both talk at once; what each heard. */
  const converse = async (ofA: DatagramOptions, ofB: DatagramOptions) =>
    Promise.all([
      runInside(a, "LinkTalker.ts", JSON.stringify(ofA), "65"),
      runInside(b, "LinkTalker.ts", JSON.stringify(ofB), "66")
    ])
  const plain = { port: 3780, checksum: true } as const
  const multicast = (
    family: 4 | 6,
    group: string,
    device: string,
    bindAddress: string
  ): DatagramOptions => ({
    ...plain,
    family,
    multicast: true,
    bindAddress,
    peerAddress: group,
    interfaceName: device
  })
  const eachOther: [unknown, unknown] = [{ heard: [66], refused: 0 }, { heard: [65], refused: 0 }]

  it("carries multicast over IPv4, and nobody hears himself", async () => {
    const said = await converse(
      multicast(4, "225.0.0.50", "a1", "10.9.1.1"),
      multicast(4, "225.0.0.50", "b1", "10.9.1.2")
    )
    assert.deepStrictEqual(said, eachOther)
  })

  it("carries multicast over IPv6, and nobody hears himself", async () => {
    const said = await converse(
      multicast(6, "ff02::50", "a1", "fd09:1::1"),
      multicast(6, "ff02::50", "b1", "fd09:1::2")
    )
    assert.deepStrictEqual(said, eachOther)
  })

  it.each([4, 6] as const)("keeps one group on two cables apart (IPv%i)", async (family) => {
    const group = family === 4 ? "225.0.0.50" : "ff05::50"
    const of = (device: string, cable: string, host: string) =>
      multicast(family, group, device, family === 4 ? `10.9.${cable}.${host}` : `fd09:${cable}::1`)
    const said = await Promise.all([
      runInside(a, "LinkTalker.ts", JSON.stringify(of("a1", "1", "1")), "11"),
      runInside(b, "LinkTalker.ts", JSON.stringify(of("b1", "1", "2")), "12"),
      runInside(a, "LinkTalker.ts", JSON.stringify(of("a2", "2", "1")), "21"),
      runInside(b, "LinkTalker.ts", JSON.stringify(of("b2", "2", "2")), "22")
    ])
    const heard = (byte: number) => ({ heard: [byte], refused: 0 })
    assert.deepStrictEqual(said, [heard(12), heard(11), heard(22), heard(21)])
  })

  it("carries UDP between link-local addresses", async () => {
    const udp = { ...plain, family: 6, multicast: false, checksum: false } as const
    const [ofA, ofB] = [linkLocal(a, "a1"), linkLocal(b, "b1")]
    const said = await converse(
      { ...udp, bindAddress: ofA, peerAddress: ofB, interfaceName: "a1" },
      { ...udp, bindAddress: ofB, peerAddress: ofA, interfaceName: "b1" }
    )
    assert.deepStrictEqual(said, eachOther)
  })

  it("carries UDP over IPv4 without checksums, with forced buffers", async () => {
    const udp = {
      ...plain,
      family: 4,
      multicast: false,
      checksum: false,
      sendBufferBytes: 16 << 20,
      receiveBufferBytes: 16 << 20
    } as const
    const said = await converse(
      { ...udp, bindAddress: "10.9.2.1", peerAddress: "10.9.2.2", interfaceName: "a2" },
      { ...udp, bindAddress: "10.9.2.2", peerAddress: "10.9.2.1", interfaceName: "b2" }
    )
    assert.deepStrictEqual(said, eachOther)
  })
})
