import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { Transcript } from "./Transcript.ts"

const folder = new URL("ftfw/", import.meta.url)

describe("FTFW transcripts", () => {
  it.each(readdirSync(folder))("%s", (name) => {
    const file = new URL(name, folder)
    const text = readFileSync(file, "utf8")
    const played = Transcript.play(text)
    if (process.env["UPDATE"] === "1") writeFileSync(file, played)
    else assert.strictEqual(played, text)
  })
})
