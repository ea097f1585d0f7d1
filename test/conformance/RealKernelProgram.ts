/**
 * Tries some statements of one setting on the kernel of the namespace it runs in, and prints (JSON)
 * what came of them. Arguments: the setting, the first of them, the end.
 */
import { addon, opened } from "../native/Machine.ts"
import { outcomeOf } from "./Arms.ts"
import { statements } from "./Statements.ts"

const netfilter = 12
const [setting, from, end] = process.argv.slice(2)
const outcomes = statements
  .filter((statement) => statement.setting === setting)
  .slice(Number(from), Number(end))
  .map((statement) => outcomeOf(statement, { open: () => opened(addon.openNetlink(netfilter)) }))
process.stdout.write(JSON.stringify(outcomes), () => process.exit(0))
