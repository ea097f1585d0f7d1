/**
 * Every invariant is broken on purpose, and the judge must say so; where nobody tampers it must
 * stay silent, whatever the world does.
 */
import { describe, expect, it } from "vitest"
import { Origin } from "../../../src/core/cache/Origin.ts"
import { Change } from "../../../src/core/model/Change.ts"
import { Base } from "../../../src/core/model/FlowLayout.ts"
import { FlowView } from "../../../src/core/model/FlowView.ts"
import { Entity, Verdict } from "../../../src/core/protocol/SyncProtocol.ts"
import type { KernelFlow } from "../kernel/KernelFlow.ts"
import { StatusBit } from "../kernel/KernelFlow.ts"
import type { Plan } from "../plan/Plan.ts"
import { calmNetwork, calmPlan } from "../plan/Plan.ts"
import { Flag, splitDatagram } from "../reference/ReferenceWire.ts"
import type { Scene } from "./Trial.ts"
import { trial } from "./Trial.ts"

const onlyB = (tamper: (scene: Scene) => void) => (scene: Scene): void => {
  if (scene.machine.name === "B") tamper(scene)
}
const onlyA = (tamper: (scene: Scene) => void) => (scene: Scene): void => {
  if (scene.machine.name === "A") tamper(scene)
}

const invariantOf = (tamper: (scene: Scene) => void, network = {}): string | undefined =>
  trial({ tamper, changes: { network: { ...calmNetwork, ...network } } }).verdict?.invariant

describe("the judge is silent", () => {
  it("when nothing fails", () => {
    const { declaredLosses, marks, verdict } = trial()
    expect(verdict).toBeUndefined()
    expect(declaredLosses.map(({ what }) => what)).toEqual(["stopped", "stopped"])
    expect(marks.get("commit")).toBe(1)
  })

  it("when datagrams are lost, doubled and late", () => {
    const network = {
      ...calmNetwork,
      lossPercent: 15,
      duplicatePercent: 10,
      reorderPercent: 10,
      delayMeanMs: 5,
      delayJitterMs: 20
    }
    const { marks, verdict } = trial({ changes: { network } })
    expect(verdict).toBeUndefined()
    expect(marks.get("nack resend")).toBeGreaterThan(0)
  })

  it("when machines die and come back", () => {
    const { declaredLosses, verdict } = trial({
      changes: {
        faultsStopAtMs: 12_000,
        steps: [
          {
            _tag: "OpenFlows",
            atMs: 1_000,
            count: 20,
            kind: "tcp",
            translated: "none",
            family: 4,
            overMs: 500,
            established: true
          },
          { _tag: "PowerLoss", atMs: 3_000, node: "B", backAfterMs: 1_500 },
          { _tag: "Kill", atMs: 7_000, node: "A", backAfterMs: 1_500 },
          { _tag: "UpdateFlows", atMs: 9_000, count: 8, change: "mark", overMs: 500 }
        ]
      }
    })
    expect(verdict).toBeUndefined()
    expect(declaredLosses.map(({ what }) => what)).toContain("power loss")
  })

  it("when a daemon is back so soon that its numbers go on", () => {
    let held = 0
    const { marks, verdict } = trial({
      changes: {
        firstPrimary: "B",
        configuration: calmPlan().configuration.replace("StartupResync on", ""),
        steps: [
          {
            _tag: "OpenFlows",
            atMs: 1_005,
            count: 4,
            kind: "tcp",
            translated: "none",
            family: 4,
            overMs: 8,
            established: true
          },
          { _tag: "Kill", atMs: 1_017, node: "A", backAfterMs: 0 }
        ]
      },
      tamper: onlyA(({ replica: { external }, world }) => {
        world.after(7_500, () => (held = external.stats.active))
      })
    })
    expect(verdict).toBeUndefined()
    expect(marks.get("start taken for going on")).toBe(1)
    // Nobody asked for a resync yet: what was not acknowledged came again by itself.
    expect(held).toBe(4)
  })
})

