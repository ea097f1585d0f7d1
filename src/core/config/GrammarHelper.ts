/**
 * `Helper { … }`: userspace connection-tracking helpers.
 *
 * Upstream collects the values of a `Type` block on one stack and empties it from the top when the
 * block closes. So the first of repeated values wins, and values written before a block leak into
 * it. We keep that: files in use may depend on it without knowing.
 *
 * Source: specification, chapter "conntrackd.conf", section 5.7.
 */
import { block, number, table, toggle } from "./Clauses.ts"
import type { Clause } from "./Reader.ts"
import type { ExpectPolicy } from "./Settings.ts"

const policyNameMax = 16

/** Values seen since the last `Type` block closed. */
interface TypeDraft {
  queueNumber: number | undefined
  queueLength: number | undefined
  policies: Array<ExpectPolicy>
}

const emptyType = (): TypeDraft => ({
  queueNumber: undefined,
  queueLength: undefined,
  policies: []
})

export const helperSection: Clause = (reader, at) => {
  let draft = emptyType()

  const queueNumber = number((_, value) => void (draft.queueNumber ??= value))
  const queueLength = number((_, value) => void (draft.queueLength ??= value))

  const policy: Clause = (reader) => {
    const name = reader.takeName("the name of a policy")
    if (name === undefined) return false
    let expectMax: number | undefined
    let expectTimeoutSeconds: number | undefined
    const body = table("Policy", {
      ExpectMax: number((_, value) => void (expectMax ??= value)),
      ExpectTimeout: number((_, value) => void (expectTimeoutSeconds ??= value))
    })
    if (!reader.block(body)) return false
    if (name.text.length > policyNameMax) {
      reader.error(name, `Helper Policy is longer than ${policyNameMax} characters`)
    } else if (expectMax === undefined && expectTimeoutSeconds === undefined) {
      reader.error(
        name,
        "Helper policy configuration empty, fix your configuration file, please",
        "give ExpectMax and ExpectTimeout, or delete the block to use the built-in policy"
      )
    } else {
      draft.policies.push({
        name: name.text,
        expectMax: expectMax ?? 0,
        expectTimeoutSeconds: expectTimeoutSeconds ?? 0
      })
    }
    return true
  }

  const type: Clause = (reader) => {
    const name = reader.takeName("the name of a helper")
    const l3 = name && reader.takeName("inet or inet6")
    const l4 = l3 && reader.takeName("tcp or udp")
    if (name === undefined || l3 === undefined || l4 === undefined) return false
    if (!reader.block(typeBlock)) return false
    const given = draft
    draft = emptyType()
    if (l3.text !== "inet" && l3.text !== "inet6") {
      reader.error(l3, "unknown layer 3 protocol", "use inet or inet6")
      return true
    }
    if (l4.text !== "tcp" && l4.text !== "udp") {
      reader.error(l4, "unknown layer 4 protocol", "use tcp or udp")
      return true
    }
    const builtin = reader.environment.helperPolicies(name.text, l4.text)
    if (builtin === undefined) {
      reader.error(name, `Unknown \`${name.text}' helper`)
      return true
    }
    const stranger = given.policies.find((policy) =>
      builtin.every(({ name }) => name !== policy.name)
    )
    if (stranger !== undefined) {
      reader.error(name, `Unknown policy \`${stranger.name}' in helper configuration`)
      return true
    }
    reader.draft.helperTypes.push({
      name: name.text,
      l3Protocol: l3.text,
      l4Protocol: l4.text,
      queueNumber: given.queueNumber ?? 0,
      queueLength: given.queueLength ?? 0,
      policies: builtin.map((policy) =>
        given.policies.find(({ name }) => name === policy.name) ?? policy
      )
    })
    return true
  }

  const typeClauses = { Type: type, QueueNum: queueNumber, QueueLen: queueLength, Policy: policy }
  const typeBlock = table("Type", typeClauses)
  const helper = table("Helper", {
    ...typeClauses,
    Setup: toggle((reader, value) => void (reader.draft.helperSetup = value))
  })
  return block(() => helper)(reader, at)
}
