import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { conntrackdVersion, version } from "../../../src/core/text/Usage.ts"

describe("the version text", () => {
  it("has upstream's first words, the package's version and our own holders", () => {
    const packageFile = new URL("../../../package.json", import.meta.url)
    const { version: packaged } = JSON.parse(readFileSync(packageFile, "utf8")) as {
      readonly version: string
    }
    assert.strictEqual(version, packaged)
    assert.strictEqual(
      conntrackdVersion,
      `Connection tracking userspace daemon v${packaged}. Licensed under MIT.\n` +
        "(C) 2026 The conntrackd-ts authors\n"
    )
  })
})
