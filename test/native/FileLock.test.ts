import { afterAll, assert, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import {
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { addon, EAGAIN, EINVAL, ELOOP, ENOENT, opened } from "./Machine.ts"

const directory = mkdtempSync(join(tmpdir(), "conntrackd-lock-"))
afterAll(() => rmSync(directory, { recursive: true }))

/** Another process that holds the lock; its first line of output is `held` or an errno. */
const holder = async (path: string): Promise<{ child: ChildProcess; said: string }> => {
  const script = fileURLToPath(new URL("./LockHolder.ts", import.meta.url))
  const child = spawn(process.execPath, [script, path], { stdio: ["pipe", "pipe", "inherit"] })
  const said = await new Promise<string>((resolve) => {
    child.stdout!.once("data", (data: Buffer) => resolve(data.toString().trim()))
    child.once("exit", (code) => resolve(`ended ${code}`))
  })
  return { child, said }
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.once("exit", () => resolve()))

describe("a lock file", () => {
  it("is created private, says who holds it, and is free again after unlock", () => {
    const path = join(directory, "simple.lock")
    const lock = opened(addon.lockFile(path))
    assert.strictEqual(statSync(path).mode & 0o777, 0o600)
    assert.strictEqual(readFileSync(path, "utf8"), `${process.pid}\n`)
    assert.strictEqual(addon.lockOwner(path), process.pid)
    assert.strictEqual(addon.lockFile(path), -EAGAIN)
    lock.unlock()
    lock.unlock()
    assert.strictEqual(addon.lockOwner(path), 0)
    opened(addon.lockFile(path)).unlock()
  })

  it("may lie there from an earlier life", () => {
    const path = join(directory, "stale.lock")
    writeFileSync(path, "a long line that no process wrote\n")
    assert.strictEqual(addon.lockOwner(path), 0)
    const lock = opened(addon.lockFile(path))
    assert.strictEqual(readFileSync(path, "utf8"), `${process.pid}\n`)
    lock.unlock()
  })

  it("is not lost when anything else in the process closes the file", () => {
    const path = join(directory, "read.lock")
    const lock = opened(addon.lockFile(path))
    readFileSync(path)
    assert.strictEqual(addon.lockFile(path), -EAGAIN)
    lock.unlock()
  })

  it("is held by another process until that is killed", async () => {
    const path = join(directory, "killed.lock")
    const { child, said } = await holder(path)
    assert.strictEqual(said, "held")
    assert.strictEqual(addon.lockFile(path), -EAGAIN)
    assert.strictEqual(addon.lockOwner(path), child.pid)
    const gone = ended(child)
    child.kill("SIGKILL")
    await gone
    assert.strictEqual(addon.lockOwner(path), 0)
    const lock = opened(addon.lockFile(path))
    assert.strictEqual((await holder(path)).said, `${-EAGAIN}`)
    lock.unlock()
  })

  it("locks the file of that name, not one that was removed", async () => {
    const path = join(directory, "removed.lock")
    const first = opened(addon.lockFile(path))
    unlinkSync(path)
    first.unlock()
    const second = opened(addon.lockFile(path))
    assert.strictEqual(addon.lockOwner(path), process.pid)
    second.unlock()
  })

  it("never follows a link, and answers bad paths", () => {
    const target = join(directory, "precious")
    writeFileSync(target, "precious")
    const path = join(directory, "link.lock")
    symlinkSync(target, path)
    assert.strictEqual(addon.lockFile(path), -ELOOP)
    assert.strictEqual(readFileSync(target, "utf8"), "precious")
    assert.strictEqual(addon.lockFile(join(directory, "no", "where")), -ENOENT)
    assert.strictEqual(addon.lockOwner(join(directory, "nothing")), -ENOENT)
    assert.strictEqual(addon.lockFile(7 as never), -EINVAL)
    assert.strictEqual(addon.lockFile("a\0b"), -EINVAL)
  })
})
