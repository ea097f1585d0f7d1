/** A service manager that remembers what it was told. */
import * as Effect from "effect/Effect"
import { ServiceManager } from "../../src/layers/ServiceManager.ts"

export class ServiceManagerFake {
  readonly said: Array<"ready" | "ping" | "stopping"> = []
  readonly service: ServiceManager["Service"]

  constructor(pingIntervalMs: number) {
    const say = (word: "ready" | "ping" | "stopping") =>
      Effect.sync(() => void this.said.push(word))
    this.service = ServiceManager.of({
      pingIntervalMs,
      ready: say("ready"),
      ping: say("ping"),
      stopping: say("stopping")
    })
  }

  get pings(): number {
    return this.said.filter((word) => word === "ping").length
  }
}
