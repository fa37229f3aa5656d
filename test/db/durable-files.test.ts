import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../src/db/durable-files.ts";

/** No process has so many files. */
const NO_DESCRIPTOR = 2 ** 30;

/** The files, hooked as PGlite's are, and the operations that PostgreSQL calls. */
async function openHooked(...[onFailure, syncData]: [...Rest<Parameters<typeof openDurableFiles>>]) {
  const { files, durable } = openDurableFiles(tmpdir(), onFailure, syncData);
  const { emscriptenOpts } = await files.init({} as never, {} as never);
  const operation = (..._: unknown[]) => undefined;
  const ops = { setattr: operation, rename: operation, unlink: operation, rmdir: operation };
  const stream_ops = { ...ops, write: operation, close: operation, fsync: (_: object) => 0 };
  const hook = emscriptenOpts.preRun?.[0] as unknown as (module: object) => void;
  hook({ NODEFS: { realPath: () => tmpdir(), stream_ops, node_ops: ops } });
  return { durable, stream_ops };
}
type Rest<T extends readonly unknown[]> = T extends [unknown, ...infer Others] ? Others : never;

// One EIO of the log made every later statement throw, and the service stayed up for ever, answering errors.
test("whoever owns the process is told once that the disk refuses the log, and commits are refused", async () => {
  const failures: Error[] = [];
  const { durable, stream_ops } = await openHooked((error) => void failures.push(error));
  stream_ops.fsync({ nfd: NO_DESCRIPTOR, path: "/pg_wal/1", node: {} });
  await expect(durable()).rejects.toThrow("restart the service");
  await expect(durable()).rejects.toThrow("restart the service");
  expect(failures.map((one) => (one as NodeJS.ErrnoException).code)).toEqual(["EBADF"]);
});

/** A sync of the log fails with `code` after PostgreSQL has made, and the disk granted, another one of the same file. */
async function failAfterFlushNow(code: string) {
  const folder = mkdtempSync(join(tmpdir(), "pb-durable-"));
  const nfd = openSync(join(folder, "log"), "w");
  try {
    const failures: Error[] = [];
    const sync = Promise.withResolvers<void>();
    const { durable, stream_ops } = await openHooked(
      (error) => void failures.push(error),
      () => sync.promise,
    );
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
