/**
 * Reads what conntrackd 1.4.7 asked the kernel for (commit.json, inject.json), and says how our
 * requests differ on purpose. What the files are: test/golden/wire/README.md.
 */
import { readFileSync } from "node:fs"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import { scratchView } from "../../src/core/model/FlowView.ts"
import { decode } from "../../src/core/wire/FlowAttributes.ts"
import type { NlattrTree } from "../fakes/NlattrTree.ts"
import { memoryOf } from "./CtnetlinkMessages.ts"

export interface RecordedRequest {
  readonly request: {
    readonly name: string
    readonly family: number
    readonly attrs: NlattrTree
    readonly flag_names: ReadonlyArray<string>
    readonly hex: string
  }
  readonly errno: number
}

export interface RequestCase {
  readonly id: string
  readonly config: { readonly options: string; readonly mode_options: string }
  readonly wire_hex: string
  readonly netlink: ReadonlyArray<RecordedRequest>
}

const read = (name: string): ReadonlyArray<RequestCase> =>
  (JSON.parse(readFileSync(new URL(`./wire/${name}`, import.meta.url), "utf8")) as {
    cases: ReadonlyArray<RequestCase>
  }).cases

const isFlow = (recorded: RequestCase) =>
  recorded.netlink.every(({ request }) => request.name.startsWith("CT_"))

export const commitCases = read("commit.json").filter(isFlow)
export const injectCases = read("inject.json").filter(isFlow)

/** The peer's entry. */
export const entryOf = (recorded: RequestCase): FlowView => {
  const { bytes, length } = memoryOf(recorded.wire_hex)
  const view = scratchView()
  // A message without acknowledgement has a header of eight bytes.
  const fault = decode(bytes, 8, length, view, { unknownAttributes: 0 })
  if (fault !== 0) throw new Error(`${recorded.id}: fault ${fault}`)
  return view
}

export type NlattrValue = number | string | NlattrTree
export type Attributes = { [name: string]: NlattrValue }

/** The attributes by name; none occurs twice. */
export const byName = (tree: NlattrTree): Attributes => {
  const out: Attributes = {}
  for (const entry of tree) {
    const [name, value] = Object.entries(entry)[0]!
    if (name in out) throw new Error(`${name} occurs twice`)
    out[name] = value
  }
  return out
}

/** Sorted at every level: the order of attributes means nothing. */
export const sorted = (value: NlattrValue): NlattrValue =>
  typeof value === "object"
    ? value
      .map((entry) => {
        const [name, inner] = Object.entries(entry)[0]!
        return { [name]: sorted(inner) }
      })
      .toSorted((a, b) => (Object.keys(a)[0]! < Object.keys(b)[0]! ? -1 : 1))
    : value

export const numberIn = (tree: NlattrTree, name: string): number | undefined =>
  byName(tree)[name] as number | undefined

/** Only for protocols with ports, and only where upstream says no port. */
const sayKeptPort = (out: Attributes): void => {
  if (out["NAT_SRC"] === undefined && out["NAT_DST"] === undefined) return
  const { PROTO: proto } = byName(out["TUPLE_ORIG"] as NlattrTree)
  const { SRC_PORT: port, NUM: l4 } = byName(proto as NlattrTree)
  const source = (out["NAT_SRC"] ?? []) as NlattrTree
  if (![6, 17, 33, 132, 136].includes(l4 as number) || "PROTO" in byName(source)) return
  out["NAT_SRC"] = [...source, { PROTO: [{ PORT_MIN: port! }, { PORT_MAX: port! }] }]
}

/**
 * What we send instead of `attributes`:
 *
 * - TCP flags: SACK_PERM beside BE_LIBERAL; WINDOW_SCALE (and SACK_PERM) when both scales are
 *   known, since the kernel drops the scales otherwise; CLOSE_INIT in TIME_WAIT and CLOSE;
 * - no DYING in the status, which the kernel refuses;
 * - the tag of SCTP and the role of DCCP as the peer sent them (defect 1);
 * - no translation without content (defect 3), and both ends of every range;
 * - the port of the source also when it stays, so that the kernel does not choose another one;
 * - no timeout in the update of a flow whose timeout is fixed;
 * - no SYNPROXY of zeros in a creation, as the kernel has it without.
 */
export const asWeSend = (recorded: RequestCase, attributes: Attributes): Attributes => {
  const out: Attributes = { ...attributes }
  const isCreate = "TUPLE_REPLY" in attributes
  const isTracking = recorded.config.options.includes("TCPWindowTracking On")
  const status = out["STATUS"] as number | undefined
  if (status !== undefined) out["STATUS"] = status & ~0x200
  if (!isCreate && ((status ?? 0) & 0x400) !== 0) delete out["TIMEOUT"]
  if (out["PROTOINFO"] !== undefined) {
    const info = byName(out["PROTOINFO"] as NlattrTree)
    const tcp = info["TCP"] === undefined ? undefined : byName(info["TCP"] as NlattrTree)
    if (tcp !== undefined) {
      let flags = isTracking ? 0 : 0x0a
      if ("WSCALE_ORIGINAL" in tcp && "WSCALE_REPLY" in tcp) flags |= 0x03
      const state = tcp["STATE"] as number | undefined
      if (state === 7 || state === 8) flags |= 0x04
      const { FLAGS_ORIGINAL: _, FLAGS_REPLY: __, ...rest } = tcp
      const hex = flags.toString(16).padStart(2, "0").repeat(2)
      const sent: Attributes = flags === 0
        ? rest
        : { ...rest, FLAGS_ORIGINAL: hex, FLAGS_REPLY: hex }
      out["PROTOINFO"] = [{ TCP: Object.entries(sent).map(([name, value]) => ({ [name]: value })) }]
    }
    const sctp = info["SCTP"] === undefined ? undefined : byName(info["SCTP"] as NlattrTree)
    if (sctp !== undefined && !isTracking) {
      out["PROTOINFO"] = [{
        SCTP: [
          { STATE: sctp["STATE"]! },
          { VTAG_ORIGINAL: 0x7856_3412 },
          { VTAG_REPLY: sctp["VTAG_REPLY"]! }
        ]
      }]
    }
    if (info["DCCP"] !== undefined) {
      out["PROTOINFO"] = [{ DCCP: [{ STATE: 4 }, { ROLE: 0 }] }]
    }
  }
  for (const name of ["NAT_SRC", "NAT_DST"]) {
    if (out[name] === undefined) continue
    const nat = (out[name] as NlattrTree).flatMap((entry): NlattrTree => {
      const [key, value] = Object.entries(entry)[0]!
      if (key === "PROTO" && (value as NlattrTree).length === 0) return []
      return key.endsWith("_MINIP") ? [entry, { [key.replace("MIN", "MAX")]: value }] : [entry]
    })
    if (nat.length === 0) delete out[name]
    else out[name] = nat
  }
  if (isCreate) sayKeptPort(out)
  if (isCreate && out["SYNPROXY"] !== undefined) {
    const isZero = (out["SYNPROXY"] as NlattrTree)
      .every((entry) => Object.values(entry)[0] === 0)
    if (isZero) delete out["SYNPROXY"]
  }
  return out
}
