/**
 * What is wrong with received bytes; 0 when nothing is. An ordinary outcome, so it is a value and
 * never an exception.
 *
 * Each fault has a counter in the statistics of whoever received the bytes.
 */
export const Fault = {
  none: 0,
  /** Fewer bytes than the structure needs. */
  truncated: 1,
  /** A length field that contradicts the bytes around it. */
  badSize: 2,
  /** An attribute whose value has not the width its type demands. */
  wrongLength: 3,
  badVersion: 4,
  badHeader: 5,
  badType: 6,
  /** The stream (TCP) ends inside a message: wait for more bytes. Never an error. */
  incomplete: 7
} as const
export type Fault = (typeof Fault)[keyof typeof Fault]
