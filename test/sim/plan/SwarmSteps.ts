/**
 * What happens in a generated run: failovers, the traffic between them, and faults of the kinds
 * that exist in this run, in the order of time.
 */
import type { ClientOption, MachineName } from "../machine/Machine.ts"
import { machineNames } from "../machine/Machine.ts"
import type { Errno, FlowKind, KernelPlan, Step, StepOf, StepTag } from "./Plan.ts"
import { peerOf } from "./Plan.ts"
import type { Choices } from "./SwarmChoices.ts"
import { skew } from "./SwarmChoices.ts"

export interface SwarmSituation {
  readonly nodes: number
  readonly firstPrimary: "A" | "B"
  /** No faults: whatever goes wrong is our fault. */
  readonly isCalm: boolean
  /** Faults stop, and traffic with them. */
  readonly endMs: number
  readonly kernel: KernelPlan
  /** Overruns are repaired, so there may be some. */
  readonly losesEvents: boolean
}

/** The daemons have found each other by then. */
const warmUpMs = 1_500
/** Nothing new happens so shortly before the end. */
const calmDownMs = 500

export const stepsOf = (choices: Choices, situation: SwarmSituation): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  for (let pair = 0; pair * 2 < situation.nodes; pair++) {
    const failovers = failoversOf(choices, situation, pair)
    steps.push(...failovers, ...trafficOf(choices, situation, pair))
  }
  if (!situation.isCalm) steps.push(...faultsOf(choices, situation))
  steps.push(...commandsOf(choices, situation))
  if (!situation.isCalm) steps.push(...hasteOf(choices, situation))
  const sorted = steps.toSorted((a, b) => a.atMs - b.atMs)
  return sorted.filter((step) => step._tag !== "Failover" || !isOff(sorted, step.to, step.atMs))
}

/** Nobody makes a machine without power the primary. */
const isOff = (steps: ReadonlyArray<Step>, name: MachineName, atMs: number): boolean =>
  steps.some((step) =>
    step._tag === "PowerLoss" && step.node === name && step.atMs <= atMs &&
    atMs <= step.atMs + step.backAfterMs + warmUpMs
  )

// ----------------------------------------------------------------------------------- failovers

/** Why the HA manager moves the address. */
type Cause = "orderly" | "power loss" | "daemon dies" | "split brain"

const failoversOf = (
  choices: Choices,
  { endMs, firstPrimary, isCalm }: SwarmSituation,
  pair: number
): ReadonlyArray<Step> => {
  if (!choices.isOn(`failovers of pair ${pair}`, 88)) return []
  const causes: Array<Cause> = ["orderly"]
  if (!isCalm && choices.isOn("primary loses power", 40)) causes.push("power loss", "power loss")
  if (!isCalm && choices.isOn("primary's daemon dies", 30)) causes.push("daemon dies")
  if (!isCalm && choices.isOn("split brain", 12)) causes.push("split brain")
  const dice = choices.stream(`failovers of pair ${pair}`)
  const count = choices.between(`number of failovers of pair ${pair}`, 1, 3)
  const bounces = choices.isOn("the address bounces", 30)
    ? choices.stream(`bounces of pair ${pair}`)
    : undefined
  const beginMs = 4_000
  const slotMs = Math.floor((endMs - beginMs - 3_000) / count)
  let primary: MachineName = machineNames[machineNames.indexOf(firstPrimary) + 2 * pair]!
  const steps: Array<Step> = []
  for (let i = 0; i < count; i++) {
    const atMs = beginMs + i * slotMs + dice.nextBetween(0, Math.floor(slotMs / 2))
    const to = peerOf(primary)
    // Whoever lost power is back when the next failover may want it.
    const backAfterMs = dice.nextBetween(500, Math.floor(slotMs / 2))
    const detectionMs = dice.nextBetween(100, 1_500)
    const cause = dice.nextOf(causes)
    if (cause === "split brain") {
      const forMs = dice.nextBetween(500, 5_000)
      steps.push({ _tag: "SplitBrain", atMs, to, forMs })
      // Hosts on either side go on with the primary that they see.
      for (const through of [primary, to]) {
        steps.push({
          _tag: "OpenFlows",
          atMs: atMs + dice.nextBetween(50, forMs - 50),
          count: skew(1, 20, dice.next()),
          kind: "tcp",
          translated: "none",
          family: 4,
          overMs: 0,
          established: true,
          through,
          ...(pair === 0 ? {} : { pair })
        })
      }
    } else {
      if (cause === "power loss") {
        steps.push({ _tag: "PowerLoss", atMs: atMs - detectionMs, node: primary, backAfterMs })
      }
      if (cause === "daemon dies") {
        steps.push({ _tag: "Kill", atMs: atMs - detectionMs, node: primary, backAfterMs })
      }
      steps.push({ _tag: "Failover", atMs, to })
      // There and back before the purge of the former primary is due.
      if (cause === "orderly" && bounces?.nextIsIn(60) === true) {
        const backMs = atMs + bounces.nextBetween(300, Math.min(3_000, Math.floor(slotMs / 4)))
        const againMs = backMs + bounces.nextBetween(300, Math.min(3_000, Math.floor(slotMs / 4)))
        steps.push({ _tag: "Failover", atMs: backMs, to: primary })
        if (bounces.nextIsIn(50)) steps.push({ _tag: "Failover", atMs: againMs, to })
        else continue
      }
    }
    primary = to
  }
  return steps
}

