/**
 * The requests a client sends to the daemon over the control socket: four bytes, a signed number in
 * the machine's byte order. The reply is text that ends with the connection.
 *
 * Source: specification, "Command line, life cycle …", section 7.
 */

export const Request = {
  flushKernelFlows: 0,
  resyncKernelFlows: 1,
  dumpInternal: 16,
  dumpExternal: 17,
  commitFlows: 18,
  /** No command sends it; older tools may. */
  flushFlowCaches: 19,
  kill: 20,
  stats: 21,
  sendBulk: 22,
  requestResync: 23,
  dumpInternalXml: 24,
  dumpExternalXml: 25,
  purge: 26,
  statsNetwork: 28,
  statsCache: 29,
  statsRuntime: 30,
  statsLink: 31,
  statsResendQueue: 32,
  flushInternal: 33,
  flushExternal: 34,
  statsProcess: 35,
  statsQueue: 36,
  statsExpect: 37,
  flushKernelExpectations: 38,
  resyncKernelExpectations: 39,
  dumpInternalExpectations: 40,
  dumpExternalExpectations: 41,
  commitExpectations: 42,
  flushKernel: 43,
  resyncKernel: 44,
  flushCaches: 45,
  commit: 46,
  dumpInternalExpectationsXml: 47,
  dumpExternalExpectationsXml: 48
} as const
export type RequestName = keyof typeof Request
export type Request = (typeof Request)[RequestName]

const names = new Map<number, RequestName>(
  Object.entries(Request).map(([name, code]) => [code, name as RequestName])
)

/** The request's name, or undefined for a code that asks for nothing. */
export const nameOf = (code: number): RequestName | undefined => names.get(code)

export const requestBytes = 4

/** The four bytes of a request. */
export const encode = (request: Request): Uint8Array =>
  new Uint8Array(Int32Array.of(request).buffer)

/** The code in the first four bytes; the caller has received at least that many. */
export const decode = (bytes: Uint8Array): number =>
  bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)
