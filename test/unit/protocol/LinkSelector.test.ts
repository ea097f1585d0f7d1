import { assert, describe, it } from "@effect/vitest"
import { LinkSelector } from "../../../src/core/protocol/LinkSelector.ts"

describe("LinkSelector", () => {
  it("follows reception without a word", () => {
    const selector = new LinkSelector(["eth1", "eth2"], 0)
    selector.handleTraffic(1)
    assert.strictEqual(selector.current, 1)
    assert.isUndefined(selector.pollNotice())
  })

  it("replaces a link that lost its carrier by the first usable one, and stays there", () => {
    const selector = new LinkSelector(["eth1", "eth2", "eth3"], 0)
    for (const link of [0, 1, 2]) selector.handleLinkState(link, true, true)
    selector.handleLinkState(0, true, false)
    assert.strictEqual(selector.current, 1)
    assert.deepStrictEqual(selector.pollNotice(), { _tag: "LinkChanged", from: 0, to: 1 })
    selector.handleLinkState(0, true, true)
    assert.strictEqual(selector.current, 1)
    assert.isUndefined(selector.pollNotice())
  })

  it("takes no link without carrier, nor one whose interface it never heard of", () => {
    const selector = new LinkSelector(["eth1", "eth2", "eth3"], 0)
    selector.handleLinkState(1, true, false)
    selector.handleLinkState(0, false, false)
    assert.strictEqual(selector.current, 0)
    assert.deepStrictEqual(selector.pollNotice(), { _tag: "NoLinkUp" })
    selector.handleLinkState(2, true, true)
    assert.strictEqual(selector.current, 2)
  })

  it("takes no other link of the interface that failed", () => {
    const selector = new LinkSelector(["eth1", "eth1", "eth2"], 0)
    for (const link of [0, 1, 2]) selector.handleLinkState(link, true, true)
    selector.handleLinkState(0, false, false)
    assert.strictEqual(selector.current, 2)
  })

  it("keeps the only link when it is dead", () => {
    const selector = new LinkSelector(["eth1"], 0)
    selector.handleLinkState(0, true, false)
    selector.handleLinkState(0, false, false)
    assert.strictEqual(selector.current, 0)
    assert.deepStrictEqual(selector.pollNotice(), { _tag: "NoLinkUp" })
    assert.isUndefined(selector.pollNotice())
  })

  it("does not touch a current link that was not reported dead", () => {
    const selector = new LinkSelector(["eth1", "eth2"], 0)
    selector.handleLinkState(1, true, true)
    assert.strictEqual(selector.current, 0)
  })
})