describe("S1 nothing invented", () => {
  it("sees an entry that was applied wrongly", () => {
    const tamper = onlyB(({ replica: { external } }) => {
      const apply = external.apply.bind(external)
      external.apply = (kind, view, nowSeconds) => {
        view.base[view.baseWord + Base.status]! ^= 0x0400_0000
        return apply(kind, view, nowSeconds)
      }
    })
    expect(invariantOf(tamper)).toBe("S1")
  })

  it("sees an entry that is changed without a message", () => {
    const tamper = onlyB(({ replica: { external }, world }) => {
      world.after(4_000, () => {
        const view = external.table.view(external.table.nextUsed(0), new FlowView())
        external.apply(Change.updated, view, 0)
      })
    })
    // The judge wraps the method that the timer finds on the instance later.
    expect(invariantOf(tamper)).toBe("S1")
  })
})

/** Flows end and begin again with the same tuples while much is lost. */
const reopening = {
  network: { ...calmNetwork, lossPercent: 40 },
  steps: [
    {
      _tag: "OpenFlows",
      atMs: 1_000,
      count: 20,
      kind: "tcp",
      translated: "source",
      family: 4,
      overMs: 500,
      established: true
    },
    { _tag: "UpdateFlows", atMs: 3_000, count: 20, change: "mark", overMs: 100 },
    { _tag: "ResetFlows", atMs: 5_000, count: 20 },
    { _tag: "ReopenFlows", atMs: 5_001, count: 20 }
  ]
} as const

describe("S1 nothing of an earlier flow", () => {
  it("sees a fresh flow that is merged into the one before it", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      protocol.renew = (entity, slot) => protocol.forget(entity, slot)
    })
    const { verdict } = trial({ tamper, changes: reopening })
    expect(verdict?.invariant).toBe("S1")
    expect(verdict?.sentence).toContain("made an entry of two flows")
  })

  it("is content with one that replaces it", () => {
    let renewed = 0
    const tamper = onlyA(({ replica: { protocol } }) => {
      const renew = protocol.renew.bind(protocol)
      protocol.renew = (entity, slot) => {
        renewed++
        renew(entity, slot)
      }
    })
    expect(trial({ tamper, changes: reopening }).verdict).toBeUndefined()
    expect(renewed).toBeGreaterThan(0)
  })
})

describe("S2 nothing resurrected", () => {
  it("sees a destroyed flow that stays", () => {
    const tamper = onlyB(({ replica: { external } }) => {
      const apply = external.apply.bind(external)
      external.apply = (kind, view, nowSeconds) =>
        kind === Change.destroyed ? -1 : apply(kind, view, nowSeconds)
    })
    expect(invariantOf(tamper)).toBe("S2")
  })
})

describe("S3 never backwards", () => {
  it("sees an old message that is applied", () => {
    const tamper = onlyB(({ replica: { protocol } }) => {
      const handleMessage = protocol.handleMessage.bind(protocol)
      protocol.handleMessage = (header, nowMs) => {
        const verdict = handleMessage(header, nowMs)
        return verdict === Verdict.drop ? Verdict.apply : verdict
      }
    })
    expect(invariantOf(tamper, { duplicatePercent: 50 })).toBe("S3")
  })
})

