import { assert, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../../../src/programs/conntrackd.ts", import.meta.url))

describe("the program a client command loads", () => {
  it("contains neither the Effect runtime nor the daemon", async () => {
    const result = await build({
      entryPoints: [program],
      bundle: true,
      write: false,
      metafile: true,
      minify: true,
      platform: "node",
      format: "cjs",
      external: ["./conntrackd-daemon.ts"]
    })
    const inputs = Object.values(result.metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .map(([path]) => path)
    )
    assert.isTrue(inputs.some((path) => path.endsWith("src/core/config/Grammar.ts")))
    const unwanted = inputs.filter((path) =>
      /effect\/dist\/(internal\/effect|Effect|Fiber|Layer|Schema)\b/.test(path) ||
      /src\/(actors|layers)\//.test(path)
    )
    assert.deepStrictEqual(unwanted, [])
    // Each kilobyte is parsed during a fail-over.
    assert.isBelow(result.outputFiles[0]!.contents.length, 100_000)
  })
})
