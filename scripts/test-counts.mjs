/**
 * Prints "passed failed" of a JSON report of vitest, for `.ci/run`.
 *
 * A file that could not even be loaded has no tests; it counts as one failure.
 */
import { readFileSync } from "node:fs"

const report = JSON.parse(readFileSync(process.argv[2], "utf8"))
const unloaded = report.testResults.filter(
  ({ assertionResults, status }) => status === "failed" && assertionResults.length === 0
)
process.stdout.write(`${report.numPassedTests} ${report.numFailedTests + unloaded.length}\n`)
