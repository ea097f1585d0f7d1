/**
 * The part of classic BPF that socket filters of netlink sockets use, after bpf(4).
 *
 * Loads are big-endian and beyond the end of the message return 0, which drops it.
 */
const loadWord = 0x20
const loadHalf = 0x28
const loadByte = 0x30
const jumpEqual = 0x15
const jumpSet = 0x45
const returnValue = 0x06

const instructionBytes = 8

/** True when the program (an array of `struct sock_filter`) lets the message through. */
export const bpfAccepts = (program: Uint8Array, message: Uint8Array): boolean => {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const data = new DataView(message.buffer, message.byteOffset, message.byteLength)
  let accumulator = 0
  for (let pc = 0; (pc + 1) * instructionBytes <= program.length; pc++) {
    const at = pc * instructionBytes
    const k = code.getUint32(at + 4, true)
    const opcode = code.getUint16(at, true)
    switch (opcode) {
      case loadWord:
        if (k + 4 > message.length) return false
        accumulator = data.getUint32(k)
        break
      case loadHalf:
        if (k + 2 > message.length) return false
        accumulator = data.getUint16(k)
        break
      case loadByte:
        if (k + 1 > message.length) return false
        accumulator = data.getUint8(k)
        break
      case jumpEqual:
        pc += code.getUint8(accumulator === k ? at + 2 : at + 3)
        break
      case jumpSet:
        pc += code.getUint8((accumulator & k) !== 0 ? at + 2 : at + 3)
        break
      case returnValue:
        return k !== 0
      default:
        throw new Error(`the BPF instruction 0x${opcode.toString(16)} is not simulated`)
    }
  }
  throw new Error("the BPF program has no end")
}
