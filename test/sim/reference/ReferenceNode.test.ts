/**
 * Two reference nodes in a simulated world: replication, loss, failover, restarts, the client.
 */
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import type { FakeKernel } from "../kernel/FakeKernel.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { inverted, StatusBit } from "../kernel/KernelFlow.ts"
import type { ClientOption, Ending, MachineName } from "../machine/Machine.ts"
import { linkAddress, linkInterface, linkPort } from "../machine/Machine.ts"
import { VirtualNetwork } from "../network/VirtualNetwork.ts"
import { World } from "../World.ts"
import { ReferenceNode } from "./ReferenceNode.ts"
import { referenceSettings } from "./ReferenceSettings.ts"
import { decodeDatagram } from "./ReferenceWire.ts"

const configurationOf = (name: MachineName, peer: MachineName, mode: string, general: string) => `
Sync {
  Mode FTFW {
    ${mode}
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
  ${general}
}
`

interface Pair {
  readonly world: World
  readonly network: VirtualNetwork
  readonly a: ReferenceNode
  readonly b: ReferenceNode
  readonly endings: Array<Ending>
  readonly ask: (node: ReferenceNode, option: ClientOption) => string
  readonly run: (ms: number) => void
}

const pairOf = (seed: string, mode = "", general = ""): Pair => {
  const world = new World({ seed, scheduling: "shuffled" })
  const network = new VirtualNetwork(world, { links: 1 })
  const endings: Array<Ending> = []
  const leaksSeen: Array<string> = []
  const witness = {
    ended: (_: unknown, ending: Ending, leaks: ReadonlyArray<string>) => {
      endings.push(ending)
      leaksSeen.push(...leaks)
    }
  }
  // Every datagram is one that a careful sender may write.
  network.observe({ sent: ({ bytes }) => void decodeDatagram(bytes) })
  const node = (name: MachineName, peerName: MachineName) =>
    new ReferenceNode({
      world,
      network,
      name,
      peerName,
      configuration: referenceSettings(configurationOf(name, peerName, mode, general)),
      witness
    })
  const [a, b] = [node("A", "B"), node("B", "A")]
  a.start()
  b.start()
  const run = (ms: number) => world.runUntil(world.nowMs + ms)
  const ask = (asked: ReferenceNode, option: ClientOption): string => {
    const answers: Array<string> = []
    asked.ask(option, ({ isAnswered, text }) => answers.push(isAnswered ? text : "nobody"))
    run(1)
    expect(answers.length, option).toBe(1)
    expect(leaksSeen).toEqual([])
    return answers[0]!
  }
  run(10)
  return { world, network, a, b, endings, ask, run }
}

const open = (kernel: FakeKernel, port: number, zone = 0): KernelFlow => {
  const original = { src: "0a000001", dst: "0a000002", l4: 6, a: port, b: 80 }
  const flow = kernel.add({
    family: 2,
    original,
    reply: inverted(original),
    zone,
    status: StatusBit.confirmed | StatusBit.seenReply | StatusBit.assured,
    timeoutSeconds: 600,
    tcp: { state: 3, scales: [7, 7], flags: [0, 0] }
  })
  if (flow === undefined) throw new Error("the kernel refuses")
  return flow
}

const ports = (lines: string): ReadonlyArray<number> =>
  [...lines.matchAll(/ sport=(\d+) dport=80/g)]
    .map(([, port]) => Number(port)).toSorted((x, y) => x - y)
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

