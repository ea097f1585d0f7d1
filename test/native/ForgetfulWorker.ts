/** A worker that leaves every kind of handle open, waiting, and says so. */
import { parentPort } from "node:worker_threads"
import { addon, opened } from "./Machine.ts"

const netlink = opened(addon.openNetlink(0))
const link = opened(
  addon.openDatagram({
    family: 4,
    bindAddress: "127.0.0.1",
    port: 0,
    peerAddress: "127.0.0.1",
    interfaceName: "lo",
    multicast: false,
    checksum: true
  })
)
netlink.whenReadable(() => {})
link.whenReadable(() => {})
opened(addon.openNetlink(0)).close()
parentPort!.postMessage("left open")