// ------------------------------------------------------------------------------------- traffic

const trafficOf = (
  choices: Choices,
  situation: SwarmSituation,
  pair: number
): ReadonlyArray<Step> => {
  const kinds = kindsOf(choices)
  const hasIpv6 = choices.isOn("IPv6 traffic", 40)
  const isBusy = choices.isOn("busy", 35)
  const what = activitiesOf(choices)
  const changes = changesOf(situation.kernel)
  const dice = choices.stream(`traffic of pair ${pair}`)
  const where = pair === 0 ? {} : { pair }
  const zones = choices.isOn("zones", 20) ? choices.stream(`zones of pair ${pair}`) : undefined
  const zoneOf = () => zones?.nextIsIn(60) === true ? { zone: zones.nextOf([1, 7, 40_000]) } : {}
  const reopening = choices.isOn("reopened flows", 40)
    ? choices.stream(`reopened flows of pair ${pair}`)
    : undefined
  /** What ended just now is opened again, often before the peer can have heard of its end. */
  const reopen = (endedMs: number, count: number): void => {
    if (reopening?.nextIsIn(70) !== true) return
    const atMs = endedMs + (reopening.nextIsIn(40) ? 0 : reopening.nextBetween(1, 400))
    steps.push({ _tag: "ReopenFlows", atMs, count, ...where })
  }
  const open = (atMs: number, count: number, overMs: number): Step => ({
    _tag: "OpenFlows",
    atMs,
    count,
    kind: dice.nextOf(kinds),
    translated: situation.kernel.natRules
      ? dice.nextOf(["none", "source", "destination", "both"] as const)
      : "none",
    family: hasIpv6 && dice.nextIsIn(40) ? 6 : 4,
    overMs,
    established: dice.nextIsIn(80),
    ...zoneOf(),
    ...where
  })

  const endMs = situation.endMs - calmDownMs
  const steps: Array<Step> = [
    open(warmUpMs, skew(5, isBusy ? 120 : 40, dice.next()), dice.nextBetween(0, 1_500))
  ]
  const pauseMaxMs = isBusy ? 1_200 : 4_000
  const amountMax = isBusy ? 30 : 8
  for (
    let atMs = warmUpMs + dice.nextBetween(100, pauseMaxMs);
    atMs < endMs;
    atMs += skew(50, pauseMaxMs, dice.next())
  ) {
    const count = skew(1, amountMax, dice.next())
    const overMs = Math.min(dice.nextBetween(0, 1_000), endMs - atMs)
    switch (dice.nextOf(what)) {
      case "open":
        steps.push(open(atMs, count, overMs))
        break
      case "burst":
        steps.push(open(atMs, skew(30, 200, dice.next()), 0))
        break
      case "update": {
        const change = dice.nextOf(changes)
        steps.push({ _tag: "UpdateFlows", atMs, count, change, overMs, ...where })
        break
      }
      case "close":
        steps.push({ _tag: "CloseFlows", atMs, count, ...where })
        reopen(atMs, count)
        break
      case "reset":
        steps.push({ _tag: "ResetFlows", atMs, count, ...where })
        reopen(atMs, count)
        break
      case "expire":
        steps.push({ _tag: "ExpireFlows", atMs, count, ...where })
        reopen(atMs, count)
    }
  }
  return steps
}

