/**
 * Attributes, written one after the other into memory that is used again and again. Hot.
 *
 * Source: specification, "The kernel's connection-tracking interface", section 1.
 */

const bytesMax = 4096

export class AttributeBuffer {
  readonly #bytes = new Uint8Array(bytesMax)
  #end = 0

  /** Attributes as they are. */
  all(attributes: ArrayLike<number>): void {
    this.#bytes.set(attributes, this.#end)
    this.#end += attributes.length
  }

  u8(type: number, value: number): void {
    this.#head(type, 5)
    this.#byte(value)
    this.#pad()
  }

  u16(type: number, value: number): void {
    this.#head(type, 6)
    this.#byte(value >>> 8)
    this.#byte(value)
    this.#pad()
  }

  u32(type: number, value: number): void {
    this.#head(type, 8)
    this.#word(value)
  }

  u64(type: number, value: bigint): void {
    this.#head(type, 12)
    this.#word(Number((value >> 32n) & 0xffff_ffffn))
    this.#word(Number(value & 0xffff_ffffn))
  }

  /** Two bytes, not a number. */
  pair(type: number, first: number, second: number): void {
    this.u16(type, ((first & 0xff) << 8) | (second & 0xff))
  }

  bytes(type: number, value: ArrayLike<number>): void {
    this.#head(type, 4 + value.length)
    this.all(value)
    this.#pad()
  }

  /** Begins a nest; the answer is for `close`. Kernels since 5.2 set bit 15. */
  open(type: number): number {
    const at = this.#end
    this.#head(type | 0x8000, 0)
    return at
  }

  close(at: number): void {
    const length = this.#end - at
    this.#bytes[at] = length & 0xff
    this.#bytes[at + 1] = length >>> 8
  }

  /** What was written since the last time. */
  take(): Uint8Array {
    const out = this.#bytes.slice(0, this.#end)
    this.#end = 0
    return out
  }

  #head(type: number, length: number): void {
    this.#byte(length)
    this.#byte(length >>> 8)
    this.#byte(type)
    this.#byte(type >>> 8)
  }

  #word(value: number): void {
    this.#byte(value >>> 24)
    this.#byte(value >>> 16)
    this.#byte(value >>> 8)
    this.#byte(value)
  }

  #byte(value: number): void {
    this.#bytes[this.#end++] = value
  }

  #pad(): void {
    while ((this.#end & 3) !== 0) this.#byte(0)
  }
}
