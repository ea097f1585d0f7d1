/** A process that takes the lock named by its argument, says so, and holds it until it ends. */
import { addon } from "./Machine.ts"

const lock = addon.lockFile(process.argv[2]!)
if (typeof lock === "number") {
  process.stdout.write(`${lock}\n`)
} else {
  process.stdout.write("held\n")
  process.stdin.resume()
  process.stdin.on("end", () => lock.unlock())
}
