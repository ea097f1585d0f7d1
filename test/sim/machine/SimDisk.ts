/** What a machine keeps over a power loss: files, and who holds a lock on one just now. */
import type { Process } from "../World.ts"

export class SimDisk {
  /** Content of every file by its path. */
  readonly files = new Map<string, string>()
  readonly #locks = new Map<string, Process>()

  /** False when a living process holds the lock; the file is made if need be. */
  lock(path: string, process: Process, pid: number): boolean {
    const owner = this.#locks.get(path)
    if (owner !== undefined && !owner.isGone) return false
    this.#locks.set(path, process)
    this.files.set(path, `${pid}`)
    return true
  }

  unlock(path: string, process: Process): void {
    if (this.#locks.get(path) === process) this.#locks.delete(path)
  }

  /** Process id in a locked file; 0 when nobody holds the lock. */
  lockOwner(path: string): number {
    const owner = this.#locks.get(path)
    if (owner === undefined || owner.isGone) return 0
    return Number(this.files.get(path) ?? 0)
  }

  locksOf(process: Process): ReadonlyArray<string> {
    return [...this.#locks].flatMap(([path, owner]) => (owner === process ? [path] : []))
  }

  append(path: string, line: string): void {
    this.files.set(path, (this.files.get(path) ?? "") + line)
  }

  remove(path: string): void {
    this.files.delete(path)
  }
}
