/**
 * Our daemon, whole, beside the reference peer: each in both roles.
 */
import { expect, test } from "vitest"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { inverted, StatusBit } from "../kernel/KernelFlow.ts"
import type { ClientOption, Machine, MachineName } from "../machine/Machine.ts"
import { linkAddress, linkInterface, linkPort } from "../machine/Machine.ts"
import { SimNode } from "../machine/SimNode.ts"
import { VirtualNetwork } from "../network/VirtualNetwork.ts"
import { World } from "../World.ts"
import { ReferenceNode } from "./ReferenceNode.ts"
import { referenceSettings } from "./ReferenceSettings.ts"
import { decodeDatagram } from "./ReferenceWire.ts"

const configurationOf = (name: MachineName, peer: MachineName) => `
Sync {
  Mode FTFW {
    PurgeTimeout 2
    ACKWindowSize 20
  }
  UDP {
    IPv4_address ${linkAddress(name, 0)}
    IPv4_Destination_Address ${linkAddress(peer, 0)}
    Port ${linkPort(0)}
    Interface ${linkInterface(0)}
    Checksum on
  }
}
General {
  HashSize 8192
  HashLimit 1000
  LockFile /var/lock/conntrack.lock
  UNIX {
    Path /var/run/conntrackd.ctl
  }
}
`

const pairOf = (seed: string) => {
  const world = new World({ seed, scheduling: "shuffled" })
  const network = new VirtualNetwork(world, { links: 1 })
  network.observe({ sent: ({ bytes }) => void decodeDatagram(bytes) })
  const ours = new SimNode({
    world,
    network,
    name: "A",
    peerName: "B",
    configuration: configurationOf("A", "B")
  })
  const theirs = new ReferenceNode({
    world,
    network,
    name: "B",
    peerName: "A",
    configuration: referenceSettings(configurationOf("B", "A"))
  })
  ours.start()
  theirs.start()
  const run = (ms: number) => world.runUntil(world.nowMs + ms)
  const ask = (machine: Machine, option: ClientOption): string => {
    const answers: Array<string> = []
    machine.ask(option, ({ isAnswered, text }) => answers.push(isAnswered ? text : "nobody"))
    run(2_000)
    expect(answers.length, option).toBe(1)
    return answers[0]!
  }
  run(4_000)
  return { world, network, ours, theirs, run, ask }
}

const open = (kernel: FakeKernel, port: number): KernelFlow => {
  const original = { src: "0a000001", dst: "0a000002", l4: 6, a: port, b: 80 }
  return kernel.add({
    family: 2,
    original,
    reply: inverted(original),
    status: StatusBit.confirmed | StatusBit.seenReply | StatusBit.assured,
    timeoutSeconds: 600,
    tcp: { state: 3, scales: [7, 7], flags: [0, 0] }
  })!
}

const lines = (text: string) =>
  text.split("\n").filter((line) => line !== "").map((line) => line.replace(/ \[active .*/, ""))
    .toSorted()
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)
const trouble = { lossPercent: 20, duplicatePercent: 10, reorderPercent: 20, delayMeanMs: 8 }

for (const primary of ["ours", "theirs"] as const) {
  test(`${primary} tells through loss and reordering, the other one takes over`, () => {
    const { ask, network, ours, run, theirs } = pairOf(`mixed ${primary}`)
    const [from, to] = primary === "ours" ? [ours, theirs] : [theirs, ours]
    const before = theirs.declaredLosses().length
    Object.assign(network.faults(0), trouble)
    const flows = range(1, 200).map((port) => {
      const flow = open(from.kernel, port)
      run(5)
      return flow
    })
    for (const flow of flows.slice(0, 50)) {
      from.kernel.remove(flow)
      run(5)
    }
    for (const flow of flows.slice(50, 100)) {
      flow.mark = 7
      from.kernel.changed(flow, { mark: true })
      run(5)
    }
    network.healAll()
    run(5_000)
    expect(theirs.declaredLosses().length).toBe(before)
    const told = lines(ask(to, "-e"))
    expect(told.length).toBe(150)
    expect(told.filter((line) => line.includes("mark=7")).length).toBe(50)
    expect(theirs.queueLengths().resend).toBeLessThan(30)

    from.powerLoss()
    for (const option of ["-c", "-f", "-R", "-B"] as const) ask(to, option)
    expect(to.kernel.size).toBe(150)
    from.powerOn()
    run(3_000)
    for (const option of ["-t", "-n"] as const) ask(from, option)
    run(5_000)
    expect(lines(ask(from, "-e")).length).toBe(150)
    // Both print alike what both know.
    const known = lines(ask(to, "-i")).map((line) => line.replace(/ src=10.0.0.2 .* \[/, " ["))
    expect(lines(ask(from, "-e"))).toEqual(known)
  })
}
