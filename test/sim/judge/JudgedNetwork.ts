/** What the judge must know of a network: who sent what, what arrived, what was read. */

export interface JudgedDatagram {
  readonly id: number
  readonly link: number
  readonly from: string
  readonly to: string
  /** The payload as it was sent. */
  readonly bytes: Uint8Array
  readonly sentMs: number
}

export interface JudgedObserver {
  sent?(datagram: JudgedDatagram): void
  /** A copy (0, 1, …) lies in the receiver's buffer; `bytes` may have been corrupted on the way. */
  delivered?(datagram: JudgedDatagram, copy: number, bytes: Uint8Array): void
  lost?(datagram: JudgedDatagram, why: string): void
  /** The receiver took a copy out of its buffer. */
  read?(datagram: JudgedDatagram, copy: number, bytes: Uint8Array): void
}

export interface JudgedNetwork {
  observe(observer: JudgedObserver): void
}
