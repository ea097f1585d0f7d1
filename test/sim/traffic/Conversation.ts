/**
 * What the ends of a connection say to each other, as packets through a kernel that tracks it: the
 * beginning, going on, the goodbye.
 */
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { StatusBit, tcpStates } from "../kernel/KernelFlow.ts"
import type { Connection, KernelTraffic } from "../kernel/KernelTraffic.ts"
import type { TrafficConnection } from "./TrafficConnection.ts"

/** What may change of a connection that goes on. */
export type Change = "any" | "state" | "mark" | "label"

/** A throw for one change. */
export interface Chance {
  /** From 0 to 1. */
  readonly choice: number
  readonly number: number
  /** A rule sets labels. */
  readonly hasLabels: boolean
}

/** The first packet; undefined when the kernel cannot track it. */
export const begin = (
  driver: KernelTraffic,
  { kind, l4 }: TrafficConnection,
  rules: Connection
): KernelFlow | undefined => {
  switch (kind) {
    case "tcp":
    case "ftp":
      return driver.openTcp(rules)
    case "udp":
      return driver.openUdp(rules)
    case "icmp":
      return driver.openIcmp(rules)
    case "sctp":
    case "gre":
    case "udplite":
    case "other":
      return driver.openOther(l4, rules)
  }
}

/** The handshake, as far as it gets on its own. */
export const greet = (
  driver: KernelTraffic,
  connection: TrafficConnection,
  flow: KernelFlow
): void => {
  const { eagerness, l4, mark, tags } = connection
  connection.isAnswered ||= eagerness !== "silent"
  if (connection.isAnswered) {
    if (l4 === 6) {
      driver.advanceTcp(flow, "SYN_RECV")
      if (eagerness === "established") driver.advanceTcp(flow, "ESTABLISHED")
    } else if (l4 === 132) driver.establishSctp(flow, tags)
    else if (l4 === 17 && eagerness === "established") driver.assure(flow)
    else driver.answer(flow)
  }
  if (mark !== 0) driver.setMark(flow, mark)
}

/** Data in both directions, as long as both have spoken. */
export const talk = (
  driver: KernelTraffic,
  { l4 }: TrafficConnection,
  flow: KernelFlow
): void => {
  driver.talk(flow, true)
  if (l4 === 17 && (flow.status & StatusBit.seenReply) !== 0 && !isAssured(flow)) {
    driver.assure(flow)
  }
}

/** The next thing that happens to a connection: "closed" if it was the last packet. */
export const goOn = (
  driver: KernelTraffic,
  connection: TrafficConnection,
  flow: KernelFlow,
  change: Change,
  chance: Chance
): "closed" | "open" => {
  if (change !== "mark" && change !== "label" && isUnfinished(connection, flow)) {
    return nextState(driver, connection, flow)
  }
  if (flow.tcp?.state === 3 && (change === "state" || (change === "any" && chance.choice < 0.2))) {
    connection.phase = "closing"
    driver.advanceTcp(flow, "FIN_WAIT")
  } else decorate(driver, flow, change, chance)
  return "open"
}

/** Something is still to come before both ends just talk. */
const isUnfinished = ({ l4, phase }: TrafficConnection, flow: KernelFlow): boolean => {
  if (flow.tcp !== undefined) return phase === "closing" || flow.tcp.state < 3
  return (flow.status & StatusBit.seenReply) === 0 || (l4 === 17 && !isAssured(flow))
}

const nextState = (
  driver: KernelTraffic,
  connection: TrafficConnection,
  flow: KernelFlow
): "closed" | "open" => {
  const { l4, tags } = connection
  if (flow.tcp === undefined) {
    if (!connection.isAnswered && l4 !== 132) driver.answer(flow)
    else if (l4 === 132) driver.establishSctp(flow, tags)
    else if (l4 === 17) driver.assure(flow)
    else driver.answer(flow)
    connection.isAnswered = true
    return "open"
  }
  connection.isAnswered = true
  switch (tcpStates[flow.tcp.state]) {
    case "SYN_SENT":
      driver.advanceTcp(flow, "SYN_RECV")
      return "open"
    case "NONE":
    case "SYN_RECV":
      driver.talk(flow, true)
      return "open"
    case "ESTABLISHED":
      driver.advanceTcp(flow, "FIN_WAIT")
      return "open"
    case "FIN_WAIT":
      driver.advanceTcp(flow, "CLOSE_WAIT")
      return "open"
    case "CLOSE_WAIT":
      driver.advanceTcp(flow, "LAST_ACK")
      return "open"
    default:
      driver.advanceTcp(flow, "TIME_WAIT")
      return "closed"
  }
}

/** What rules do, not the ends. Without room for labels the mark is set. */
const decorate = (
  driver: KernelTraffic,
  flow: KernelFlow,
  change: Change,
  { choice, hasLabels, number }: Chance
): void => {
  const wantsLabel = change === "label" || (change !== "mark" && choice < 0.6)
  if (wantsLabel && hasLabels) driver.setLabel(flow, number % 128)
  else driver.setMark(flow, 1 + (number * 7) % 60_000)
}

/** TCP says goodbye from both sides; the others fall silent, and so does a SYN nobody answered. */
export const sayGoodbye = (driver: KernelTraffic, flow: KernelFlow): void => {
  const state = flow.tcp?.state
  if (state === undefined || state === 1) return
  for (const name of ["FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"] as const) {
    if (tcpStates.indexOf(name) > state) driver.advanceTcp(flow, name)
  }
}

const isAssured = ({ status }: KernelFlow): boolean => (status & StatusBit.assured) !== 0
