/**
 * What a real kernel makes of our requests. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
 *
 * Written for kernels without a DCCP tracker (6.17 and later) and with one alike.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import type { FlowDescription } from "../fakes/FlowDescription.ts"
import { orders, portOf } from "../fakes/KeptPorts.ts"
import { commitCases } from "../golden/WireRequests.ts"
import { mayUse } from "../native/Machine.ts"
import { addNamespace, deleteNamespaces, runInside } from "../native/Namespace.ts"

interface Outcome {
  readonly id: string
  readonly errno: string
  readonly kernel?: FlowDescription
  readonly derived?: FlowDescription
  readonly update?: string
}

/** A rule that uses labels: otherwise the kernel drops them. */
const ruleset = `table inet t {
  chain f {
    type filter hook forward priority 0; policy accept;
    ct state invalid counter
    ct label set 3
  }
}`

/** Left out of the comparison: the kernel's own numbers, and what depends on its DCCP tracker. */
const comparable = (flow: FlowDescription): FlowDescription => {
  const { id: _, timeout: __, use: ___, ...rest } = flow
  if (flow.orig?.proto !== 33) return rest
  const { dccp: ____, ...generic } = rest
  const { src, dst } = flow.orig
  return { ...generic, orig: { src: src!, dst: dst! }, reply: { src: flow.reply!.src! } }
}

const check = (outcome: Outcome) => {
  assert.strictEqual(outcome.errno, "OK", outcome.id)
  assert.deepStrictEqual(
    comparable(outcome.derived!),
    comparable(outcome.kernel!),
    outcome.id
  )
  assert.isAtMost(outcome.derived!.timeout! - outcome.kernel!.timeout!, 2, outcome.id)
  assert.isAtLeast(outcome.derived!.timeout!, outcome.kernel!.timeout!, outcome.id)
  assert.strictEqual(outcome.update, "OK", `${outcome.id}, update`)
}

describe.skipIf(!mayUse("kernel requests", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"))(
  "the kernel",
  () => {
    let namespace = ""

    beforeAll(() => {
      namespace = addNamespace("create")
      execFileSync("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: ruleset })
    })
    afterAll(deleteNamespaces)

    const run = async (what: string) =>
      (await runInside(namespace, "../netns/KernelCreateProgram.ts", what)) as Array<Outcome>

    it("holds what we say after a commit", async () => {
      const outcomes = await run("commit")
      const refused: Record<string, string> = {
        "ct-tcp-nomark-notimeout": "EINVAL",
        "ct-committimeout+no-timeout-known": "EINVAL",
        "ct-master-ipv4": "ENOENT",
        "ct-everything-ipv4": "ENOENT",
        "ct-helper-netbios-ns": "EOPNOTSUPP"
      }
      const byId = new Map(outcomes.map((outcome) => [outcome.id, outcome]))
      for (const { id } of commitCases) {
        if (id in refused) {
          assert.strictEqual(byId.get(id)!.errno, refused[id], id)
          assert.strictEqual(byId.get(`${id} again`)!.errno, refused[id], id)
        } else {
          check(byId.get(id)!)
          assert.strictEqual(byId.get(`${id} again`)!.errno, "EEXIST", id)
        }
      }
      // The recorded answer was EBUSY: what a kernel marks as dying is not sent.
      check(byId.get("ct-status-high-bits")!)
      check(byId.get("ct-master-ipv4 without it")!)
      check(byId.get("ct-helper-netbios-ns without it")!)
    })

    it("translates the ports of every protocol that has some, and takes every state", async () => {
      const outcomes = await run("ports")
      for (const outcome of outcomes) check(outcome)
      const kernelOf = (id: string) => outcomes.find((outcome) => outcome.id === id)!.kernel!
      for (const proto of [6, 17, 132, 136]) {
        assert.deepStrictEqual(kernelOf(`translated ${proto}`).reply, {
          src: "10.2.0.99",
          dst: "203.0.113.7",
          proto,
          sport: 8080,
          dport: 1025
        })
      }
      assert.deepStrictEqual(kernelOf("translated 1").reply, {
        src: "10.2.0.99",
        dst: "203.0.113.7",
        proto: 1,
        icmpId: 77,
        icmpType: 0,
        icmpCode: 0
      })
      assert.deepStrictEqual(kernelOf("tcp 7").tcp, {
        state: 7,
        wscaleOrig: 7,
        wscaleReply: 14,
        flagsOrig: 0x0f,
        flagsReply: 0x0f
      })
      assert.strictEqual(kernelOf("tcp 3 tracking").tcp!.flagsOrig, 0x03)
      assert.strictEqual(kernelOf("tcp 12").tcp!.state, 0)
      assert.strictEqual(kernelOf("sctp 9").sctp!.state, 4)
    })

    it("keeps the port of a translated source, in whatever order flows are restored", async () => {
      const outcomes = new Map((await run("kept")).map((outcome) => [outcome.id, outcome]))
      for (const proto of [6, 17, 132, 136]) {
        for (const order of orders) {
          for (const name of order) {
            const outcome = outcomes.get(`${proto} ${order} ${name}`)!
            check(outcome)
            assert.strictEqual(outcome.kernel!.reply!.dport, portOf[name], outcome.id)
          }
        }
        for (const kind of ["source", "destination"]) {
          const of = (which: string) => outcomes.get(`${proto} ${kind} ${which}`)!
          check(of("first"))
          assert.strictEqual(of("second").errno, "EEXIST", of("second").id)
          assert.strictEqual(of("any").errno, "OK", of("any").id)
          assert.notStrictEqual(of("any").kernel!.reply!.dport, 5_000, of("any").id)
        }
      }
    })
  }
)