describe("S4 honest acknowledgements", () => {
  it("sees an acknowledgement of one number too many", () => {
    const tamper = onlyB(({ replica: { protocol } }) => {
      const pollOutbound = protocol.pollOutbound.bind(protocol)
      protocol.pollOutbound = (out, nowMs) => {
        const isThere = pollOutbound(out, nowMs)
        if (isThere && out.kind === Entity.control && (out.flags & Flag.ack) !== 0) out.ackTo++
        return isThere
      }
    })
    expect(invariantOf(tamper)).toBe("S4")
  })

  const open = (atMs: number, count: number, overMs: number) =>
    ({
      _tag: "OpenFlows",
      atMs,
      count,
      kind: "udp",
      translated: "none",
      family: 4,
      overMs,
      established: true
    }) as const
  /**
   * B's acknowledgement is held up until A lives again and uses the same numbers. It arrives before
   * B's answer to A's second HELLO.
   */
  const heldUp: Partial<Plan> = {
    configuration: calmPlan().configuration.replace("StartupResync on", ""),
    steps: [
      open(1_500, 10, 500),
      open(3_100, 10, 300),
      { _tag: "Clog", atMs: 3_900, link: 0, from: "B", forMs: 1_600 },
      { _tag: "Kill", atMs: 4_100, node: "A", backAfterMs: 50 },
      open(4_500, 16, 300)
    ]
  }

  it("sees a sender that believes who has not answered its HELLO", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      const slots = new Map<number, number>()
      const forget = protocol.forget.bind(protocol)
      const pollOutbound = protocol.pollOutbound.bind(protocol)
      protocol.pollOutbound = (out, nowMs) => {
        const isThere = pollOutbound(out, nowMs)
        if (isThere && out.kind === Entity.flow) slots.set(out.seq, out.slot)
        return isThere
      }
      const handleMessage = protocol.handleMessage.bind(protocol)
      protocol.handleMessage = (header, nowMs) => {
        const verdict = handleMessage(header, nowMs)
        if ((header.flags & Flag.ack) === 0 || protocol.helloState === "done") return verdict
        for (const [seq, slot] of slots) {
          if (header.ackFrom <= seq && seq <= header.ackTo) forget(Entity.flow, slot)
        }
        return verdict
      }
    })
    expect(trial({ tamper, changes: heldUp }).verdict?.invariant).toBe("S4")
  })

  it("is content with one that does not", () => {
    expect(trial({ changes: heldUp }).verdict).toBeUndefined()
  })

  it("sees a sender that forgets what no acknowledgement named", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      const handleMessage = protocol.handleMessage.bind(protocol)
      protocol.handleMessage = (header, nowMs) => {
        if ((header.flags & Flag.ack) === 0) return handleMessage(header, nowMs)
        const { ackFrom } = header
        header.ackFrom -= 5
        const verdict = handleMessage(header, nowMs)
        header.ackFrom = ackFrom
        return verdict
      }
    })
    expect(invariantOf(tamper, { lossPercent: 20 })).toBe("S4")
  })
})

describe("S5 nothing lost silently", () => {
  it("sees a sound message that is dropped", () => {
    const tamper = onlyB(({ replica: { protocol } }) => {
      let count = 0
      const handleMessage = protocol.handleMessage.bind(protocol)
      protocol.handleMessage = (header, nowMs) => {
        const verdict = handleMessage(header, nowMs)
        return verdict === Verdict.apply && ++count === 10 ? Verdict.drop : verdict
      }
    })
    expect(invariantOf(tamper)).toBe("S5")
  })

  it("sees a gap that is never reported", () => {
    const tamper = onlyB(({ replica: { protocol } }) => {
      const pollOutbound = protocol.pollOutbound.bind(protocol)
      protocol.pollOutbound = (out, nowMs) => {
        const isThere = pollOutbound(out, nowMs)
        if (!isThere || out.kind !== Entity.control) return isThere
        if ((out.flags & Flag.nack) !== 0) out.flags = (out.flags & ~Flag.nack) | Flag.alive
        return isThere
      }
    })
    expect(invariantOf(tamper, { lossPercent: 20 })).toBe("S5")
  })

  it("sees what is asked for again and kept back", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      const handleMessage = protocol.handleMessage.bind(protocol)
      protocol.handleMessage = (header, nowMs) => {
        if ((header.flags & Flag.nack) === 0) return handleMessage(header, nowMs)
        const { ackFrom } = header
        header.ackFrom = header.ackTo + 1
        header.ackTo++
        const verdict = handleMessage(header, nowMs)
        header.ackFrom = ackFrom
        header.ackTo--
        return verdict
      }
    })
    expect(invariantOf(tamper, { lossPercent: 20 })).toBe("S5")
  })

  it("sees an accepted message without an entry", () => {
    let count = 0
    const tamper = onlyB(({ replica: { external } }) => {
      const apply = external.apply.bind(external)
      external.apply = (kind, view, nowSeconds) =>
        ++count === 5 ? -1 : apply(kind, view, nowSeconds)
    })
    expect(invariantOf(tamper)).toBe("S5")
  })

  it("sees a destroyed flow that is forgotten before its end was told", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      const tell = protocol.tell.bind(protocol)
      let destroyed = -1
      protocol.tell = (entity, slot, change) => {
        if (change !== Change.destroyed) tell(entity, slot, change)
        else destroyed = slot
      }
      const pollReleased = protocol.pollReleased.bind(protocol)
      protocol.pollReleased = (entity) => {
        const slot = entity === Entity.flow ? destroyed : pollReleased(entity)
        if (slot >= 0) protocol.forget(entity, slot)
        destroyed = -1
        return slot
      }
    })
    expect(invariantOf(tamper)).toBe("S5")
  })
})

