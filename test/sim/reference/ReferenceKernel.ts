/**
 * What the reference peer reads from its kernel: events and the entries of dumps.
 *
 * Source: specification, "The kernel's connection-tracking interface", sections 2 and 7.
 */
import { Attributes } from "../kernel/NetlinkReader.ts"
import type { SeenFlow, SeenTuple } from "./ReferenceFlow.ts"

export interface KernelMessage {
  readonly kind: "new" | "update" | "destroy"
  /** Who caused it: the port id of the socket, 0 for packets and timers. */
  readonly causer: number
  readonly flow: SeenFlow
}

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** A field only if there is a value for it. */
const field = <K extends string, V>(name: K, value: V | undefined): { [key in K]?: V } =>
  value === undefined ? {} : { [name]: value } as { [key in K]?: V }

const tupleIn = (attributes: Attributes, type: number): SeenTuple | undefined => {
  const outer = attributes.nest(type)
  if (outer === undefined) return undefined
  const ip = outer.nest(1)
  const proto = outer.nest(2)
  const source = ip?.bytes(1) ?? ip?.bytes(3)
  const destination = ip?.bytes(2) ?? ip?.bytes(4)
  const sourcePort = proto?.number(2, 2)
  const destinationPort = proto?.number(3, 2)
  return {
    ...(source === undefined || destination === undefined
      ? {}
      : { addresses: { source: hexOf(source), destination: hexOf(destination) } }),
    ...field("protocol", proto?.number(1, 1)),
    ...(sourcePort === undefined || destinationPort === undefined
      ? {}
      : { ports: { source: sourcePort, destination: destinationPort } }),
    ...field("icmpId", proto?.number(4, 2) ?? proto?.number(7, 2)),
    ...field("icmpType", proto?.number(5, 1) ?? proto?.number(8, 1)),
    ...field("icmpCode", proto?.number(6, 1) ?? proto?.number(9, 1))
  }
}

const tripleIn = (
  attributes: Attributes,
  type: number,
  order: ReadonlyArray<number>
): ReadonlyArray<number> | undefined => {
  const inner = attributes.nest(type)
  const values = order.map((member) => inner?.number(member, 4))
  return values.every((value) => value !== undefined) ? values : undefined
}

/** The bitmap in the order of the machine, which is little-endian, as words. */
const labelsIn = (bytes: Uint8Array | undefined): ReadonlyArray<number> | undefined => {
  if (bytes === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(4 * i, true))
}

const helperIn = (attributes: Attributes): string | undefined => {
  const name = attributes.nest(5)?.bytes(1)
  if (name === undefined) return undefined
  const end = name.indexOf(0)
  return String.fromCharCode(...(end < 0 ? name : name.subarray(0, end)).subarray(0, 15))
}

/** The flow of a message's attributes. */
export const seenFlow = (attributes: Attributes): SeenFlow => {
  const info = attributes.nest(4)
  const tcp = info?.nest(1)
  const dccp = info?.nest(2)
  const sctp = info?.nest(3)
  return {
    original: tupleIn(attributes, 1) ?? {},
    reply: tupleIn(attributes, 2) ?? {},
    ...field("master", tupleIn(attributes, 14)),
    ...field("status", attributes.number(3, 4)),
    ...field("timeout", attributes.number(7, 4)),
    ...field("mark", attributes.number(8, 4)),
    ...field("tcpState", tcp?.number(1, 1)),
    ...field("tcpScaleOriginal", tcp?.number(2, 1)),
    ...field("tcpScaleReply", tcp?.number(3, 1)),
    ...field("dccpState", dccp?.number(1, 1)),
    ...field("dccpRole", dccp?.number(2, 1)),
    ...field("sctpState", sctp?.number(1, 1)),
    ...field("sctpTagOriginal", sctp?.number(2, 4)),
    ...field("sctpTagReply", sctp?.number(3, 4)),
    ...field("helper", helperIn(attributes)),
    ...field("labels", labelsIn(attributes.bytes(22))),
    ...field("seqAdjOriginal", tripleIn(attributes, 15, [1, 2, 3])),
    ...field("seqAdjReply", tripleIn(attributes, 16, [1, 2, 3])),
    ...field("synproxy", tripleIn(attributes, 24, [2, 1, 3])),
    ...field("zone", attributes.number(18, 2))
  }
}

/** The flows in a datagram from the kernel; other messages are passed over. */
export const kernelMessages = (bytes: Uint8Array): ReadonlyArray<KernelMessage> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: Array<KernelMessage> = []
  let at = 0
  while (bytes.length - at >= 16) {
    const length = view.getUint32(at, true)
    if (length < 16 || length > bytes.length - at) break
    const type = view.getUint16(at + 4, true)
    if (type === 0x0100 || type === 0x0102) {
      const isNew = (view.getUint16(at + 6, true) & 0x600) !== 0
      out.push({
        kind: type === 0x0102 ? "destroy" : isNew ? "new" : "update",
        causer: view.getUint32(at + 12, true),
        flow: seenFlow(new Attributes(bytes.subarray(at + 20, at + length)))
      })
    }
    at += (length + 3) & ~3
  }
  return out
}
