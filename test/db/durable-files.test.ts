import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { openDurableFiles } from "../../src/db/durable-files.ts";

/** No process has so many files. */
const NO_DESCRIPTOR = 2 ** 30;

// One EIO of the log made every later statement throw, and the service stayed up for ever, answering errors.
test("whoever owns the process is told once that the disk refuses the log, and commits are refused", async () => {
  const failures: Error[] = [];
  const { files, durable } = openDurableFiles(tmpdir(), (error) => void failures.push(error));
  const { emscriptenOpts } = await files.init({} as never, {} as never);
  const operation = () => undefined;
  const ops = { setattr: operation, rename: operation, unlink: operation, rmdir: operation };
  const stream_ops = { ...ops, write: operation, close: operation, fsync: (_: object) => 0 };
  const hook = emscriptenOpts.preRun?.[0] as unknown as (module: object) => void;
  hook({ NODEFS: { realPath: () => tmpdir(), stream_ops, node_ops: ops } });

  stream_ops.fsync({ nfd: NO_DESCRIPTOR, path: "/pg_wal/1", node: {} });
  await expect(durable()).rejects.toThrow("restart the service");
  await expect(durable()).rejects.toThrow("restart the service");
  expect(failures.map((one) => (one as NodeJS.ErrnoException).code)).toEqual(["EBADF"]);
});