describe("S6 no echo", () => {
  it("sees a flow that is told for no reason", () => {
    const tamper = onlyA(({ replica: { internal, protocol }, world }) => {
      world.after(4_000, () => {
        protocol.tell(Entity.flow, internal.table.nextUsed(0), Change.updated)
      })
    })
    expect(invariantOf(tamper)).toBe("S6")
  })

  it("sees an event of our own that is taken for somebody else's", () => {
    const tamper = onlyB(({ replica: { internal }, world }) => {
      world.after(6_000, () => {
        const view = internal.table.view(internal.table.nextUsed(0), new FlowView())
        internal.apply(Change.created, view, Origin.other, 6)
      })
    })
    expect(invariantOf(tamper)).toBe("S6")
  })
})

describe("S8 valid wire", () => {
  it("sees a datagram that does not decode", () => {
    const tamper = onlyA(({ replica: { sendBuffer } }) => {
      const commit = sendBuffer.commit.bind(sendBuffer)
      sendBuffer.commit = (end) => {
        sendBuffer.bytes[end - 1]! ^= 0xff
        sendBuffer.bytes[end - 3]! ^= 0xff
        return commit(end)
      }
    })
    expect(["S1", "S8"]).toContain(invariantOf(tamper))
  })

  it("sees a datagram that is too large", () => {
    const tamper = onlyA(({ replica: { links } }) => {
      Object.defineProperty(links[0], "mtuBytes", { value: 100 })
    })
    expect(invariantOf(tamper)).toBe("S8")
  })

  it("sees a number that is used twice", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      const pollOutbound = protocol.pollOutbound.bind(protocol)
      protocol.pollOutbound = (out, nowMs) => {
        const isThere = pollOutbound(out, nowMs)
        out.seq = Math.floor(out.seq / 2)
        return isThere
      }
    })
    expect(invariantOf(tamper)).toBe("S8")
  })
})

describe("S9 bounded", () => {
  it("sees a queue without bounds", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      Object.defineProperty(protocol, "txLength", { get: () => 1_000_000 })
    })
    expect(invariantOf(tamper)).toBe("S9")
  })
})

describe("S7 no self-talk", () => {
  it("sees a daemon that takes its own message for its peer's", () => {
    const scenes = new Map<string, Scene>()
    const { verdict } = trial({
      tamper: (scene) => void scenes.set(scene.machine.name, scene),
      atQuiet: ({ network }, judge) => {
        network.observe({
          sent: (datagram) => {
            const { bytes, from: sender, to: receiver } = datagram
            const own = scenes.get(sender)
            if (own === undefined) return
            // Of one of the two the numbers are ahead of the other's.
            scenes.delete(sender)
            const { links: [link], protocol } = own.replica
            link!.counters.packetsReceived++
            link!.counters.bytesReceived += bytes.length
            // As a switch does that sends a multicast back.
            judge.read(Object.assign(datagram, { to: sender }), 0, bytes)
            Object.assign(datagram, { to: receiver })
            for (const frame of splitDatagram(bytes).frames) {
              const { flags, from, sequence: seq, to, type } = frame
              protocol.handleMessage({ type, flags, seq, ackFrom: from, ackTo: to }, 0)
            }
          }
        })
      }
    })
    expect(verdict?.invariant).toBe("S7")
  })
})

