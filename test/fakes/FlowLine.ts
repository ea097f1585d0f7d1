/** Flows of tests as lines of text: what the caches and the kernels of a test are compared by. */

export interface Tuple {
  readonly src: string
  readonly dst: string
  readonly sport: number
  readonly dport: number
}

export const mirror = ({ dport, dst, sport, src }: Tuple): Tuple => ({
  src: dst,
  dst: src,
  sport: dport,
  dport: sport
})

const tupleText = ({ dport, dst, sport, src }: Tuple): string => `${src}:${sport}>${dst}:${dport}`

/** What identifies a flow in the kernel's table. */
export const keyOf = (flow: { readonly protocol: string; readonly original: Tuple }): string =>
  `${flow.protocol} ${tupleText(flow.original)}`

/** A flow as one line; the reply tuple only if it is translated. */
export const lineOf = (
  flow: {
    readonly protocol: string
    readonly original: Tuple
    readonly reply: Tuple
    readonly mark: number
  }
): string => {
  const reply = tupleText(flow.reply)
  const nat = reply === tupleText(mirror(flow.original)) ? "" : ` reply ${reply}`
  return `${keyOf(flow)}${nat} mark=${flow.mark}`
}
