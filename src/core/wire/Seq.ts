/**
 * Hot. Serial arithmetic on 32-bit sequence numbers, which wrap from 2^32 - 1 to 0.
 *
 * Two numbers are comparable while they are less than 2^31 apart. At exactly 2^31 each is both
 * before and after the other; peers then count "after", so whoever asks both asks `after` first.
 *
 * Source: specification, "The replication protocol", section 5.
 */

/** The number that follows `seq`. */
export const next = (seq: number): number => (seq + 1) >>> 0

/** The number that precedes `seq`. */
export const previous = (seq: number): number => (seq - 1) >>> 0

/** True when `a` was sent earlier than `b`. */
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0

/** True when `a` was sent later than `b`. */
export const after = (a: number, b: number): boolean => ((b - a) | 0) < 0

/** How many numbers `to` is ahead of `from`; zero when they are equal. */
export const distance = (from: number, to: number): number => (to - from) >>> 0