describe("S10 counters add up", () => {
  it("sees a cache that miscounts", () => {
    const tamper = onlyB(({ replica: { external }, world }) => {
      world.after(4_000, () => external.stats.created++)
    })
    expect(invariantOf(tamper)).toBe("S10")
  })

  it("sees lost messages that nobody lost", () => {
    const tamper = onlyB(({ replica: { protocol }, world }) => {
      world.after(4_000, () => protocol.counters.lost++)
    })
    expect(invariantOf(tamper)).toBe("S10")
  })

  it("sees a link that miscounts", () => {
    const tamper = onlyB(({ replica: { links }, world }) => {
      world.after(4_000, () => links[0]!.counters.packetsReceived++)
    })
    expect(invariantOf(tamper)).toBe("S10")
  })

  it("sees a link that miscounted at the end of a life", () => {
    const tamper = onlyB(({ replica: { links }, world }) => {
      // Between the last look and the end.
      if (world.nowMs < 1) world.after(3_045, () => links[0]!.counters.packetsSent++)
    })
    const changes = {
      steps: [{ _tag: "Kill", atMs: 3_050, node: "B", backAfterMs: 500 }]
    } as const
    expect(trial({ tamper, changes }).verdict?.sentence).toContain("the lives of B count")
  })

  it("sees sound messages called malformed", () => {
    const tamper = onlyB(({ replica: { receive }, world }) => {
      world.after(4_000, () => receive.badSize++)
    })
    expect(invariantOf(tamper)).toBe("S10")
  })

  const noise = {
    steps: [
      { _tag: "Noise", atMs: 3_000, link: 0, to: "B", count: 40 },
      { _tag: "Failover", atMs: 5_000, to: "B" }
    ]
  } as const
  it.each(["badSize", "truncated", "badHeader"] as const)("sees noise that %s misses", (name) => {
    const counts: Array<number> = []
    const tamper = onlyB(({ replica: { receive }, world }) => {
      world.after(3_500, () => {
        counts.push(receive[name])
        receive[name]--
      })
    })
    expect(trial({ tamper, changes: noise }).verdict?.invariant).toBe("S10")
    expect(counts[0]).toBeGreaterThan(0)
  })

  it("is content with noise that is counted", () => {
    expect(trial({ changes: noise }).verdict).toBeUndefined()
  })
})

describe("Q1 and Q2 caches agree", () => {
  const forgetful = onlyA(({ replica: { protocol }, world }) => {
    const tell = protocol.tell.bind(protocol)
    let count = 0
    protocol.tell = (entity, slot, change) => {
      // A flow whose end is not told would keep its slot, which is seen at once.
      const isForgotten = change !== Change.destroyed && world.nowMs > 2_400 && ++count % 3 === 0
      if (!isForgotten) tell(entity, slot, change)
    }
  })

  it("sees a change that never reached the peer", () => {
    const { verdict } = trial({ tamper: forgetful })
    expect(verdict?.invariant).toBe("Q1")
    expect(verdict?.sentence).toBe("B's external cache differs from A's internal cache")
    const [label, lines] = verdict!.facts[0]!
    expect(label).toMatch(/A internal/)
    expect(lines[0]).toMatch(/^(tcp +6|udp +17) .*src=\d+\.\d+\.\d+\.\d+ dst=/)
    expect(lines.join("\n")).toMatch(/A: tell updated/)
  })

  it("says Q2 when something was lost by declaration before", () => {
    const { verdict } = trial({
      tamper: forgetful,
      changes: {
        faultsStopAtMs: 8_000,
        steps: [
          { _tag: "Kill", atMs: 500, node: "B", backAfterMs: 200 },
          {
            _tag: "OpenFlows",
            atMs: 2_000,
            count: 20,
            kind: "tcp",
            translated: "none",
            family: 4,
            overMs: 500,
            established: true
          }
        ]
      }
    })
    expect(verdict?.invariant).toBe("Q2")
  })

  it("sees a bulk send that leaves a flow out", () => {
    const tamper = ({ replica: { internal } }: Scene): void => {
      const holds = internal.holds.bind(internal)
      internal.holds = (slot) => !(bulkRuns && slot === 2) && holds(slot)
    }
    let bulkRuns = false
    const { verdict } = trial({
      tamper: (scene) => {
        tamper(scene)
        const { bulk } = scene.replica
        const step = bulk.step.bind(bulk)
        bulk.step = (...parameters) => {
          bulkRuns = true
          const isDone = step(...parameters)
          bulkRuns = false
          return isDone
        }
      }
    })
    expect(verdict?.invariant).toBe("Q2")
  })

  it("sees an internal cache that misses an event", () => {
    const tamper = onlyA(({ replica: { internal }, world }) => {
      const apply = internal.apply.bind(internal)
      internal.apply = (kind, view, origin, nowSeconds) =>
        kind === Change.destroyed && world.nowMs > 3_000
          ? -1
          : apply(kind, view, origin, nowSeconds)
    })
    expect(invariantOf(tamper)).toBe("Q1")
  })
})

