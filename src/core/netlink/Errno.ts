/**
 * Error numbers of the kernel: their names, and the texts that the C library has for them.
 *
 * Logs and answers show the texts as the C tools do. The numbers are those of x86-64 and arm64.
 *
 * Source: errno(3), strerror(3) of glibc.
 */

export const Errno = {
  perm: 1,
  noent: 2,
  intr: 4,
  io: 5,
  badf: 9,
  again: 11,
  nomem: 12,
  acces: 13,
  busy: 16,
  exist: 17,
  nodev: 19,
  inval: 22,
  mfile: 24,
  nospc: 28,
  range: 34,
  msgsize: 90,
  opnotsupp: 95,
  addrinuse: 98,
  addrnotavail: 99,
  netdown: 100,
  netunreach: 101,
  connreset: 104,
  nobufs: 105,
  notconn: 107,
  timedout: 110,
  connrefused: 111,
  hostunreach: 113
} as const

const rows: ReadonlyArray<readonly [number: number, name: string, text: string]> = [
  [0, "OK", "Success"],
  [1, "EPERM", "Operation not permitted"],
  [2, "ENOENT", "No such file or directory"],
  [3, "ESRCH", "No such process"],
  [4, "EINTR", "Interrupted system call"],
  [5, "EIO", "Input/output error"],
  [6, "ENXIO", "No such device or address"],
  [7, "E2BIG", "Argument list too long"],
  [9, "EBADF", "Bad file descriptor"],
  [11, "EAGAIN", "Resource temporarily unavailable"],
  [12, "ENOMEM", "Cannot allocate memory"],
  [13, "EACCES", "Permission denied"],
  [14, "EFAULT", "Bad address"],
  [16, "EBUSY", "Device or resource busy"],
  [17, "EEXIST", "File exists"],
  [19, "ENODEV", "No such device"],
  [20, "ENOTDIR", "Not a directory"],
  [21, "EISDIR", "Is a directory"],
  [22, "EINVAL", "Invalid argument"],
  [23, "ENFILE", "Too many open files in system"],
  [24, "EMFILE", "Too many open files"],
  [27, "EFBIG", "File too large"],
  [28, "ENOSPC", "No space left on device"],
  [30, "EROFS", "Read-only file system"],
  [32, "EPIPE", "Broken pipe"],
  [34, "ERANGE", "Numerical result out of range"],
  [36, "ENAMETOOLONG", "File name too long"],
  [38, "ENOSYS", "Function not implemented"],
  [61, "ENODATA", "No data available"],
  [71, "EPROTO", "Protocol error"],
  [74, "EBADMSG", "Bad message"],
  [75, "EOVERFLOW", "Value too large for defined data type"],
  [88, "ENOTSOCK", "Socket operation on non-socket"],
  [89, "EDESTADDRREQ", "Destination address required"],
  [90, "EMSGSIZE", "Message too long"],
  [92, "ENOPROTOOPT", "Protocol not available"],
  [93, "EPROTONOSUPPORT", "Protocol not supported"],
  [94, "ESOCKTNOSUPPORT", "Socket type not supported"],
  [95, "EOPNOTSUPP", "Operation not supported"],
  [97, "EAFNOSUPPORT", "Address family not supported by protocol"],
  [98, "EADDRINUSE", "Address already in use"],
  [99, "EADDRNOTAVAIL", "Cannot assign requested address"],
  [100, "ENETDOWN", "Network is down"],
  [101, "ENETUNREACH", "Network is unreachable"],
  [103, "ECONNABORTED", "Software caused connection abort"],
  [104, "ECONNRESET", "Connection reset by peer"],
  [105, "ENOBUFS", "No buffer space available"],
  [106, "EISCONN", "Transport endpoint is already connected"],
  [107, "ENOTCONN", "Transport endpoint is not connected"],
  [110, "ETIMEDOUT", "Connection timed out"],
  [111, "ECONNREFUSED", "Connection refused"],
  [113, "EHOSTUNREACH", "No route to host"],
  [114, "EALREADY", "Operation already in progress"],
  [115, "EINPROGRESS", "Operation now in progress"]
]

const byNumber = new Map(rows.map((row) => [row[0], row]))

/** What `strerror` says; `errno` is positive. */
export const errnoText = (errno: number): string =>
  byNumber.get(errno)?.[2] ?? `Unknown error ${errno}`

/** `EEXIST` and the like; `errno` is positive. */
export const errnoName = (errno: number): string => byNumber.get(errno)?.[1] ?? `errno ${errno}`

/** The number of a name, or -1. */
export const errnoNumber = (name: string): number => rows.find((row) => row[1] === name)?.[0] ?? -1
