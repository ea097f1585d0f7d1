/**
 * Names of IP protocols as `/etc/protocols` has them, for machines that have no such file and for
 * tests. Lookups are exact: `tcp` and `TCP` are both listed, `Tcp` is not.
 *
 * Source: the protocol database of Debian 12 (names and numbers assigned by IANA).
 */

/** One protocol per line: official name, number, aliases. */
const database = `
ip 0 IP
hopopt 0 HOPOPT
icmp 1 ICMP
igmp 2 IGMP
ggp 3 GGP
ipencap 4 IP-ENCAP
st 5 ST
tcp 6 TCP
egp 8 EGP
igp 9 IGP
pup 12 PUP
udp 17 UDP
hmp 20 HMP
xns-idp 22 XNS-IDP
rdp 27 RDP
iso-tp4 29 ISO-TP4
dccp 33 DCCP
xtp 36 XTP
ddp 37 DDP
idpr-cmtp 38 IDPR-CMTP
ipv6 41 IPv6
ipv6-route 43 IPv6-Route
ipv6-frag 44 IPv6-Frag
idrp 45 IDRP
rsvp 46 RSVP
gre 47 GRE
esp 50 IPSEC-ESP
ah 51 IPSEC-AH
skip 57 SKIP
ipv6-icmp 58 IPv6-ICMP
ipv6-nonxt 59 IPv6-NoNxt
ipv6-opts 60 IPv6-Opts
rspf 73 RSPF CPHB
vmtp 81 VMTP
eigrp 88 EIGRP
ospf 89 OSPFIGP
ax.25 93 AX.25
ipip 94 IPIP
etherip 97 ETHERIP
encap 98 ENCAP
pim 103 PIM
ipcomp 108 IPCOMP
vrrp 112 VRRP
l2tp 115 L2TP
isis 124 ISIS
sctp 132 SCTP
fc 133 FC
mobility-header 135 Mobility-Header
udplite 136 UDPLite
mpls-in-ip 137 MPLS-in-IP
manet 138
hip 139 HIP
shim6 140 Shim6
wesp 141 WESP
rohc 142 ROHC
ethernet 143 Ethernet
mptcp 262 MPTCP
`

let builtin: ReadonlyMap<string, number> | undefined

/** The number of a protocol; undefined when the name is unknown. */
export const protocolNumber = (name: string): number | undefined => {
  builtin ??= parseProtocols(database)
  return builtin.get(name)
}

/**
 * A name of the protocol that can be written in `conntrackd.conf`; undefined when there is none.
 */
export const protocolName = (number: number): string | undefined => {
  builtin ??= parseProtocols(database)
  for (const [name, value] of builtin) if (value === number) return name
  return undefined
}

/**
 * Reads a protocol database: name, number, aliases, `#` comments. Lines that make no sense are
 * skipped; of a repeated name the first one counts.
 */
export const parseProtocols = (text: string): ReadonlyMap<string, number> => {
  const numbers = new Map<string, number>()
  for (const line of text.split("\n")) {
    const [name, number, ...aliases] = line.replace(/#.*/, "").trim().split(/\s+/)
    if (name === undefined || number === undefined || !/^[0-9]+$/.test(number)) continue
    for (const each of [name, ...aliases]) {
      if (!numbers.has(each)) numbers.set(each, Number(number))
    }
  }
  return numbers
}
