/**
 * Tries the statements of one setting on the kernel of the namespace it runs in, and prints (JSON)
 * what came of them. Argument: the setting.
 */
import { addon, opened } from "../native/Machine.ts"
import { outcomeOf } from "./Arms.ts"
import { statements } from "./Statements.ts"

const netfilter = 12
const outcomes = statements
  .filter(({ setting }) => setting === process.argv[2])
  .map((statement) => outcomeOf(statement, { open: () => opened(addon.openNetlink(netfilter)) }))
process.stdout.write(JSON.stringify(outcomes), () => process.exit(0))
