import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("../../../scripts/build.mjs", import.meta.url))

describe("the bundles", () => {
  const directory = mkdtempSync(join(tmpdir(), "conntrackd-build-"))
  const dist = join(directory, "dist")
  const program = join(dist, "conntrackd")
  const run = (path: string, words: ReadonlyArray<string>, PATH: string) =>
    spawnSync(path, words, { encoding: "utf8", env: { PATH } })

  /** A directory with a program called `node` that says how it was called. */
  const echoingNode = (): string => {
    const bin = join(directory, "bin")
    mkdirSync(bin, { recursive: true })
    const text = "#!/bin/sh\nfor word in \"$@\"; do echo \"<$word>\"; done\n"
    writeFileSync(join(bin, "node"), text, { mode: 0o755 })
    return bin
  }

  beforeAll(() => {
    const done = spawnSync(process.execPath, [script, "--out", dist], { encoding: "utf8" })
    assert.strictEqual(done.status, 0, done.stderr)
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it("keep the daemon out of what a client command loads", () => {
    const meta = JSON.parse(readFileSync(join(dist, "meta.json"), "utf8")) as {
      outputs: Record<string, { inputs: Record<string, unknown> }>
    }
    const inputsOf = (file: string): ReadonlyArray<string> => {
      const found = Object.entries(meta.outputs).find(([path]) => path.endsWith(`/${file}`))
      return Object.keys(found![1].inputs)
    }
    const runtime = "node_modules/effect/dist/internal/effect.js"
    assert.include(inputsOf("conntrackd-daemon.cjs"), runtime)
    assert.notInclude(inputsOf("conntrackd"), runtime)
    assert.deepStrictEqual(
      inputsOf("conntrackd").filter((path) => path.startsWith("src/actors/")),
      []
    )
  })

  it("run by themselves", () => {
    const { status, stdout } = run(program, ["-v"], `${dirname(process.execPath)}:/usr/bin:/bin`)
    assert.match(stdout, /conntrackd/)
    assert.strictEqual(status, 0)
  })

  it("hand every word on to Node, and add none", () => {
    const words = ["-d", "-C", "/a path/with spaces", "", "$HOME", "*"]
    const link = join(directory, "link")
    symlinkSync(program, link)
    for (const path of [program, link]) {
      const { stdout } = run(path, words, `${echoingNode()}:/usr/bin:/bin`)
      assert.deepStrictEqual(
        stdout.trimEnd().split("\n"),
        [path, ...words].map((word) => `<${word}>`)
      )
    }
  })

  it("prefer the Node of the source tree", () => {
    const bin = join(directory, "node_modules", ".bin")
    mkdirSync(bin, { recursive: true })
    symlinkSync(join(echoingNode(), "node"), join(bin, "node"))
    assert.strictEqual(run(program, ["-s"], "/nowhere").stdout, `<${program}>\n<-s>\n`)
    rmSync(join(directory, "node_modules"), { recursive: true })
  })

  it("say what is missing where there is no Node", () => {
    const { status, stderr } = run(program, ["-s"], "/nowhere")
    assert.strictEqual(status, 127)
    assert.strictEqual(stderr, "conntrackd: Node 24 or newer is needed and no node was found\n")
  })
})
