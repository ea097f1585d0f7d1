import { assert, describe, it } from "@effect/vitest"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import type { DatagramOptions } from "../../src/layers/live/NativeAddon.ts"
import { addon, EAGAIN, opened } from "./Machine.ts"

const options: DatagramOptions = {
  family: 4,
  bindAddress: "127.0.0.1",
  port: 0,
  peerAddress: "127.0.0.1",
  interfaceName: "lo",
  multicast: false,
  checksum: true
}

const descriptors = (): number => readdirSync("/proc/self/fd").length
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe("handles", () => {
  it("come and go a thousand times and leave no descriptor behind", async () => {
    const buffer = new Uint8Array(65_536)
    const numbers = new Int32Array(8)
    const before = descriptors()
    for (let round = 0; round < 1000; round++) {
      const netlink = opened(addon.openNetlink(0))
      const link = opened(addon.openDatagram(options))
      assert.strictEqual(netlink.receive(buffer, 1024, numbers, 8), -EAGAIN)
      assert.strictEqual(link.receive(buffer, numbers, 8), -EAGAIN)
      // Waiting or not, asked twice or once: all of it must be released.
      if (round % 2 === 0) assert.strictEqual(netlink.whenReadable(() => {}), 0)
      if (round % 3 === 0) assert.strictEqual(link.whenReadable(() => {}), 0)
      if (round % 6 === 0) assert.strictEqual(link.whenReadable(() => {}), 0)
      netlink.close()
      link.close()
      if (round % 50 === 0) await turn()
    }
    await turn()
    assert.isAtMost(descriptors(), before)
  })

  it("may be closed inside their own call-back", async () => {
    const link = opened(addon.openDatagram({ ...options, port: 0 }))
    const towards = { ...options, port: link.localPort(), bindAddress: "127.0.0.2" }
    const sender = opened(addon.openDatagram(towards))
    await new Promise<void>((resolve) => {
      link.whenReadable(() => {
        link.close()
        resolve()
      })
      assert.strictEqual(sender.send(Uint8Array.of(1), Int32Array.of(1), 1), 1)
    })
    sender.close()
  })

  it("that are forgotten, waiting or not, end with their worker", async () => {
    const worker = new Worker(fileURLToPath(new URL("./ForgetfulWorker.ts", import.meta.url)))
    const { code, left } = await new Promise<{ code: number; left: unknown }>((resolve, reject) => {
      let left: unknown
      worker.on("message", (message) => {
        left = message
        void worker.terminate()
      })
      worker.on("error", reject)
      worker.on("exit", (code) => resolve({ code, left }))
    })
    assert.strictEqual(left, "left open")
    assert.strictEqual(code, 1, "terminated, not crashed")
  })
})
