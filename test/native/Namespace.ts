/**
 * Fresh network namespaces, and programs inside them. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
 *
 * Names carry the process id: runs at the same time do not meet.
 */
import { execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const names: Array<string> = []

export const ip = (...words: ReadonlyArray<string>): string =>
  execFileSync("ip", words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

export const addNamespace = (name: string): string => {
  const unique = `native-${process.pid}-${name}`
  ip("netns", "add", unique)
  names.push(unique)
  ip("-n", unique, "link", "set", "lo", "up")
  return unique
}

export const deleteNamespaces = (): void => {
  for (const name of names.splice(0)) ip("netns", "del", name)
}

/** Runs a program of this folder inside a namespace; resolves with the JSON that it prints. */
export const runInside = (
  namespace: string,
  program: string,
  ...words: ReadonlyArray<string>
): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const path = fileURLToPath(new URL(`./${program}`, import.meta.url))
    const child = spawn(
      "ip",
      ["netns", "exec", namespace, process.execPath, path, ...words],
      { stdio: ["ignore", "pipe", "inherit"], timeout: 30_000 }
    )
    let out = ""
    child.stdout.on("data", (data: Buffer) => {
      out += data.toString()
    })
    child.once("error", reject)
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(out))
      else reject(new Error(`${program} ended with ${code}: ${out}`))
    })
  })
