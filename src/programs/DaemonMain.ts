/**
 * What `conntrackd-daemon.ts` exports, and why it is a module of its own: client commands are run
 * by scripts during a fail-over and must start fast, so `conntrackd.ts` loads the daemon, and with
 * it the Effect runtime, only when a daemon is wanted.
 */

export interface DaemonOptions {
  readonly configFile: string
  /** `-d`: go on in the background once ready. */
  readonly detach: boolean
}

export interface DaemonModule {
  /** Runs until the daemon stops; sets the exit status of the process itself. */
  readonly main: (options: DaemonOptions) => Promise<void>
}
