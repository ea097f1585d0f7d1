/** Addresses between text and network-order words, for tests. Independent of what it tests. */

const reverse = (word: number): number =>
  ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)

/** One word for IPv4, four for IPv6; the bytes in memory are those of the address. */
export const addressWordsOf = (text: string): Array<number> => {
  if (!text.includes(":")) {
    const bytes = text.split(".").map(Number)
    return [bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)]
  }
  const [head = "", tail] = text.split("::")
  const left = head === "" ? [] : head.split(":")
  const right = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length
  const groups = [...left, ...Array.from({ length: zeros }, () => "0"), ...right]
    .map((group) => parseInt(group, 16))
  return [0, 2, 4, 6].map((i) => reverse((groups[i]! << 16) | groups[i + 1]!))
}

export const addressTextOf = (words: ReadonlyArray<number>): string => {
  if (words.length === 1) {
    const word = words[0]!
    return [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24].join(".")
  }
  const groups = words.flatMap((word) => [reverse(word) >>> 16, reverse(word) & 0xffff])
  let best = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && groups[i + length] === 0) length++
    if (length > bestLength) {
      best = i
      bestLength = length
    }
  }
  const hex = (from: number, to: number) =>
    groups.slice(from, to).map((group) => group.toString(16)).join(":")
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`
}
