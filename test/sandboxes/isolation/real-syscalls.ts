import { dlopen, FFIType, ptr, read } from "bun:ffi";

/** Runs inside a sandbox: makes real system calls and prints each one's result, or the number of its error. */
const { symbols } = dlopen("libc.so.6", {
  syscall: {
    args: [FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64],
    returns: FFIType.i64,
  },
  __errno_location: { args: [], returns: FFIType.ptr },
});

function call(nr: number, ...args: (number | bigint)[]): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
  const result = symbols.syscall(nr, a, b, c, d, e);
  if (Number(result) !== -1) return "done";
  const errno = symbols.__errno_location();
  return errno === null ? "?" : `${read.i32(errno)}`;
}

const x64 = process.arch === "x64";
const text = ptr(Buffer.from("a\0"));
const results = {
  add_key: call(x64 ? 248 : 217, ptr(Buffer.from("user\0")), text, text, 1, -2),
  keyctl: call(x64 ? 250 : 219, 0, -3, 1),
  io_uring_setup: call(425, 1, ptr(Buffer.alloc(256))),
  userfaultfd: call(x64 ? 323 : 282, 1),
  bpf: call(x64 ? 321 : 280, 0, ptr(Buffer.alloc(128)), 72),
  perf_event_open: call(x64 ? 298 : 241, ptr(Buffer.alloc(128)), 0, -1, -1, 0),
  "unshare user": call(x64 ? 272 : 97, 0x10000000),
  "clone user": call(x64 ? 56 : 220, 0x10000000 + 17),
  clone3: call(435, ptr(Buffer.alloc(88)), 88),
  "socket vsock": call(x64 ? 41 : 198, 40, 1, 0),
  "socket packet": call(x64 ? 41 : 198, 17, 3, 0),
  "socket alg": call(x64 ? 41 : 198, 38, 5, 0),
  "socket unix": call(x64 ? 41 : 198, 1, 1, 0),
  "socket route": call(x64 ? 41 : 198, 16, 3, 0),
  "ioctl TIOCSTI": call(x64 ? 16 : 29, 0, 0x5412, text),
  open_by_handle_at: call(x64 ? 304 : 265, -1, ptr(Buffer.alloc(16)), 0),
  personality: call(x64 ? 135 : 92, 0x40000),
};
console.log(JSON.stringify(results));
