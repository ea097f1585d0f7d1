/** Names of errno values, as the addon returns them (negative). */
import { getSystemErrorName } from "node:util"

/** `-19` → `ENODEV`. */
export const errnoName = (result: number): string =>
  result < 0 ? getSystemErrorName(result) : String(result)
