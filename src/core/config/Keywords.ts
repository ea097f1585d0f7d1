/**
 * The reserved words of `conntrackd.conf`. They are case-sensitive and cannot be used as names.
 *
 * Source: specification, chapter "conntrackd.conf", section 3.
 */
export const keywords: ReadonlySet<string> = new Set(
  `ACKWindowSize Accept Address Backlog CLOSE CLOSED CLOSE_WAIT CacheTimeout Checksum CommitTimeout
  Default DisableExternalCache DisableInternalCache ESTABLISHED ErrorQueueLength EventIterationLimit
  ExpectMax ExpectTimeout ExpectationSync FIN_WAIT Filter From General Group HashLimit HashSize
  Helper IPv4_Destination_Address IPv4_address IPv4_interface IPv6_Destination_Address IPv6_address
  IPv6_interface Ignore Interface Kernelspace LAST_ACK LISTEN LockFile LogFile Mode Multicast
  NetlinkBufferSize NetlinkBufferSizeMaxGrowth NetlinkEventsReliable NetlinkOverrunResync Nice
  Options Path Policy PollSecs Port Priority Protocol PurgeTimeout QueueLen QueueNum RcvSocketBuffer
  RefreshTime ResendQueueSize SYN_RECV SYN_SENT Scheduler Setup SndSocketBuffer SocketBufferSize
  SocketBufferSizeMaxGrown SocketBufferSizeMaxGrowth StartupResync State Stats Sync Syslog Systemd
  TCP TCPWindowTracking TIME_WAIT Type UDP UNIX Userspace for`.split(/\s+/)
)
