/** All statements about kernels. */
import { batchStatements } from "./BatchStatements.ts"
import { errorStatements } from "./ErrorStatements.ts"
import { eventStatements } from "./EventStatements.ts"
import { expectationRuleStatements } from "./ExpectationRuleStatements.ts"
import { expectationStatements } from "./ExpectationStatements.ts"
import { flowChangeStatements } from "./FlowChangeStatements.ts"
import { flowCreateStatements } from "./FlowCreateStatements.ts"
import { flowDeleteStatements } from "./FlowDeleteStatements.ts"
import { flowDumpStatements } from "./FlowDumpStatements.ts"
import { flowFilterStatements } from "./FlowFilterStatements.ts"
import { flowMakeStatements } from "./FlowMakeStatements.ts"
import { randomStatements } from "./RandomStatements.ts"
import { socketStatements } from "./SocketStatements.ts"
import type { Statement } from "./Statement.ts"
import { translationStatements } from "./TranslationStatements.ts"
import { tupleStatements } from "./TupleStatements.ts"

export const statements: ReadonlyArray<Statement> = [
  ...flowCreateStatements,
  ...flowMakeStatements,
  ...flowChangeStatements,
  ...flowDeleteStatements,
  ...flowDumpStatements,
  ...flowFilterStatements,
  ...batchStatements,
  ...translationStatements,
  ...tupleStatements,
  ...randomStatements,
  ...errorStatements,
  ...eventStatements,
  ...expectationStatements,
  ...expectationRuleStatements,
  ...socketStatements
]
