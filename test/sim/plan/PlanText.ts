/** Plans in words: what a step does, how the machines are set up, and which faults there are. */
import type { MachineName } from "../machine/Machine.ts"
import type { KernelPlan, NetworkPlan, Plan, Step, StepTag } from "./Plan.ts"
import { calmNetwork, plainKernel } from "./Plan.ts"

/** What happens, and to whom; no machine where it concerns all, or whoever is primary. */
export interface StepText {
  readonly machine: MachineName | undefined
  readonly text: string
}

/** 1234 ms as "1.234 s". */
export const secondsText = (ms: number): string => `${(ms / 1_000).toFixed(3)} s`

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

const over = (ms: number): string => ms === 0 ? " at once" : ` within ${ms} ms`

const pairText = (pair: number | undefined): string =>
  pair === undefined || pair === 0 ? "" : ", second pair"

export const stepText = (step: Step): StepText => {
  switch (step._tag) {
    case "OpenFlows": {
      const { count, established, family, kind, overMs, pair, through, translated, zone } = step
      const properties = [
        ...(family === 6 ? ["IPv6"] : []),
        ...(translated === "none"
          ? []
          : [translated === "both" ? "translated both ways" : `${translated} translated`]),
        ...(zone === undefined ? [] : [`zone ${zone}`]),
        ...(established ? [] : ["not answered"])
      ]
      const about = properties.length === 0 ? "" : `, ${properties.join(", ")}`
      return {
        machine: through,
        text: `open ${counted(count, `${kind} flow`)}${over(overMs)}${about}${pairText(pair)}`
      }
    }
    case "UpdateFlows": {
      const what = step.change === "any" ? "" : ` (${step.change})`
      const text = `change ${counted(step.count, "flow")}${what}${over(step.overMs)}`
      return { machine: step.through, text: text + pairText(step.pair) }
    }
    case "CloseFlows":
      return trafficText(step, "close")
    case "ResetFlows":
      return trafficText(step, "reset")
    case "ExpireFlows":
      return trafficText(step, "expire")
    case "ReopenFlows":
      return trafficText(step, "reopen")
    case "Overrun":
      return { machine: step.node, text: `kernel loses ${counted(step.eventsLost, "event")}` }
    case "Refuse":
      return {
        machine: step.node,
        text: `kernel refuses ${counted(step.count, "flow")} with ${step.errno}`
      }
    case "LinkDown":
      return { machine: undefined, text: `link ${step.link} down for ${step.forMs} ms` }
    case "InterfaceDown": {
      const what = step.what === "up" ? "down" : "without carrier"
      return {
        machine: step.node,
        text: `interface of link ${step.link} ${what} for ${step.forMs} ms`
      }
    }
    case "Partition": {
      const what = step.bothWays ? "cut off" : "not heard by its peer"
      return { machine: step.from, text: `${what} for ${step.forMs} ms` }
    }
    case "Clog":
      return { machine: step.from, text: `link ${step.link} clogged for ${step.forMs} ms` }
    case "Noise":
      return {
        machine: step.to,
        text: `gets ${counted(step.count, "malformed datagram")} on link ${step.link}`
      }
    case "PowerLoss":
      return { machine: step.node, text: `loses power, back after ${step.backAfterMs} ms` }
    case "Kill":
      return { machine: step.node, text: `daemon killed, back after ${step.backAfterMs} ms` }
    case "Restart":
      return { machine: step.node, text: `daemon stopped, back after ${step.backAfterMs} ms` }
    case "Pause":
      return { machine: step.node, text: `daemon paused for ${step.forMs} ms` }
    case "ClockJump": {
      const sign = step.byMs < 0 ? "back" : "forward"
      return { machine: step.node, text: `wall clock set ${sign} by ${Math.abs(step.byMs)} ms` }
    }
    case "SequenceNear":
      return {
        machine: step.node,
        text: `wall clock set to ${step.messagesBefore} s before sequence numbers wrap`
      }
    case "Command": {
      const also = step.also === undefined ? "" : `, and conntrackd ${step.also}`
      return { machine: step.node, text: `conntrackd ${step.option}${also}` }
    }
    case "Failover":
      return { machine: step.to, text: "becomes primary" }
    case "SplitBrain":
      return {
        machine: step.to,
        text: `cut off and primary beside its peer for ${step.forMs} ms`
      }
  }
}

const trafficText = (
  { count, pair, through }: {
    readonly count: number
    readonly pair?: number
    readonly through?: MachineName
  },
  verb: string
): StepText => ({
  machine: through,
  text: `${verb} ${counted(count, "flow")}${pairText(pair)}`
})

