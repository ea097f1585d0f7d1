/** All statements about kernels. */
import { flowCreateStatements } from "./FlowCreateStatements.ts"
import { flowMakeStatements } from "./FlowMakeStatements.ts"
import type { Statement } from "./Statement.ts"

export const statements: ReadonlyArray<Statement> = [...flowCreateStatements, ...flowMakeStatements]
