/** The conntrackd.conf of a firewall in the demo. */

export interface Place {
  /** Addresses of the dedicated link. */
  readonly own: string
  readonly peer: string
  readonly interfaceName: string
  /** Its files: this, with an ending. */
  readonly path: string
}

export const configurationFor = ({ interfaceName, own, path, peer }: Place): string => `
Sync {
  Mode FTFW {
  }
  UDP {
    IPv4_address ${own}
    IPv4_Destination_Address ${peer}
    Port 3780
    Interface ${interfaceName}
  }
}
General {
  HashSize 32768
  HashLimit 131072
  NetlinkBufferSize 2097152
  NetlinkBufferSizeMaxGrowth 8388608
  LogFile ${path}.log
  LockFile ${path}.lock
  UNIX {
    Path ${path}.ctl
  }
}
`