type Activity = "open" | "burst" | "update" | "close" | "reset" | "expire"

/** What traffic does in this run, the frequent things several times. */
const activitiesOf = (choices: Choices): ReadonlyArray<Activity> => {
  const some = (activity: Activity, percent: number, times: number): ReadonlyArray<Activity> =>
    choices.isOn(`${activity} flows`, percent) ? Array.from({ length: times }, () => activity) : []
  return [
    "open",
    "open",
    "open",
    "open",
    ...some("burst", 35, 1),
    ...some("update", 80, 4),
    ...some("close", 80, 3),
    ...some("reset", 50, 1),
    ...some("expire", 40, 1)
  ]
}

/** TCP in most runs; what else there is, is there for the whole run. */
const kindsOf = (choices: Choices): ReadonlyArray<FlowKind> => {
  const others = (["udp", "icmp", "sctp", "udplite", "gre", "ftp"] as const).filter(
    (kind) => choices.isOn(`${kind} traffic`, kind === "udp" ? 50 : 15)
  )
  return others.length === 0 || choices.isOn("tcp traffic", 85)
    ? ["tcp", "tcp", ...others]
    : others
}

const changesOf = (kernel: KernelPlan): ReadonlyArray<StepOf<"UpdateFlows">["change"]> =>
  kernel.labels ? ["any", "state", "mark", "label"] : ["any", "state", "mark"]

// -------------------------------------------------------------------------------------- faults

/** Where the dice of a fault are thrown. */
interface Moment {
  readonly atMs: number
  readonly node: MachineName
  /** From `min` to `max`, mostly small. */
  readonly amount: (min: number, max: number) => number
  readonly isIn: (percent: number) => boolean
}

interface Fault {
  readonly tag: StepTag
  /** In so many seeds of a hundred. */
  readonly percent: number
  readonly timesMax: number
  readonly step: (moment: Moment) => Step
}

const errnosDrawn: ReadonlyArray<Errno> = ["ENOMEM", "EBUSY", "EINVAL", "EEXIST"]

const faults: ReadonlyArray<Fault> = [
  {
    tag: "Overrun",
    percent: 25,
    timesMax: 3,
    step: ({ amount, atMs, node }) => ({
      _tag: "Overrun",
      atMs,
      node,
      eventsLost: amount(1, 60)
    })
  },
  {
    tag: "Refuse",
    percent: 25,
    timesMax: 3,
    step: ({ amount, atMs, node }) => ({
      _tag: "Refuse",
      atMs,
      node,
      count: amount(1, 30),
      errno: errnosDrawn[amount(1, errnosDrawn.length) - 1]!
    })
  },
  {
    tag: "LinkDown",
    percent: 30,
    timesMax: 3,
    step: ({ amount, atMs }) => ({ _tag: "LinkDown", atMs, link: 0, forMs: amount(50, 8_000) })
  },
  {
    tag: "InterfaceDown",
    percent: 25,
    timesMax: 3,
    step: ({ amount, atMs, isIn, node }) => ({
      _tag: "InterfaceDown",
      atMs,
      node,
      link: 0,
      what: isIn(50) ? "up" : "carrier",
      forMs: amount(50, 8_000)
    })
  },
  {
    tag: "Partition",
    percent: 30,
    timesMax: 3,
    step: ({ amount, atMs, isIn, node }) => ({
      _tag: "Partition",
      atMs,
      from: node,
      bothWays: isIn(40),
      forMs: amount(50, 10_000)
    })
  },
  {
    tag: "Clog",
    percent: 25,
    timesMax: 4,
    step: ({ amount, atMs, node }) => ({
      _tag: "Clog",
      atMs,
      link: 0,
      from: node,
      forMs: amount(20, 4_000)
    })
  },
  {
    tag: "Noise",
    percent: 20,
    timesMax: 4,
    step: ({ amount, atMs, node }) => ({
      _tag: "Noise",
      atMs,
      link: 0,
      to: node,
      count: amount(1, 100)
    })
  },
  {
    tag: "PowerLoss",
    percent: 20,
    timesMax: 2,
    step: ({ amount, atMs, node }) => ({
      _tag: "PowerLoss",
      atMs,
      node,
      backAfterMs: amount(300, 12_000)
    })
  },
  {
    tag: "Kill",
    percent: 20,
    timesMax: 2,
    step: ({ amount, atMs, node }) => ({
      _tag: "Kill",
      atMs,
      node,
      backAfterMs: amount(100, 10_000)
    })
  },
  {
    tag: "Restart",
    percent: 25,
    timesMax: 2,
    step: ({ amount, atMs, node }) => ({
      _tag: "Restart",
      atMs,
      node,
      backAfterMs: amount(100, 6_000)
    })
  },
  {
    tag: "Pause",
    percent: 25,
    timesMax: 3,
    step: ({ amount, atMs, node }) => ({ _tag: "Pause", atMs, node, forMs: amount(20, 8_000) })
  },
  {
    tag: "ClockJump",
    percent: 15,
    timesMax: 2,
    step: ({ amount, atMs, isIn, node }) => ({
      _tag: "ClockJump",
      atMs,
      node,
      byMs: amount(500, 600_000) * (isIn(50) ? 1 : -1)
    })
  }
]