// ------------------------------------------------------------------------------------ settings

/** Options of the file that say something about a failure. */
const tellingOptions =
  /^\s*(\w*(?:Size|Limit|Timeout|Resync|MaxGrowth|Tracking|SocketBuffer)|Checksum) (\S+)/gm

/** How the machines are set up, as a list of short statements. */
export const settingsTexts = (plan: Plan): ReadonlyArray<string> => {
  const { configuration, family, kernel, links, mtuBytes, nodes, referencePeer } = plan
  const mode = /Mode (\w+)/.exec(configuration)?.[1] ?? "FTFW"
  const texts = [mode]
  for (const [, name, value] of configuration.matchAll(tellingOptions)) {
    if (name !== "Checksum" || value === "off") texts.push(`${name} ${value}`)
  }
  if (nodes !== 2) texts.push(`nodes ${nodes}`)
  texts.push(`links ${links} (IPv${family})`, `MTU ${mtuBytes}`)
  if (referencePeer !== undefined) texts.push(`reference peer ${referencePeer}`)
  texts.push(`turns ${plan.scheduling}`)
  if (kernel.flowsMax !== plainKernel.flowsMax) texts.push(`kernel table ${kernel.flowsMax}`)
  for (const [name, text] of Object.entries(kernelTexts) as KernelTexts) {
    if (kernel[name] !== plainKernel[name]) texts.push(text)
  }
  return texts
}

type Switch = Exclude<keyof KernelPlan, "flowsMax">
type KernelTexts = ReadonlyArray<[Switch, string]>

/** What a kernel is called when it is not as usual. */
const kernelTexts: Readonly<Record<Switch, string>> = {
  tcpLoose: "strict TCP",
  accounting: "accounting",
  timestamps: "timestamps",
  labels: "labels",
  natRules: "NAT rules",
  slowDumps: "slow dumps"
}

// -------------------------------------------------------------------------------------- faults

const networkFaults: Readonly<Record<keyof NetworkPlan, readonly [name: string, unit: string]>> = {
  lossPercent: ["loss", " %"],
  duplicatePercent: ["duplication", " %"],
  reorderPercent: ["reordering", " %"],
  corruptPercent: ["corruption", " %"],
  delayMeanMs: ["delay", " ms"],
  delayJitterMs: ["jitter", " ms"],
  bytesPerMs: ["bandwidth", " bytes/ms"]
}

/** What a fault is called, and how long it lasts. */
const faultNames: Readonly<Partial<Record<StepTag, string>>> = {
  Overrun: "overrun",
  Refuse: "refusals",
  LinkDown: "link down",
  InterfaceDown: "interface down",
  Partition: "partition",
  Clog: "clog",
  Noise: "noise",
  PowerLoss: "power loss",
  Kill: "kill",
  Restart: "restart",
  Pause: "pause",
  ClockJump: "clock jump",
  SequenceNear: "sequence wrap",
  SplitBrain: "split brain"
}

/** The name of a kind of step where it is a fault; undefined for traffic and the operator. */
export const faultName = (tag: string): string | undefined => faultNames[tag as StepTag]

/** "3.9 s", or "3.9–4.6 s" for what lasts. */
const whenText = (step: Step): string => {
  const seconds = (ms: number) => String(Math.round(ms / 100) / 10)
  const forMs = "forMs" in step ? step.forMs : "backAfterMs" in step ? step.backAfterMs : 0
  const from = seconds(step.atMs)
  const to = seconds(step.atMs + forMs)
  return from === to ? `${from} s` : `${from}–${to} s`
}

export interface FaultTexts {
  readonly used: ReadonlyArray<string>
  readonly unused: ReadonlyArray<string>
}

/** Which faults a plan has, with their strength or times, and which it has not. */
export const faultTexts = ({ network, steps }: Plan): FaultTexts => {
  const used: Array<string> = []
  const unused: Array<string> = []
  for (const key of Object.keys(networkFaults) as ReadonlyArray<keyof NetworkPlan>) {
    const [name, unit] = networkFaults[key]
    if (network[key] !== 0 && network[key] !== calmNetwork[key]) {
      used.push(`${name} ${network[key]}${unit}`)
    } else if (unit === " %") unused.push(name)
  }
  for (const [tag, name] of Object.entries(faultNames)) {
    const times = steps.filter(({ _tag }) => _tag === tag)
    if (times.length === 0) unused.push(name)
    else used.push(`${name} ${times.map(whenText).join(", ")}`)
  }
  return { used, unused }
}
