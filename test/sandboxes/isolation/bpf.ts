/** A small interpreter of classic BPF: what the kernel would do with a system call. Independent of the assembler. */
export interface Syscall {
  arch: number;
  nr: number;
  args?: readonly bigint[];
}

export function interpret(program: Uint8Array, { arch, nr, args = [] }: Syscall): number {
  const data = Buffer.alloc(64);
  data.writeInt32LE(nr | 0, 0);
  data.writeUInt32LE(arch, 4);
  for (const [index, value] of args.entries())
    data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + 8 * index);
  const code = Buffer.from(program);
  let accumulator = 0;
  for (let at = 0; at < code.length / 8; at += 1) {
    const [op, yes, no, k] = [
      code.readUInt16LE(at * 8),
      code.readUInt8(at * 8 + 2),
      code.readUInt8(at * 8 + 3),
      code.readUInt32LE(at * 8 + 4),
    ];
    if (op === 0x20) accumulator = data.readUInt32LE(k);
    else if (op === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (op === 0x15) at += accumulator === k ? yes : no;
    else if (op === 0x35) at += accumulator >= k ? yes : no;
    else if (op === 0x06) return k;
    else throw new Error(`unknown instruction ${op.toString(16)}`);
  }
  throw new Error("the program does not return");
}
