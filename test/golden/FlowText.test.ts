import { assert, describe, it } from "@effect/vitest"
import { Base } from "../../src/core/model/FlowLayout.ts"
import type { FlowView } from "../../src/core/model/FlowView.ts"
import { formatCachedFlow, formatFlow } from "../../src/core/text/FormatFlow.ts"
import { formatFlowXml } from "../../src/core/text/FormatFlowXml.ts"
import { matchLines } from "./Pattern.ts"
import { flowOfCommand, type Side } from "./RecordedFlows.ts"
import { type CommandEvent, commandsOf, readSession, type Session } from "./Session.ts"

/** The flows a session creates on node A before it looks at them. */
const flowsOf = (session: Session, side: Side): ReadonlyArray<FlowView> =>
  session.events
    .filter((event) => event.type === "shell")
    .filter((event) => event.command.startsWith("conntrack -I "))
    .map((event) => flowOfCommand(event.command, side))

/** The first command of `node` that ends in `options`. */
const recorded = (
  session: Session,
  node: "A" | "B",
  options: ReadonlyArray<string>
): CommandEvent =>
  commandsOf(session).find((event) =>
    event.node === node && event.argv.slice(3).join(" ") === options.join(" ") &&
    event.stdout !== ""
  )!

const plain = (view: FlowView): string => {
  view.base[view.baseWord + Base.createdSeconds] = 100
  return formatCachedFlow(view, { nowSeconds: 102, wallSeconds: 0 })
}

const xml = (view: FlowView): string =>
  formatFlowXml(view, { timeout: false, wallSeconds: 0 }) + "\n"

const nothing = { missing: [], surplus: [] }

const check = (
  number: string,
  node: "A" | "B",
  options: ReadonlyArray<string>,
  format: (view: FlowView) => string
): ReturnType<typeof matchLines> => {
  const session = readSession(number)
  const event = recorded(session, node, options)
  const text = flowsOf(session, node === "A" ? "internal" : "external").map(format).join("")
  // Kernel ids are the only numbers of an XML dump that differ between runs.
  const pattern = (event.stdout_pattern ?? event.stdout).replace(/<id>\d+<\/id>/g, "<id>@ID@</id>")
  return matchLines(pattern, text)
}

describe("dumps of flows", () => {
  it.each(["03", "26"])("session %s: -i and -e look as recorded", (number) => {
    assert.deepStrictEqual(check(number, "A", ["-i"], plain), nothing)
    assert.deepStrictEqual(check(number, "B", ["-e"], plain), nothing)
  })

  it("session 24: -i shows all protocols, zones, marks and translations as recorded", () => {
    assert.deepStrictEqual(check("24", "A", ["-i"], plain), nothing)
  })

  it("session 24: -e looks as recorded, except the ports of DCCP, which no message carries", () => {
    assert.deepStrictEqual(check("24", "B", ["-e"], plain), {
      missing: [
        "dccp     33 src=192.0.2.31 dst=198.51.100.30 sport=3000 dport=36412 [UNREPLIED] " +
        "mark=0 [active since @SECS@s]"
      ],
      surplus: [
        "dccp     33 src=192.0.2.31 dst=198.51.100.30 sport=0 dport=0 [UNREPLIED] " +
        "mark=0 [active since 2s]"
      ]
    })
  })

  it("sessions 03 and 24: XML of the internal cache is as recorded", () => {
    assert.deepStrictEqual(check("03", "A", ["-i", "-x"], xml), nothing)
    assert.deepStrictEqual(check("24", "A", ["-i", "-x"], xml), nothing)
  })

  it("session 24: XML of the external cache is as recorded, DCCP ports excepted", () => {
    const { missing, surplus } = check("24", "B", ["-e", "-x"], xml)
    assert.deepStrictEqual([missing.length, surplus.length], [1, 1])
    const [recordedPorts, ourPorts] = [
      "<sport>3000</sport><dport>36412</dport>",
      "<sport>0</sport><dport>0</dport>"
    ]
    assert.strictEqual(surplus[0], missing[0]!.replace(recordedPorts, ourPorts))
  })

  it("a flow log line leaves the timeout out and a log of a failed commit shows it", () => {
    const view = flowOfCommand(
      "conntrack -I -p udp -s 192.0.2.10 -d 198.51.100.20 --sport 5000 --dport 53 -t 600",
      "internal"
    )
    const rest = "src=192.0.2.10 dst=198.51.100.20 sport=5000 dport=53 [UNREPLIED] " +
      "src=198.51.100.20 dst=192.0.2.10 sport=53 dport=5000 mark=0"
    assert.strictEqual(formatFlow(view, { timeout: false, wallSeconds: 0 }), `udp      17 ${rest}`)
    assert.strictEqual(
      formatFlow(view, { timeout: true, wallSeconds: 0 }),
      `udp      17 600 ${rest}`
    )
  })
})
