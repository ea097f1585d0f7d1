/**
 * Opens the link whose options (JSON) are the first argument, says the byte of the second argument
 * every 20 ms, and prints (JSON) which bytes it heard. Ends half a second after the first one, or
 * after ten seconds.
 */
import type { DatagramOptions } from "../../src/layers/live/NativeAddon.ts"
import { addon, opened } from "./Machine.ts"

const options = JSON.parse(process.argv[2]!) as DatagramOptions
const link = opened(addon.openDatagram(options))
const buffer = new Uint8Array(1 << 17)
const ends = new Int32Array(64)
const heard = new Set<number>()
let refused = 0

const end = (): void => {
  clearInterval(talking)
  link.close()
  process.stdout.write(JSON.stringify({ heard: [...heard], refused }))
}

const listen = (): void => {
  link.whenReadable(() => {
    const received = link.receive(buffer, ends, 64)
    for (let i = 0; i < received; i++) heard.add(buffer[i === 0 ? 0 : ends[i - 1]!]!)
    if (received > 0 && !ending) {
      ending = true
      clearTimeout(tooLate)
      setTimeout(end, 500)
    }
    listen()
  })
}

const word = Uint8Array.of(Number(process.argv[3]))
const talking = setInterval(() => {
  refused += 1 - link.send(word, Int32Array.of(1), 1)
}, 20)
const tooLate = setTimeout(end, 10_000)
let ending = false
listen()
