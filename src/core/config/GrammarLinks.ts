/**
 * `Multicast`, `UDP` and `TCP` blocks: the dedicated links.
 *
 * At most four, all of one kind. Upstream keeps the addresses of both families in the same memory:
 * a later address replaces an earlier one, and the last valid one decides the family. A link whose
 * two addresses end up in different families cannot work; upstream misreads one of them, we refuse.
 *
 * Source: specification, chapter "conntrackd.conf", section 5.4.
 */
import { parseIpv4, parseIpv6 } from "./Address.ts"
import { address, name, number, table, toggle } from "./Clauses.ts"
import { emptyLink, type LinkDraft } from "./Defaults.ts"
import type { Token } from "./Lexer.ts"
import type { Block, Clause, Reader } from "./Reader.ts"

const linksMax = 4

/** The kernel stores names in 16 bytes; longer ones name no interface anyway. */
const interfaceNameMax = 16

const titles = { udp: "UDP", tcp: "TCP", multicast: "Multicast" } as const

export const link = (kind: LinkDraft["kind"]): Clause => (reader, at) => {
  const { links } = reader.draft
  const isDefault = reader.optionalWord("Default") !== undefined
  if (kind === "udp" && links.length > 0) reader.mention("more than one UDP block", at)
  reader.mention(titles[kind], at)
  const draft = emptyLink(kind, isDefault)
  const problem = links.some((other) => other.kind !== kind)
    ? `cannot use \`${titles[kind]}' with other dedicated link protocols!`
    : links.length >= linksMax
    ? `too many dedicated links in the configuration file (Maximum: ${linksMax})`
    : undefined
  // Upstream notices behind the first option; an empty block is noticed since 1.4.8 only.
  const report = once(() => problem !== undefined && reader.error(at, problem))
  if (!reader.block(watched(blockFor(draft), report))) return false
  report()
  if (problem === undefined) links.push(draft)
  checkFamilies(reader, draft, at)
  return true
}

const once = (run: () => unknown): () => void => {
  let done = false
  return () => {
    if (!done) run()
    done = true
  }
}

/** The block, with something to do behind each of its clauses. */
const watched = ({ clauses, title }: Block, behind: () => void): Block => ({
  title,
  clauses: new Map(
    Array.from(clauses, ([word, clause]): [string, Clause] => [word, (reader, at) => {
      if (!clause(reader, at)) return false
      behind()
      return true
    }])
  )
})

const checkFamilies = (reader: Reader, { kind, own, remote }: LinkDraft, at: Token): void => {
  if (own === undefined || remote === undefined || own.length === remote.length) return
  if (kind === "multicast") return
  reader.error(
    at,
    `the addresses of a \`${titles[kind]}' link must be of the same family`,
    "give both as IPv4 or both as IPv6"
  )
}

const blockFor = (draft: LinkDraft): Block => {
  switch (draft.kind) {
    case "multicast":
      return table("Multicast", { ...commonClauses(draft), ...multicastClauses(draft) })
    case "udp":
      return table("UDP", { ...commonClauses(draft), ...unicastClauses(draft) })
    case "tcp":
      return table("TCP", {
        ...commonClauses(draft),
        ...unicastClauses(draft),
        ErrorQueueLength: number((reader, value) => void (reader.draft.errorQueue = value))
      })
  }
}

const commonClauses = (draft: LinkDraft): Readonly<Record<string, Clause>> => ({
  Interface: name("an interface name", (reader, value, at) => {
    draft.interfaceName = value.slice(0, interfaceNameMax)
    if (!reader.environment.interfaceExists(value)) {
      reader.warn(at, `${value} is an invalid interface`)
    }
  }),
  SndSocketBuffer: number((_, value) => void (draft.sendBuffer = value)),
  RcvSocketBuffer: number((_, value) => void (draft.receiveBuffer = value)),
  McastSndSocketBuffer: renamed("SndSocketBuffer", (value) => void (draft.sendBuffer = value)),
  McastRcvSocketBuffer: renamed("RcvSocketBuffer", (value) => void (draft.receiveBuffer = value)),
  Checksum: toggle((_, value) => void (draft.checksum = value))
})

/** The names that old manuals teach; upstream refuses them since 1.4.5. */
const renamed = (now: string, apply: (value: number) => void): Clause => (reader, at) => {
  reader.warn(at, `\`${at.text}' is now called \`${now}', please update your configuration file`)
  return number((_, value) => apply(value))(reader, at)
}

const ipv4 = (apply: (bytes: Uint8Array, reader: Reader, at: Token) => void): Clause =>
  address((reader, text, at) => {
    const bytes = parseIpv4(text)
    if (bytes === undefined) reader.warn(at, `${text} is not a valid IPv4 address`)
    else apply(bytes, reader, at)
  })

const ipv6 = (apply: (bytes: Uint8Array, reader: Reader, at: Token) => void): Clause =>
  address((reader, text, at) => {
    const bytes = parseIpv6(text)
    if (bytes === undefined) reader.warn(at, `${text} is not a valid IPv6 address`)
    else apply(bytes, reader, at)
  })

const unicastClauses = (draft: LinkDraft): Readonly<Record<string, Clause>> => {
  const setOwn = (bytes: Uint8Array): void => {
    draft.own = bytes
    draft.family = bytes.length === 4 ? 4 : 6
  }
  const setRemote = (bytes: Uint8Array): void => {
    draft.remote = bytes
    draft.family = bytes.length === 4 ? 4 : 6
  }
  return {
    IPv4_address: ipv4(setOwn),
    IPv6_address: ipv6(setOwn),
    IPv4_Destination_Address: ipv4(setRemote),
    IPv6_Destination_Address: ipv6(setRemote),
    Port: port(draft)
  }
}

const multicastClauses = (draft: LinkDraft): Readonly<Record<string, Clause>> => ({
  IPv4_address: ipv4((bytes, reader, at) => {
    if (draft.family === 6) {
      reader.warn(
        at,
        "your multicast address is IPv4 but is binded to an IPv6 interface? Surely, this is not" +
          " what you want"
      )
      return
    }
    draft.family = 4
    draft.remote = bytes
  }),
  IPv6_address: ipv6((bytes, reader, at) => {
    if (draft.family === 4) {
      // The missing comma is upstream's.
      reader.warn(
        at,
        "your multicast address is IPv6 but is binded to an IPv4 interface? Surely this is not" +
          " what you want"
      )
      return
    }
    draft.family = 6
    draft.remote = bytes
  }),
  IPv4_interface: ipv4((bytes, reader, at) => {
    if (draft.family === 6) {
      reader.warn(
        at,
        "your multicast interface is IPv4 but is binded to an IPv6 interface? Surely, this is not" +
          " what you want"
      )
      return
    }
    draft.family = 4
    draft.own = bytes
  }),
  IPv6_interface: address((reader, _, at) =>
    reader.warn(at, "`IPv6_interface' not required, ignoring")
  ),
  Group: port(draft)
})

/** Ports are kept in 16 bits, whatever the file says; peers running upstream do the same. */
const port = (draft: LinkDraft): Clause =>
  number((reader, value, at) => {
    draft.port = value & 0xffff
    if (value !== draft.port) {
      reader.warn(at, `port ${value} does not fit in 16 bits, using ${draft.port}`)
    }
  })
