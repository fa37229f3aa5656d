import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../src/db/durable-files.ts";

/** No process has so many files. */
const NO_DESCRIPTOR = 2 ** 30;

/** Of WASI. */
const [EIO, ENOSPC] = [29, 51];
const log = { nfd: NO_DESCRIPTOR, path: "/pg_wal/1", node: {} };
const table = { nfd: NO_DESCRIPTOR, path: "/base/1", node: {} };

/** The files, hooked as PGlite's are, and the operations that PostgreSQL calls. */
async function openHooked(options: { syncData?: () => Promise<void>; write?: () => number } = {}) {
  const { syncData, write = () => 0 } = options;
  const failures: NodeJS.ErrnoException[] = [];
  const opened = openDurableFiles(tmpdir(), (error) => void failures.push(error), syncData);
  const { emscriptenOpts } = await opened.files.init({} as never, {} as never);
  const operation = (..._: unknown[]) => undefined;
  const node_ops = { setattr: operation, rename: operation, unlink: operation, rmdir: operation };
  const stream_ops = {
    ...{ ...node_ops, open: operation, close: operation },
    write: write as (..._: unknown[]) => number,
    fsync: (_: object) => 0,
  };
  const hook = emscriptenOpts.preRun?.[0] as unknown as (module: object) => void;
  hook({ NODEFS: { realPath: () => tmpdir(), stream_ops, node_ops } });
  return { ...opened, failures, stream_ops };
}

// One EIO of the log made every later statement throw, and the service stayed up for ever, answering errors.
test("whoever owns the process is told once that the disk refuses the log, and commits are refused", async () => {
  const { failures, durable, usable, stream_ops } = await openHooked();
  usable();
  stream_ops.fsync(log);
  await expect(durable()).rejects.toThrow("restart the service");
  await expect(durable()).rejects.toThrow("restart the service");
  expect(usable).toThrow("restart the service");
  // Nor is it told of what fails after that.
  expect(stream_ops.fsync(table)).toBe(EIO);
  expect(failures.map(({ code }) => code)).toEqual(["EBADF"]);
});

// PostgreSQL panicked in a loop: the process used a processor for ever, and answered nobody.
test("an error of the disk in the middle of a write does not reach PostgreSQL; that there is no space does", async () => {
  let errno = ENOSPC;
  const write = () => {
    throw Object.assign(new Error("refused"), { errno });
  };
  const { failures, usable, stream_ops } = await openHooked({ write });
  const written = () => stream_ops.write(log, new Uint8Array(8), 0, 8, 0);
  expect(written).toThrow(expect.objectContaining({ errno: ENOSPC }));
  usable();
  expect(failures).toEqual([]);
  errno = EIO;
  expect(written).toThrow(expect.not.objectContaining({ errno: EIO }));
  expect(usable).toThrow("restart the service");
  expect(failures).toHaveLength(1);
});

/** A sync of the log fails with `code` after PostgreSQL has made, and the disk granted, another one of the same file. */
async function failAfterFlushNow(code: string) {
  const folder = mkdtempSync(join(tmpdir(), "pb-durable-"));
  const nfd = openSync(join(folder, "log"), "w");
  try {
    const sync = Promise.withResolvers<void>();
    const { failures, durable, stream_ops } = await openHooked({ syncData: () => sync.promise });
    stream_ops.fsync({ nfd, path: "/pg_wal/1", node: {} });
    const committed = durable();
    stream_ops.write({ nfd, path: "/base/1/2", node: {} }, Buffer.from("a"), 0, 1, 0);
    // A commit of now has nothing left to sync.
    const later = durable().then(
      () => "durable",
      () => "refused",
    );
    sync.reject(Object.assign(new Error(code), { code }));
    await committed.catch(() => undefined);
    return { failures: failures.map(({ message }) => message), durable, later: await later };
  } finally {
    closeSync(nfd);
    rmSync(folder, { recursive: true });
  }
}

// The kernel reports an error of the disk once. The sync that got it was ignored, because another had succeeded meanwhile.
test("an error of the disk is not lost when the file is synced again meanwhile", async () => {
  const { failures, durable, later } = await failAfterFlushNow("EIO");
  expect(failures).toEqual(["EIO"]);
  expect(later).toBe("refused");
  await expect(durable()).rejects.toThrow("restart the service");
});

test("a log file that was synced and closed meanwhile is no error of the disk", async () => {
  const { failures, durable, later } = await failAfterFlushNow("EBADF");
  expect(failures).toEqual([]);
  expect(later).toBe("durable");
  await durable();
});
