/** A small assembler of classic BPF, as far as seccomp filters need it (see linux/filter.h). */

/** One line of a program. Jumps name a label further down; without one they go to the next line. */
export type Line =
  | { load: number }
  | { and: number }
  | { ifEqual: number; yes?: string; no?: string }
  | { ifAtLeast: number; yes?: string; no?: string }
  | { return: number }
  | { label: string };

const CODE = { load: 0x20, and: 0x54, ifEqual: 0x15, ifAtLeast: 0x35, return: 0x06 };
/** Jumps are a byte long. */
const LONGEST_JUMP = 255;

/** @returns the program as the kernel reads it: struct sock_filter[], little-endian. */
export function assemble(lines: readonly Line[]): Uint8Array {
  const labels = new Map<string, number>();
  const instructions: Exclude<Line, { label: string }>[] = [];
  for (const line of lines) {
    if ("label" in line) labels.set(line.label, instructions.length);
    else instructions.push(line);
  }
  const distance = (from: number, label: string | undefined): number => {
    if (label === undefined) return 0;
    const jump = (labels.get(label) ?? -1) - from - 1;
    if (jump < 0 || jump > LONGEST_JUMP) throw new Error(`the filter cannot jump from ${from} to ${label}`);
    return jump;
  };
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, one] of instructions.entries()) {
    const at = index * 8;
    const put = (code: number, value: number) => {
      bytes.writeUInt16LE(code, at);
      bytes.writeUInt32LE(value, at + 4);
    };
    if ("load" in one) put(CODE.load, one.load);
    else if ("and" in one) put(CODE.and, one.and);
    else if ("return" in one) put(CODE.return, one.return);
    else {
      if ("ifEqual" in one) put(CODE.ifEqual, one.ifEqual);
      else put(CODE.ifAtLeast, one.ifAtLeast);
      bytes.writeUInt8(distance(index, one.yes), at + 2);
      bytes.writeUInt8(distance(index, one.no), at + 3);
    }
  }
  return bytes;
}
