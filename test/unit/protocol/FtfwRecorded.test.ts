/** Our FTFW says what the original said, in every recorded exchange. */
import { assert, describe, it } from "@effect/vitest"
import { Change, Entity } from "../../../src/core/protocol/SyncProtocol.ts"
import { Recording } from "./Recording.ts"

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("FTFW as recorded", () => {
  it("answers a hand-made peer: duplicates, gaps, ranges, NACK, ACK, half the circle", () => {
    new Recording("ftfw-handmade-peer", {
      ackWindowSize: 10,
      act: (action, recording) => {
        if (action === "flow 1 is created on A") recording.tell(Change.created, 1)
      }
    }).run()
  })

  it("greets a peer that starts later; difference: what it missed is sent again", () => {
    let seen = 0
    const recording = new Recording("ftfw-hello-startup", {
      ackWindowSize: 300,
      act: (action, recording) => {
        if (action === "a flow is created on A") recording.tell(Change.created, 1)
        if (action === "another flow is created on A") recording.tell(Change.created, 2)
      }
    })
    recording.afterPeer = () => {
      if (seen++ === 0) recording.expectExtra(1)
    }
    recording.run()
    assert.isAbove(seen, 5)
    assert.isUndefined(
      recording.machine.pollNotice(),
      "a peer that was never heard did not restart"
    )
  })

  it("sends what is reported missing with new numbers and current state", () => {
    new Recording("ftfw-loss-nack-resend", {
      ackWindowSize: 300,
      peerBefore: [1795450369],
      act: (action, recording) => {
        if (action.startsWith("flow 1 is created")) recording.tell(Change.created, 1)
        if (action.startsWith("flow 2 is created")) recording.tell(Change.created, 2)
        if (action.startsWith("flow 1 is updated")) recording.tell(Change.updated, 1)
        if (action.startsWith("flow 2 is deleted")) recording.tell(Change.destroyed, 2)
        if (action.startsWith("flow 3 is created")) recording.tell(Change.created, 3)
      }
    }).run()
  })

  it("greets a peer that came back; difference: what it missed is sent again", () => {
    const recording = new Recording("ftfw-peer-restart", {
      ackWindowSize: 300,
      peerBefore: [1795450382],
      act: (action, recording) => {
        if (action.startsWith("flows 2 and 3")) recording.tell(Change.created, 2, 3)
      },
      tellAsSeen: () => false
    })
    let isDown = false
    recording.beforeAction = (action) => {
      if (action === "kill -9 B") isDown = true
    }
    recording.afterPeer = () => {
      if (isDown) {
        isDown = false
        recording.expectExtra(2, 3)
        assert.deepStrictEqual(recording.machine.pollNotice(), {
          _tag: "PeerRestarted",
          requeued: 2
        })
      }
      if (recording.machine.pollBulkRequested()) {
        for (const slot of [3, 1, 2]) recording.machine.tellAgain(Entity.flow, slot)
      }
    }
    recording.run()
  })

  it("acknowledges every fifth message with ACKWindowSize 5", () => {
    new Recording("ftfw-ack-window-5", {
      ackWindowSize: 5,
      peerBefore: [1795450375, 1795450376],
      act: () => {},
      tellAsSeen: () => true
    }).run()
  })

  it("sends everything when it is asked to", () => {
    const ports: Array<number> = []
    const recording = new Recording("ftfw-bulk", {
      ackWindowSize: 300,
      peerBefore: [1795450415],
      crossedSeq: 1795450419,
      act: () => {},
      tellAsSeen: (port) => {
        ports.push(port)
        return ports.length <= 60
      }
    })
    recording.afterPeer = () => {
      if (!recording.machine.pollBulkRequested()) return
      assert.deepStrictEqual(recording.machine.pollNotice(), { _tag: "ResyncRequestedByPeer" })
      for (const port of ports.slice(0, 60)) recording.machine.tellAgain(Entity.flow, port)
    }
    recording.run()
    assert.strictEqual(ports.length, 120, "the bulk of the recording was asked for and compared")
  })

  it("says the last of several changes once", () => {
    new Recording("ftfw-coalescing", {
      ackWindowSize: 300,
      peerBefore: [1795450643],
      act: (action, recording) => {
        if (action.includes("flow 2 is created and deleted")) {
          recording.tell(Change.created, 2)
          recording.tell(Change.destroyed, 2)
        }
        if (action.includes("flow 3 is created, deleted and created again")) {
          recording.tell(Change.created, 3)
          recording.tell(Change.destroyed, 3)
          recording.machine.forget(Entity.flow, 3)
          recording.tell(Change.created, 3)
        }
      },
      tellAsSeen: (port) => port === 1 || range(1000, 1149).includes(port)
    }).run()
  })

  it("says the same over IPv6", () => {
    new Recording("udp-ipv6", { ackWindowSize: 300, act: () => {}, tellAsSeen: () => true }).run()
  })

  it("receives across the wrap", () => {
    new Recording("ftfw-receive-wraparound", { ackWindowSize: 4, act: () => {} }).run()
  })

  it("sends across the wrap; difference: what the peer may have missed is sent again", () => {
    let seen = 0
    const recording = new Recording("ftfw-send-wraparound", {
      ackWindowSize: 300,
      ownBefore: 1,
      act: () => {},
      tellAsSeen: (port) => port >= 1 && port <= 6
    })
    recording.afterPeer = () => {
      if (seen++ === 0) recording.expectExtra(1, 2)
    }
    recording.run()
    assert.isAbove(seen, 4)
  })

  it("serves a peer that starts with a resync", () => {
    const recording = new Recording("ftfw-startup-resync", { ackWindowSize: 300, act: () => {} })
    recording.afterPeer = () => {
      if (!recording.machine.pollBulkRequested()) return
      for (const port of [1001, 1002, 1000]) recording.machine.tellAgain(Entity.flow, port)
    }
    recording.run()
  })
})
