import { fdatasync, fdatasyncSync, fsyncSync } from "node:fs";
import { promisify } from "node:util";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import { syncPath } from "../shared/sync-path.ts";

/** Of WASI. */
const EIO = 29;
const WAL = "/pg_wal/";
/** Where tables are. Their pages begin with the position in the log of their last change, 8 bytes. */
const PAGES = /\/(base|global)\/[^/]*\d/;
const PAGE_BYTES = 8192;
export type SyncData = (fd: number) => Promise<void>;

/** An open file of Emscripten's. */
interface Stream {
  /** The descriptor of this process; undefined for a folder. */
  nfd?: number;
  path: string;
  node: object;
}
type Operation = (...args: never[]) => unknown;
interface NodeFiles {
  realPath(node: object): string;
  stream_ops: Record<string, Operation> & {
    write(stream: Stream, buffer: Uint8Array, offset: number, length: number, position: number): number;
    open(stream: Stream): void;
    close(stream: Stream): void;
    fsync?(stream: Stream): number;
  };
  node_ops: Record<string, Operation>;
}

/**
 * PGlite's files, durable: its PostgreSQL runs with fsync off, and Emscripten's files have none.
 *
 * A commit asks for an fsync of the write-ahead log and blocks PostgreSQL, and with it this process, until that is done. A
 * busy disk takes seconds for it. Therefore an fsync of the log is only noted here; it is done off the event loop, and
 * `durable` waits for it: several commits share one. Whatever must not reach the disk before the log does (pages of
 * tables, removed, renamed and closed files) does it at once.
 * @param onFailure called once, when the disk has refused something: from then on nothing is durable. A full disk is no
 *   such failure: the statement fails, and the next one may succeed.
 * @param syncData for tests.
 */
export function openDurableFiles(
  folder: string,
  onFailure: (error: Error) => void = () => undefined,
  syncData: SyncData = promisify(fdatasync),
): {
  files: NodeFS;
  /** Waits until everything that has been committed by now is on the disk. @throws if the disk refused it: for ever. */
  durable(): Promise<void>;
  /** Before PostgreSQL is called: after a failure it is in no state to go on. @throws if the disk has refused something. */
  usable(): void;
  /** How many syncs of the log were asked for: each commit of a change asks for one. */
  asked(): number;
} {
  const files = new NodeFS(folder);
  /** How many syncs of the log were asked for, and how many of them are done. */
  let asked = 0;
  let done = 0;
  const pending = new Set<number>();
  const inFlight = new Set<number>();
  let flushing: Promise<void> | undefined;
  let failure: Error | undefined;
  const fail = (error: unknown) => {
    if (failure) return;
    failure = error as Error;
    onFailure(failure);
  };

  const flush = async () => {
    const upTo = asked;
    for (const fd of pending) inFlight.add(fd);
    pending.clear();
    const synced = await Promise.allSettled([...inFlight].map((fd) => syncData(fd)));
    const refused = synced.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    // A descriptor that was closed meanwhile had been flushed before. The disk tells an error once: to this sync, and the one
    // that `flushNow` makes meanwhile succeeds.
    const failed = refused.find((error) => done < upTo || (error as NodeJS.ErrnoException).code !== "EBADF");
    if (failed === undefined) done = Math.max(done, upTo);
    else fail(failed);
    inFlight.clear();
    flushing = undefined;
  };
  /** Blocks. */
  const flushNow = () => {
    if (done === asked) return;
    try {
      for (const fd of new Set([...inFlight, ...pending])) fdatasyncSync(fd);
    } catch (error) {
      fail(error);
      throw error;
    }
    pending.clear();
    done = asked;
  };

  const hook = ({ realPath, stream_ops, node_ops }: NodeFiles) => {
    const { open, write, close } = stream_ops;
    const unlessItDies = <T>(operation: () => T): T => {
      try {
        return operation();
      } catch (error) {
        if ((error as { errno?: unknown }).errno !== EIO) throw error;
        fail(new Error("I/O error", { cause: error }));
        // PostgreSQL must not hear of it: it would panic, in a loop that blocks this process for ever.
        throw failure;
      }
    };
    stream_ops.open = (stream) => unlessItDies(() => open(stream));
    stream_ops.fsync = (stream) => {
      try {
        if (stream.nfd !== undefined && stream.path.includes(WAL)) {
          asked += 1;
          pending.add(stream.nfd);
        } else if (stream.nfd !== undefined) fsyncSync(stream.nfd);
        else syncPath(realPath(stream.node));
        return 0;
      } catch (error) {
        fail(error);
        return EIO;
      }
    };
    stream_ops.write = (stream, buffer, offset, length, position) => {
      if (!stream.path.includes(WAL) && !isNewPage(stream.path, buffer, offset, length)) flushNow();
      return unlessItDies(() => write(stream, buffer, offset, length, position));
    };
    stream_ops.close = (stream) => {
      if (stream.nfd !== undefined && (pending.has(stream.nfd) || inFlight.has(stream.nfd))) flushNow();
      close(stream);
    };
    for (const [ops, name] of [
      [stream_ops, "setattr"],
      ...["setattr", "rename", "unlink", "rmdir"].map((one) => [node_ops, one] as const),
    ] as const) {
      const operation = ops[name] as (...args: unknown[]) => unknown;
      (ops as Record<string, unknown>)[name] = (...args: unknown[]) => {
        flushNow();
        return operation(...args);
      };
    }
  };

  const init = files.init.bind(files);
  files.init = (pg, options) =>
    init(pg, {
      ...options,
      preRun: [...(options.preRun ?? []), (module: object) => hook((module as { NODEFS: NodeFiles }).NODEFS)],
    });

  const usable = () => {
    if (failure)
      throw new Error("The embedded database could not be written to the disk; restart the service.", {
        cause: failure,
      });
  };

  return {
    files,
    usable,
    asked: () => asked,
    async durable() {
      const wanted = asked;
      // Also of what `flushNow` has done by now, a sync in flight may be the one that gets the error.
      if (flushing) await flushing;
      while (done < wanted && !failure) {
        flushing ??= flush();
        await flushing;
      }
      usable();
    },
  };
}

/** A table grows by pages of zeros: nothing in the log is about them yet. */
function isNewPage(path: string, buffer: Uint8Array, offset: number, length: number): boolean {
  if (length % PAGE_BYTES !== 0 || !PAGES.test(path)) return false;
  for (let page = offset; page < offset + length; page += PAGE_BYTES)
    if (buffer.subarray(page, page + 8).some((byte) => byte !== 0)) return false;
  return true;
}
