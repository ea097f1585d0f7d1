/** The machine of the recording, as far as the reader asks about it. */
import { helperPolicies } from "../../../src/core/config/BuiltinHelpers.ts"
import { protocolNumber } from "../../../src/core/config/ProtocolNames.ts"
import type { ReaderEnvironment } from "../../../src/core/config/Reader.ts"

export const environment: ReaderEnvironment = {
  interfaceExists: (name) => name === "lan0" || name === "lan1",
  protocolNumber,
  helperPolicies
}
