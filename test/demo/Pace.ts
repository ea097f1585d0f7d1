/**
 * How fast the demo's connections are opened and how often their ends speak: the same on real
 * kernels and on simulated ones. Times are milliseconds.
 */

/** Connections are opened in waves: slowly enough to see the caches fill. */
export const waves = 18
export const waveMs = 80

/** On every connection each end asks a question so often. */
export const askEveryMs = 500
/** Connections take turns, so that the traffic is even. */
export const turns = 10

/** When the connection with this place among `count` is opened, from the first one on. */
export const openDelayMs = (place: number, count: number): number =>
  Math.floor(place / Math.ceil(count / waves)) * waveMs
