/**
 * What a cache counts. The numbers count what is done to the cache, flushes included, never what
 * the kernel does.
 *
 * Source: specification, "Command line, life cycle …", sections 9.1 and 9.5; "The synchronisation
 * engines", section 21.
 */

export class CacheStats {
  /** Entries now, without those that are destroyed and wait for peers to hear of it. */
  active = 0
  created = 0
  /** Refused because the cache was full: the only way creation fails. */
  noSpace = 0
  updated = 0
  /** Destroyed, replaced by a new flow of the same tuple, or flushed. */
  destroyed = 0
}
