/**
 * From a seed to a plan. A seed first chooses *which* faults and features exist in its run, each on
 * or off, and only then how strong they are: a run with everything at once hides what a run with
 * two things shows. Settings are drawn small on purpose, since queues of four overflow and queues
 * of 131072 do not.
 *
 * Every choice has a stream of dice of its own, so that a new choice leaves all others as they are
 * and old seeds stay nearly what they were.
 */
import { Dice, hashText } from "../Dice.ts"
import type { MachineName } from "../machine/Machine.ts"
import { machineNames } from "../machine/Machine.ts"
import type { KernelPlan, NetworkPlan, Plan, Step } from "./Plan.ts"
import { calmNetwork, plainKernel, problemOfNodes } from "./Plan.ts"
import { Choices } from "./SwarmChoices.ts"
import { stepsOf } from "./SwarmSteps.ts"

export interface SwarmOptions {
  /** 2 or 4; absent: the seed chooses. */
  readonly nodes?: number
}

/** Peers with upstream's defects loop when a message does not fit. */
const referenceMtuMinBytes = 576

/** The plan of a seed. Throws a RangeError when there cannot be so many nodes. */
export const planOfSeed = (seed: string, options: SwarmOptions = {}): Plan => {
  const choices = new Choices(new Dice(seed))
  const nodes = options.nodes ?? (choices.isOn("four nodes", 8) ? 4 : 2)
  const problem = problemOfNodes(nodes)
  if (problem !== undefined) throw new RangeError(problem)
  const isCalm = choices.isOn("calm", 12)
  const family = choices.isOn("links over IPv6", 25) ? 6 : 4
  const referencePeer = referencePeerOf(choices)
  const network = isCalm ? calmNetwork : networkOf(choices)
  const kernel = kernelOf(choices)
  const settings = settingsOf(choices, {
    isCalm,
    network,
    hasReference: referencePeer !== undefined
  })
  const faultsStopAtMs = isCalm
    ? choices.between("length of a calm run", 15, 35) * 1_000
    : choices.between("length", 25, 70) * 1_000
  const firstPrimary = choices.isOn("B begins", 30) ? "B" : "A"
  const steps = stepsOf(choices, {
    nodes,
    firstPrimary,
    isCalm,
    endMs: faultsStopAtMs,
    kernel,
    losesEvents: settings.repairsOverruns
  })
  const isSlow = isSlowIn(settings.configuration)
  return {
    seed,
    nodes,
    links: 1,
    configuration: settings.configuration,
    family,
    ...(referencePeer === undefined ? {} : { referencePeer }),
    firstPrimary,
    scheduling: choices.isOn("shuffled", 70) ? "shuffled" : "first in first out",
    mtuBytes: mtuOf(choices, family, referencePeer),
    network,
    kernel,
    steps: isSlow ? fewerFlows(steps) : steps,
    faultsStopAtMs,
    settleWithinMs: settleMsOf(settings.configuration)
  }
}

/** As many flows as a run with a small resend queue opens. */
const flowsOfSlowMax = 500
/** As often somebody asks for a resync while all settles, at most. */
export const resyncsMax = 3
const settleMs = 10_000

const valueIn = (configuration: string, name: string, otherwise: number): number =>
  Number(new RegExp(`${name} (\\d+)`).exec(configuration)?.[1] ?? otherwise)
const resendQueueIn = (configuration: string): number =>
  valueIn(configuration, "ResendQueueSize", 131_072)

/**
 * A peer whose window does not fill before our resend queue acknowledges once a second, and half of
 * the queue is sent after each acknowledgement: few flows, and much time.
 */
const isSlowIn = (configuration: string): boolean =>
  resendQueueIn(configuration) < 2 * valueIn(configuration, "ACKWindowSize", 300)

const fewerFlows = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> => {
  const total = steps.reduce((sum, step) => step._tag === "OpenFlows" ? sum + step.count : sum, 0)
  if (total <= flowsOfSlowMax) return steps
  return steps.map((step) =>
    step._tag === "OpenFlows"
      ? { ...step, count: Math.max(1, Math.floor((step.count * flowsOfSlowMax) / total)) }
      : step
  )
}

/**
 * Everything agrees within 10 s. Where bulk sends are slow: flows that end meanwhile may overflow
 * the queue, so there is time for as many bulk sends as somebody asks for.
 */
const settleMsOf = (configuration: string): number => {
  // Flows that expire together overrun a small event buffer, and the repair takes its time.
  if (!isSlowIn(configuration)) {
    return configuration.includes("NetlinkBufferSize ") ? 3 * settleMs : settleMs
  }
  const perSecond = Math.max(1, resendQueueIn(configuration) / 2)
  return settleMs + Math.ceil(((resyncsMax + 1) * flowsOfSlowMax) / perSecond) * 1_000
}

/** A seed of 64 bits as plans write it: of a number, of a commit, or of any other text. */
export const seedOf = (text: string, index?: number): string => {
  const plain = text.trim().toLowerCase()
  if (index === undefined) {
    if (/^0x[0-9a-f]{1,16}$/.test(plain)) return `0x${plain.slice(2).padStart(16, "0")}`
    if (/^\d{1,19}$/.test(plain)) return `0x${BigInt(plain).toString(16).padStart(16, "0")}`
  }
  const source = index === undefined ? plain : `${plain}/${index}`
  const half = (start: number) => hashText(source, start).toString(16).padStart(8, "0")
  return `0x${half(0x811c_9dc5)}${half(0x2545_f491)}`
}

const referencePeerOf = (choices: Choices): MachineName | undefined =>
  choices.isOn("reference peer", 100 / 3)
    ? machineNames[choices.between("which reference peer", 0, 1)]
    : undefined

