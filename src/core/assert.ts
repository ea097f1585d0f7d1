/**
 * Statements about our own code. Input (a peer's bytes, a file, the kernel's answer) is never
 * asserted.
 */
export class AssertionError extends Error {
  override readonly name = "AssertionError"
}

/** States a fact about our own code. A false `condition` is a bug, never an input problem. */
export function assert(condition: boolean, fact: string): asserts condition {
  if (!condition) throw new AssertionError(fact)
}