test("flows are told, changed and forgotten", () => {
  const { a, ask, b, run } = pairOf("told")
  const flows = range(1, 50).map((port) => open(a.kernel, port))
  run(100)
  expect(ports(ask(b, "-e"))).toEqual(range(1, 50))
  expect(ask(b, "-e").split("\n")[0]).toMatch(
    /^tcp      6 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=\d+ dport=80 \[ASSURED\] \[active/
  )
  flows[0]!.mark = 7
  a.kernel.changed(flows[0]!, { mark: true })
  a.kernel.remove(flows[1]!)
  run(100)
  expect(ask(b, "-e")).toContain("sport=1 dport=80 [ASSURED] mark=7")
  expect(ports(ask(b, "-e"))).toEqual([1, ...range(3, 50)])
  run(5_000)
  expect(b.externalFlows()).toEqual(expect.arrayContaining([...a.internalFlows()]))
  expect(a.queueLengths().transmit).toBe(0)
})

test("what is lost, doubled and overtaken comes in the end", () => {
  const { a, b, network, run, world } = pairOf("loss")
  run(3_000)
  Object.assign(network.faults(0), {
    lossPercent: 30,
    duplicatePercent: 10,
    reorderPercent: 20,
    delayMeanMs: 5,
    delayJitterMs: 5
  })
  const before = a.declaredLosses().length + b.declaredLosses().length
  const flows = range(1, 300).map((port) => {
    const flow = open(a.kernel, port)
    run(7)
    return flow
  })
  for (const flow of flows.slice(0, 100)) {
    a.kernel.remove(flow)
    run(3)
  }
  network.healAll()
  run(10_000)
  expect(a.declaredLosses().length + b.declaredLosses().length).toBe(before)
  expect(b.externalFlows().map((flow) => flow.ports!.source).toSorted((x, y) => x - y))
    .toEqual(range(101, 300))
  expect(world.nowMs).toBeGreaterThan(15_000)
})

test("a backup takes over, and the old primary learns from it", () => {
  const { a, ask, b, endings, run } = pairOf("failover", "PurgeTimeout 2\n CommitTimeout 100")
  range(1, 40).forEach((port) => open(a.kernel, port))
  run(2_000)
  a.powerLoss()
  expect(a.state).toBe("off")
  for (const option of ["-c", "-f", "-R", "-B"] as const) ask(b, option)
  expect(b.kernel.size).toBe(40)
  expect(b.kernel.flows.every((flow) => flow.tcp?.flags[0] === 8)).toBe(true)
  a.powerOn()
  run(3_000)
  expect(a.kernel.size).toBe(0)
  for (const option of ["-t", "-n"] as const) ask(a, option)
  run(3_000)
  expect(ports(ask(a, "-e"))).toEqual(range(1, 40))
  expect(ports(ask(b, "-i"))).toEqual(range(1, 40))
  expect(endings).toEqual(["power loss"])
})

test("committed and flushed flows are nothing to tell the peer", () => {
  const { a, ask, b, run } = pairOf("echo")
  range(1, 5).forEach((port) => open(a.kernel, port))
  run(1_000)
  ask(b, "-c")
  run(1_000)
  expect(ports(ask(b, "-i"))).toEqual(range(1, 5))
  expect(ask(a, "-e")).toBe("")
  ask(b, "-F")
  run(1_000)
  expect(b.kernel.size).toBe(0)
  expect(ports(ask(b, "-e"))).toEqual(range(1, 5))
  // A second commit meets the first one's flows.
  ask(b, "-c")
  ask(b, "-c")
  expect(b.kernel.size).toBe(5)
})

test("a killed peer says hello, and what was unacknowledged is lost until it asks", () => {
  const { a, ask, b, endings, run } = pairOf("killed")
  run(3_000)
  b.kill()
  range(1, 5).forEach((port) => open(a.kernel, port))
  run(2_000)
  b.start()
  run(5_000)
  expect(ask(b, "-e")).toBe("")
  expect(a.declaredLosses().map(({ what }) => what))
    .toContainEqual(expect.stringContaining("a hello empties the resend queue"))
  ask(b, "-n")
  run(1_000)
  expect(ports(ask(b, "-e"))).toEqual(range(1, 5))
  expect(endings).toEqual(["killed"])
})

test("a resend queue that is full drops its oldest, and says so to the judge only", () => {
  const { a, ask, network, run } = pairOf("overflow", "ResendQueueSize 8")
  run(3_000)
  network.partition("A", "B", true)
  range(1, 20).forEach((port) => open(a.kernel, port))
  run(500)
  expect(a.queueLengths().resend).toBe(8)
  expect(ask(a, "-s queue")).toMatch(/rsqueue:[^]*not enough space errors:\t +1[2-9]\n/)
  expect(a.declaredLosses().at(-1)!.what).toContain("the resend queue is full")
})

test("events that overran the socket are made good", () => {
  const { a, ask, b, run } = pairOf("overrun", "", "NetlinkOverrunResync 2")
  run(3_000)
  const kept = open(a.kernel, 1)
  run(500)
  a.kernel.overrun(2)
  a.kernel.remove(kept)
  open(a.kernel, 2)
  run(500)
  expect(ports(ask(b, "-e"))).toEqual([1])
  run(3_000)
  expect(ports(ask(b, "-e"))).toEqual([2])
  expect(a.declaredLosses().at(-1)!.what).toContain("overran")
})

test("a paused daemon tells the last state of what happened meanwhile", () => {
  const { a, ask, b, network, run } = pairOf("paused")
  const sent: Array<string> = []
  run(3_000)
  // The first wake-up takes one event: this is it.
  open(a.kernel, 9)
  run(500)
  network.observe({
    sent: ({ bytes, from }) => {
      if (from !== "A") return
      const messages = decodeDatagram(bytes).filter(({ type }) => type !== "CTL")
      if (messages.length > 0) sent.push(messages.map(({ type }) => type).join(" "))
    }
  })
  a.pause()
  expect(a.state).toBe("paused")
  let answer: string | undefined
  a.ask("-s", ({ text }) => (answer = text))
  const flow = open(a.kernel, 1)
  a.kernel.changed(flow, {})
  a.kernel.remove(open(a.kernel, 2))
  range(1_001, 1_150).forEach((port) => open(a.kernel, port))
  run(500)
  expect(answer).toBeUndefined()
  expect(sent).toEqual([])
  a.resume()
  run(500)
  expect(answer).toContain("cache internal:\ncurrent active connections:")
  expect(sent[0]).toMatch(/^CT_UPD CT_DEL CT_NEW CT_NEW/)
  expect(sent.map((text) => text.split(" ").length).reduce((x, y) => x + y)).toBe(152)
  expect(ask(b, "-e").split("\n").length).toBe(153)
})

test("the client meets nobody, or an end in order", () => {
  const { a, ask, endings, run } = pairOf("client")
  expect(ask(a, "-k")).toBe("")
  expect(a.state).toBe("idle")
  expect(endings).toEqual(["stopped"])
  expect(ask(a, "-s")).toBe("nobody")
  a.start()
  run(10)
  const answers: Array<boolean> = []
  a.pause()
  a.ask("-s", ({ isAnswered }) => answers.push(isAnswered))
  a.kill()
  run(10)
  expect(answers).toEqual([false])
})

test("one seed is one run", () => {
  const hashOf = () => {
    const { a, network, run, world } = pairOf("same")
    Object.assign(network.faults(0), { lossPercent: 20, delayMeanMs: 3, delayJitterMs: 2 })
    range(1, 100).forEach((port) => open(a.kernel, port))
    run(20_000)
    return world.traceHash
  }
  expect(hashOf()).toBe(hashOf())
})

test("a configuration text that asks for more than there is is refused", () => {
  const text = configurationOf("A", "B", "ACKWindowSize 7\n StartupResync on", "")
  expect(referenceSettings(text)).toMatchObject({
    ackWindowSize: 7,
    startupResync: true,
    hashSize: 8_192,
    hashLimit: 1_000,
    resendQueueSize: 131_072,
    overrunResyncSeconds: 30,
    links: [{ family: 4, bindAddress: "10.255.0.1", peerAddress: "10.255.0.2", port: 3_780 }]
  })
  expect(() => referenceSettings(text.replace("Mode FTFW", "Mode ALARM"))).toThrow("Mode ALARM")
  expect(() => referenceSettings(text.replace("UDP {", "TCP {"))).toThrow("TCP")
})

test("statistics look as upstream's", () => {
  interface Session {
    readonly events: ReadonlyArray<
      { readonly argv?: ReadonlyArray<string>; readonly stdout?: string }
    >
  }
  const file = new URL("../../golden/cli/02-idle-ftfw-udp.json", import.meta.url)
  const { events } = JSON.parse(readFileSync(file, "utf8")) as Session
  const shape = (text: string) =>
    text.replaceAll(/ *\d+$| *\d+(?=[ \t/])/gm, (number) => "#".repeat(number.length))
      .replaceAll(/device=[^ )]+/g, "device=eth")
  const { a, ask } = pairOf("statistics")
  for (const topic of ["", "network", "cache", "runtime", "link", "queue"]) {
    const options = topic === "" ? ["-s"] : ["-s", topic]
    const recorded = events.find(({ argv }) => String(argv?.slice(3)) === String(options))
    const text = ask(a, options.join(" ") as ClientOption)
    expect(shape(text), topic).toBe(shape(recorded!.stdout!))
  }
})