const faultsOf = (choices: Choices, situation: SwarmSituation): ReadonlyArray<Step> => {
  const names = machineNames.slice(0, situation.nodes)
  const steps: Array<Step> = []
  for (const { percent, step, tag, timesMax } of faults) {
    if (tag === "Overrun" && !situation.losesEvents) continue
    if (!choices.isOn(tag, percent)) continue
    const dice = choices.stream(tag)
    const times = dice.nextBetween(1, timesMax)
    for (let i = 0; i < times; i++) {
      steps.push(step({
        atMs: dice.nextBetween(warmUpMs, situation.endMs - calmDownMs),
        node: dice.nextOf(names),
        amount: (min, max) => skew(min, max, dice.next()),
        isIn: (percent) => dice.nextIsIn(percent)
      }))
    }
  }
  if (choices.isOn("SequenceNear", 15)) {
    const dice = choices.stream("SequenceNear")
    const node = dice.nextOf(names)
    const messagesBefore = skew(2, 400, dice.next())
    steps.push({ _tag: "SequenceNear", atMs: 0, node, messagesBefore })
  }
  return steps
}

// ------------------------------------------------------------------------------------ commands

const questions: ReadonlyArray<ClientOption> = [
  "-i",
  "-e",
  "-s",
  "-s network",
  "-s cache",
  "-s runtime",
  "-s link",
  "-s queue"
]

/** What an operator in doubt types. */
const interventions: ReadonlyArray<ClientOption> = [
  "-n",
  "-B",
  "-R",
  "-c",
  "-t",
  "-f external",
  "-f internal",
  "-f",
  "-F"
]

const commandsOf = (choices: Choices, situation: SwarmSituation): ReadonlyArray<Step> => {
  if (!choices.isOn("commands", 50)) return []
  const options = !situation.isCalm && choices.isOn("interventions", 40)
    ? [...questions, ...interventions]
    : questions
  const names = machineNames.slice(0, situation.nodes)
  const dice = choices.stream("commands")
  return Array.from({ length: dice.nextBetween(1, 8) }, (): Step => ({
    _tag: "Command",
    atMs: dice.nextBetween(warmUpMs, situation.endMs - calmDownMs),
    node: dice.nextOf(names),
    option: dice.nextOf(options)
  }))
}

/** Two people, or a script and a person: a commit, and something else while it runs. */
const hasteOf = (choices: Choices, situation: SwarmSituation): ReadonlyArray<Step> => {
  if (!choices.isOn("haste", 15)) return []
  const names = machineNames.slice(0, situation.nodes)
  const dice = choices.stream("haste")
  const steps: Array<Step> = []
  for (let i = dice.nextBetween(1, 3); i > 0; i--) {
    const atMs = dice.nextBetween(warmUpMs, situation.endMs - calmDownMs)
    const node = dice.nextOf(names)
    const also = dice.nextOf(["-f external", "-f external", "-f", "-c", "-t"] as const)
    steps.push({ _tag: "Command", atMs, node, option: "-c", also })
  }
  return steps
}