describe("Q3 commit restores", () => {
  it("sees a commit that leaves flows out", () => {
    const tamper = onlyB(({ replica: { external } }) => {
      const holds = external.holds.bind(external)
      external.holds = (slot) => slot % 5 !== 3 && holds(slot)
    })
    expect(invariantOf(tamper)).toBe("Q3")
  })

  const damages: Record<string, (flow: KernelFlow) => void> = {
    "the bit that there were answers": (flow) => (flow.status &= ~StatusBit.seenReply),
    "the bit that it is established": (flow) => (flow.status &= ~StatusBit.assured),
    "that its translation is decided": (flow) => (flow.status &= ~StatusBit.srcNatDone),
    "a port of its translation": (flow) => {
      flow.reply = { ...flow.reply, b: flow.reply.b ^ 1 }
    },
    "its helper": (flow) => delete flow.helper,
    "its sequence adjustment": (flow) => (flow.seqAdj = [[0, 0, 0], [0, 0, 0]])
  }
  it.each(Object.entries(damages))("sees a committed flow that lost %s", (_, damage) => {
    const tamper = ({ machine, world }: Scene): void => {
      if (machine.name === "A") {
        // No event tells of it: somebody reads the table again and sends everything.
        world.after(2_000, () => {
          for (const flow of machine.kernel.flows) {
            flow.status |= StatusBit.seqAdjust
            flow.seqAdj = [[7, 0, 4], [9, 0, 2]]
          }
          machine.ask("-R")
        })
        world.after(3_000, () => machine.ask("-B"))
        return
      }
      // What B commits at 5 s.
      world.after(4_900, () => {
        machine.kernel.observe({ created: damage, updated: damage })
      })
    }
    const { verdict } = trial({
      tamper,
      changes: {
        steps: [
          {
            _tag: "OpenFlows",
            atMs: 1_000,
            count: 8,
            kind: "ftp",
            translated: "source",
            family: 4,
            overMs: 500,
            established: true
          },
          { _tag: "Failover", atMs: 5_000, to: "B" }
        ]
      }
    })
    expect(verdict?.invariant).toBe("Q3")
  })
})

describe("Q5 queues drain", () => {
  it("sees slots that are never released", () => {
    const tamper = onlyA(({ replica: { protocol } }) => {
      protocol.pollReleased = () => -1
    })
    expect(invariantOf(tamper)).toBe("Q5")
  })
})

describe("L4 silence is quiet", () => {
  it("sees a daemon that talks for nothing", () => {
    const { verdict } = trial({
      atQuiet: ({ machines, world }) => {
        const again = (): void => {
          machines[0]!.ask("-n")
          world.after(20, again)
        }
        again()
      }
    })
    expect(verdict?.invariant).toBe("L4")
  })
})
