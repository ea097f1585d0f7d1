/**
 * `General { Filter { … } }`: which flows the daemon cares about.
 *
 * Several blocks add up; of each list one policy exists, the last one given.
 *
 * Source: specification, chapter "conntrackd.conf", section 5.2.
 */
import { parseIpv4, parseIpv6, sameAddress } from "./Address.ts"
import { address, names, skipToBrace, table } from "./Clauses.ts"
import type { Token } from "./Lexer.ts"
import type { Clause, Reader } from "./Reader.ts"
import type { FilterPolicy } from "./Settings.ts"

export const filter: Clause = (reader, at) => {
  const { filter } = reader.draft
  filter.where = "userspace"
  if (reader.optionalWord("From") !== undefined) {
    const where = reader.optionalWord("Userspace", "Kernelspace")
    if (where === undefined) {
      reader.unexpected("Userspace or Kernelspace")
      return false
    }
    if (where.text === "Kernelspace") filter.where = "kernelspace"
  }
  reader.mention("Filter", at)
  return reader.block(filterBlock)
}

const policy = (reader: Reader): FilterPolicy | undefined => {
  const word = reader.optionalWord("Accept", "Ignore")
  if (word === undefined) {
    reader.unexpected("Accept or Ignore")
    return undefined
  }
  return word.text === "Accept" ? "accept" : "ignore"
}

const protocols: Clause = (reader) => {
  const given = policy(reader)
  if (given === undefined) return false
  const { filter } = reader.draft
  filter.protocolPolicy = given
  return names(reader, "a protocol name", (_, name, at) => {
    const number = reader.environment.protocolNumber(name) ?? keywordProtocols.get(name)
    if (number === undefined) {
      reader.warn(at, `getprotobyname() cannot find protocol \`${name}' in /etc/protocols`)
    } else if (!filter.protocols.includes(number)) filter.protocols.push(number)
  })
}

/** Known even where the protocol database is missing. */
const keywordProtocols: ReadonlyMap<string, number> = new Map([["TCP", 6], ["UDP", 17]])

const addresses: Clause = (reader) => {
  const given = policy(reader)
  if (given === undefined) return false
  reader.draft.filter.addressPolicy = given
  return reader.block(addressBlock)
}

const entry = (family: "IPv4" | "IPv6"): Clause =>
  address((reader, text, at) => {
    const [host, prefix] = text.split("/") as [string, string | undefined]
    const bytes = family === "IPv4" ? parseIpv4(host) : parseIpv6(host)
    if (bytes === undefined) {
      reader.warn(at, `${host} is not a valid ${family}, ignoring`)
      return
    }
    const bits = bytes.length * 8
    const prefixLength = prefix === undefined ? bits : Number(prefix)
    if (prefixLength > bits) reader.warn(at, `${text} is not a valid network, ignoring`)
    else if (prefixLength === bits) addHost(reader, bytes)
    else addNetwork(reader, bytes, prefixLength, host, at)
  })

const addHost = (reader: Reader, bytes: Uint8Array): void => {
  const { hosts } = reader.draft.filter
  if (!hosts.some((host) => sameAddress(host, bytes))) hosts.push(bytes)
}

/** Upstream looks for IPv6 repetitions in the list of IPv4 networks; we look in the right one. */
const addNetwork = (
  reader: Reader,
  bytes: Uint8Array,
  prefixLength: number,
  text: string,
  at: Token
): void => {
  const { networks } = reader.draft.filter
  const repeated = networks.some((network) =>
    network.prefixLength === prefixLength && sameAddress(network.address, bytes)
  )
  if (repeated) reader.warn(at, `netmask ${text} is repeated in the ignore pool`)
  else networks.push({ address: bytes, prefixLength })
}

const addressBlock = table("Address", {
  IPv4_address: entry("IPv4"),
  IPv6_address: entry("IPv6")
})

/** The kernel's numbers. Source: `nf_conntrack_tcp.h`. */
const tcpStates: ReadonlyMap<string, number> = new Map([
  ["SYN_SENT", 1],
  ["SYN_RECV", 2],
  ["ESTABLISHED", 3],
  ["FIN_WAIT", 4],
  ["CLOSE_WAIT", 5],
  ["LAST_ACK", 6],
  ["TIME_WAIT", 7],
  ["CLOSE", 8],
  ["CLOSED", 8],
  ["LISTEN", 9]
])

/** `{ STATE … for TCP … }`: states count once `for TCP` follows. */
const states: Clause = (reader) => {
  const given = policy(reader)
  if (given === undefined) return false
  reader.draft.filter.statePolicy = given
  if (reader.take("{", "`{'") === undefined) return false
  for (;;) {
    const list = stateList(reader)
    if (reader.optionalWord("for") !== undefined) {
      if (reader.optionalWord("TCP") === undefined) {
        reader.unexpected("TCP")
        return skipToBrace(reader)
      }
      for (const state of list) reader.draft.filter.tcpStates.add(state)
      continue
    }
    if (list.length > 0 || reader.token.kind !== "}") {
      reader.unexpected(list.length > 0 ? "a TCP state or `for'" : "a TCP state, `for' or `}'")
      return skipToBrace(reader)
    }
    reader.advance()
    return true
  }
}

const stateList = (reader: Reader): ReadonlyArray<number> => {
  const list: Array<number> = []
  for (;;) {
    const { kind, text } = reader.token
    const state = kind === "keyword" ? tcpStates.get(text) : undefined
    if (state === undefined) return list
    reader.advance()
    list.push(state)
  }
}

const filterBlock = table("Filter", { Protocol: protocols, Address: addresses, State: states })
