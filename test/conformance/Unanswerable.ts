/**
 * What no statement says, and why: the kernels that we can ask do not answer it, or not twice the
 * same. Where the simulated kernel has an answer it follows the specification alone.
 */
export const unanswerable: Readonly<Record<string, string>> = {
  "creation in a full table (ENOMEM)":
    "nf_conntrack_max is one for the whole machine; its flows belong to others",
  "creation in a chain that is too long (ENOSPC)": "the hash is secret, the table large",
  "early drop of flows that are not assured": "as for a full table",
  "nf_conntrack_events=2": "counts the listeners of the whole machine, and there are others",
  "requests without CAP_NET_ADMIN (EPERM)": "the suite needs it; the simulated kernel has no users",
  "a flow that is offloaded (no TIMEOUT, no PROTOINFO)": "this kernel has no flow tables",
  "DCCP": "gone since 6.17",
  "SECCTX": "no security module gives names here",
  "a helper whose module is being loaded (EAGAIN)": "the helpers are built in",
  "ranges of addresses and ports in NAT_SRC and NAT_DST": "the kernel throws dice",
  "tuples that are each other's inverse, in a zone of one direction":
    "the simulated kernel has one flow per tuple and zone, the real one sometimes two",
  "DUMP_INTR, duplicates of a dump": "never seen from ctnetlink; a resize of the hash is global"
}
