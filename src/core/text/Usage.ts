/**
 * The usage and version texts of `conntrackd`.
 *
 * Source: specification, "Command line, life cycle …", section 2.4. Only the version differs.
 */

/** The version of this project. */
export const version = "2.0.0"

const title = `Connection tracking userspace daemon v${version}`

/** Printed by `-h` and after errors in the command line; a blank line ends it. */
export const conntrackdUsage = `${title}
Usage: conntrackd [commands] [options]

General commands:
  -d, run in daemon mode
  -C [configfile], configuration file path
  -v, display conntrackd version
  -h, display this help information

Client mode commands:
  -c [ct|expect], commit external cache to conntrack table
  -f [internal|external], flush internal and external cache
  -F [ct|expect], flush kernel conntrack table
  -i [ct|expect], display content of the internal cache
  -e [ct|expect], display the content of the external cache
  -k, kill conntrack daemon
  -s  [network|cache|runtime|link|rsqueue|queue|ct|expect], dump statistics
  -R [ct|expect], resync with kernel conntrack table
  -n, request resync with other node (only FT-FW and NOTRACK modes)
  -B, force a bulk send to other replica firewalls
  -x, dump cache in XML format (requires -i or -e)
  -t, reset the kernel timeout (see PurgeTimeout clause)

`

/** Printed by `-v`. */
export const conntrackdVersion = `${title}. Licensed under MIT.
(C) 2026 The conntrackd-ts authors
`