const mtuOf = (
  choices: Choices,
  family: 4 | 6,
  referencePeer: MachineName | undefined
): number => {
  if (choices.isOn("jumbo frames", 10)) return 9_000
  if (!choices.isOn("small MTU", 40)) return 1_500
  if (family === 6) return choices.between("MTU over IPv6", 1_280, 1_400)
  const smallest = referencePeer === undefined ? 300 : referenceMtuMinBytes
  return choices.skewed("MTU", smallest, 1_000)
}

const networkOf = (choices: Choices): NetworkPlan => {
  const fault = (name: string, percent: number, max: number) =>
    choices.isOn(name, percent) ? choices.skewed(`how much ${name}`, 1, max) : 0
  return {
    lossPercent: fault("loss", 45, 25),
    duplicatePercent: fault("duplication", 30, 20),
    reorderPercent: fault("reordering", 35, 30),
    corruptPercent: fault("corruption", 20, 8),
    delayMeanMs: choices.isOn("delay", 70) ? choices.skewed("how much delay", 1, 60) : 0,
    delayJitterMs: fault("jitter", 40, 30),
    bytesPerMs: choices.isOn("bandwidth", 15) ? choices.skewed("how much bandwidth", 40, 2_000) : 0
  }
}

const kernelOf = (choices: Choices): KernelPlan => ({
  flowsMax: choices.isOn("small kernel table", 12)
    ? choices.between("size of the kernel table", 60, 300)
    : plainKernel.flowsMax,
  tcpLoose: !choices.isOn("strict TCP", 30),
  accounting: choices.isOn("accounting", 30),
  timestamps: choices.isOn("timestamps", 30),
  labels: choices.isOn("labels", 30),
  natRules: choices.isOn("translation", 45),
  ...(choices.isOn("slow dumps", 35) ? { slowDumps: true } : {})
})

interface SettingsContext {
  readonly isCalm: boolean
  readonly hasReference: boolean
  readonly network: NetworkPlan
}

interface ChosenSettings {
  readonly configuration: string
  /** After an overrun the kernel table is read again: events may get lost. */
  readonly repairsOverruns: boolean
}

/** The text of the conntrackd.conf. An option that is not chosen is not written. */
const settingsOf = (choices: Choices, context: SettingsContext): ChosenSettings => {
  const { hasReference, isCalm, network } = context
  const option = (name: string, percent: number, value: () => number | string) =>
    choices.isOn(name, percent) ? [`${name} ${value()}`] : []
  const small = (name: string, percent: number, min: number, max: number) =>
    option(name, percent, () => choices.skewed(`${name} value`, min, max))

  const mode = [
    ...(isCalm
      ? small("ResendQueueSize", 60, 1_024, 8_192)
      : small("ResendQueueSize", 70, 4, 2_048)),
    // In a window of one, upstream acknowledges nothing but by the second after the first gap.
    ...small("ACKWindowSize", 75, hasReference ? 2 : 1, 60),
    ...small("CommitTimeout", 25, 60, 600),
    ...small("PurgeTimeout", 75, 1, 15),
    ...option("StartupResync", 60, () => "on")
  ]

  // Without a checksum, changed bytes would reach the daemon, and nothing there could notice.
  const checksum = network.corruptPercent === 0 && choices.isOn("Checksum off", 15) ? "off" : "on"
  const link = [
    "IPv{family}_address {own0}",
    "IPv{family}_Destination_Address {peer0}",
    "Port {port0}",
    "Interface {interface0}",
    `Checksum ${checksum}`,
    ...(isCalm ? [] : small("SndSocketBuffer", 10, 16_384, 1_249_280)),
    ...(isCalm ? [] : small("RcvSocketBuffer", 15, 8_192, 1_249_280))
  ]

  const options = option("TCPWindowTracking", 30, () => "on")

  const repairsOverruns = !choices.isOn("NetlinkOverrunResync off", 8)
  const events: Array<string> = []
  if (!repairsOverruns) events.push("NetlinkOverrunResync off")
  else {
    events.push(`NetlinkOverrunResync ${choices.between("NetlinkOverrunResync value", 1, 4)}`)
    if (!isCalm && choices.isOn("small netlink buffer", 20)) {
      const bytes = choices.skewed("NetlinkBufferSize value", 8_192, 65_536)
      const growth = choices.between("NetlinkBufferSizeMaxGrowth value", 0, 3)
      events.push(`NetlinkBufferSize ${bytes}`, `NetlinkBufferSizeMaxGrowth ${bytes << growth}`)
    }
  }

  const hashLimit = !isCalm && choices.isOn("small caches", 12)
    ? choices.between("small HashLimit value", 50, 250)
    : choices.between("HashLimit value", 2_048, 8_192)
  const general = [
    `HashSize ${1 << choices.between("HashSize value", 4, 14)}`,
    `HashLimit ${hashLimit}`,
    "LogFile on",
    "LockFile /var/lock/conntrack.lock",
    ...block("UNIX", ["Path /var/run/conntrackd.ctl"]),
    ...events
  ]

  const sync = [
    ...block("Mode FTFW", mode),
    ...block("UDP", link),
    ...(options.length === 0 ? [] : block("Options", options))
  ]
  const lines = [...block("Sync", sync), ...block("General", general)]
  return { configuration: `${lines.join("\n")}\n`, repairsOverruns }
}

const block = (name: string, lines: ReadonlyArray<string>): ReadonlyArray<string> => [
  `${name} {`,
  ...lines.map((line) => `  ${line}`),
  "}"
]
